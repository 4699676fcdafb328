//! One customer's story, with every figure.

use serde_json::{Value, json};
use stripe_stand_in::CardRule;
use time::macros::utc_datetime;

use crate::invariants::check;
use crate::support::{Customer, GOOD_CARD, Processes, World};

#[tokio::test]
async fn customer_pays_runs_refills_is_suspended_and_resumes() {
    let world = World::new(Processes::Several).await;
    let alice = world.customer("alice");

    // $20 by hand; below $10 the card is to be charged $15.
    alice.top_up_with_refill("20.00", "10.00", "15.00").await;
    assert_eq!(alice.balance().await, "20.00");
    let project = alice.project().await;
    world.at_time("10:12:00").await;
    let gpu = alice.start(&project, "gpu").await;
    assert_eq!(world.told_to_platform("alice").await, ["gpu running"]);
    shows(&alice, "16.80", "good", json!("2026-11-22T11:00:00Z")).await;

    // Hours pass, and nothing is due at any other minute of them. At 12:00 the card is charged.
    world.without_schedule("settle-due");
    world.at_time("15:30:00").await;
    shows(&alice, "11.80", "good", json!("2026-11-22T16:00:00Z")).await;

    // From now on the card is declined: at 16:00, and after each hour's pause again.
    let decline =
        CardRule { decline_code: "insufficient_funds".to_owned(), network_advice_code: None };
    world.stripe().decline_card(GOOD_CARD, Some(decline));
    world.at_time("18:50:00").await;
    world.no_faults();
    let refill = alice.read("/v1/auto-refill").await;
    assert_eq!(
        (&refill["state"], &refill["until"]),
        (&json!("wanted"), &json!("2026-11-22T19:00:00Z")),
        "{refill}"
    );
    world.at_time("18:56:59").await;
    assert_eq!(world.told_to_platform("alice").await, ["gpu running"]);
    shows(&alice, "0.00", "good", json!("2026-11-22T18:57:00Z")).await;

    // $3.80 last for 57 minutes at $4.00 an hour, and not a second longer.
    world.at_time("18:57:00").await;
    assert_eq!(world.told_to_platform("alice").await, ["gpu suspended"]);
    shows(&alice, "0.00", "suspended", json!(null)).await;
    assert_eq!(alice.read("/v1/balance").await["runway"]["deleted_at"], "2026-11-25T18:57:00Z");
    let notice = |amount: &str, deadline: &str, link: &str| json!({"email": "alice@example.test", "amount": amount, "deadline": deadline, "link": link});
    let page = alice.page_address();
    let (refill, add_credit) = (format!("{page}#refill"), format!("{page}#add-credit"));
    assert_eq!(
        alice.notices().await,
        [
            ("BalanceLow".to_owned(), notice("15.00", "2026-11-22T15:12:00Z", &refill)),
            ("BalanceLow".to_owned(), notice("15.00", "2026-11-22T18:57:00Z", &refill)),
            ("RefillFailed".to_owned(), notice("15.00", "2026-11-22T18:57:00Z", &refill)),
            ("BalanceLow".to_owned(), notice("15.00", "2026-11-22T18:57:00Z", &refill)),
            ("RefillFailed".to_owned(), notice("15.00", "2026-11-22T18:57:00Z", &refill)),
            ("BalanceLow".to_owned(), notice("15.00", "2026-11-22T18:57:00Z", &refill)),
            ("RefillFailed".to_owned(), notice("15.00", "2026-11-22T18:57:00Z", &refill)),
            ("Suspended".to_owned(), notice("1.00", "2026-11-25T18:57:00Z", &add_credit)),
        ]
    );

    // The fourth decline in a row is the last.
    world.at_time("19:01:00").await;
    let refill = alice.read("/v1/auto-refill").await;
    assert_eq!(
        (&refill["state"], &refill["why"]),
        (&json!("paused"), &json!("failures")),
        "{refill}"
    );

    // Another card pays. Suspended resources are started again, and pay from then on.
    world.at_time("19:30:00").await;
    let page = alice.page(&json!({"amount": "20.00"})).await;
    // This one of several events is delivered at once, so that the order of rows is fixed.
    world.only_webhook("checkout.session.completed");
    alice.pay(&page, "5555555555554444").await;
    world.cloud.idle().await;
    world.no_faults();
    shows(&alice, "20.00", "good", json!(null)).await;
    alice.write("POST", &format!("{gpu}/start"), &json!(null)).await;
    assert_eq!(world.told_to_platform("alice").await, ["gpu running"]);
    world.at_time("20:00:00").await;
    shows(&alice, "14.00", "good", json!("2026-11-22T21:00:00Z")).await;

    assert_eq!(alice.diary(), DIARY);
    check(&[&alice]).await;
}

