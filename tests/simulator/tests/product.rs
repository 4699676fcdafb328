//! The product's own store on the in-memory DynamoDB: it asks for nothing that is not imitated.

use std::collections::BTreeMap;

use time::UtcDateTime;
use tollgate::store::Store;
use tollgate_simulator::connector::MemoryConnector;
use tollgate_simulator::dynamodb::MemoryDynamoDb;
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, Ledger};

use crate::comparison::schemas;
use crate::sdk::client;

/// What one account does in a few hours.
async fn live(ledger: &Ledger) -> BTreeMap<String, String> {
    ledger.put_prices().await;
    ledger.open(ALICE, "10:00:00").await;
    ledger.credit(ALICE, "pi_first", "20", "10:00:00").await;
    ledger.start(ALICE, "vm", &["vm-1", "vm-2"], "10:10:00").await;
    ledger.open_meter(ALICE, "tokens", "10:20:00").await;
    ledger.settle(ALICE, "11:00:00").await;
    ledger.stop(ALICE, &["vm-1"], "11:30:00").await;
    ledger.settle(ALICE, "13:00:00").await;
    // A payment that was credited already.
    assert!(ledger.try_credit(ALICE, "pi_first", "20", "13:00:00").await.is_ok());
    let account = check(ledger, ALICE).await;
    BTreeMap::from([
        ("balance".to_owned(), account.balance().to_string()),
        ("usage rows".to_owned(), account.count("usage").to_string()),
    ])
}

#[tokio::test]
async fn store_lives_on_it_as_on_the_engine() {
    let on_engine = Ledger::new().await;
    let mut on_memory = Ledger::new().await;
    let stage = on_memory.tables.ledger().split('-').nth(1).unwrap().to_owned();
    let database = MemoryDynamoDb::new(schemas(&stage));
    let client = client(&MemoryConnector::new(database, UtcDateTime::UNIX_EPOCH));
    on_memory.store = Store::new(client.clone(), on_memory.names());
    on_memory.undisturbed = on_memory.store.clone();
    on_memory.client = client;

    let lived = live(&on_memory).await;
    assert_eq!(lived, live(&on_engine).await);
    assert_eq!(lived["balance"], "16.90");
}
