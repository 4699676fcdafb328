//! `cargo local demo`: the story of one account, played by the real functions on a fresh state. It
//! succeeds only if every figure equals the one calculated by hand.

mod expected;
mod outcome;
mod screen;

use std::time::Duration;

use crate::control::api::ApiClient;
use crate::control::cloud::{Cloud, CloudConfig, CloudStartError, WhichStripe, format_time};
use crate::control::routes::TokenRequest;
use crate::control::seed;
use crate::runtime::clock::Pace;
use expected::{EVENTS, ROWS, TOTALS, ZERO};
pub use outcome::Outcome;
pub use screen::Form;
use screen::{Found, Screen};
use serde_json::{Value, json};
use stripe_stand_in::CardRule;
use time::macros::utc_datetime;

/// The account of the story.
const ACCOUNT: &str = "ada";
/// Its first card, and the one it pays with when the first is declined (docs.stripe.com/testing).
const CARD: &str = "4242424242424242";
const OTHER_CARD: &str = "5555555555554444";

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// A cloud as the story needs it: nothing kept, and a clock that only the story moves.
#[must_use]
pub fn config(config: CloudConfig) -> CloudConfig {
    CloudConfig {
        state: None,
        port: 0,
        stripe_port: 0,
        pace: Pace::Frozen,
        start: Some(utc_datetime!(2026-11-02 09:12)),
        stripe: WhichStripe::StandIn,
        log: None,
        ..config
    }
}

/// Plays the story, and returns its outcome.
///
/// # Errors
///
/// If it cannot be completed, as text. A wrong figure is not an error. It is shown, and listed
/// among the mistakes.
pub async fn run(config: CloudConfig, form: Form) -> Result<Outcome, String> {
    let cloud = Cloud::start(config).await.map_err(|error: CloudStartError| error.to_string())?;
    let mut story = Story::begin(&cloud, form).await?;
    story.play().await?;
    let outcome = story.outcome().await?;
    story.screen.end(&outcome);
    Ok(outcome)
}

/// The account, and how far its story is.
struct Story<'a> {
    cloud: &'a Cloud,
    api: ApiClient,
    screen: Screen,
    /// Every row so far, oldest first, as `GET /v1/transactions?include=all` shows it.
    rows: Vec<Value>,
    /// Resources, each with its project, in the order in which they were started.
    resources: Vec<(String, String)>,
    /// The differences from the figures calculated by hand, as text.
    mistakes: Vec<String>,
}

impl<'a> Story<'a> {
    async fn begin(cloud: &'a Cloud, form: Form) -> Result<Self, String> {
        seed::plant(cloud).await?;
        let token = cloud
            .token(&TokenRequest { account: ACCOUNT.to_owned(), ..TokenRequest::default() })?;
        let api = ApiClient::new(&cloud.urls().api).with_token(token);
        Ok(Self {
            cloud,
            api,
            screen: Screen::new(form),
            rows: Vec::new(),
            resources: Vec::new(),
            mistakes: Vec::new(),
        })
    }

    async fn play(&mut self) -> Result<(), String> {
        let (research, shop) = self.open_account().await?;
        self.pay_and_start(&research, &shop).await?;
        self.refill_until_declined().await?;
        self.run_out_of_credit().await?;
        self.pay_and_restart().await
    }

    /// Opens the account, and returns its two projects.
    async fn open_account(&mut self) -> Result<(String, String), String> {
        self.screen.chapter("The first request opens an account");
        self.get("/v1/balance").await?;
        let (research, shop) = (self.project("research").await?, self.project("shop").await?);
        self.show().await?;
        Ok((research, shop))
    }

    async fn pay_and_start(&mut self, research: &str, shop: &str) -> Result<(), String> {
        self.screen.chapter("Nothing starts without credit");
        self.refused(research).await?;

        self.screen
            .chapter("The customer tops up $25.00 and agrees to a $25.00 auto-refill below $5.00");
        self.pay(CARD, &json!({"enabled": true, "threshold": "5.00", "amount": "25.00"})).await?;
        self.show().await?;

        self.screen
            .chapter("A GPU at $2.50 per hour starts, then a database at $0.35. Both are paid to the end of the hour");
        self.start(research, "vm-gpu", "trainer").await?;
        self.show().await?;
        self.pass(18 * MINUTE).await?;
        self.start(shop, "postgres", "orders").await?;
        self.show().await
    }

