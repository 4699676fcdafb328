//! A customer's whole life: a trial, its renewal, a suspension, a deletion, a restore, and the end.

use serde_json::{Value, json};
use time::macros::utc_datetime;

use super::expected::{ExpectedStory, Mail, Row, row};
use super::player::{CARD, HOUR, MINUTE, StoryPlayer};

pub(super) const EXPECTED: ExpectedStory = ExpectedStory {
    account: "grace",
    rows: &ROWS,
    events: &EVENTS,
    mails: &MAILS,
    totals: &TOTALS,
};

/// The database costs $0.35 an hour and the GPU $2.50, together $2.85.
const ROWS: [Row; 40] = [
    row("2026-11-02T09:12:00Z", "opened", "0.00", "0.00"),
    row("2026-11-02T09:12:00Z", "trial", "20.00", "20.00"),
    // 48 minutes of each.
    row("2026-11-02T09:12:00Z", "usage", "-0.28", "19.72"),
    row("2026-11-02T09:12:00Z", "usage", "-2.00", "17.72"),
    // The end is within a day.
    row("2026-11-02T09:13:00Z", "trial_ending", "0.00", "17.72"),
    row("2026-11-02T10:00:00Z", "usage", "-2.85", "14.87"),
    row("2026-11-02T11:00:00Z", "usage", "-2.85", "12.02"),
    row("2026-11-02T12:00:00Z", "usage", "-2.85", "9.17"),
    row("2026-11-02T13:00:00Z", "usage", "-2.85", "6.32"),
    row("2026-11-02T14:00:00Z", "usage", "-2.85", "3.47"),
    row("2026-11-02T15:00:00Z", "usage", "-2.85", "0.62"),
    // The end is within an hour.
    row("2026-11-02T15:14:00Z", "trial_ending", "0.00", "0.62"),
    // 783 seconds: $0.54375 and $0.076125. One second more would be $0.620667.
    row("2026-11-02T16:00:00Z", "usage", "-0.619875", "0.000125"),
    row("2026-11-02T16:14:00Z", "trial", "-0.000125", "0.00"),
    // A month at this rate costs more than $25.00, the most that a renewal charges.
    row("2026-11-02T16:14:00Z", "refill_begun", "0.00", "0.00"),
    row("2026-11-02T16:14:00Z", "auto_refill", "25.00", "25.00"),
    // 2,817 seconds, from 16:13:03 on: $1.95625 and $0.273875.
    row("2026-11-02T16:14:00Z", "usage", "-2.230125", "22.769875"),
    row("2026-11-02T17:00:00Z", "usage", "-2.85", "19.919875"),
    row("2026-11-02T17:00:00Z", "refill_changed", "0.00", "19.919875"),
    row("2026-11-02T18:00:00Z", "usage", "-2.85", "17.069875"),
    row("2026-11-02T19:00:00Z", "usage", "-2.85", "14.219875"),
    row("2026-11-02T20:00:00Z", "usage", "-2.85", "11.369875"),
    row("2026-11-02T21:00:00Z", "usage", "-2.85", "8.519875"),
    row("2026-11-02T22:00:00Z", "usage", "-2.85", "5.669875"),
    row("2026-11-02T23:00:00Z", "usage", "-2.85", "2.819875"),
    // 3,561 seconds: $2.472917 and $0.346208. One second more would be $2.819917.
    row("2026-11-03T00:00:00Z", "usage", "-2.819125", "0.00075"),
    row("2026-11-03T01:00:00Z", "suspended", "0.00", "0.00075"),
    row("2026-11-05T01:00:00Z", "deletion_announced", "0.00", "0.00075"),
    row("2026-11-06T01:00:00Z", "deleting", "0.00", "0.00075"),
    row("2026-11-06T01:00:00Z", "deleted", "0.00", "0.00075"),
    row("2026-11-19T22:00:00Z", "topup", "25.00", "25.00075"),
    row("2026-11-19T22:00:00Z", "resumed", "0.00", "25.00075"),
    row("2026-11-19T22:00:00Z", "usage", "-0.35", "24.65075"),
    row("2026-11-19T23:00:00Z", "usage", "-0.35", "24.30075"),
    row("2026-11-20T00:00:00Z", "usage", "-0.35", "23.95075"),
    row("2026-11-20T01:00:00Z", "usage", "-0.35", "23.60075"),
    // Two weeks after the deletion.
    row("2026-11-20T01:00:00Z", "purged", "0.00", "23.60075"),
    row("2026-11-20T02:00:00Z", "usage", "-0.35", "23.25075"),
    // Half of the hour comes back.
    row("2026-11-20T02:30:00Z", "unused", "0.175", "23.42575"),
    row("2026-11-20T02:30:00Z", "closed", "0.00", "23.42575"),
];

