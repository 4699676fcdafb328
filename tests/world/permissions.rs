//! Compares the permissions of each function with its calls. The calls come from the functions' own
//! binaries, while each of their tasks runs once. The permissions are the policies of
//! `infra/template.yaml`.
//!
//! In production, a missing permission would show as a 500 for a customer, and an unneeded one only
//! when it is abused. Here both show when they are written.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stripe_stand_in::{DisputeEnd, DisputeKind, NewDispute};
use time::macros::utc_datetime;
use tollgate_local::build;
use tollgate_local::calls::Permission;
use tollgate_local::names;
use tollgate_local::template::{Resolver, Template};
use tollgate_tests::cloudformation::CloudFormation;

use crate::support::{Customer, GOOD_CARD, HOUR, MINUTE, PLATFORM, Processes, World, key, token};

/// When the resources deleted on the first day are purged, and a meter's reading is billed.
const LATER: time::UtcDateTime = utc_datetime!(2026-12-08 10:00);

/// The allowed actions on the ledger table, which is append-only.
const ON_LEDGER: [&str; 4] =
    ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:ConditionCheckItem"];

/// Allowed actions that nothing here needs, with the reasons.
const UNSEEN: [(&str, &str, &str, &str); 2] = [
    // function, action, table, reason
    (
        "checkout",
        "dynamodb:DeleteItem",
        "accounts",
        "giving up a refill that waits for its customer settles, and may purge",
    ),
    (
        "hourly-debit",
        "dynamodb:GetItem",
        "ledger",
        "a worker whose time runs short asks whether the rest was handed on",
    ),
];

type Permissions = BTreeMap<String, BTreeSet<Permission>>;

#[tokio::test]
async fn policies_allow_exactly_what_functions_do() {
    let world = World::new(Processes::Several).await;
    everything_happens(&world).await;

    let (granted, needed) = (granted(&world), needed(&world));
    let nothing = BTreeSet::new();
    let mut wrong = Vec::new();
    for (function, granted) in &granted {
        let needed = needed.get(function).unwrap_or(&nothing);
        let shown = |what: &str, permission: &Permission| {
            format!("{function} {what} {} on {}", permission.action, permission.resource)
        };
        wrong.extend(needed.difference(granted).map(|missing| shown("may not", missing)));
        let unused =
            granted.difference(needed).filter(|permission| !is_explained(function, permission));
        wrong.extend(unused.map(|unused| shown("never needs", unused)));
        let forbidden = granted.iter().filter(|permission| {
            permission.resource.contains("-ledger")
                && !ON_LEDGER.contains(&permission.action.as_str())
        });
        wrong.extend(forbidden.map(|forbidden| shown("must not", forbidden)));
    }
    let explained_for_nothing = UNSEEN.iter().filter(|(function, action, table, _)| {
        let is_it = |permission: &&Permission| {
            permission.action == *action && permission.resource.ends_with(table)
        };
        !granted[*function].iter().any(|permission| is_it(&permission))
            || needed[*function].iter().any(|permission| is_it(&permission))
    });
    wrong.extend(
        explained_for_nothing
            .map(|(function, action, ..)| format!("{function} {action} needs no explanation")),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(granted.len(), world.cloud.wiring().functions.len());
}

fn is_explained(function: &str, permission: &Permission) -> bool {
    UNSEEN.iter().any(|(of, action, table, _)| {
        *of == function && *action == permission.action && permission.resource.ends_with(table)
    })
}

/// The actions that the template allows each function, by its binary.
fn granted(world: &World) -> Permissions {
    let template = Template::of_this_repository().unwrap();
    let parameters = [("Stage", "local".to_owned()), ("StripeSecretArn", names::stripe_secret())];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
    let resolver = Resolver::new(&template, parameters.into());
    let texts = |value: &Value| -> Vec<String> {
        match value {
            Value::Array(items) => {
                items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
            }
            one @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_)) => {
                vec![one.as_str().unwrap_or_else(|| panic!("not resolved: {one}")).to_owned()]
            }
        }
    };
    let roles: BTreeMap<String, Value> = resolver.resources("AWS::IAM::Role").into_iter().collect();
    let mut granted = Permissions::new();
    for (logical_id, properties) in resolver.resources("AWS::Serverless::Function") {
        assert_eq!(properties["Policies"], Value::Null, "{logical_id}: its role is written out");
        let functions = &world.cloud.wiring().functions;
        let function = functions.iter().find(|function| function.logical_id == logical_id).unwrap();
        let of_function = granted.entry(function.binary.clone()).or_default();
        let role = &roles[&logical_id.replace("Function", "Role")];
        assert_eq!(
            role["ManagedPolicyArns"],
            Value::Null,
            "{logical_id}: a managed policy allows more than can be seen"
        );
        for policy in role["Policies"].as_array().unwrap() {
            let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
            if policy["PolicyName"] == "lambda" {
                check_lambdas_own(&logical_id, statements, &texts);
                continue;
            }
            for statement in statements {
                assert_eq!(statement["Effect"], "Allow", "{logical_id}");
                for resource in texts(&statement["Resource"]) {
                    for action in texts(&statement["Action"]) {
                        assert!(
                            !action.contains('*') && !resource.contains('*'),
                            "{logical_id}: {action} {resource}"
                        );
                        of_function.insert(Permission { action, resource: resource.clone() });
                    }
                }
            }
        }
    }
    granted
}