    async fn refill_until_declined(&mut self) -> Result<(), String> {
        self.screen.chapter(
            "Hours pass. At 16:00 less than $5.00 is left and auto-refill charges the card",
        );
        self.pass_to(utc_datetime!(2026-11-02 10:00)).await?;
        for _ in 0..6 {
            self.pass(HOUR).await?;
        }

        self.screen
            .chapter("The bank starts to decline the card. At 01:00 a refill fails and the customer is notified");
        let rule =
            CardRule { decline_code: "insufficient_funds".to_owned(), network_advice_code: None };
        self.cloud
            .stripe()
            .ok_or("the Stripe stand-in is not running")?
            .decline_card(CARD, Some(rule));
        for _ in 0..9 {
            self.pass(HOUR).await?;
        }
        Ok(())
    }

    async fn run_out_of_credit(&mut self) -> Result<(), String> {
        let balance = self.get("/v1/balance").await?;
        self.check("the balance is expected to reach zero at", &balance["runway"]["zero_at"], ZERO);

        self.screen.chapter(
            "At 02:00 the balance covers another 46 minutes and 50 seconds. Then everything stops",
        );
        self.pass(HOUR).await?;
        self.pass(46 * MINUTE).await?;
        self.check_resources("running", None).await?;
        self.pass(MINUTE).await?;
        self.check_resources("suspended", Some(ZERO)).await
    }

    async fn pay_and_restart(&mut self) -> Result<(), String> {
        self.screen.chapter(
            "At 03:10 a $25.00 top-up with another card ends the suspension. The customer restarts both",
        );
        self.pass_to(utc_datetime!(2026-11-03 03:10)).await?;
        self.pay(OTHER_CARD, &Value::Null).await?;
        self.show().await?;
        for (project, resource) in self.resources.clone() {
            let path = format!("/v1/projects/{project}/resources/{resource}/start");
            self.api.write("POST", &path, &json!({})).await?.success()?;
        }
        self.show().await?;
        self.check_resources("running", Some("2026-11-03T03:10:00Z")).await?;
        self.pass_to(utc_datetime!(2026-11-03 04:00)).await
    }

    /// Something that must be so.
    fn check(&mut self, what: &str, found: &Value, expected: &str) {
        let found = found.as_str().unwrap_or("nothing");
        self.screen.checked(&format!("{what} {found}"), Found::of(found, expected));
        if found != expected {
            self.mistakes.push(format!("{what} {expected}, not {found}"));
        }
    }