const EVENTS: [(&str, usize); 17] = [
    ("AccountOpened", 1),
    ("TrialStarted", 1),
    // The trial, its renewal, and the payment after the deletion.
    ("CreditAdded", 3),
    ("ResourceStarted", 2),
    ("TrialEnding", 2),
    ("TrialEnded", 1),
    ("BalanceLow", 1),
    ("CreditLow", 1),
    ("Suspended", 1),
    ("DeletionSoon", 1),
    ("DeletionDue", 1),
    ("Deleted", 1),
    ("Resumed", 1),
    ("ResourceRestored", 1),
    ("Purged", 1),
    ("ResourceDeleted", 1),
    ("Closed", 1),
];

const MAILS: [Mail; 9] = [
    Mail("2026-11-02T09:12:00Z", "TrialStarted", "", "2026-11-05T10:00:00Z"),
    // The renewal, and when the credit is used.
    Mail("2026-11-02T09:13:00Z", "TrialEnding", "25.00", "2026-11-02T16:13:03Z"),
    Mail("2026-11-02T15:14:00Z", "TrialEnding", "25.00", "2026-11-02T16:13:03Z"),
    Mail("2026-11-02T16:14:00Z", "BalanceLow", "25.00", "2026-11-02T16:13:03Z"),
    // A day of both costs $68.40, of which $19.919875 is there.
    Mail("2026-11-02T17:00:00Z", "CreditLow", "48.49", "2026-11-03T00:59:21Z"),
    Mail("2026-11-03T01:00:00Z", "Suspended", "1.00", "2026-11-06T01:00:00Z"),
    Mail("2026-11-05T01:00:00Z", "DeletionSoon", "1.00", "2026-11-06T01:00:00Z"),
    Mail("2026-11-06T01:00:00Z", "Deleted", "1.00", "2026-11-20T01:00:00Z"),
    Mail("2026-11-20T02:30:00Z", "Closed", "", ""),
];

const TOTALS: [(&str, &str); 4] =
    [("paid", "50.00"), ("used", "-46.749125"), ("balance", "23.42575"), ("standing", "closed")];

/// Plays the story.
///
/// # Errors
///
/// If a request fails, as text.
pub(super) async fn play(story: &mut StoryPlayer<'_>) -> Result<(), String> {
    use_the_trial_up(story).await?;
    run_out_of_credit(story).await?;
    be_deleted(story).await?;
    come_back(story).await?;
    close(story).await
}

async fn use_the_trial_up(story: &mut StoryPlayer<'_>) -> Result<(), String> {
    story
        .screen
        .chapter("grace begins a trial of $20.00 with a saved card, and agrees to what follows it");
    story.get("/v1/balance").await?;
    let lab = story.project("lab").await?;
    story.begin_trial(CARD).await?;
    story.show().await?;

    story
        .screen
        .chapter("A database at $0.35 per hour and a GPU at $2.50 use it up in seven hours");
    story.start(&lab, "postgres", "orders").await?;
    story.start(&lab, "vm-gpu", "trainer").await?;
    story.show().await?;
    story.pass_to(utc_datetime!(2026-11-02 10:00)).await?;
    story.pass_hours(6).await?;
    story.screen.chapter("At 16:13 the credit is used. The card is charged once, and both go on");
    story.pass(HOUR).await
}

async fn run_out_of_credit(story: &mut StoryPlayer<'_>) -> Result<(), String> {
    story.screen.chapter("grace turns auto-refill off. At 01:00 the credit is used, and both stop");
    story.api.write("PUT", "/v1/auto-refill", &json!({"enabled": false})).await?.success()?;
    story.show().await?;
    story.pass_hours(9).await?;
    story.check_resources("suspended", None).await
}

async fn be_deleted(story: &mut StoryPlayer<'_>) -> Result<(), String> {
    story.screen.chapter("Two days later the deletion is announced. A day later both are deleted");
    story.pass(HOUR * 49).await?;
    story.pass(HOUR * 24).await?;
    story.check_resources("deleted", None).await
}

async fn come_back(story: &mut StoryPlayer<'_>) -> Result<(), String> {
    story
        .screen
        .chapter("On the last day grace pays $25.00 and restores the database, not the GPU");
    story.pass_to(utc_datetime!(2026-11-19 22:00)).await?;
    story.pay(CARD, &Value::Null).await?;
    story.show().await?;
    let orders = story.resources.first().map(|(_, id)| id.clone());
    let named = json!({"resources": [orders]});
    story.api.write("POST", "/v1/account/restore", &named).await?.success()?;
    story.show().await?;
    story.pass_hours(4).await?;
    Ok(())
}

async fn close(story: &mut StoryPlayer<'_>) -> Result<(), String> {
    story.screen.chapter("grace deletes the database and closes the account");
    story.pass(MINUTE * 30).await?;
    let Some((project, orders)) = story.resources.first().cloned() else { return Ok(()) };
    let path = format!("/v1/projects/{project}/resources/{orders}");
    story.api.write("DELETE", &path, &json!({})).await?.success()?;
    story.show().await?;
    let closing = story.get("/v1/account/closing").await?;
    let balance = json!({"balance": closing["balance"]});
    story.api.write("DELETE", "/v1/account", &balance).await?.success()?;
    story.show().await
}
