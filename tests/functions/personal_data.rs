//! What is kept about a customer: all of it can be exported, and what is personal can be erased.

use std::future::Future;

use serde_json::{Value, json};
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::faults::{Calls, DynamoFault, Operation};
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, die_everywhere};

use crate::account_stripe_support::call;

const EXPORT: &str = "GET /v1/account/export";
/// What a customer told us. No other text of these worlds contains it.
const PERSONAL: [&str; 5] = ["ada@example.test", "Lovelace", "my-shop", "my-machine", "4242"];

async fn resources(world: &PaymentWorld, event: ApiEvent) -> Value {
    let done: Answered = resources::handle(&world.api.another(), event.request()).await.into();
    assert!(done.status < 300, "{}", done.shown());
    done.body
}

async fn by_staff(world: &PaymentWorld, event: ApiEvent) -> Answered {
    let clients = admin::AdminClients {
        billing: world.api.another(),
        stripe: world.stripe.clone().into(),
        bus: None,
    };
    admin::handle(&clients, event.request()).await.into()
}

fn staff(world: &PaymentWorld, action: &str) -> ApiEvent {
    let route = format!("POST /v1/admin/accounts/{{account}}/{action}");
    ApiEvent::by("staff", &route, &now(world))
        .scope("tollgate/admin")
        .at("account", ACME)
        .json(&json!({"reason": "asked by mail"}))
}

/// A customer with everything that is personal, who has paid and runs a machine.
async fn known_customer(world: &PaymentWorld) {
    let email = json!({"email": PERSONAL[0]});
    call(world, &world.event("PUT /v1/account").json(&email)).await;
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let company = json!({"name": PERSONAL[1]});
    let put = call(world, &world.event("PUT /v1/company").key("company").json(&company)).await;
    assert_eq!(put.status, 200, "{}", put.shown());
    let project = world.event("POST /v1/projects").json(&json!({"name": PERSONAL[2]}));
    let project = resources(world, project).await;
    let start = world
        .event("POST /v1/projects/{project}/resources")
        .at("project", project["id"].as_str().unwrap())
        .json(&json!({"sku": "vm", "name": PERSONAL[3], "start": true}));
    resources(world, start).await;
    let quotas = json!({"resources": 9, "projects": 9, "reason": "a big customer"});
    let quotas = ApiEvent::by("staff", "PUT /v1/admin/accounts/{account}/quotas", &now(world))
        .scope("tollgate/admin")
        .at("account", ACME)
        .json(&quotas);
    assert_eq!(by_staff(world, quotas).await.status, 200);
    world.deliver_all().await;
}

fn now(world: &PaymentWorld) -> String {
    world.now().to_string()
}

async fn export(world: &PaymentWorld) -> Vec<Value> {
    let mut pages = Vec::new();
    let mut next = Value::Null;
    loop {
        let event = world.event(EXPORT);
        let event = match next.as_str() {
            Some(cursor) => event.with("cursor", cursor),
            None => event,
        };
        let page = call(world, &event).await;
        assert_eq!(page.status, 200, "{}", page.shown());
        next = page.body["next"].clone();
        pages.push(page.body);
        if next.is_null() {
            return pages;
        }
    }
}

fn all<'p>(pages: &'p [Value], name: &str) -> Vec<&'p Value> {
    pages.iter().flat_map(|page| page[name].as_array().unwrap()).collect()
}

/// What of it is stored anywhere.
async fn stored(world: &PaymentWorld) -> Vec<&'static str> {
    let everything = world.api.everything().await.join("\n");
    // Four digits may stand in any random ID. Those of a card end a text within JSON.
    let of_card = format!("{}\\\"", PERSONAL[4]);
    let is_stored = |text: &&str| match *text {
        "4242" => everything.contains(&of_card),
        text => everything.contains(text),
    };
    PERSONAL.into_iter().filter(is_stored).collect()
}

