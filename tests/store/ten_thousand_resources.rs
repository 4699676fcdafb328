//! Ten thousand resources on one account: billed with lines in chunks, suspended with one row.

use aws_sdk_dynamodb::types::AttributeValue;
use tollgate::domain::account::Standing;
use tollgate::domain::event::{BilledLines, BillingChange, Change};
use tollgate::domain::ids::AccountId;
use tollgate::domain::money::Usd;
use tollgate::domain::resources::{BillableList, ResourceCondition};
use tollgate::domain::row::RowError;
use tollgate::store::{BoundedRead, ChainError, READS_MAX};
use tollgate::views::spending::{ServiceTime, SpendingSteps};
use tollgate_tests::faults::Operation;
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, Ledger, named};

const RESOURCES: usize = 10_000;

#[tokio::test]
async fn ten_thousand_resources_are_suspended_in_one_row() {
    let ledger = Ledger::with_credit("400").await;
    ledger.start_many(ALICE, "web", RESOURCES, "10:30:00").await;
    // 10,000 × $0.0208333, half an hour each: $0.010417.
    assert_eq!(ledger.head(ALICE).await.state.balance(), named("295.83"));

    drop(ledger.faults.take_calls());
    let report = ledger.settle(ALICE, "11:00:00").await;
    assert_eq!(report.appended, 1);
    let head = ledger.head(ALICE).await;
    assert_eq!(head.state.balance(), named("87.5"), "another 10,000 × $0.020833");
    let row =
        ledger.store.row_with_lines(&named(ALICE), head.state.next_seq - 1).await.unwrap().unwrap();
    let Change::Billing(BillingChange::Usage { lines: BilledLines::Here(lines), .. }) =
        &row.event.change
    else {
        panic!("{:?}", row.event.change)
    };
    assert_eq!(lines.len(), RESOURCES);
    let puts = ledger.faults.count(&Operation::PutItem);
    assert!((3..=5).contains(&puts), "a few chunks and one row, not {puts} puts");

    let report = ledger.settle(ALICE, "13:00:00").await;
    assert_eq!(report.appended, 2, "part of an hour, and the suspension");
    let state = ledger.head(ALICE).await.state;
    assert!(matches!(state.standing, Standing::Suspended(_)));
    let list = ledger.undisturbed.billables(&named(ALICE)).await.unwrap();
    let suspended = |resource: &&tollgate::domain::resources::Resource| {
        resource.condition(&state) == ResourceCondition::Suspended
    };
    assert_eq!(list.resources.values().filter(suspended).count(), RESOURCES);
    let account = check(&ledger, ALICE).await;
    assert_eq!((account.count("usage"), account.count("suspended")), (2, 1));

    what_was_spent_is_read_in_bounded_reads(&ledger, &list).await;
    a_wrong_chunk_shows(&ledger).await;
}

async fn what_was_spent_is_read_in_bounded_reads(ledger: &Ledger, list: &BillableList) {
    let account: AccountId = named(ALICE);
    let spending = |reads_max| {
        ledger.undisturbed.spending(
            &account,
            (ServiceTime::all(), SpendingSteps::Whole),
            list,
            &ledger.prices,
            reads_max,
        )
    };
    let BoundedRead::All(all) = spending(READS_MAX).await.unwrap() else { panic!("it fits") };
    assert_eq!(all.len(), RESOURCES);
    let total: Usd = all.values().map(|spent| spent.amount).sum();
    assert_eq!(
        named::<Usd>("400") - total,
        ledger.head(ALICE).await.state.balance(),
        "nothing else moved money"
    );
    assert_eq!(spending(2).await.unwrap(), BoundedRead::TooMuch, "chunks count as reads");
    let balances = ledger.undisturbed.balances(&account, 0..u64::MAX, 0).await.unwrap();
    assert_eq!(balances, BoundedRead::TooMuch);
}

async fn a_wrong_chunk_shows(ledger: &Ledger) {
    let account: AccountId = named(ALICE);
    let all = ledger
        .client
        .scan()
        .table_name(ledger.tables.ledger())
        .filter_expression("attribute_exists(#lines)");
    let all = all.expression_attribute_names("#lines", "lines");
    let mut pages = all.into_paginator().send();
    let mut chunk = None;
    while let Some(page) = pages.next().await {
        chunk = chunk.or(page.unwrap().items.unwrap().into_iter().next());
    }
    let mut chunk = chunk.unwrap();
    let lines = chunk["lines"].as_s().unwrap().replacen("0.0208333", "0.0208334", 1);
    let original = chunk.insert("lines".to_owned(), AttributeValue::S(lines)).unwrap();
    let put = |item| {
        ledger.client.put_item().table_name(ledger.tables.ledger()).set_item(Some(item)).send()
    };
    put(chunk.clone()).await.unwrap();
    let first = match ledger.store.verify(&account).await {
        Err(ChainError::Wrong(RowError::Lines { seq })) => seq,
        other => panic!("nothing is found: {other:?}"),
    };
    let row = ledger
        .undisturbed
        .rows(&account, first..first + 1, tollgate::store::RowOrder::OldestFirst, 1)
        .await
        .unwrap();
    assert_eq!(row.rows[0].event.change.name(), "usage");

    let delete = ledger.client.delete_item().table_name(ledger.tables.ledger());
    let delete = delete.key("account", chunk["account"].clone()).key("seq", chunk["seq"].clone());
    delete.send().await.unwrap();
    let missing = ledger.store.verify(&account).await;
    assert_eq!(missing, Err(ChainError::Wrong(RowError::Lines { seq: first })));

    chunk.insert("lines".to_owned(), original);
    put(chunk).await.unwrap();
    assert!(ledger.store.verify(&account).await.is_ok());
}
