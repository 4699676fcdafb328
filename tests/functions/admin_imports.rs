//! `POST /v1/admin/accounts`: customers from elsewhere, with their balances.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tollgate::domain::ids::Sku;
use tollgate::runtime::billing::Billing;
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, TOKEN_ISSUER, named};

use crate::account_support;
use crate::staff_support::unused_stripe;

const IMPORT: &str = "POST /v1/admin/accounts";

fn event() -> ApiEvent {
    ApiEvent::by("staff-1", IMPORT, "11:00:00").scope("tollgate/admin").with("issuer", TOKEN_ISSUER)
}

async fn ask(api: &Api, event: &ApiEvent) -> Answered {
    let billing = Billing::new(api.billing.store.clone(), api.billing.settings.clone());
    let clients = admin::AdminClients { billing, stripe: unused_stripe(), bus: None };
    admin::handle(&clients, event.request()).await.into()
}

async fn import(api: &Api, entries: &Value) -> Answered {
    ask(api, &event().json(&json!({"accounts": entries}))).await
}

/// Opened, credited, unchanged, and the entries with a problem.
fn counted(answered: &Answered) -> (u64, u64, u64, Vec<u64>) {
    assert_eq!(answered.status, 200, "{}", answered.shown());
    let count = |name: &str| answered.body[name].as_u64().unwrap();
    let problems = answered.body["problems"].as_array().unwrap().iter();
    let problems = problems.map(|problem| problem["entry"].as_u64().unwrap()).collect();
    (count("opened"), count("credited"), count("unchanged"), problems)
}

fn entry(sub: &str, credit: &str) -> Value {
    json!({"sub": sub, "credit": credit, "reference": format!("customer {sub}")})
}

#[tokio::test]
async fn customers_find_their_balance_when_they_first_sign_in() {
    let api = Api::new().await;
    api.ledger.open(ALICE, "10:00:00").await;
    let bonus = json!({"sub": "auth0|17", "email": "ada@elsewhere.test", "credit": "12.345678",
        "bonus": "5.00", "bonus_expires_at": "2026-12-31T23:59:59Z", "bonus_excludes": ["vm"],
        "reference": "customer 17"});
    let entries = json!([bonus, entry(ALICE, "0.00")]);
    let answered = import(&api, &entries).await;
    assert_eq!(counted(&answered), (1, 1, 0, vec![]));
    assert_eq!(
        (&answered.body["credit"], &answered.body["bonus"]),
        (&json!("12.345678"), &json!("5.00"))
    );
    assert_eq!(counted(&import(&api, &entries).await), (0, 0, 2, vec![]));

    let of = |path: &str| ApiEvent::by("auth0|17", path, "11:05:00");
    let balance = account_support::ask(&api, of("GET /v1/balance")).await.body;
    assert_eq!(
        (&balance["balance"], &balance["available"]),
        (&json!("17.345678"), &json!("17.345678"))
    );
    let profile = account_support::ask(&api, of("GET /v1/account")).await.body;
    assert_eq!(profile["email"], "ada@elsewhere.test");
    let rows = account_support::ask(&api, of("GET /v1/transactions")).await.body;
    let shown = |row: &Value| {
        ["type", "description", "amount", "cause"]
            .map(|name| row[name].as_str().unwrap().to_owned())
    };
    assert_eq!(
        shown(&rows["items"][0]),
        ["opening_balance", "Opening balance: customer 17", "17.345678", "staff"]
    );
    for account in [ALICE, "auth0|17"] {
        assert_eq!(check(&api.ledger, account).await.count("imported"), 1);
    }
}

#[tokio::test]
async fn an_account_is_imported_once() {
    let api = Api::new().await;
    let entries = json!([entry("ada", "5.00"), entry("ben", "0.00")]);
    assert_eq!(counted(&import(&api, &entries).await), (2, 0, 0, vec![]));
    assert_eq!(counted(&import(&api, &entries).await), (0, 0, 2, vec![]));
    // With a key, too, and with the key of another import.
    let with_key = |entries: &Value| event().key("k-1").json(&json!({"accounts": entries}));
    let more = json!([entry("ada", "5.00"), entry("cyd", "1.00")]);
    for expected in [(1, 0, 1, vec![]), (0, 0, 2, vec![])] {
        assert_eq!(counted(&ask(&api, &with_key(&more)).await), expected);
    }
    // Other balances and references are told apart.
    let mut with_bonus = entry("ada", "5.00");
    with_bonus["bonus"] = json!("1.00");
    with_bonus["bonus_expires_at"] = json!("2027-01-01T00:00:00Z");
    let mut renamed = entry("ada", "5.00");
    renamed["reference"] = json!("customer ADA");
    for other in [entry("ada", "5.01"), with_bonus, renamed] {
        let answered = import(&api, &json!([entry("ben", "0.00"), other])).await;
        assert_eq!(counted(&answered), (0, 0, 1, vec![2]), "{}", answered.shown());
        let problem = &answered.body["problems"][0];
        assert_eq!(
            (&problem["account"], &problem["problem"]["code"]),
            (&json!("ada"), &json!("already_exists"))
        );
        assert_eq!(api.rows("ada").await, 2);
    }
}