/// Lambda's own actions for a function concern its log, queue and stream, and nothing else.
fn check_lambdas_own(
    logical_id: &str,
    statements: &[Value],
    texts: &dyn Fn(&Value) -> Vec<String>,
) {
    for statement in statements {
        assert_eq!(statement["Effect"], "Allow", "{logical_id}");
        for action in texts(&statement["Action"]) {
            let expected = match action.as_str() {
                "logs:CreateLogStream" | "logs:PutLogEvents" => "log-group",
                "sqs:SendMessage" => "-dead-letters",
                "sqs:ReceiveMessage" | "sqs:DeleteMessage" | "sqs:GetQueueAttributes" => {
                    "-hourly-debit"
                }
                "dynamodb:DescribeStream" | "dynamodb:GetRecords" | "dynamodb:GetShardIterator" => {
                    "-ledger/stream/"
                }
                "dynamodb:ListStreams" => "-ledger/stream/*",
                // They are on no resource.
                "xray:PutTraceSegments" | "xray:PutTelemetryRecords" => "*",
                other => panic!("{logical_id}: Lambda does not need {other}"),
            };
            for resource in texts(&statement["Resource"]) {
                assert!(resource.contains(expected), "{logical_id}: {action} on {resource}");
            }
        }
    }
}

fn needed(world: &World) -> Permissions {
    let mut needed = Permissions::new();
    for call in world.cloud.calls(0) {
        needed.entry(call.function).or_default().extend(call.permissions);
    }
    needed
}

/// Each function does everything it is for.
async fn everything_happens(world: &World) {
    let metered = json!({"sku": "tokens", "unit": "quantity", "kind": "service", "rate": "0.001"});
    world.write(&world.operator, "PUT", "/v1/admin/prices", &json!({"prices": [metered]})).await;
    world.read(&world.operator, "/v1/admin/prices").await;
    world.offer_plans(0).await;
    world.read(&world.operator, "/v1/admin/commit-offers").await;
    world.read(&world.operator, "/v1/admin/commit-offers?version=1").await;
    a_customer_uses_everything(world).await;
    payments_are_found_before_their_webhooks(world).await;
    a_payment_is_refunded_and_disputed(world).await;
    the_operator_does_everything(world).await;
    a_deployment_is_checked(world).await;

    // The first request for an account settles work that has been due for weeks: it purges and
    // bills meters.
    let whoever_settles = [
        "resources",
        "usage",
        "account",
        "admin",
        "auto-refill",
        "confirm-deletion",
        "stripe-webhook",
        "hourly-debit",
        "settle-due",
    ];
    for customer in ["leaving", "returning"].map(|name| world.customer(name)) {
        customer.top_up("5.00").await;
        let project = customer.project().await;
        customer.start(&project, "gpu").await;
    }
    for function in whoever_settles {
        let customer = world.customer(function);
        with_much_due(&customer).await;
    }
    world.cloud.idle().await;
    world.without_schedule("settle-due");
    world.without_schedule("hourly-debit");
    world.at(LATER).await;
    for function in whoever_settles {
        settles(&world.customer(function), function).await;
    }
    deletions_are_confirmed(world).await;
    world.cloud.idle().await;
}

