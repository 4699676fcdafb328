//! A DynamoDB that takes calls and never answers them.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use tokio::net::TcpListener;
use tollgate::domain::policy::Policy;
use tollgate::domain::resources::BillableList;
use tollgate::domain::row::ChainHead;
use tollgate::runtime::aws;
use tollgate::store::{Store, StoreError, TableNames};
use tollgate_tests::ledger::{ALICE, named};

/// What a slice of the hourly run may lose to one account.
const BOUND: Duration = Duration::from_secs(12);

/// A store whose calls go to an address that accepts connections and says nothing.
async fn store() -> (TcpListener, Store) {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let config = aws::read(|variable| {
        Some(if variable == "AWS_ENDPOINT_URL" { endpoint.clone() } else { "us-east-1".to_owned() })
    });
    let tables = TableNames { ledger: "ledger".to_owned(), accounts: "accounts".to_owned() };
    (silent, Store::new(Client::new(&config.unwrap()), tables))
}

#[tokio::test]
async fn a_read_that_is_never_answered_is_given_up() {
    let (_silent, store) = store().await;
    let begun = Instant::now();
    let head = store.head(&named(ALICE)).await;
    assert!(matches!(head, Err(StoreError::Unavailable { .. })), "{head:?}");
    assert!(begun.elapsed() < BOUND, "after {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_write_that_is_never_answered_is_given_up() {
    let (_silent, store) = store().await;
    let (head, policy) = (ChainHead::none(), Policy::default());
    let event = tollgate::domain::decide::decide(
        &head.state,
        &tollgate::domain::command::Command::Open,
        tollgate::domain::event::Cause::Command,
        &policy,
        named("2026-11-22T10:00:00Z"),
    );
    let begun = Instant::now();
    let list = BillableList::default();
    let appended = store.append(&named(ALICE), &head, &event.unwrap(), &list, &policy).await;
    assert!(matches!(appended, Err(StoreError::Unavailable { .. })), "{appended:?}");
    assert!(begun.elapsed() < BOUND, "after {:?}", begun.elapsed());
}