    async fn check_resources(&mut self, state: &str, since: Option<&str>) -> Result<(), String> {
        for (project, resource) in self.resources.clone() {
            let shown = self.get(&format!("/v1/projects/{project}/resources/{resource}")).await?;
            let name = shown["name"].as_str().unwrap_or_default();
            self.check(&format!("{name} is"), &shown["state"], state);
            if let Some(since) = since {
                self.check(&format!("{name} is so since"), &shown["since"], since);
            }
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        self.api.get(path).await?.success()
    }

    async fn project(&self, name: &str) -> Result<String, String> {
        let project =
            self.api.write("POST", "/v1/projects", &json!({"name": name})).await?.success()?;
        Ok(project["id"].as_str().unwrap_or_default().to_owned())
    }

    async fn refused(&mut self, project: &str) -> Result<(), String> {
        let wanted = json!({"sku": "vm-gpu", "name": "trainer", "start": true});
        let answer =
            self.api.write("POST", &format!("/v1/projects/{project}/resources"), &wanted).await?;
        if answer.status != 402 {
            return Err(format!("a machine started without credit: {}", answer.status));
        }
        let problem = answer.json();
        self.screen.note(&format!("402 {}", problem["detail"].as_str().unwrap_or_default()));
        self.show().await
    }

    async fn start(&mut self, project: &str, sku: &str, name: &str) -> Result<(), String> {
        let wanted = json!({"sku": sku, "name": name, "start": true});
        let path = format!("/v1/projects/{project}/resources");
        let started = self.api.write("POST", &path, &wanted).await?.success()?;
        self.resources
            .push((project.to_owned(), started["id"].as_str().unwrap_or_default().to_owned()));
        Ok(())
    }

    /// Pays as a customer does: a session, its page, and then the webhooks do the rest.
    async fn pay(&mut self, card: &str, auto_refill: &Value) -> Result<(), String> {
        let mut wish = json!({"amount": "25.00"});
        if !auto_refill.is_null() {
            wish["auto_refill"] = auto_refill.clone();
        }
        let session = self.api.write("POST", "/v1/checkout-sessions", &wish).await?.success()?;
        let page = session["url"].as_str().unwrap_or_default();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let paid = ApiClient::new(page).send("POST", page, &form, format!("card={card}")).await?;
        if paid.status != 303 {
            return Err(format!("the payment page returned {}", paid.status));
        }
        self.cloud.idle().await;
        let status = self
            .get(&format!("/v1/checkout-sessions/{}", session["id"].as_str().unwrap_or_default()))
            .await?;
        self.screen
            .note(&format!("the session is {}", status["status"].as_str().unwrap_or_default()));
        Ok(())
    }

    async fn pass(&mut self, length: Duration) -> Result<(), String> {
        self.cloud.advance(length).await;
        self.show().await
    }

    async fn pass_to(&mut self, to: time::UtcDateTime) -> Result<(), String> {
        self.cloud.advance_to(to).await;
        self.show().await
    }

    /// Shows the new rows.
    async fn show(&mut self) -> Result<(), String> {
        self.cloud.idle().await;
        let page = self.get("/v1/transactions?include=all&limit=200").await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let new: Vec<Value> = items.into_iter().rev().skip(self.rows.len()).collect();
        for row in new {
            let is_expected = ROWS.get(self.rows.len()).is_some_and(|expected| expected.is(&row));
            self.screen.row(&row, Found::of(&is_expected, &true));
            self.rows.push(row);
        }
        self.screen.clock(&format_time(self.cloud.now()));
        Ok(())
    }

    async fn outcome(&self) -> Result<Outcome, String> {
        let rows = self.rows.clone();
        // Events of rows have the row's number. Messages between functions have none.
        let of_account = |event: &Value| {
            event["detail"]["account"] == ACCOUNT && event["detail"]["seq"].is_u64()
        };
        let events = self.cloud.events().into_iter().map(|kept| kept.event).filter(of_account);
        let mut events: Vec<Value> = events.collect();
        // Each event names its row; the bus keeps no order.
        events.sort_by_key(|event| {
            (event["detail"]["seq"].as_u64(), event["detail"]["id"].as_str().map(str::to_owned))
        });
        let balance = self.get("/v1/balance").await?;
        let dead = self.cloud.dead_letters()["count"].clone();
        let totals = json!({
            "paid": sum(&rows, &["topup", "auto_refill"]),
            "used": sum(&rows, &["usage"]),
            "balance": balance["balance"],
            "standing": balance["standing"],
            "dead_letters": dead,
        });
        let mut mistakes = self.mistakes.clone();
        mistakes.extend(expected::differences(&ROWS, &rows));
        mistakes.extend(expected::different_events(&EVENTS, &events));
        mistakes.extend(expected::different_totals(&TOTALS, &totals));
        Ok(Outcome { rows, events, totals, mistakes })
    }
}

/// The sum of the amounts of these types, to the micro-dollar.
fn sum(rows: &[Value], kinds: &[&str]) -> String {
    let of_kind =
        rows.iter().filter(|row| row["type"].as_str().is_some_and(|kind| kinds.contains(&kind)));
    let amounts =
        of_kind.filter_map(|row| row["amount"].as_str()?.parse::<rust_decimal::Decimal>().ok());
    amounts.sum::<rust_decimal::Decimal>().to_string()
}