/// Of two accounts whose grace period ends, one pays at the last minute. The event of its payment is
/// lost.
async fn deletions_are_confirmed(world: &World) {
    let (leaving, returning) = (world.customer("leaving"), world.customer("returning"));
    // They were suspended by the first run after weeks, at the next full hour.
    world.later(HOUR * 73 - MINUTE * 6).await;
    world.fault(json!({"fault": "drop", "delivery": "webhook", "times": 0}));
    let terms = json!({"enabled": true, "threshold": "10.00", "amount": "15.00"});
    let page = returning.page(&json!({"amount": "13.00", "auto_refill": terms})).await;
    returning.pay(&page, GOOD_CARD).await;
    world.later(MINUTE * 6).await;
    world.no_faults();
    for (customer, last) in [(&leaving, "deleted"), (&returning, "resumed")] {
        let types = customer.types();
        assert!(types.iter().any(|kind| kind == last), "{}: {types:?}", customer.account);
    }
    assert!(!returning.types().iter().any(|kind| kind == "deleted"));
}

/// A deleted resource whose restore window will end, and a reading that is not billed yet.
async fn with_much_due(customer: &Customer<'_>) {
    customer.bonus("50.00").await;
    let project = customer.project().await;
    let resource = customer.start(&project, "gpu").await;
    customer.write("DELETE", &resource, &Value::Null).await;
    report_usage(customer, &project).await;
}

async fn report_usage(customer: &Customer<'_>, project: &str) {
    let project = project.rsplit('/').next().unwrap();
    let platform =
        customer.world.api.with_token(token(&customer.world.cloud, "platform", PLATFORM));
    for reading in ["10", "20"] {
        let body = json!({"project": project, "sku": "tokens", "reading": reading}).to_string();
        let (key, account) = (key(), customer.account.as_str());
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
            ("tollgate-account", account),
        ];
        platform.send("POST", "/v1/usage", &headers, body).await.unwrap().success().unwrap();
    }
}

/// A hold is captured, and once more. Another one is extended and released.
async fn hold_credit(customer: &Customer<'_>, project: &str) {
    let (world, project) = (customer.world, project.rsplit('/').next().unwrap());
    let platform = world.api.with_token(token(&world.cloud, "platform", PLATFORM));
    let acting = platform.acting_for(&customer.account);
    let query = format!("project={project}&sku=tokens&amount=1.00");
    world.read(&acting, &format!("/v1/allowance?{query}")).await;
    let wish = json!({"project": project, "skus": ["tokens"], "amount": "0.10"});
    let usage = json!({"usage": [{"sku": "tokens", "quantity": "10"}]});
    for steps in [["capture", "capture"], ["extend", "release"]] {
        let hold = world.write(&acting, "POST", "/v1/holds", &wish).await;
        let hold = format!("/v1/holds/{}", hold["id"].as_str().unwrap());
        for step in steps {
            let body = if step == "capture" { usage.clone() } else { json!({}) };
            world.write(&acting, "POST", &format!("{hold}/{step}"), &body).await;
        }
        world.read(&acting, &hold).await;
    }
}

