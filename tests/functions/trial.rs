//! The trial: offered, started with a card, once per account and card, and what follows its end.

use serde_json::{Value, json};
use stripe_stand_in::StripeFaultKind;
use tollgate::domain::account::{Standing, TrialPhase};
use tollgate::domain::event::{Change, GrantChange};
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::ledger::{at, named};
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, die_everywhere};

use crate::account_stripe_support::{DELETE, on_card};

const GET: &str = "GET /v1/trial";
const START: &str = "POST /v1/trial";
const PREPAID: &str = "5105105105105100";
/// It is saved, and declined when nobody is there.
const DECLINED_LATER: &str = "4000000000000341";
const DAY: i64 = 86_400;

fn on() -> Value {
    json!({"auto_refill": {"enabled": true}})
}

async fn shown(world: &PaymentWorld) -> Value {
    let answered = world.call(&world.event(GET)).await;
    assert_eq!(answered.status, 200, "{}", answered.shown());
    answered.body
}

/// Makes the page. Returns its ID.
async fn page(world: &PaymentWorld, body: &Value) -> String {
    let created = world.call(&world.event(START).json(body)).await;
    assert_eq!(created.status, 201, "{}", created.shown());
    created.body["id"].as_str().unwrap().to_owned()
}

/// Comes back from the page.
async fn back(world: &PaymentWorld, session: &str) -> Answered {
    world.call(&world.event(GET).with("session", session)).await
}

/// A trial of Acme's that started at 10:00.
async fn in_trial(world: &PaymentWorld, card: &str, body: &Value) {
    let session = page(world, body).await;
    world.pay(&session, &format!("card={card}")).await;
    world.deliver_all().await;
    assert_eq!(world.names().await, ["opened", "trial"]);
}

/// Runs a service for the last hours of the trial, up to its end.
async fn to_the_end(world: &PaymentWorld) {
    world.ledger().start(ACME, "web", &["a"], "2026-11-25T08:00:00Z").await;
    for hour in ["09", "10"] {
        world.ledger().settle(ACME, &format!("2026-11-25T{hour}:00:00Z")).await;
    }
    world.set_now("2026-11-25T10:00:05Z");
}

#[track_caller]
fn refused(answered: &Answered, status: u16, code: &str, detail: &str) {
    assert_eq!((answered.status, answered.code()), (status, code), "{}", answered.shown());
    assert!(answered.shown().contains(detail), "{}", answered.shown());
}

#[tokio::test]
async fn saved_card_starts_the_trial_by_the_webhook() {
    let world = PaymentWorld::new().await;
    let offer = shown(&world).await;
    let words = "Auto-refill is on. If a service is running when the trial ends, your card is charged \
        once: what 30 days like the trial would cost, at least $1.00 and at most $25.00 plus any tax. \
        From then on, when your balance falls below $0.50, it is charged $25.00 plus any tax. You can \
        turn it off at any time on the Billing page.";
    assert_eq!(
        offer,
        json!({
            "status": "offered", "why": null, "credit": "20.00", "seconds": 259_200, "services_max": 4, "excludes": [],
            "renewal_min": "1.00", "renewal_max": "25.00",
            "auto_refill": {"threshold": "0.50", "amount": "25.00", "words": words},
            "started_at": null, "ends_at": null, "credit_left": null, "then": null, "renewal": null,
        })
    );
    let session = page(&world, &on()).await;
    let calls = world.stand_in.calls();
    let asked = calls.iter().find(|call| call.path == "/v1/checkout/sessions").unwrap();
    for (name, expected) in [
        ("mode", "setup"),
        ("payment_method_types[0]", "card"),
        ("metadata[tollgate_account]", ACME),
        ("metadata[tollgate_kind]", "trial"),
        ("metadata[tollgate_words]", words),
        ("custom_text[submit][message]", words),
        ("success_url", "https://billing.example/?trial={CHECKOUT_SESSION_ID}"),
        ("cancel_url", "https://billing.example/?trial=canceled"),
    ] {
        assert_eq!(asked.params.get(name).map(String::as_str), Some(expected), "{name}");
    }
    assert_eq!(shown(&world).await["status"], "offered", "until the card is saved");
    world.pay(&session, &format!("card={VISA}")).await;
    let told = world.deliver_all().await;
    assert!(told.iter().all(|(_, status, _)| *status == 200), "{told:?}");
    world.deliver_everything_again().await;
    assert_eq!(world.names().await, ["opened", "trial"]);
    let state = world.state().await;
    let agreed = state.refill.agreement.unwrap();
    assert_eq!((agreed.threshold, agreed.amount), (named("0.50"), named("25")));
    assert!(state.refill.card.is_some() && state.balance() == named("20"));
    let rows = world.rows().await;
    let Change::Grant(GrantChange::TrialStarted { refill: Some(refill), .. }) =
        &rows[1].event.change
    else {
        panic!("{rows:?}")
    };
    assert_eq!(refill.words.as_deref(), Some(words), "what was shown is what is agreed");
    let running = shown(&world).await;
    for (name, expected) in [
        ("status", json!("running")),
        ("auto_refill", Value::Null),
        ("started_at", json!("2026-11-22T10:00:00Z")),
        ("ends_at", json!("2026-11-25T10:00:00Z")),
        ("credit_left", json!("20.00")),
        ("then", json!("nothing")),
    ] {
        assert_eq!(running[name], expected, "{name}");
    }
    world.check().await;
}