/// Two days after the suspension. No notice is sent before.
#[tokio::test]
async fn a_customer_is_warned_deleted_and_comes_back() {
    let world = World::new(Processes::Several).await;
    let bob = world.customer("bob");
    bob.top_up("5.00").await;
    let project = bob.project().await;
    let gpu = bob.start(&project, "gpu").await;
    world.at_time("11:15:00").await;
    // Three days of minutes are left out, but for the two that matter.
    world.without_schedule("settle-due");
    world.at(utc_datetime!(2026-11-24 11:14)).await;
    world.no_faults();
    let names = |notices: Vec<(String, Value)>| {
        notices.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(bob.notices().await), ["CreditLow", "Suspended"]);
    world.at(utc_datetime!(2026-11-24 11:15)).await;
    let told = bob.notices().await;
    let notice = json!({
        "email": "bob@example.test", "amount": "1.00", "deadline": "2026-11-25T11:15:00Z",
        "link": format!("{}#add-credit", bob.page_address()),
    });
    assert_eq!(told.last(), Some(&("DeletionSoon".to_owned(), notice)));

    // Bob opens a payment page at the last minute, and does not pay.
    world.at(utc_datetime!(2026-11-25 11:14)).await;
    let page = bob.page(&json!({"amount": "5.00"})).await;
    world.at(utc_datetime!(2026-11-25 11:17)).await;
    let told = bob.notices().await;
    let deadline = "2026-12-09T11:15:00Z";
    assert_eq!(names(told.clone())[3..], ["DeletionDue", "Deleted"]);
    assert_eq!(told.last().unwrap().1["deadline"], deadline, "{told:?}");
    assert_eq!(bob.read("/v1/balance").await["standing"], "deleted");
    let page = format!("/v1/checkout-sessions/{}", page["id"].as_str().unwrap());
    assert_eq!(bob.read(&page).await["status"], "expired");

    // He comes back within two weeks, and restores the machine.
    world.at(utc_datetime!(2026-12-01 9:00)).await;
    bob.top_up("25.00").await;
    assert_eq!(bob.read("/v1/balance").await["standing"], "good");
    let resource = bob.read(&gpu).await;
    assert_eq!(resource["state"], "deleted", "{resource}");
    bob.write("POST", &format!("{gpu}/restore"), &Value::Null).await;
    assert_eq!(world.told_to_platform("bob").await, ["gpu running"]);
    check(&[&bob]).await;
}

#[tokio::test]
async fn support_finds_a_top_up_by_each_id_that_stripe_has_for_it() {
    let world = World::new(Processes::Several).await;
    let alice = world.customer("alice");
    alice.top_up("25.00").await;
    let transactions = alice.read("/v1/transactions").await;
    let mut rows = transactions["items"].as_array().unwrap().iter();
    let topup = rows.find(|row| row["type"] == "topup").unwrap_or_else(|| panic!("{transactions}"));
    for (object, prefix) in
        [("session", "cs_"), ("invoice", "in_"), ("charge", "ch_"), ("payment_intent", "pi_")]
    {
        let id = topup["stripe"][object].as_str().unwrap_or_else(|| panic!("no {object}: {topup}"));
        assert!(id.starts_with(prefix), "{id} is a {object}");
        let found = world.read(&world.operator, &format!("/v1/admin/payments/{id}")).await;
        assert_eq!(
            (&found["id"], &found["account"], &found["row"]["id"]),
            (&json!(id), &json!("alice"), &topup["id"])
        );
        assert_eq!(
            (&found["row"]["type"], &found["row"]["amount"]),
            (&json!("topup"), &json!("25.00")),
            "{found}"
        );
        assert_eq!(
            (&found["stripe"]["id"], &found["stripe_error"]),
            (&json!(id), &Value::Null),
            "{found}"
        );
    }
}

async fn shows(customer: &Customer<'_>, balance: &str, standing: &str, paid_through: Value) {
    let shown = customer.read("/v1/balance").await;
    let told = (shown["balance"].as_str().unwrap(), shown["standing"].as_str().unwrap());
    assert_eq!(told, (balance, standing), "{shown}");
    assert_eq!(shown["paid_through"], paid_through, "{shown}");
}

/// Time, type, amount and balance of each row.
const DIARY: [&str; 29] = [
    "10:00:00 opened 0 0",
    "10:00:00 topup 20 20",
    "10:00:00 refill_changed 0 20",
    "10:12:00 started -3.2 16.8",
    "11:00:00 usage -4 12.8",
    "12:00:00 usage -4 8.8",
    "12:00:00 refill_begun 0 8.8",
    "12:00:00 auto_refill 15 23.8",
    "13:00:00 usage -4 19.8",
    "14:00:00 usage -4 15.8",
    "15:00:00 usage -4 11.8",
    "16:00:00 usage -4 7.8",
    "16:00:00 refill_begun 0 7.8",
    "16:00:00 refill_failed 0 7.8",
    "17:00:00 usage -4 3.8",
    "17:00:00 refill_begun 0 3.8",
    "17:00:00 refill_failed 0 3.8",
    "18:00:00 usage -3.8 0",
    "18:00:00 refill_begun 0 0",
    "18:00:00 refill_failed 0 0",
    "18:57:00 suspended 0 0",
    "19:00:00 refill_due 0 0",
    "19:00:00 refill_begun 0 0",
    "19:00:00 refill_failed 0 0",
    "19:30:00 topup 20 20",
    "19:30:00 resumed 0 20",
    "19:30:00 started -2 18",
    "19:35:00 refill_changed 0 18",
    "20:00:00 usage -4 14",
];