async fn settles(customer: &Customer<'_>, function: &str) {
    let world = customer.world;
    match function {
        "resources" => {
            let project = customer.project().await;
            customer.start(&project, "gpu").await;
        }
        "account" => {
            let wish = json!({"enabled": true, "threshold": "5.00", "amount": "20.00"});
            let answer = world.ask(&customer.api, "PUT", "/v1/auto-refill", &wish).await;
            assert!(answer.status < 500, "{}", answer.json());
        }
        "usage" => {
            let project = customer.project().await;
            report_usage(customer, &project).await;
        }
        "admin" => customer.bonus("1.00").await,
        "stripe-webhook" => customer.top_up("10.00").await,
        "auto-refill" | "confirm-deletion" => {
            let event =
                json!({"time": "2026-12-08T10:00:00Z", "detail": {"account": customer.account}});
            let path = format!("/local/functions/{function}");
            let answer = world.api.write("POST", &path, &event).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.json());
        }
        "hourly-debit" => assert_eq!(world.settle_slice("hourly-debit", LATER).await.status, 200),
        "settle-due" => {
            world.no_faults();
            world.later(MINUTE).await;
        }
        other => panic!("{other} settles nothing"),
    }
    assert!(customer.story().len() > 5, "{function} settled nothing: {:?}", customer.story());
}

async fn a_customer_tries(world: &World) {
    let tess = world.customer("tess");
    let page = tess.write("POST", "/v1/trial", &json!({"auto_refill": {"enabled": true}})).await;
    tess.pay(&page, GOOD_CARD).await;
    tess.read(&format!("/v1/trial?session={}", page["id"].as_str().unwrap())).await;
}

async fn a_customer_uses_everything(world: &World) {
    a_customer_tries(world).await;
    let alice = world.customer("alice");
    alice.top_up_with_refill("13.00", "10.00", "15.00").await;
    alice.write("PUT", "/v1/account", &json!({"email": "alice@example.test"})).await;
    let company = json!({"name": "Alice Ltd", "address": {"line1": "1 Road", "city": "Dublin", "country": "IE"}});
    let answer = world.ask(&alice.api, "PUT", "/v1/company", &company).await;
    assert!(answer.status < 500, "{}", answer.json());
    for session in ["/v1/payment-methods/sessions", "/v1/portal-sessions"] {
        alice.write("POST", session, &json!({})).await;
    }
    let page = alice.page(&json!({"amount": "5.00"})).await;
    let page = format!("/v1/checkout-sessions/{}", page["id"].as_str().unwrap());
    alice.read(&page).await;
    alice.write("POST", &format!("{page}/cancel"), &Value::Null).await;
    alice.read("/v1/commit-plans").await;
    alice.write("POST", "/v1/commit-plans/year/checkout", &json!({"version": 1})).await;
    let project = alice.project().await;
    // At $4.00 an hour the balance falls below the threshold. The event of it is lost, so settle-due
    // asks for the refill.
    world.fault(json!({"fault": "drop", "delivery": "event", "times": 0}));
    let gpu = alice.start(&project, "gpu").await;
    world.cloud.idle().await;
    world.no_faults();
    world.later(MINUTE * 3).await;
    alice.stop(&gpu).await;
    alice.write("POST", &format!("{gpu}/start"), &Value::Null).await;
    alice.write("DELETE", &gpu, &Value::Null).await;
    alice.write("POST", &format!("{gpu}/restore"), &Value::Null).await;
    world.later(HOUR).await;
    report_usage(&alice, &project).await;
    hold_credit(&alice, &project).await;
    world.later(HOUR * 2).await;
    for path in [
        "/v1/account",
        "/v1/balance",
        "/v1/balance/history",
        "/v1/transactions",
        "/v1/spending",
        "/v1/auto-refill",
        "/v1/payment-methods",
        "/v1/invoices",
        "/v1/company",
        "/v1/projects",
        "/v1/prices",
    ] {
        alice.read(path).await;
    }
    alice.read(&project).await;
    alice.read(&format!("{project}/billing")).await;
    alice.read(&format!("{project}/resources")).await;
    alice.read(&gpu).await;
    let platform = world.api.with_token(token(&world.cloud, "platform", PLATFORM));
    world.read(&platform, "/v1/platform/resources").await;
    assert_eq!(world.told_to_platform("alice").await, ["gpu running"]);
    world.cloud.idle().await;
}

