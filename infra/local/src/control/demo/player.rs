//! Plays a story: what its customer does, and what is compared.

use std::time::Duration;

use serde_json::{Value, json};

use super::expected::{self, ExpectedStory};
use super::mails;
use super::outcome::StoryOutcome;
use super::screen::{Found, Screen};
use crate::control::api::ApiClient;
use crate::control::cloud::{Cloud, format_time};
use crate::control::routes::TokenRequest;
use crate::control::seed;

/// The card of a customer, and the one it pays with when the first is declined
/// (docs.stripe.com/testing).
pub(super) const CARD: &str = "4242424242424242";
pub(super) const OTHER_CARD: &str = "5555555555554444";

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// A customer, and how far its story is.
pub(super) struct StoryPlayer<'a> {
    pub(super) cloud: &'a Cloud,
    pub(super) api: ApiClient,
    pub(super) screen: &'a Screen,
    expected: &'static ExpectedStory,
    /// Every row so far, oldest first, as `GET /v1/transactions?include=all` shows it.
    rows: Vec<Value>,
    /// How many mails were shown.
    mails: usize,
    /// Resources, each with its project, in the order in which they were started.
    pub(super) resources: Vec<(String, String)>,
    /// The differences from the figures calculated by hand, as text.
    mistakes: Vec<String>,
}