#[tokio::test]
async fn two_imports_at_the_same_time_credit_once() {
    let api = Api::new().await;
    let entries: Vec<Value> = (0..20).map(|n| entry(&format!("u-{n}"), "5.00")).collect();
    let entries = json!(entries);
    let (first, second) = tokio::join!(import(&api, &entries), import(&api, &entries));
    for answered in [first, second] {
        let (opened, credited, unchanged, problems) = counted(&answered);
        assert_eq!((opened + credited + unchanged, problems), (20, vec![]));
    }
    for n in 0..20 {
        assert_eq!(check(&api.ledger, &format!("u-{n}")).await.balance(), named("5"));
    }
}

#[tokio::test]
async fn dry_run_and_refused_import_write_nothing() {
    let api = Api::new().await;
    let before = api.everything().await;
    let entries = json!([
        entry("ada", "5.00"),
        entry("ben", "-0.01"),
        entry("ada", "5.00"),
        entry("", "1.00"),
        {"sub": "cyd", "credit": "1.00"},
        {"sub": "dan", "credit": 5, "reference": "a"},
        {"sub": "eve", "bonus": "5.00", "reference": "a"},
        {"sub": "fay", "bonus": "5.001", "bonus_expires_at": "2027-01-01T00:00:00Z", "reference": "a"},
        {"sub": "gus", "bonus": "5.00", "bonus_expires_at": "2027-01-01T00:00:00Z", "bonus_excludes": ["vm,gpu"], "reference": "a"},
        {"sub": "hal", "email": "nobody", "reference": "a"},
        {"sub": "ivy", "credits": "5.00", "reference": "a"},
        {"sub": "jim", "bonus_excludes": ["vm"], "reference": "a"},
    ]);
    let dry = event().with("dry_run", "true").json(&json!({"accounts": entries}));
    let answered = ask(&api, &dry).await;
    assert_eq!(counted(&answered), (1, 0, 0, (2..=12).collect()), "{}", answered.shown());
    let told: Vec<String> = answered.body["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["problem"]["detail"].as_str().unwrap().to_owned())
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    credit: must not be negative.
    sub: is in an entry before this one.
    sub: must not be empty.
    reference: is required.
    credit: must be a string.
    bonus_expires_at: is required with a bonus.
    The amount must be in whole cents.
    bonus_excludes: there is no price of vm,gpu. In CSV, separate SKUs by spaces.
    email: must be an e-mail address such as name@example.com.
    credits: is not a field of this request. Use one of sub, email, credit, bonus, bonus_expires_at, bonus_excludes, reference.
    bonus: is required with what it excludes.
    ");

    let accounts = answered.body["problems"].as_array().unwrap().iter();
    let accounts: Vec<&Value> = accounts.map(|problem| &problem["account"]).collect();
    assert_eq!(accounts[..2], [&json!("ben"), &Value::Null], "{}", answered.shown());

    // Without a dry run the first of them is told, and the good entry is not imported.
    let refused = import(&api, &entries).await;
    assert_eq!((refused.status, refused.code()), (400, "invalid_body"), "{}", refused.shown());
    assert_eq!(refused.body["entry"], 2, "{}", refused.shown());
    for (parameter, value) in
        [("issuer", "https://other.example"), ("from", "0"), ("from", "13"), ("dry_run", "yes")]
    {
        let wrong =
            event().with(parameter, value).json(&json!({"accounts": [entry("ada", "5.00")]}));
        let refused = ask(&api, &wrong).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "invalid_parameter"),
            "{}",
            refused.shown()
        );
        assert_eq!(refused.body["parameter"], parameter);
    }
    for wrong in [json!({"accounts": []}), json!({}), json!({"accounts": [1]})] {
        let refused = ask(&api, &event().json(&wrong)).await;
        assert_eq!((refused.status, refused.code()), (400, "invalid_body"), "{wrong}");
    }
    let support =
        event().scope("tollgate/support").json(&json!({"accounts": [entry("ada", "5.00")]}));
    assert_eq!(ask(&api, &support).await.status, 403);
    assert_eq!(api.everything().await, before);
}

#[tokio::test]
async fn account_that_is_closed_is_left_alone() {
    let api = Api::new().await;
    api.ledger.open(ALICE, "10:00:00").await;
    let close = json!({"reason": "fraud"});
    let close = ApiEvent::by("staff-1", "POST /v1/admin/accounts/{account}/close", "10:30:00")
        .scope("tollgate/admin")
        .at("account", ALICE)
        .json(&close);
    assert_eq!(ask(&api, &close).await.status, 200);
    let entries = json!([entry(ALICE, "5.00"), entry("ben", "5.00")]);
    for mode in ["true", "false"] {
        let event = event().with("dry_run", mode).json(&json!({"accounts": entries}));
        let answered = ask(&api, &event).await;
        assert_eq!(counted(&answered), (1, 0, 0, vec![1]), "{}", answered.shown());
        assert_eq!(answered.body["problems"][0]["problem"]["code"], "account_closed");
    }
    assert_eq!(check(&api.ledger, ALICE).await.balance(), named("0"));
}

