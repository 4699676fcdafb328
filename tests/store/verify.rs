//! A chain reveals tampering. Rows of older releases stay readable.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use tollgate::domain::ids::CounterName;
use tollgate::domain::row::RowError;
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::usage::UsageLabels;
use tollgate::store::{ChainError, ReportRules, ReportedAmount, RowOrder, StoreError, UsageReport};
use tollgate_tests::ledger::{ALICE, Ledger, at, named};

type Item = HashMap<String, AttributeValue>;

/// Six rows: opened, topup, bonus, started, usage, stopped.
async fn history() -> Ledger {
    let ledger = Ledger::with_credit("10").await;
    ledger.grant(ALICE, "3", "2026-12-22T10:00:00Z", "10:05:00").await;
    ledger.start(ALICE, "vm", &["r1", "r2"], "10:20:00").await;
    ledger.settle(ALICE, "11:00:00").await;
    ledger.stop(ALICE, &["r1"], "11:30:00").await;
    ledger
}

fn key(seq: u64) -> [AttributeValue; 2] {
    [AttributeValue::S(ALICE.to_owned()), AttributeValue::N(seq.to_string())]
}

async fn item(ledger: &Ledger, seq: u64) -> Item {
    let [account, number] = key(seq);
    let get = ledger
        .client
        .get_item()
        .table_name(ledger.tables.ledger())
        .key("account", account)
        .key("seq", number);
    get.send().await.unwrap().item.unwrap()
}

/// Replaces a row, which no permission allows.
async fn replace(ledger: &Ledger, item: Item) {
    let put = ledger.client.put_item().table_name(ledger.tables.ledger()).set_item(Some(item));
    put.send().await.unwrap();
}

async fn remove(ledger: &Ledger, seq: u64) {
    let [account, number] = key(seq);
    let delete = ledger.client.delete_item().table_name(ledger.tables.ledger());
    delete.key("account", account).key("seq", number).send().await.unwrap();
}

async fn wrong(ledger: &Ledger) -> RowError {
    match ledger.undisturbed.verify(&named(ALICE)).await {
        Err(ChainError::Wrong(fault)) => fault,
        other => panic!("nothing is found: {other:?}"),
    }
}

/// Changes the stored body of a row.
async fn change_body(ledger: &Ledger, seq: u64, from: &str, to: &str) {
    let mut row = item(ledger, seq).await;
    let body = row["body"].as_s().unwrap().clone();
    assert!(body.contains(from), "{body} has no {from}");
    row.insert("body".to_owned(), AttributeValue::S(body.replacen(from, to, 1)));
    replace(ledger, row).await;
}

#[tokio::test]
async fn an_untouched_chain_is_verified_with_its_head() {
    let ledger = history().await;
    let verified = ledger.store.verify(&named(ALICE)).await.unwrap();
    assert_eq!(verified.rows, 6);
    assert_eq!(verified.head, ledger.head(ALICE).await);
    assert_eq!(ledger.store.verify(&named("nobody")).await.unwrap().rows, 0);
}

#[tokio::test]
async fn a_changed_body_shows_in_the_row_after_it() {
    let ledger = history().await;
    change_body(&ledger, 2, "a test", "a jest").await;
    assert_eq!(wrong(&ledger).await, RowError::Hash { seq: 3 });
}