/// The status of a payment page and a refill that is wanted both credit what was paid, with its
/// agreement on refills.
async fn payments_are_found_before_their_webhooks(world: &World) {
    let terms = json!({"enabled": true, "threshold": "10.00", "amount": "15.00"});
    let wish = json!({"amount": "13.00", "auto_refill": terms});
    let looking = world.customer("looking");
    let refilled = world.customer("refilled");
    refilled.top_up_with_refill("13.00", "10.00", "15.00").await;
    let project = refilled.project().await;

    world.fault(json!({"fault": "drop", "delivery": "webhook", "times": 0}));
    for customer in [&looking, &refilled] {
        let page = customer.page(&wish).await;
        customer.pay(&page, GOOD_CARD).await;
        if customer.account == "looking" {
            let path = format!("/v1/checkout-sessions/{}", page["id"].as_str().unwrap());
            assert_eq!(customer.read(&path).await["status"], "paid");
        }
    }
    // At $4.00 an hour the balance falls below the threshold.
    refilled.start(&project, "gpu").await;
    world.cloud.idle().await;
    assert_eq!(refilled.types().iter().filter(|kind| *kind == "topup").count(), 2);
    world.no_faults();
}

async fn a_payment_is_refunded_and_disputed(world: &World) {
    let bob = world.customer("bob");
    bob.top_up("25.00").await;
    let payment = bob.payment("topup");
    world.stripe().refund_in_dashboard(&payment, Some(1_000)).unwrap();
    world.cloud.idle().await;
    let dispute = NewDispute {
        payment,
        amount: None,
        reason: "fraudulent".to_owned(),
        kind: DisputeKind::Chargeback,
    };
    let dispute = world.stripe().dispute(&dispute).unwrap();
    world.cloud.idle().await;
    world.stripe().close_dispute(&dispute, DisputeEnd::Won).unwrap();
    world.cloud.idle().await;
    // Another card than the one before is looked at, too.
    let page = bob.page(&json!({"amount": "10.00"})).await;
    bob.pay(&page, GOOD_CARD).await;
    world.cloud.idle().await;
}

async fn the_operator_does_everything(world: &World) {
    let carol = world.customer("carol");
    carol.bonus("10.00").await;
    carol.top_up("10.00").await;
    let account = "/v1/admin/accounts/carol";
    let correction = json!({"amount": "5.00", "reason": "a test"});
    world.write(&world.operator, "POST", &format!("{account}/correction"), &correction).await;
    let quotas = json!({"resources": 2_000, "reason": "a test"});
    world.write(&world.operator, "PUT", &format!("{account}/quotas"), &quotas).await;
    let wish = json!({"credit": "50.00", "reason": "a test"});
    let path = format!("{account}/invoices");
    let invoice = world.write(&world.operator, "POST", &path, &wish).await;
    world.read(&world.operator, &path).await;
    carol.read("/v1/invoices").await;
    let void = format!("{path}/{}/void", invoice["id"].as_str().unwrap());
    world.write(&world.operator, "POST", &void, &json!({"reason": "a test"})).await;
    let payment = format!("/v1/admin/payments/{}/invoice", carol.payment("topup"));
    world.write(&world.operator, "POST", &payment, &json!({})).await;
    for action in ["freeze", "unfreeze", "suspend", "resume"] {
        world
            .ask(
                &world.operator,
                "POST",
                &format!("{account}/{action}"),
                &json!({"reason": "a test"}),
            )
            .await;
    }
    world.read(&world.operator, account).await;
    world.read(&world.operator, &format!("{account}/verify")).await;
    world.read(&world.operator, &format!("{account}/transactions")).await;
    world.read(&world.operator, "/v1/admin/accounts?query=carol@").await;
    let path = format!("/v1/admin/accounts?issuer={}", world.issuer());
    let moved = json!({"sub": "moved", "email": "moved@example.test", "credit": "5.00", "reference": "a test"});
    let moved = json!({"accounts": [moved, {"sub": "carol", "reference": "a test"}]});
    for unchanged in [0, 2] {
        let imported = world.write(&world.operator, "POST", &path, &moved).await;
        assert_eq!(imported["unchanged"], unchanged, "{imported}");
    }
    let payment = carol.payment("topup");
    world.read(&world.operator, &format!("/v1/admin/payments/{payment}")).await;
    recover_what_no_event_told(world, &carol).await;
    world
        .ask(&world.operator, "POST", &format!("{account}/close"), &json!({"reason": "a test"}))
        .await;
    world
        .ask(&world.operator, "POST", &format!("{account}/reopen"), &json!({"reason": "a test"}))
        .await;
    let gone = world.customer("gone");
    gone.read("/v1/account/closing").await;
    gone.write("DELETE", "/v1/account", &json!({"balance": "0.00"})).await;
}