#[tokio::test]
async fn csv_of_ten_thousand_is_imported_in_parts() {
    let api = Api::new().await;
    let mut csv =
        "\u{feff}sub,email,credit,bonus,bonus_expires_at,bonus_excludes,reference\r\n".to_owned();
    for n in 1..=10_000 {
        // Spreadsheets quote a comma.
        writeln!(csv, "auth0|{n},u{n}@elsewhere.test, 1.50 ,,,,\"old, {n}\"\r").unwrap();
    }
    let from = |from: usize, mode: &str| {
        event().with("from", &from.to_string()).with("dry_run", mode).body(&csv)
    };
    for mode in ["true", "false"] {
        let answered = ask(&api, &from(1, mode)).await;
        assert_eq!(counted(&answered), (100, 0, 0, vec![]), "{}", answered.shown());
        assert_eq!(
            (&answered.body["entries"], &answered.body["next"]),
            (&json!(10_000), &json!(101))
        );
        assert_eq!(answered.body["credit"], "15000.00");
    }
    let last = ask(&api, &from(9_990, "false")).await;
    assert_eq!((counted(&last), &last.body["next"]), ((11, 0, 0, vec![]), &Value::Null));
    assert_eq!(check(&api.ledger, "auth0|10000").await.balance(), named("1.5"));
    assert_eq!(api.rows("auth0|101").await, 0);

    let with_a_list = "sub,bonus,bonus_expires_at,bonus_excludes,reference\n\
        ada,5.00,2027-01-01T00:00:00Z,vm volume,old 1\n";
    assert_eq!(counted(&ask(&api, &event().body(with_a_list)).await), (1, 0, 0, vec![]));
    let state = api.ledger.head("ada").await.state;
    let excluded: Vec<&str> = state.grants[0].excludes.iter().map(Sku::as_str).collect();
    assert_eq!(excluded, ["vm", "volume"]);
}

#[tokio::test]
async fn csv_that_cannot_be_read_says_where() {
    let api = Api::new().await;
    for (csv, told) in [
        ("", "The first line of the CSV must name the columns"),
        ("name,credit\nada,5.00\n", "The first line of the CSV must name the columns"),
        ("sub,credit,reference\n", "accounts: must be 1 to 10000 entries."),
        (
            "sub,credit,reference\nada,5.00\n",
            "Entry 1: Line 2 of the CSV has 2 fields, and the first has 3.",
        ),
        ("sub,credit,credit,reference\nada,5.00,6.00,a\n", "credit: is a column of the CSV twice."),
        ("[{\"sub\": \"ada\"}]", "The request body must be a JSON object."),
        ("sub,credit,reference\nada,5.00,a\nben,five,b\n", "Entry 2: credit: "),
        ("sub,credits,reference\nada,5.00,a\n", "Entry 1: credits: is not a field"),
        ("sub,credit,reference\nada,,\n", "Entry 1: reference: is required."),
    ] {
        let refused = ask(&api, &event().body(csv)).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "invalid_body"),
            "{csv}: {}",
            refused.shown()
        );
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.starts_with(told), "{csv}: {detail}");
    }
}

#[tokio::test]
async fn entry_whose_bonus_expired_stops_no_other() {
    let api = Api::new().await;
    let mut expiring = entry("ada", "5.00");
    expiring["bonus"] = json!("1.00");
    expiring["bonus_expires_at"] = json!("2026-11-22T11:30:00Z");
    let entries = json!({"accounts": [expiring, entry("ben", "1.00")]});
    assert_eq!(counted(&ask(&api, &event().json(&entries)).await), (2, 0, 0, vec![]));
    // It was imported in time.
    let later = event().json(&entries).minutes_later(24 * 60);
    assert_eq!(counted(&ask(&api, &later).await), (0, 0, 2, vec![]));
    let mut late = expiring;
    late["sub"] = json!("cyd");
    let later =
        event().minutes_later(24 * 60).json(&json!({"accounts": [late, entry("dan", "1.00")]}));
    let answered = ask(&api, &later).await;
    assert_eq!(counted(&answered), (1, 0, 0, vec![1]), "{}", answered.shown());
    assert_eq!(api.rows("cyd").await, 0, "what is refused opens no account");
}

#[tokio::test]
async fn address_that_was_added_later_is_kept() {
    let api = Api::new().await;
    let mut with_address = entry("ada", "5.00");
    assert_eq!(counted(&import(&api, &json!([with_address])).await), (1, 0, 0, vec![]));
    with_address["email"] = json!("ada@elsewhere.test");
    assert_eq!(counted(&import(&api, &json!([with_address])).await), (0, 0, 1, vec![]));
    let profile = api.ledger.store.profile(&named("ada")).await.unwrap();
    assert_eq!(profile.email.unwrap().as_str(), "ada@elsewhere.test");
}
