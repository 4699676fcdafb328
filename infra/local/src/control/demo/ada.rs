//! A customer who pays, is refilled, runs out of credit and comes back.

use serde_json::{Value, json};
use stripe_stand_in::CardRule;
use time::macros::utc_datetime;

use super::expected::{ExpectedStory, Mail, Row, row};
use super::player::{CARD, HOUR, MINUTE, OTHER_CARD, StoryPlayer};

pub(super) const EXPECTED: ExpectedStory =
    ExpectedStory { account: "ada", rows: &ROWS, events: &EVENTS, mails: &MAILS, totals: &TOTALS };

/// When the credit is used up.
const ZERO: &str = "2026-11-03T02:46:50Z";

/// The GPU costs $2.50 an hour and the database $0.35, together $2.85.
const ROWS: [Row; 37] = [
    row("2026-11-02T09:12:00Z", "opened", "0.00", "0.00"),
    row("2026-11-02T09:12:00Z", "topup", "25.00", "25.00"),
    row("2026-11-02T09:12:00Z", "refill_changed", "0.00", "25.00"),
    // 48 minutes of the GPU, 30 of the database.
    row("2026-11-02T09:12:00Z", "usage", "-2.00", "23.00"),
    row("2026-11-02T09:30:00Z", "usage", "-0.175", "22.825"),
    row("2026-11-02T10:00:00Z", "usage", "-2.85", "19.975"),
    row("2026-11-02T11:00:00Z", "usage", "-2.85", "17.125"),
    row("2026-11-02T12:00:00Z", "usage", "-2.85", "14.275"),
    row("2026-11-02T13:00:00Z", "usage", "-2.85", "11.425"),
    row("2026-11-02T14:00:00Z", "usage", "-2.85", "8.575"),
    row("2026-11-02T15:00:00Z", "usage", "-2.85", "5.725"),
    row("2026-11-02T16:00:00Z", "usage", "-2.85", "2.875"),
    row("2026-11-02T16:00:00Z", "refill_begun", "0.00", "2.875"),
    row("2026-11-02T16:00:00Z", "auto_refill", "25.00", "27.875"),
    row("2026-11-02T17:00:00Z", "usage", "-2.85", "25.025"),
    row("2026-11-02T18:00:00Z", "usage", "-2.85", "22.175"),
    row("2026-11-02T19:00:00Z", "usage", "-2.85", "19.325"),
    row("2026-11-02T20:00:00Z", "usage", "-2.85", "16.475"),
    row("2026-11-02T21:00:00Z", "usage", "-2.85", "13.625"),
    row("2026-11-02T22:00:00Z", "usage", "-2.85", "10.775"),
    row("2026-11-02T23:00:00Z", "usage", "-2.85", "7.925"),
    row("2026-11-03T00:00:00Z", "usage", "-2.85", "5.075"),
    row("2026-11-03T01:00:00Z", "usage", "-2.85", "2.225"),
    row("2026-11-03T01:00:00Z", "refill_begun", "0.00", "2.225"),
    row("2026-11-03T01:00:00Z", "refill_failed", "0.00", "2.225"),
    // 2,810 seconds: $1.951389 and $0.273194. One second more would be $2.225375.
    row("2026-11-03T02:00:00Z", "usage", "-2.224583", "0.000417"),
    row("2026-11-03T02:00:00Z", "refill_begun", "0.00", "0.000417"),
    row("2026-11-03T02:00:00Z", "refill_failed", "0.00", "0.000417"),
    row("2026-11-03T02:47:00Z", "suspended", "0.00", "0.000417"),
    // An hour after the last attempt failed, the next may be made.
    row("2026-11-03T03:00:00Z", "refill_due", "0.00", "0.000417"),
    row("2026-11-03T03:00:00Z", "refill_begun", "0.00", "0.000417"),
    row("2026-11-03T03:00:00Z", "refill_failed", "0.00", "0.000417"),
    row("2026-11-03T03:10:00Z", "topup", "25.00", "25.000417"),
    row("2026-11-03T03:10:00Z", "resumed", "0.00", "25.000417"),
    // 50 minutes of each.
    row("2026-11-03T03:10:00Z", "usage", "-2.083333", "22.917084"),
    row("2026-11-03T03:10:00Z", "usage", "-0.291667", "22.625417"),
    row("2026-11-03T04:00:00Z", "usage", "-2.85", "19.775417"),
];

/// Events by name, and how many of each there are.
const EVENTS: [(&str, usize); 8] = [
    ("AccountOpened", 1),
    ("CreditAdded", 3),
    ("ResourceStarted", 4),
    ("BalanceLow", 4),
    ("RefillFailed", 3),
    // At 03:10: $22.92 of the $60.00 that a day of the GPU costs, and for an hour after a decline
    // no refill is to be expected.
    ("CreditLow", 1),
    ("Suspended", 1),
    ("Resumed", 1),
];

/// Sums of payments and usage.
const TOTALS: [(&str, &str); 4] =
    [("paid", "75.00"), ("used", "-55.224583"), ("balance", "19.775417"), ("standing", "good")];