impl<'a> StoryPlayer<'a> {
    pub(super) async fn begin(
        cloud: &'a Cloud,
        screen: &'a Screen,
        expected: &'static ExpectedStory,
    ) -> Result<Self, String> {
        seed::plant(cloud).await?;
        let account = expected.account.to_owned();
        let token = cloud.token(&TokenRequest { account, ..TokenRequest::default() })?;
        let api = ApiClient::new(&cloud.urls().api).with_token(token);
        let (rows, resources, mistakes) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { cloud, api, screen, expected, rows, mails: 0, resources, mistakes })
    }

    /// Something that must be so.
    pub(super) fn check(&mut self, what: &str, found: &Value, expected: &str) {
        let found = found.as_str().unwrap_or("nothing");
        self.screen.checked(&format!("{what} {found}"), Found::of(found, expected));
        if found != expected {
            self.mistakes.push(format!("{what} {expected}, not {found}"));
        }
    }

    pub(super) async fn check_resources(
        &mut self,
        state: &str,
        since: Option<&str>,
    ) -> Result<(), String> {
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

    pub(super) async fn get(&self, path: &str) -> Result<Value, String> {
        self.api.get(path).await?.success()
    }

    pub(super) async fn project(&self, name: &str) -> Result<String, String> {
        let project =
            self.api.write("POST", "/v1/projects", &json!({"name": name})).await?.success()?;
        Ok(project["id"].as_str().unwrap_or_default().to_owned())
    }

    pub(super) async fn refused(&mut self, project: &str, sku: &str) -> Result<(), String> {
        let wanted = json!({"sku": sku, "name": "machine", "start": true});
        let answer =
            self.api.write("POST", &format!("/v1/projects/{project}/resources"), &wanted).await?;
        if answer.status != 402 {
            return Err(format!("a machine started without credit: {}", answer.status));
        }
        let problem = answer.json();
        self.screen.note(&format!("402 {}", problem["detail"].as_str().unwrap_or_default()));
        self.show().await
    }

    pub(super) async fn start(
        &mut self,
        project: &str,
        sku: &str,
        name: &str,
    ) -> Result<(), String> {
        let wanted = json!({"sku": sku, "name": name, "start": true});
        let path = format!("/v1/projects/{project}/resources");
        let started = self.api.write("POST", &path, &wanted).await?.success()?;
        self.resources
            .push((project.to_owned(), started["id"].as_str().unwrap_or_default().to_owned()));
        Ok(())
    }

    /// Pays as a customer does: a session, its page, and then the webhooks do the rest.
    /// Accepts the trial with the terms of its renewal, and saves a card.
    pub(super) async fn begin_trial(&mut self, card: &str) -> Result<(), String> {
        let terms = json!({"auto_refill": {"enabled": true}});
        let page = self.api.write("POST", "/v1/trial", &terms).await?.success()?;
        self.submit(&page, card).await
    }

    async fn submit(&mut self, session: &Value, card: &str) -> Result<(), String> {
        let page = session["url"].as_str().unwrap_or_default();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let sent = ApiClient::new(page).send("POST", page, &form, format!("card={card}")).await?;
        if sent.status != 303 {
            return Err(format!("Stripe's page returned {}", sent.status));
        }
        self.cloud.idle().await;
        Ok(())
    }

    pub(super) async fn pay(&mut self, card: &str, auto_refill: &Value) -> Result<(), String> {
        let mut wish = json!({"amount": "25.00"});
        if !auto_refill.is_null() {
            wish["auto_refill"] = auto_refill.clone();
        }
        let session = self.api.write("POST", "/v1/checkout-sessions", &wish).await?.success()?;
        self.submit(&session, card).await?;
        let status = self
            .get(&format!("/v1/checkout-sessions/{}", session["id"].as_str().unwrap_or_default()))
            .await?;
        self.screen
            .note(&format!("the session is {}", status["status"].as_str().unwrap_or_default()));
        Ok(())
    }

    pub(super) async fn pass(&mut self, length: Duration) -> Result<(), String> {
        self.cloud.advance(length).await;
        self.show().await
    }

    /// Hour by hour, so that the rows are shown as they come.
    pub(super) async fn pass_hours(&mut self, hours: u32) -> Result<(), String> {
        for _ in 0..hours {
            self.pass(HOUR).await?;
        }
        Ok(())
    }

    pub(super) async fn pass_to(&mut self, to: time::UtcDateTime) -> Result<(), String> {
        self.cloud.advance_to(to).await;
        self.show().await
    }

    /// Shows the new rows.
    pub(super) async fn show(&mut self) -> Result<(), String> {
        self.cloud.idle().await;
        let page = self.get("/v1/transactions?include=all&limit=200").await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let new: Vec<Value> = items.into_iter().rev().skip(self.rows.len()).collect();
        for row in new {
            let is_expected =
                self.expected.rows.get(self.rows.len()).is_some_and(|expected| expected.is(&row));
            self.screen.row(&row, Found::of(&is_expected, &true));
            self.rows.push(row);
        }
        for mail in self.mails().split_off(self.mails) {
            let expected = self.expected.mails.get(self.mails);
            let is_expected = expected.is_some_and(|expected| expected.is(&mail));
            self.screen.checked(&mails::line(&mail), Found::of(&is_expected, &true));
            self.mails += 1;
        }
        self.screen.clock(&format_time(self.cloud.now()));
        Ok(())
    }

    /// Compares the story with what was expected of it.
    pub(super) async fn end(self) -> Result<StoryOutcome, String> {
        let (rows, events, mails) = (self.rows.clone(), self.events(), self.mails());
        let balance = self.get("/v1/balance").await?;
        let dead = self.cloud.dead_letters()["count"].clone();
        let totals = json!({
            "paid": sum(&rows, &["topup", "auto_refill"]),
            "used": sum(&rows, &["usage"]),
            "balance": balance["balance"],
            "standing": balance["standing"],
            "dead_letters": dead,
        });
        let expected = self.expected;
        let mut mistakes = self.mistakes.clone();
        mistakes.extend(expected::differences(expected.rows, &rows));
        mistakes.extend(expected::different_events(expected.events, &events));
        mistakes.extend(expected::different_mails(expected.mails, &mails));
        mistakes.extend(expected::different_totals(expected.totals, &totals));
        let outcome =
            StoryOutcome { account: expected.account, rows, events, mails, totals, mistakes };
        self.screen.story(&outcome);
        Ok(outcome)
    }

    fn mails(&self) -> Vec<Value> {
        self.events().iter().filter_map(mails::mail).collect()
    }

    /// The events of the account's rows. Messages between functions have no number of a row.
    fn events(&self) -> Vec<Value> {
        let of_account = |event: &Value| {
            event["detail"]["account"] == self.expected.account && event["detail"]["seq"].is_u64()
        };
        let events = self.cloud.events().into_iter().map(|kept| kept.event).filter(of_account);
        let mut events: Vec<Value> = events.collect();
        // Each event names its row; the bus keeps no order.
        events.sort_by_key(|event| {
            (event["detail"]["seq"].as_u64(), event["detail"]["id"].as_str().map(str::to_owned))
        });
        events
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
