//! Every flow with its function killed before and after each of its outside calls.
//!
//! A flow first runs undisturbed, and the calls of its function are compared with those recorded in
//! `recorded/calls`. Then the flow runs once per call with the function killed before
//! it, and once killed after it, each time for a new customer. The trigger then repeats as in
//! reality: a client repeats its request under the same key, Stripe sends its webhook again, Lambda
//! invokes again, schedules run again. The result is the same.

use std::time::Duration;

use serde_json::{Value, json};
use stripe_stand_in::{CardRule, DisputeEnd, DisputeKind, NewDispute};
use tollgate_local::calls::RecordedCall;

use crate::invariants::check;
use crate::recorded::{compare_calls, compare_calls_in_any_order};
use crate::support::{Customer, GOOD_CARD, MINUTE, PLATFORM, Processes, World, token};

/// The kinds of death.
pub(crate) const DEATHS: [&str; 2] = ["kill_before", "kill_after"];

/// A flow started by a customer, Stripe or the clock.
#[derive(Clone, Copy, Debug)]
enum Flow {
    /// A payment page is made, and then paid.
    Page,
    /// The payment succeeds, and this event reports it.
    Paid(&'static str),
    /// A resource is made and started.
    Start,
    /// It is stopped.
    Stop,
    /// Usage is reported, and billed at once.
    Used,
    /// Credit is held for usage.
    Held,
    /// A part of it is captured, and the rest comes back.
    Captured,
    /// A start leaves too little: the card is charged.
    Refilled,
    /// The same, and the card is declined.
    Declined,
    /// Events are published for a row.
    Published,
    /// One of them is a notice: its customer's address is looked up.
    Warned,
    /// A payment is refunded in part.
    Refunded,
    /// A payment is disputed.
    Disputed,
    /// The dispute is won.
    Won,
}

/// The setup of an account.
struct Ready {
    page: Value,
    path: String,
    payment: String,
    dispute: String,
}

impl Flow {
    /// The function that is killed.
    fn function(self) -> &'static str {
        match self {
            Flow::Page => "checkout",
            Flow::Paid(_) | Flow::Refunded | Flow::Disputed | Flow::Won => "stripe-webhook",
            Flow::Start | Flow::Stop => "resources",
            Flow::Used | Flow::Held | Flow::Captured => "usage",
            Flow::Refilled | Flow::Declined => "auto-refill",
            Flow::Published | Flow::Warned => "publish",
        }
    }

    /// Whether the stream of rows drives it.
    fn is_published(self) -> bool {
        self.function() == "publish"
    }

    /// The name its calls are recorded under.
    fn name(self) -> String {
        match self {
            Flow::Page => "page_made".to_owned(),
            Flow::Paid(event) => format!("paid_by_{}", event.replace('.', "_")),
            Flow::Start => "resource_started".to_owned(),
            Flow::Stop => "resource_stopped".to_owned(),
            Flow::Used => "usage_reported".to_owned(),
            Flow::Held => "credit_held".to_owned(),
            Flow::Captured => "hold_captured".to_owned(),
            Flow::Refilled => "refilled".to_owned(),
            Flow::Declined => "refill_declined".to_owned(),
            Flow::Published => "row_published".to_owned(),
            Flow::Warned => "customer_warned".to_owned(),
            Flow::Refunded => "refunded".to_owned(),
            Flow::Disputed => "disputed".to_owned(),
            Flow::Won => "dispute_won".to_owned(),
        }
    }

