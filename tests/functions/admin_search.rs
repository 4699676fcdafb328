//! `GET /v1/admin/accounts?query=`: accounts by their IDs, and by the beginning of a text.

use serde_json::{Value, json};
use tollgate::domain::profile::CompanyDetails;
use tollgate::runtime::billing::Billing;
use tollgate::store::NamedProject;
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::ledger::{ALICE, at, named};
use tollgate_tests::payments::PaymentWorld;

use crate::staff_support::unused_stripe;

const FIND: &str = "GET /v1/admin/accounts";

async fn find(billing: &Billing, stripe: tollgate::stripe::OnDemand, query: &str) -> Answered {
    let billing = Billing::new(billing.store.clone(), billing.settings.clone());
    let clients = admin::AdminClients { billing, stripe, bus: None };
    let event = ApiEvent::by("staff", FIND, "11:00:00").scope("tollgate/admin");
    admin::handle(&clients, event.with("query", query).request()).await.into()
}

async fn found(api: &Api, query: &str) -> Vec<String> {
    let answered = find(&api.billing, unused_stripe(), query).await;
    assert_eq!(answered.status, 200, "{query}: {}", answered.shown());
    told(&answered)
}

/// Account and match.
fn told(answered: &Answered) -> Vec<String> {
    let items = answered.body["items"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    items.map(|item| format!("{} by {}", text(&item["account"]), text(&item["matched"]))).collect()
}

fn company(name: &str) -> CompanyDetails {
    serde_json::from_value(json!({"name": name})).unwrap()
}

/// Alice of Example Ltd and Bob of Exact AG, who both wrote their addresses in their own way.
async fn two_customers() -> Api {
    let api = Api::new().await;
    for (account, email, name) in [
        (ALICE, "Alice.Liddell@Example.test", "Example Ltd"),
        ("bob", "bob@EXAMPLE.test", "Exact  AG"),
    ] {
        api.ledger.open(account, "10:00:00").await;
        let store = &api.ledger.store;
        store.set_email(&named(account), &named(email)).await.unwrap();
        store.set_company(&named(account), &company(name)).await.unwrap();
    }
    api
}

#[tokio::test]
async fn accounts_are_found_by_the_beginning_of_address_and_name() {
    let api = two_customers().await;
    for (query, expected) in [
        ("alice.liddell@example.test", &["alice by email"][..]),
        (" ALICE. ", &["alice by email"]),
        ("bob@", &["bob by email"]),
        ("b", &["bob by email"]),
        ("exa", &["alice by name", "bob by name"]),
        ("Exact ag", &["bob by name"]),
        ("example.test", &[]),
        ("ltd", &[]),
        ("alice", &["alice by account"]),
        ("Alice", &["alice by email"]),
    ] {
        assert_eq!(found(&api, query).await, expected, "{query}");
    }
    let shown = find(&api.billing, unused_stripe(), "bob@").await.body;
    let expected = json!({"items": [{"account": "bob", "email": "bob@EXAMPLE.test",
        "name": "Exact  AG", "balance": "0.00", "standing": "good", "frozen": false,
        "matched": "email", "seq": null}], "more": false});
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn what_was_changed_or_erased_is_no_longer_found() {
    let api = two_customers().await;
    let (store, alice) = (&api.ledger.store, named(ALICE));
    store.set_email(&alice, &named("ally@example.test")).await.unwrap();
    store.set_company(&alice, &company("Wonderland")).await.unwrap();
    assert_eq!(found(&api, "alice.").await, [""; 0]);
    assert_eq!(found(&api, "exa").await, ["bob by name"]);
    assert_eq!(found(&api, "ally@").await, ["alice by email"]);
    assert_eq!(found(&api, "wonder").await, ["alice by name"]);
    store.set_company(&alice, &CompanyDetails::default()).await.unwrap();
    assert_eq!(found(&api, "wonder").await, [""; 0]);
    store.set_company(&alice, &company("Wonderland")).await.unwrap();
    store.begin_erasure(&alice).await.unwrap();
    store.erase(&alice).await.unwrap();
    for query in ["ally", "wonder"] {
        assert_eq!(found(&api, query).await, [""; 0], "{query}");
    }
    assert!(store.set_company(&alice, &company("Wonderland")).await.is_err());
    assert_eq!(found(&api, "wonder").await, [""; 0], "an erased account has no name");
}

#[tokio::test]
async fn ids_lead_to_their_account_and_row() {
    let api = two_customers().await;
    api.ledger.credit(ALICE, "pi_1", "25", "10:10:00").await;
    let project = NamedProject { id: named("prj-0123456789"), name: "web".to_owned() };
    let (store, quotas) = (&api.ledger.store, api.billing.settings.policy.quotas);
    store.add_project(&named(ALICE), &project, "d", &quotas, at("10:20:00")).await.unwrap();
    api.ledger.start(ALICE, "vm", &["machine-1"], "10:30:00").await;
    for (query, expected) in [
        ("prj-0123456789", &["alice by project"][..]),
        ("prj-01", &["alice by project"]),
        ("machine-1", &["alice by resource"]),
        ("machine-2", &[]),
        ("alice#1", &["alice by transaction"]),
        ("alice#99", &[]),
        ("alice#x", &[]),
        ("pi_1", &["alice by stripe"]),
        ("pi_2", &[]),
    ] {
        assert_eq!(found(&api, query).await, expected, "{query}");
    }
    let transaction = find(&api.billing, unused_stripe(), "alice#1").await.body;
    assert_eq!(transaction["items"][0]["seq"], 1);
    let payment = find(&api.billing, unused_stripe(), "pi_1").await.body;
    assert_eq!(payment["items"][0]["seq"], 1);
}

#[tokio::test]
async fn each_id_of_a_payment_leads_to_its_account() {
    let world = PaymentWorld::new().await;
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={}", tollgate_tests::payments::VISA)).await;
    world.deliver_all().await;
    let of = |kind: &str| world.objects(kind)[0]["id"].as_str().unwrap().to_owned();
    let ids = [session, of("payment_intent"), of("charge"), of("invoice"), of("customer")];
    for id in ids {
        let answered = find(&world.webhook.billing, world.stripe.clone().into(), &id).await;
        assert_eq!(told(&answered), ["acme by stripe"], "{id}");
    }
}

#[tokio::test]
async fn long_lists_end_and_say_so() {
    let api = Api::new().await;
    for number in 0..22 {
        let account = format!("customer-{number:02}");
        api.ledger.open(&account, "10:00:00").await;
        let email = named(&format!("sales-{number}@example.test"));
        api.ledger.store.set_email(&named(&account), &email).await.unwrap();
    }
    let answered = find(&api.billing, unused_stripe(), "sales-").await;
    assert_eq!((told(&answered).len(), &answered.body["more"]), (20, &json!(true)));
    let answered = find(&api.billing, unused_stripe(), "sales-1").await;
    assert_eq!((told(&answered).len(), &answered.body["more"]), (11, &json!(false)));
}

#[tokio::test]
async fn account_with_many_projects_hides_no_other() {
    let api = two_customers().await;
    let (store, mut quotas) = (&api.ledger.store, api.billing.settings.policy.quotas);
    quotas.projects = 200;
    for (account, number) in (0..120).map(|number| (ALICE, number)).chain([("bob", 999)]) {
        let id = named(&format!("prj-{number:03}"));
        let project = NamedProject { id, name: "web".to_owned() };
        let at = at("10:20:00");
        store.add_project(&named(account), &project, "d", &quotas, at).await.unwrap();
    }
    assert_eq!(found(&api, "prj-").await, ["alice by project", "bob by project"]);
}

#[tokio::test]
async fn empty_and_huge_queries_are_refused() {
    let api = two_customers().await;
    for query in ["", "  ", &"x".repeat(256)] {
        let refused = find(&api.billing, unused_stripe(), query).await;
        assert_eq!((refused.status, refused.code()), (400, "invalid_parameter"), "{query}");
        assert_eq!(refused.body["parameter"], "query");
    }
    let customer = ApiEvent::by(ALICE, FIND, "11:00:00").with("query", "bob");
    let clients = admin::AdminClients {
        billing: Billing::new(api.billing.store.clone(), api.billing.settings.clone()),
        stripe: unused_stripe(),
        bus: None,
    };
    let refused: Answered = admin::handle(&clients, customer.request()).await.into();
    assert_eq!(refused.status, 403);
}