#[tokio::test]
async fn trial_starts_on_the_customers_return_without_a_webhook() {
    let world = PaymentWorld::new().await;
    let session = page(&world, &json!({})).await;
    assert_eq!(back(&world, &session).await.body["status"], "offered", "the page is open");
    world.pay(&session, &format!("card={VISA}")).await;
    for _ in 0..2 {
        assert_eq!(back(&world, &session).await.body["status"], "running");
    }
    world.deliver_all().await;
    world.deliver_everything_again().await;
    assert_eq!(world.names().await, ["opened", "trial"]);
    assert_eq!(world.state().await.refill.agreement, None, "nothing was said of refills");
    world.check().await;
}

#[tokio::test]
async fn return_that_dies_anywhere_starts_one_trial() {
    let prepare = async |world: &PaymentWorld| {
        let session = page(world, &on()).await;
        world.pay(&session, &format!("card={VISA}")).await;
    };
    let process = async |world: &PaymentWorld| {
        let session = world.objects("checkout.session")[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(back(world, &session).await.body["status"], "running");
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!(world.names().await, ["opened", "trial"]);
        assert!(world.state().await.refill.agreement.is_some());
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((8..60).contains(&calls), "{calls} calls");
}

/// The customer is back while Stripe tells of the page, twice.
#[tokio::test]
async fn return_beside_webhooks_starts_one_trial() {
    let world = PaymentWorld::new().await;
    let session = page(&world, &on()).await;
    world.pay(&session, &format!("card={VISA}")).await;
    let (one, other, told) =
        tokio::join!(back(&world, &session), back(&world, &session), world.deliver_all());
    for answered in [one, other] {
        assert_eq!(answered.body["status"], "running", "{}", answered.shown());
    }
    assert!(told.iter().all(|(_, status, _)| *status == 200), "{told:?}");
    assert_eq!(world.names().await, ["opened", "trial"]);
    assert_eq!(world.state().await.balance(), named("20"));
    world.check().await;
}

/// Both accounts come back at the same moment.
#[tokio::test]
async fn two_accounts_with_one_card_at_once_have_one_trial() {
    let world = PaymentWorld::new().await;
    let mut returns = Vec::new();
    for account in [ACME, "bob"] {
        let by = |route| ApiEvent::by(account, route, &world.now().to_string());
        let created = world.call(&by(START).json(&on())).await;
        let session = created.body["id"].as_str().unwrap().to_owned();
        world.pay(&session, &format!("card={VISA}")).await;
        returns.push(by(GET).with("session", &session));
    }
    let (one, other) = tokio::join!(world.call(&returns[0]), world.call(&returns[1]));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", one.shown(), other.shown());
    world.deliver_all().await;
    let balance = async |account| world.ledger().head(account).await.state.balance();
    assert_eq!(balance(ACME).await + balance("bob").await, named("20"));
}

/// Stripe is asked for what is not known yet.
#[tokio::test]
async fn running_trial_is_shown_without_stripe() {
    let world = PaymentWorld::new().await;
    let session = page(&world, &on()).await;
    world.pay(&session, &format!("card={VISA}")).await;
    assert_eq!(back(&world, &session).await.body["status"], "running");
    let before = world.stand_in.calls().len();
    assert_eq!(back(&world, &session).await.body["status"], "running");
    shown(&world).await;
    assert_eq!(world.stand_in.calls().len(), before);
    // Support finds the trial by the page, which counts as unpaid no longer.
    let found = world.ledger().undisturbed.look_up(&session).await.unwrap().unwrap();
    assert_eq!((found.account.as_str(), found.seq), (ACME, 1));
}

#[tokio::test]
async fn page_that_dies_anywhere_is_made_once() {
    let prepare = async |_: &PaymentWorld| {};
    let process = async |world: &PaymentWorld| {
        let created = world.call(&world.event(START).key("k-1").json(&on())).await;
        assert_eq!(created.status, 201, "{}", created.shown());
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!(world.objects("checkout.session").len(), 1);
        assert_eq!(world.names().await, ["opened"]);
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((8..60).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn prepaid_card_is_refused_and_another_one_is_not() {
    let world = PaymentWorld::new().await;
    let session = page(&world, &on()).await;
    world.pay(&session, &format!("card={PREPAID}")).await;
    let told = world.deliver_all().await;
    assert!(told.iter().all(|(_, status, _)| *status == 200), "Stripe is not to repeat: {told:?}");
    let sentence = "This card cannot be used for a trial. Use a credit or debit card.";
    refused(&back(&world, &session).await, 409, "trial_not_allowed", sentence);
    assert_eq!(world.names().await, ["opened"]);
    assert_eq!(world.state().await.refill.agreement, None, "nothing is agreed without a trial");
    assert_eq!(shown(&world).await["status"], "offered");
    let session = page(&world, &on()).await;
    world.pay(&session, &format!("card={VISA}")).await;
    assert_eq!(back(&world, &session).await.body["status"], "running");
    // The refused card is the default card at Stripe. It secures nothing, and is not charged.
    world.deliver_all().await;
    world.deliver_everything_again().await;
    let charged = world.state().await.refill.card.unwrap();
    let visa = world.objects("payment_method");
    let visa = visa.iter().find(|method| method["card"]["last4"] == "4242").unwrap();
    assert_eq!(visa["id"], charged.as_str());
    world.check().await;
}

#[tokio::test]
async fn ten_accounts_with_one_card_have_one_trial() {
    let world = PaymentWorld::new().await;
    let mut pages = Vec::new();
    for number in 0..10 {
        let account = format!("account-{number}");
        let wish = ApiEvent::by(&account, START, &world.now().to_string()).json(&on());
        let created = world.call(&wish).await;
        assert_eq!(created.status, 201, "{}", created.shown());
        let session = created.body["id"].as_str().unwrap().to_owned();
        world.pay(&session, &format!("card={VISA}")).await;
        pages.push((account, session));
    }
    // The webhooks come last, and in any order.
    let sentence = "This card was used for a trial before. Use another card, or add credit.";
    for (place, (account, session)) in pages.iter().enumerate() {
        let event = ApiEvent::by(account, GET, &world.now().to_string()).with("session", session);
        let answered = world.call(&event).await;
        if place == 0 {
            assert_eq!(answered.body["status"], "running");
        } else {
            refused(&answered, 409, "trial_not_allowed", sentence);
        }
    }
    let told = world.deliver_all().await;
    assert!(told.iter().all(|(_, status, _)| *status == 200), "{told:?}");
    for (place, (account, _)) in pages.iter().enumerate() {
        let balance = world.ledger().head(account).await.state.balance();
        assert_eq!(balance, if place == 0 { named("20") } else { named("0") }, "{account}");
    }
}

#[tokio::test]
async fn whoever_paid_or_had_a_trial_is_offered_none() {
    let used = "Trials are only for accounts that have never paid or had a trial.";
    let world = PaymentWorld::new().await;
    let session = page(&world, &on()).await;
    // It pays first, at another page.
    let topup = world.session("5.00", None).await;
    world.pay(&topup, &format!("card={VISA}")).await;
    assert_eq!(world.status(&topup).await.body["status"], "paid");
    world.pay(&session, &format!("card={VISA}")).await;
    refused(&back(&world, &session).await, 409, "trial_not_allowed", used);
    let told = world.deliver_all().await;
    assert!(told.iter().all(|(_, status, _)| *status == 200), "{told:?}");
    assert_eq!(world.state().await.balance(), named("5"));
    let shown_now = shown(&world).await;
    assert_eq!((&shown_now["status"], &shown_now["why"]), (&json!("unavailable"), &json!("used")));
    refused(&world.call(&world.event(START).json(&on())).await, 409, "trial_not_allowed", used);
    // A refund of the first payment makes nobody new.
    let payment = world.objects("payment_intent")[0]["id"].as_str().unwrap().to_owned();
    world.stand_in.refund_in_dashboard(&payment, None).unwrap();
    world.deliver_all().await;
    assert_eq!(world.state().await.balance(), named("0"));
    let suspended = "The account is suspended. If it ran out of credit, add credit to resume it.";
    let start = world.event(START).json(&on());
    refused(&world.call(&start).await, 409, "account_suspended", suspended);

    let world = PaymentWorld::new().await;
    in_trial(&world, VISA, &json!({})).await;
    refused(&world.call(&world.event(START).json(&on())).await, 409, "trial_not_allowed", used);
    world.check().await;
}

#[tokio::test]
async fn operator_without_a_trial_offers_none() {
    let world = PaymentWorld::with(&[("TRIAL_CREDIT", "0")]).await;
    world.call(&world.event("POST /v1/checkout-sessions").json(&json!({"amount": "5"}))).await;
    let shown = shown(&world).await;
    assert_eq!((&shown["status"], &shown["why"]), (&json!("unavailable"), &json!("not_offered")));
    let answered = world.call(&world.event(START).json(&on())).await;
    refused(&answered, 409, "trial_not_allowed", "No trial is offered at the moment.");
}

#[tokio::test]
async fn pages_of_others_are_unknown_and_pages_are_limited() {
    let world = PaymentWorld::with(&[("PAGES_PER_HOUR", "2")]).await;
    let session = page(&world, &on()).await;
    let now = world.now().to_string();
    let by_bob = ApiEvent::by("bob", GET, &now).with("session", &session);
    refused(&world.call(&by_bob).await, 404, "not_found", "No such checkout session.");
    let odd = world.event(GET).with("session", "cs_../customers");
    refused(&world.call(&odd).await, 404, "not_found", "No such checkout session.");
    page(&world, &on()).await;
    let answered = world.call(&world.event(START).json(&on())).await;
    refused(&answered, 429, "too_many_pages", "Too many payment pages");
}

#[tokio::test]
async fn renewal_is_charged_once_as_agreed() {
    let world = PaymentWorld::new().await;
    in_trial(&world, VISA, &on()).await;
    world.ledger().start(ACME, "web", &["a"], "2026-11-25T08:00:00Z").await;
    world.set_now("2026-11-25T08:00:05Z");
    let before = shown(&world).await;
    // Two hours at $0.0208333 in three days: less than the least.
    assert_eq!((&before["then"], &before["renewal"]), (&json!("renewal"), &json!("1.00")));
    for hour in ["09", "10"] {
        world.ledger().settle(ACME, &format!("2026-11-25T{hour}:00:00Z")).await;
    }
    world.set_now("2026-11-25T10:00:05Z");
    world.refill().await;
    world.deliver_all().await;
    world.deliver_everything_again().await;
    world.refill().await;
    assert_eq!(world.charged_cents(), 100);
    let state = world.state().await;
    assert_eq!(state.trial.as_ref().unwrap().phase, TrialPhase::Renewed);
    assert_eq!(state.standing, Standing::Good);
    assert_eq!(shown(&world).await["status"], "renewed");
    // Then the terms are those of any customer: $25 below $0.50, after a day.
    for hour in 11..48 {
        let (day, hour) = (25 + hour / 24, hour % 24);
        world.ledger().settle(ACME, &format!("2026-11-{day}T{hour:02}:00:00Z")).await;
        let state = world.state().await;
        let is_low = state.balance() < named("0.50");
        assert_eq!(state.refill.wanted.is_some(), is_low, "{}", state.balance());
    }
    assert_eq!(world.state().await.refill.wanted.unwrap().amount, named("25"));
    world.check().await;
}

#[tokio::test]
async fn renewal_that_dies_anywhere_charges_once() {
    let prepare = async |world: &PaymentWorld| {
        in_trial(world, VISA, &on()).await;
        to_the_end(world).await;
    };
    let process = async |world: &PaymentWorld| {
        world.refill().await;
        world.deliver_all().await;
    };
    let look = async |world: &PaymentWorld| {
        world.refill().await;
        assert_eq!(world.charged_cents(), 100);
        let trial = world.state().await.trial.unwrap();
        assert_eq!(trial.phase, TrialPhase::Renewed);
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((10..120).contains(&calls), "{calls} calls");
}

/// The customer pays by hand while Stripe does not answer about the renewal.
#[tokio::test]
async fn payment_by_hand_beside_a_renewal_is_the_only_charge() {
    let world = PaymentWorld::new().await;
    in_trial(&world, VISA, &on()).await;
    to_the_end(&world).await;
    let pay = "POST /v1/invoices/{invoice}/pay";
    world.stand_in.fail_next(pay, 9, StripeFaultKind::ConnectionDropped);
    world.refill().await;
    let session = world.session("50.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.stand_in.clear_faults();
    world.advance(180);
    let (_report, _told) = tokio::join!(world.refill(), world.deliver_all());
    world.advance(180);
    world.refill().await;
    world.deliver_everything_again().await;
    assert_eq!(world.charged_cents(), 5_000, "{:?}", world.names().await);
    assert_eq!(world.state().await.refill.attempt, None);
    world.check().await;
}

#[tokio::test]
async fn declined_renewal_is_tried_again_before_anything_is_deleted() {
    let world = PaymentWorld::new().await;
    in_trial(&world, DECLINED_LATER, &on()).await;
    to_the_end(&world).await;
    world.refill().await;
    for _ in 0..3 {
        let state = world.state().await;
        let Standing::Suspended(suspension) = &state.standing else {
            panic!("{:?}", state.standing)
        };
        assert_eq!(suspension.delete_at, Some(at("2026-11-28T10:00:05Z")));
        world.advance(3_601);
        world.ledger().settle(ACME, &world.now().to_string()).await;
        assert_eq!(world.state().await.refill.wanted.unwrap().amount, named("1"));
        world.refill().await;
    }
    // After four declines nothing is charged any longer, and the grace ends as for any customer.
    assert_eq!(world.count("refill_failed").await, 4);
    world.set_now("2026-11-28T10:00:05Z");
    world.ledger().settle(ACME, "2026-11-28T10:00:05Z").await;
    world.ledger().settle(ACME, "2026-11-29T10:00:05Z").await;
    world.set_now("2026-11-29T10:00:10Z");
    world.confirm_deletion().await;
    assert!(matches!(world.state().await.standing, Standing::Deleted(_)));
    assert_eq!((world.charged_cents(), shown(&world).await["status"].clone()), (0, json!("ended")));
    world.check().await;
}

#[tokio::test]
async fn card_that_is_removed_after_the_start_pays_no_renewal() {
    let world = PaymentWorld::new().await;
    in_trial(&world, VISA, &on()).await;
    let card = world.state().await.refill.card.unwrap();
    assert_eq!(on_card(&world, DELETE, card.as_str()).await.status, 204);
    world.deliver_all().await;
    to_the_end(&world).await;
    assert_eq!(world.state().await.refill.wanted, None);
    assert!(matches!(world.state().await.standing, Standing::Deleting(_)));
    assert_eq!(world.charged_cents(), 0);
    world.check().await;
}

#[tokio::test]
async fn card_that_is_removed_before_the_start_secures_no_trial() {
    let world = PaymentWorld::new().await;
    let session = page(&world, &on()).await;
    world.pay(&session, &format!("card={VISA}")).await;
    let card = world.objects("payment_method")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(on_card(&world, DELETE, &card).await.status, 204);
    let sentence = "This card cannot be used for a trial.";
    refused(&back(&world, &session).await, 409, "trial_not_allowed", sentence);
    assert_eq!(world.names().await, ["opened"]);
    world.check().await;
}

#[tokio::test]
async fn without_services_and_refills_nothing_is_billed() {
    let world = PaymentWorld::new().await;
    in_trial(&world, VISA, &json!({"auto_refill": {"enabled": false}})).await;
    let ledger = world.ledger();
    ledger.start(ACME, "web", &["a"], "10:10:00").await;
    ledger.stop(ACME, &["a"], "10:20:00").await;
    ledger.settle(ACME, "2026-11-25T10:00:00Z").await;
    world.set_now("2026-11-25T10:00:05Z");
    world.advance(30 * DAY);
    assert!(world.try_refill().await.is_ok());
    assert_eq!((world.charged_cents(), world.state().await.balance()), (0, named("0")));
    let trial = world.state().await.trial.unwrap();
    assert_eq!((trial.phase, trial.ends_at), (TrialPhase::Ended, at("2026-11-25T10:00:00Z")));
    world.check().await;
}