    /// The only webhook that is delivered meanwhile. The others follow later.
    fn webhook(self) -> &'static str {
        match self {
            Flow::Paid(event) => event,
            Flow::Refunded => "refund.created",
            Flow::Disputed => "charge.dispute.created",
            Flow::Won => "charge.dispute.closed",
            Flow::Page
            | Flow::Start
            | Flow::Stop
            | Flow::Used
            | Flow::Held
            | Flow::Captured
            | Flow::Refilled
            | Flow::Declined
            | Flow::Published
            | Flow::Warned => "none",
        }
    }

    async fn prepare(self, customer: &Customer<'_>) -> Ready {
        let mut ready = Ready {
            page: Value::Null,
            path: String::new(),
            payment: String::new(),
            dispute: String::new(),
        };
        match self {
            Flow::Page => {}
            Flow::Published => customer.bonus("10.00").await,
            Flow::Paid(_) => {
                let refill = json!({"enabled": true, "threshold": "10.00", "amount": "15.00"});
                ready.page =
                    customer.page(&json!({"amount": "25.00", "auto_refill": refill})).await;
            }
            Flow::Start | Flow::Warned => {
                customer.bonus("25.00").await;
                ready.path = customer.project().await;
            }
            Flow::Used | Flow::Held | Flow::Captured => {
                customer.bonus("25.00").await;
                let project = customer.project().await;
                ready.path = project.rsplit('/').next().unwrap().to_owned();
            }
            Flow::Stop => {
                customer.bonus("25.00").await;
                let project = customer.project().await;
                ready.path = customer.start(&project, "gpu").await;
            }
            Flow::Refilled | Flow::Declined => {
                customer.world.stripe().decline_card(GOOD_CARD, None);
                customer.top_up_with_refill("13.00", "10.00", "15.00").await;
                ready.path = customer.project().await;
            }
            Flow::Refunded | Flow::Disputed | Flow::Won => {
                customer.top_up("25.00").await;
                ready.payment = customer.payment("topup");
            }
        }
        if let Flow::Won = self {
            ready.dispute = dispute(customer, &ready.payment);
        }
        if let Flow::Captured = self {
            ready.path = hold(customer, &ready.path).await;
        }
        customer.world.cloud.idle().await;
        ready
    }

    async fn act(self, customer: &Customer<'_>, ready: &Ready) {
        let stripe = customer.world.stripe();
        match self {
            Flow::Page => {
                let page = customer.page(&json!({"amount": "25.00"})).await;
                customer.pay(&page, GOOD_CARD).await;
            }
            Flow::Paid(_) => customer.pay(&ready.page, GOOD_CARD).await,
            Flow::Published => customer.bonus("25.00").await,
            // At $4.00 an hour $25.00 last for less than a day.
            Flow::Start | Flow::Warned | Flow::Refilled => {
                customer.start(&ready.path, "gpu").await;
            }
            Flow::Declined => {
                let decline = CardRule {
                    decline_code: "insufficient_funds".to_owned(),
                    network_advice_code: None,
                };
                stripe.decline_card(GOOD_CARD, Some(decline));
                customer.start(&ready.path, "gpu").await;
            }
            Flow::Stop => {
                customer.stop(&ready.path).await;
            }
            Flow::Used => {
                let used = json!({"id": "u-1", "project": ready.path, "sku": "tokens", "quantity": "2000"});
                for_platform(customer, "/v1/usage", &used).await;
            }
            Flow::Held => {
                hold(customer, &ready.path).await;
            }
            Flow::Captured => {
                let usage = json!({"usage": [{"sku": "tokens", "quantity": "2000"}]});
                for_platform(customer, &format!("/v1/holds/{}/capture", ready.path), &usage).await;
            }
            Flow::Refunded => {
                stripe.refund_in_dashboard(&ready.payment, Some(1_000)).unwrap();
            }
            Flow::Disputed => {
                dispute(customer, &ready.payment);
            }
            Flow::Won => stripe.close_dispute(&ready.dispute, DisputeEnd::Won).unwrap(),
        }
        customer.world.cloud.idle().await;
    }
}

fn dispute(customer: &Customer<'_>, payment: &str) -> String {
    let (payment, reason, kind) =
        (payment.to_owned(), "fraudulent".to_owned(), DisputeKind::Chargeback);
    customer.world.stripe().dispute(&NewDispute { payment, amount: None, reason, kind }).unwrap()
}

/// A request of the platform's for a customer.
async fn for_platform(customer: &Customer<'_>, path: &str, body: &Value) -> Value {
    let world = customer.world;
    let platform = world.api.with_token(token(&world.cloud, &customer.account, PLATFORM));
    world.write(&platform, "POST", path, body).await
}

/// Holds $5 for tokens; the hold's ID.
async fn hold(customer: &Customer<'_>, project: &str) -> String {
    let wish = json!({"project": project, "skus": ["tokens"], "amount": "5.00"});
    let hold = for_platform(customer, "/v1/holds", &wish).await;
    hold["id"].as_str().unwrap().to_owned()
}