#[tokio::test]
async fn verify_detects_tampered_head() {
    let ledger = history().await;
    let good = item(&ledger, 5).await;
    change_body(&ledger, 5, r#""r":"1.3""#, r#""r":"1.4""#).await;
    assert_eq!(wrong(&ledger).await, RowError::Attribute { seq: 5, attribute: "balance" });
    replace(&ledger, good).await;
    change_body(&ledger, 5, r#""q":3"#, r#""q":7"#).await;
    assert_eq!(wrong(&ledger).await, RowError::State { seq: 5 });
}

#[tokio::test]
async fn a_changed_attribute_differs_from_the_body() {
    let ledger = history().await;
    let good = item(&ledger, 4).await;
    let changes = [
        ("at", AttributeValue::N("1".to_owned())),
        ("type", AttributeValue::S("topup".to_owned())),
        ("amount", AttributeValue::N("7".to_owned())),
        ("balance", AttributeValue::N("1000".to_owned())),
    ];
    for (attribute, value) in changes {
        let mut row = good.clone();
        row.insert(attribute.to_owned(), value);
        replace(&ledger, row).await;
        assert_eq!(wrong(&ledger).await, RowError::Attribute { seq: 4, attribute });
    }
    let mut row = good.clone();
    row.remove("balance");
    replace(&ledger, row).await;
    assert!(matches!(wrong(&ledger).await, RowError::Unreadable { seq: 4, .. }));
}

#[tokio::test]
async fn a_missing_row_is_named_wherever_it_was_but_at_the_end() {
    for seq in 0..5 {
        let ledger = history().await;
        remove(&ledger, seq).await;
        assert_eq!(wrong(&ledger).await, RowError::Missing { expected: seq, found: seq + 1 });
    }
    // A chain alone cannot reveal a missing end. The head is compared with a copy elsewhere.
    let ledger = history().await;
    let before = ledger.store.verify(&named(ALICE)).await.unwrap();
    remove(&ledger, 5).await;
    let after = ledger.store.verify(&named(ALICE)).await.unwrap();
    assert_eq!((before.rows, after.rows), (6, 5));
    assert_ne!(before.head.digest, after.head.digest);
}

#[tokio::test]
async fn swapped_rows_are_out_of_order() {
    let ledger = history().await;
    let (mut third, mut fourth) = (item(&ledger, 2).await, item(&ledger, 3).await);
    third.insert("seq".to_owned(), AttributeValue::N("3".to_owned()));
    fourth.insert("seq".to_owned(), AttributeValue::N("2".to_owned()));
    replace(&ledger, third).await;
    replace(&ledger, fourth).await;
    assert_eq!(wrong(&ledger).await, RowError::Hash { seq: 2 });
}

#[tokio::test]
async fn a_row_of_another_account_does_not_follow() {
    let ledger = history().await;
    ledger.open("bob", "10:00:00").await;
    let mut row = item(&ledger, 0).await;
    row.insert("account".to_owned(), AttributeValue::S("bob".to_owned()));
    row.insert("seq".to_owned(), AttributeValue::N("1".to_owned()));
    replace(&ledger, row).await;
    let verified = ledger.store.verify(&named("bob")).await;
    assert_eq!(verified, Err(ChainError::Wrong(RowError::Hash { seq: 1 })));
}

#[tokio::test]
async fn a_tampered_head_is_not_appended_to() {
    let ledger = history().await;
    let mut row = item(&ledger, 5).await;
    row.insert("balance".to_owned(), AttributeValue::N("1000".to_owned()));
    replace(&ledger, row).await;
    let fault = ledger.try_settle(ALICE, "12:00:00").await.unwrap_err();
    assert_eq!(fault, StoreError::Broken(RowError::Attribute { seq: 5, attribute: "balance" }));
    assert!(!fault.may_retry());
}

/// Rows as earlier releases wrote them, item by item, as JSON. They never change.
const ROWS_OF_FORMAT_1: &str = include_str!("../../shared/tests/fixtures/rows_of_format_1.json");

const ROWS_OF_FORMAT_2: &str = include_str!("rows_of_format_2.json");

const ROWS_OF_FORMAT_3: &str = include_str!("rows_of_format_3.json");

const ROWS_OF_FORMAT_4: &str = include_str!("rows_of_format_4.json");

const ROWS_OF_FORMAT_5: &str = include_str!("rows_of_format_5.json");

/// Rows as this release writes them.
const ROWS_OF_FORMAT_6: &str = include_str!("rows_of_format_6.json");

/// The history that all of them were written by.
async fn history_of_every_format() -> Ledger {
    let ledger = history().await;
    ledger.open_meter(ALICE, "tokens", "11:40:00").await;
    let report = UsageReport {
        project: named("p"),
        sku: named("tokens"),
        at: at("11:45:00"),
        stated_at: None,
        labels: UsageLabels::default(),
        amount: ReportedAmount::Reading { counter: CounterName::main(), reading: named("1000000") },
    };
    let format = ledger.policy.row_format;
    let rules = ReportRules { step_max: named("1000000"), format, now: at("11:45:00") };
    ledger.store.report(&named(ALICE), &report, rules).await.unwrap();
    ledger.settle(ALICE, "13:00:00").await;
    ledger.settle(ALICE, "2026-11-24T13:00:00Z").await;
    ledger.credit(ALICE, "pi_second", "25", "2026-11-24T14:00:00Z").await;
    ledger
}

async fn stored(ledger: &Ledger) -> String {
    let count = ledger.head(ALICE).await.state.next_seq;
    let mut lines = Vec::new();
    for seq in 0..count {
        let row = item(ledger, seq).await;
        let text = |name: &str| row[name].as_s().unwrap().clone();
        let number = |name: &str| row[name].as_n().unwrap().clone();
        lines.push(serde_json::json!({
            "seq": number("seq"), "at": number("at"), "type": text("type"), "amount": number("amount"),
            "balance": number("balance"), "body": text("body"),
        }));
    }
    serde_json::to_string_pretty(&lines).unwrap() + "\n"
}

#[tokio::test]
async fn the_stored_form_does_not_change_without_its_version() {
    assert_eq!(
        RowFormat::WRITTEN,
        RowFormat::new(6),
        "keep the fixture of every older format, and add one of the new"
    );
    let written = stored(&history_of_every_format().await).await;
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/store/rows_of_format_6.json");
        std::fs::write(path, &written).unwrap();
    }
    assert!(written == ROWS_OF_FORMAT_6, "rows are written otherwise than before:\n{written}");
}

#[test]
fn template_writes_the_newest_format_by_default() {
    let template = include_str!("../../infra/template.yaml");
    let written = RowFormat::WRITTEN;
    let parameter = format!("\n  RowFormat:\n    Type: Number\n    Default: {written}\n");
    assert!(template.contains(&parameter), "{parameter}");
}

#[tokio::test]
async fn rows_of_every_format_are_read_verified_and_appended_to() {
    let formats = [
        ROWS_OF_FORMAT_1,
        ROWS_OF_FORMAT_2,
        ROWS_OF_FORMAT_3,
        ROWS_OF_FORMAT_4,
        ROWS_OF_FORMAT_5,
        ROWS_OF_FORMAT_6,
    ];
    for rows in formats {
        are_read_verified_and_appended_to(rows).await;
    }
}

async fn are_read_verified_and_appended_to(rows: &str) {
    let ledger = Ledger::new().await;
    let rows: Vec<serde_json::Value> = serde_json::from_str(rows).unwrap();
    for row in &rows {
        let text = |name: &str| AttributeValue::S(row[name].as_str().unwrap().to_owned());
        let number = |name: &str| AttributeValue::N(row[name].as_str().unwrap().to_owned());
        let item = Item::from([
            ("account".to_owned(), AttributeValue::S(ALICE.to_owned())),
            ("seq".to_owned(), number("seq")),
            ("at".to_owned(), number("at")),
            ("type".to_owned(), text("type")),
            ("amount".to_owned(), number("amount")),
            ("balance".to_owned(), number("balance")),
            ("body".to_owned(), text("body")),
        ]);
        replace(&ledger, item).await;
    }
    let verified = ledger.store.verify(&named(ALICE)).await.unwrap();
    assert_eq!(verified.rows, rows.len() as u64);
    let page =
        ledger.store.rows(&named(ALICE), 0..u64::MAX, RowOrder::OldestFirst, 100).await.unwrap();
    assert_eq!(page.rows.len(), rows.len());
    ledger.credit(ALICE, "pi_third", "5", "2026-11-24T15:00:00Z").await;
    assert_eq!(ledger.undisturbed.verify(&named(ALICE)).await.unwrap().rows, verified.rows + 1);
}