#[tokio::test]
async fn export_holds_everything_that_is_kept() {
    let world = PaymentWorld::new().await;
    known_customer(&world).await;
    assert_eq!(stored(&world).await, PERSONAL);
    let whole = export(&world).await;
    let text = json!(whole).to_string();
    for personal in PERSONAL {
        assert!(text.contains(personal), "{personal} is not in {text}");
    }
    let kinds: Vec<&str> =
        all(&whole, "rows").iter().map(|row| row["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, world.names().await);
    assert!(
        text.contains("a big customer") && !text.contains("\"by\""),
        "who of the staff: {text}"
    );
    let mine = format!("\"pk\": S(\"account#{ACME}\")");
    // Keys of requests, and what only makes the account found, say nothing more.
    let is_left_out = |item: &str| {
        ["request", "profile-name"].iter().any(|key| item.contains(&format!("\"sk\": S(\"{key}")))
    };
    let is_mine = |item: &&String| item.contains(&mine) && !is_left_out(item);
    let kept = world.api.everything().await.iter().filter(is_mine).count();
    assert_eq!(all(&whole, "items").iter().filter(|item| !is_counter(item)).count(), kept);
    // Page by page, with one item in each answer of the database, it is the same.
    world.faults().set(Calls::any(), DynamoFault::ShortPage);
    let pages = export(&world).await;
    assert!(pages.len() > kinds.len(), "{} pages", pages.len());
    for part in ["items", "rows"] {
        assert_eq!(all(&pages, part), all(&whole, part));
    }
}

fn is_counter(item: &Value) -> bool {
    item["key"].as_str().unwrap().starts_with("requests-to-stripe#")
}

#[tokio::test]
async fn export_is_for_the_customer_alone() {
    let world = PaymentWorld::new().await;
    known_customer(&world).await;
    let platform = ApiEvent::by("platform", EXPORT, &now(&world))
        .scope("tollgate/platform")
        .header("Tollgate-Account", ACME);
    assert_eq!(call(&world, &platform).await.status, 403);
    let long = format!("items-{}", "YWFh".repeat(400));
    for cursor in ["", "rows", "rows-x", "items-", "items-%", "3", &long] {
        let refused = call(&world, &world.event(EXPORT).with("cursor", cursor)).await;
        assert_eq!((refused.status, refused.code()), (400, "invalid_parameter"), "{cursor}");
    }
}

#[tokio::test]
async fn only_a_closed_account_is_erased() {
    let world = PaymentWorld::new().await;
    known_customer(&world).await;
    let before = world.api.everything().await;
    let refused = by_staff(&world, staff(&world, "erase")).await;
    assert_eq!((refused.status, refused.code()), (409, "conflict"), "{}", refused.shown());
    assert_eq!(world.api.everything().await, before);
    let no_reason = staff(&world, "erase").json(&json!({"reason": " "}));
    assert_eq!(by_staff(&world, no_reason).await.status, 422);
}

#[tokio::test]
async fn erased_account_keeps_its_rows_and_stays_closed() {
    let world = PaymentWorld::new().await;
    known_customer(&world).await;
    by_staff(&world, staff(&world, "suspend")).await;
    assert_eq!(by_staff(&world, staff(&world, "close")).await.status, 200);
    let rows = world.rows().await.len();
    let erased = by_staff(&world, staff(&world, "erase").key("k-1")).await;
    assert_eq!((erased.status, &erased.body["type"]), (200, &json!("erased")));
    assert_eq!(stored(&world).await, <[&str; 0]>::default());
    let again = by_staff(&world, staff(&world, "erase").key("k-1")).await;
    assert_eq!(again, erased);
    assert_eq!(world.rows().await.len(), rows + 1);
    // With another key it is another row.
    assert_eq!(by_staff(&world, staff(&world, "erase").key("k-2")).await.status, 200);
    assert_eq!(world.rows().await.len(), rows + 2);
    world.check().await;
    let customers = world.objects("customer");
    assert!(customers.iter().all(|customer| customer["deleted"] == true), "{customers:?}");
    // What Stripe tells of it brings nothing back.
    world.deliver_all().await;
    assert_eq!(stored(&world).await, <[&str; 0]>::default());

    let reopened = by_staff(&world, staff(&world, "reopen")).await;
    assert_eq!((reopened.status, reopened.code()), (409, "account_closed"));
    for event in [
        world.event("PUT /v1/account").json(&json!({"email": PERSONAL[0]})),
        world.event("PUT /v1/company").json(&json!({"name": PERSONAL[1]})),
    ] {
        let refused = call(&world, &event).await;
        assert_eq!((refused.status, refused.code()), (409, "account_closed"), "{event:?}");
    }
    let project = world.event("POST /v1/projects").json(&json!({"name": PERSONAL[2]}));
    let project: Answered = resources::handle(&world.api.another(), project.request()).await.into();
    assert_eq!(project.status, 409);
    let page = world.create(&json!({"amount": "25.00"})).await;
    assert_eq!((page.status, page.code()), (409, "account_closed"), "{}", page.shown());
    // A token tells an address with every request.
    let seen = call(&world, &world.event("GET /v1/account").claim("email", PERSONAL[0])).await;
    assert_eq!((seen.status, &seen.body["email"]), (200, &Value::Null));
    assert_eq!(stored(&world).await, <[&str; 0]>::default());
    let project = resources(&world, world.event("GET /v1/projects")).await["items"][0].clone();
    assert_eq!(project["name"], project["id"]);
    let list = world
        .event("GET /v1/projects/{project}/resources")
        .at("project", project["id"].as_str().unwrap());
    let machine = resources(&world, list).await["items"][0].clone();
    assert_eq!(machine["name"], machine["id"]);
}

/// A closed account with everything that is personal. Its machine is off.
async fn closed_customer() -> PaymentWorld {
    let world = PaymentWorld::new().await;
    known_customer(&world).await;
    for action in ["suspend", "close"] {
        assert_eq!(by_staff(&world, staff(&world, action)).await.status, 200, "{action}");
    }
    world
}

/// Holds a call of one request until the other request is through.
async fn held<A, B>(
    world: &PaymentWorld,
    call: Calls,
    request: impl Future<Output = A>,
    other: impl Future<Output = B>,
) -> (A, B) {
    let gate = world.faults().gate_before(call.first(1));
    tokio::join!(request, async {
        gate.reached().await;
        let other = other.await;
        gate.open();
        other
    })
}

async fn erase(world: &PaymentWorld) {
    let erased = by_staff(world, staff(world, "erase")).await;
    assert_eq!(erased.status, 200, "{}", erased.shown());
}

#[tokio::test]
async fn resource_that_is_deleted_beside_the_erasure_has_no_name_afterwards() {
    for (held_of_erasure, operation) in
        [(false, Operation::TransactWriteItems), (true, Operation::PutItem)]
    {
        let world = closed_customer().await;
        let project = resources(&world, world.event("GET /v1/projects")).await;
        let project = project["items"][0]["id"].as_str().unwrap().to_owned();
        let in_project = |route: &str| world.event(route).at("project", &project);
        let list = in_project("GET /v1/projects/{project}/resources");
        let machine = resources(&world, list).await["items"][0]["id"].clone();
        let delete = in_project("DELETE /v1/projects/{project}/resources/{id}")
            .at("id", machine.as_str().unwrap());
        let delete = resources(&world, delete);
        let call = Calls::of(operation).containing("billable#resource");
        if held_of_erasure {
            held(&world, call, erase(&world), delete).await;
        } else {
            held(&world, call, delete, erase(&world)).await;
        }
        assert_eq!(stored(&world).await, <[&str; 0]>::default(), "{held_of_erasure}");
        world.check().await;
    }
}

#[tokio::test]
async fn what_is_written_beside_the_erasure_is_refused() {
    let world = closed_customer().await;
    let create = world.event("POST /v1/projects").json(&json!({"name": PERSONAL[2]}));
    let create =
        async { Answered::from(resources::handle(&world.api.another(), create.request()).await) };
    let added = Calls::of(Operation::TransactWriteItems).containing("project-list");
    let (refused, ()) = held(&world, added, create, erase(&world)).await;
    assert_eq!((refused.status, refused.code()), (409, "account_closed"), "{}", refused.shown());
    assert_eq!(stored(&world).await, <[&str; 0]>::default());

    for (route, body) in [
        ("PUT /v1/account", json!({"email": PERSONAL[0]})),
        ("PUT /v1/company", json!({"name": PERSONAL[1]})),
    ] {
        let world = closed_customer().await;
        let event = world.event(route).key("k-1").json(&body);
        let written = Calls::any().containing("attribute_not_exists(erased)");
        let (refused, ()) = held(&world, written, call(&world, &event), erase(&world)).await;
        let shown = refused.shown();
        assert_eq!((refused.status, refused.code()), (409, "account_closed"), "{route}: {shown}");
        assert_eq!(stored(&world).await, <[&str; 0]>::default(), "{route}");
    }
}

/// The customer of the first page is made while staff close the account and erase it.
#[tokio::test]
async fn customer_at_stripe_that_is_made_beside_the_erasure_is_deleted() {
    let world = PaymentWorld::new().await;
    call(&world, &world.event("PUT /v1/account").json(&json!({"email": PERSONAL[0]}))).await;
    let closes = async {
        by_staff(&world, staff(&world, "close")).await;
        erase(&world).await;
    };
    let body = json!({"amount": "25.00"});
    let noted = Calls::of(Operation::UpdateItem).containing("SET customer");
    let (page, ()) = held(&world, noted, world.create(&body), closes).await;
    assert_eq!((page.status, page.code()), (409, "account_closed"), "{}", page.shown());
    let customers = world.objects("customer");
    assert!(customers.iter().all(|customer| customer["deleted"] == true), "{customers:?}");
    assert_eq!(customers.len(), 1);
    assert_eq!(stored(&world).await, <[&str; 0]>::default());
}

#[tokio::test]
async fn erasure_that_dies_anywhere_is_finished_by_the_next_request() {
    let prepare = async |world: &PaymentWorld| {
        known_customer(world).await;
        by_staff(world, staff(world, "suspend")).await;
        by_staff(world, staff(world, "close")).await;
    };
    // Staff have another key each time.
    let process = erase;
    let look = async |world: &PaymentWorld| {
        assert!((1..=2).contains(&world.count("erased").await));
        assert_eq!(stored(world).await, <[&str; 0]>::default());
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((8..60).contains(&calls), "{calls} calls");
}