/// Runs a flow undisturbed and then with every death there is.
async fn survives(flow: Flow) {
    let world = World::new(Processes::One).await;
    let tokens = json!({"sku": "tokens", "unit": "quantity", "kind": "meter", "rate": "0.001"});
    world.write(&world.operator, "PUT", "/v1/admin/prices", &json!({"prices": [tokens]})).await;
    let undisturbed = world.customer("undisturbed");
    let recorded = run(flow, &undisturbed, None).await;
    // It reads and writes several items at the same time.
    if flow.function() == "usage" {
        compare_calls_in_any_order(&flow.name(), &recorded);
    } else {
        compare_calls(&flow.name(), &recorded);
    }

    let mut customers = Vec::new();
    for death in DEATHS {
        for nth in 1..=recorded.len() {
            let customer = world.customer(&format!("{death}-{nth}"));
            let made = run(flow, &customer, Some(json!({"fault": death, "nth": nth}))).await;
            let killed = |call: &&RecordedCall| {
                call.outcome.as_deref().is_some_and(|outcome| outcome.starts_with("killed"))
            };
            let runs = world.cloud.runs(0);
            let last = runs.iter().rev().take(3).collect::<Vec<_>>();
            assert_eq!(
                made.iter().filter(killed).count(),
                1,
                "{flow:?}, {death} {nth}: {:#?}, after {last:#?}",
                listed(&made)
            );
            customers.push(customer);
            if flow.is_published() {
                // A batch that failed blocks the stream for a second.
                world.later(Duration::from_secs(1)).await;
            }
        }
    }
    // Webhooks are repeated after five minutes, invocations after one and two minutes. An attempt
    // continues after two minutes.
    world.later(MINUTE * 6).await;
    let story = |customer: &Customer<'_>| {
        // Seconds apart, a start costs something else.
        if flow.is_published() { customer.types() } else { customer.story() }
    };
    let expected = story(&undisturbed);
    for customer in &customers {
        assert_eq!(story(customer), expected, "{flow:?}, {}", customer.account);
    }
    customers.push(undisturbed);
    check(&customers.iter().collect::<Vec<_>>()).await;
}

/// Runs a flow for a customer, with a fault in its function if there is one; the calls that the
/// function made.
async fn run(flow: Flow, customer: &Customer<'_>, fault: Option<Value>) -> Vec<RecordedCall> {
    let world = customer.world;
    let ready = flow.prepare(customer).await;
    // A process that has read the price list a moment ago makes one call less. A new one of a
    // function that asks Stripe begins with the call for the secret, always, which is among those
    // counted: it dies there too.
    world.fault(json!({"kill": flow.function()}));
    world.only_webhook(flow.webhook());
    if let Some(mut fault) = fault {
        fault["function"] = json!(flow.function());
        world.fault(fault);
    }
    let before = world.cloud.calls_count();
    flow.act(customer, &ready).await;
    world.no_faults();
    let calls = world.cloud.calls(before);
    calls.into_iter().filter(|call| call.function == flow.function()).collect()
}

pub(crate) fn listed(calls: &[RecordedCall]) -> Vec<String> {
    let one = |call: &RecordedCall| {
        format!("{} {} {:?} {:?}", call.service, call.operation, call.tables, call.outcome)
    };
    calls.iter().map(one).collect()
}

#[tokio::test]
async fn a_payment_page_is_made_once() {
    survives(Flow::Page).await;
}

#[tokio::test]
async fn payment_is_credited_once_with_its_refill_agreement() {
    survives(Flow::Paid("checkout.session.completed")).await;
}

/// They end in the same calls as the one above. Only the look-up of the payment differs.
#[tokio::test]
async fn every_event_of_a_payment_costs_the_same_calls() {
    let world = World::new(Processes::One).await;
    let mut customers = Vec::new();
    for event in ["payment_intent.succeeded", "invoice.paid"] {
        let (flow, customer) = (Flow::Paid(event), world.customer(event));
        let recorded = run(flow, &customer, None).await;
        compare_calls(&flow.name(), &recorded);
        customers.push(customer);
    }
    world.later(MINUTE * 6).await;
    for customer in &customers {
        assert_eq!(customer.story(), ["opened 0 0", "topup 25 25", "refill_changed 0 25"]);
    }
    check(&customers.iter().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_resource_is_started_and_charged_once() {
    survives(Flow::Start).await;
}

#[tokio::test]
async fn a_resource_is_stopped_once_and_its_unused_time_comes_back() {
    survives(Flow::Stop).await;
}

#[tokio::test]
async fn a_usage_report_is_counted_and_billed_once() {
    survives(Flow::Used).await;
}

#[tokio::test]
async fn credit_is_held_once() {
    survives(Flow::Held).await;
}

#[tokio::test]
async fn hold_is_captured_once() {
    survives(Flow::Captured).await;
}

#[tokio::test]
async fn a_card_is_charged_once_for_a_refill() {
    survives(Flow::Refilled).await;
}

#[tokio::test]
async fn declined_refill_is_reported_once_and_its_invoice_void() {
    survives(Flow::Declined).await;
}

#[tokio::test]
async fn row_is_published() {
    survives(Flow::Published).await;
}

#[tokio::test]
async fn a_customer_is_warned() {
    survives(Flow::Warned).await;
}

#[tokio::test]
async fn a_refund_is_taken_once() {
    survives(Flow::Refunded).await;
}

#[tokio::test]
async fn a_dispute_freezes_and_takes_once_and_gives_back_once() {
    survives(Flow::Disputed).await;
    survives(Flow::Won).await;
}