/// Staff record a payment and its refund before Stripe tells of them, and refund some more.
async fn recover_what_no_event_told(world: &World, customer: &Customer<'_>) {
    world.fault(json!({"fault": "drop", "delivery": "webhook", "times": 0}));
    let page = customer.page(&json!({"amount": "10.00"})).await;
    customer.pay(&page, GOOD_CARD).await;
    let path = |id: &str| format!("/v1/admin/payments/{id}/recover");
    let session = page["id"].as_str().unwrap();
    let found = world.write(&world.operator, "POST", &path(session), &json!({})).await;
    assert_eq!(found["outcome"], "credited", "{found}");
    let payment = found["row"]["stripe"]["payment_intent"].as_str().unwrap();
    world.stripe().refund_in_dashboard(payment, Some(500)).unwrap();
    let found = world.write(&world.operator, "POST", &path(payment), &json!({})).await;
    assert_eq!(
        (&found["outcome"], &found["recorded_now"]),
        (&json!("already_credited"), &json!(1))
    );
    world.no_faults();
    let path = format!("/v1/admin/payments/{payment}/refunds");
    let body = json!({"amount": "1.00", "reason": "a test"});
    let refund = world.write(&world.operator, "POST", &path, &body).await;
    assert_eq!(refund["status"], "sent", "{refund}");
}

/// The local cloud has no CloudFormation, which would ask when the stack is made.
async fn a_deployment_is_checked(world: &World) {
    let cloudformation = CloudFormation::new().await;
    let request = cloudformation.request("Create");
    world.write(&world.operator, "POST", "/local/functions/deployment-check", &request).await;
    let answers = cloudformation.take();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(
        (&answers[0]["Status"], &answers[0]["RequestId"]),
        (&json!("SUCCESS"), &request["RequestId"])
    );
}

/// Every `alarm = "…"` in a function's log lines has an alarm, and every alarm has a log line.
#[test]
fn every_alarm_in_the_sources_has_an_alarm_in_the_template() {
    let template = Template::of_this_repository().unwrap();
    let resolver = Resolver::new(&template, BTreeMap::new());
    let alarms = resolver.resources("AWS::CloudWatch::Alarm");
    let of_alarm = |(_, alarm): &(String, Value)| {
        let dimension = &alarm["Dimensions"][0];
        (dimension["Name"] == "Alarm").then(|| dimension["Value"].as_str().unwrap().to_owned())
    };
    let waiting: BTreeSet<String> = alarms.iter().filter_map(of_alarm).collect();
    assert_eq!(waiting, reported());
}

/// The names after `alarm = ` in everything that a function is built from.
fn reported() -> BTreeSet<String> {
    let repository = build::repository();
    let mut directories = vec![repository.join("shared/src"), repository.join("functions")];
    let mut names = BTreeSet::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                let after = source.split("alarm = \"").skip(1);
                names.extend(after.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }
    names
}