const MAILS: [Mail; 9] = [
    // $2.875 last for 3,631 seconds after 17:00.
    Mail("2026-11-02T16:00:00Z", "BalanceLow", "25.00", "2026-11-02T18:00:31Z"),
    Mail("2026-11-03T01:00:00Z", "BalanceLow", "25.00", ZERO),
    Mail("2026-11-03T01:00:00Z", "RefillFailed", "25.00", ZERO),
    Mail("2026-11-03T02:00:00Z", "BalanceLow", "25.00", ZERO),
    Mail("2026-11-03T02:00:00Z", "RefillFailed", "25.00", ZERO),
    Mail("2026-11-03T02:47:00Z", "Suspended", "1.00", "2026-11-06T02:47:00Z"),
    // Nothing runs any more.
    Mail("2026-11-03T03:00:00Z", "BalanceLow", "25.00", ""),
    Mail("2026-11-03T03:00:00Z", "RefillFailed", "25.00", ""),
    // A day of the GPU costs $60.00, of which $22.917084 is there: for nine hours after 04:00.
    Mail("2026-11-03T03:10:00Z", "CreditLow", "37.09", "2026-11-03T13:10:00Z"),
];

/// Plays the story.
///
/// # Errors
///
/// If a request fails, as text.
pub(super) async fn play(story: &mut StoryPlayer<'_>) -> Result<(), String> {
    let (research, shop) = open_account(story).await?;
    pay_and_start(story, &research, &shop).await?;
    refill_until_declined(story).await?;
    run_out_of_credit(story).await?;
    pay_and_restart(story).await
}

/// Opens the account, and returns its two projects.
async fn open_account(story: &mut StoryPlayer<'_>) -> Result<(String, String), String> {
    story.screen.chapter("The first request opens an account");
    story.get("/v1/balance").await?;
    let (research, shop) = (story.project("research").await?, story.project("shop").await?);
    story.show().await?;
    Ok((research, shop))
}

async fn pay_and_start(
    story: &mut StoryPlayer<'_>,
    research: &str,
    shop: &str,
) -> Result<(), String> {
    story.screen.chapter("Nothing starts without credit");
    story.refused(research, "vm-gpu").await?;

    story
        .screen
        .chapter("The customer tops up $25.00 and agrees to a $25.00 auto-refill below $5.00");
    story.pay(CARD, &json!({"enabled": true, "threshold": "5.00", "amount": "25.00"})).await?;
    story.show().await?;

    story.screen.chapter("A GPU at $2.50 per hour starts, then a database at $0.35. Both are paid to the end of the hour");
    story.start(research, "vm-gpu", "trainer").await?;
    story.show().await?;
    story.pass(18 * MINUTE).await?;
    story.start(shop, "postgres", "orders").await?;
    story.show().await
}

async fn refill_until_declined(story: &mut StoryPlayer<'_>) -> Result<(), String> {
    story
        .screen
        .chapter("Hours pass. At 16:00 less than $5.00 is left and auto-refill charges the card");
    story.pass_to(utc_datetime!(2026-11-02 10:00)).await?;
    story.pass_hours(6).await?;

    story.screen.chapter(
        "The bank starts to decline the card. At 01:00 a refill fails and the customer is notified",
    );
    let rule =
        CardRule { decline_code: "insufficient_funds".to_owned(), network_advice_code: None };
    story
        .cloud
        .stripe()
        .ok_or("the Stripe stand-in is not running")?
        .decline_card(CARD, Some(rule));
    story.pass_hours(9).await?;
    Ok(())
}

async fn run_out_of_credit(story: &mut StoryPlayer<'_>) -> Result<(), String> {
    let balance = story.get("/v1/balance").await?;
    story.check("the balance is expected to reach zero at", &balance["runway"]["zero_at"], ZERO);

    story.screen.chapter(
        "At 02:00 the balance covers another 46 minutes and 50 seconds. Then everything stops",
    );
    story.pass(HOUR).await?;
    story.pass(46 * MINUTE).await?;
    story.check_resources("running", None).await?;
    story.pass(MINUTE).await?;
    story.check_resources("suspended", Some(ZERO)).await
}

async fn pay_and_restart(story: &mut StoryPlayer<'_>) -> Result<(), String> {
    story.screen.chapter(
        "At 03:10 a $25.00 top-up with another card ends the suspension. The customer restarts both",
    );
    story.pass_to(utc_datetime!(2026-11-03 03:10)).await?;
    story.pay(OTHER_CARD, &Value::Null).await?;
    story.show().await?;
    for (project, resource) in story.resources.clone() {
        let path = format!("/v1/projects/{project}/resources/{resource}/start");
        story.api.write("POST", &path, &json!({})).await?.success()?;
    }
    story.show().await?;
    story.check_resources("running", Some("2026-11-03T03:10:00Z")).await?;
    story.pass_to(utc_datetime!(2026-11-03 04:00)).await
}
