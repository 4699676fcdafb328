//! The embedded DynamoDB has the tables of the template and performs DynamoDB's checks.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeyType, Put, ReturnValuesOnConditionCheckFailure, StreamViewType,
    TransactWriteItem,
};
use tollgate_tests::dynamodb::{DynamoDb, Tables};
use tollgate_tests::template::TestTemplate;

async fn start() -> (DynamoDb, Client, Tables) {
    let dynamodb = DynamoDb::start();
    let client = dynamodb.client();
    let tables = Tables::create(&client, &TestTemplate::of_this_repository()).await;
    (dynamodb, client, tables)
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

#[tokio::test]
async fn the_ledger_has_the_keys_stream_and_expiry_of_the_template() {
    let (_dynamodb, client, tables) = start().await;

    let answer = client.describe_table().table_name(tables.ledger()).send().await.unwrap();
    let ledger = answer.table().unwrap();

    let keys: Vec<_> =
        ledger.key_schema().iter().map(|key| (key.attribute_name(), key.key_type())).collect();
    assert_eq!(keys, [("account", &KeyType::Hash), ("seq", &KeyType::Range)]);
    let stream = ledger.stream_specification().unwrap();
    assert_eq!(stream.stream_view_type(), Some(&StreamViewType::NewAndOldImages));
    let answer = client.describe_time_to_live().table_name(tables.ledger()).send().await.unwrap();
    let time_to_live = answer.time_to_live_description().unwrap();
    assert_eq!(time_to_live.attribute_name(), Some("expires"));
}

#[tokio::test]
async fn an_index_holds_only_the_items_that_have_its_keys() {
    let (_dynamodb, client, tables) = start().await;
    let put = |sk: &str| {
        client
            .put_item()
            .table_name(tables.accounts())
            .item("pk", text("account#a"))
            .item("sk", text(sk))
            .item("secret", text("not projected"))
    };

    put("profile").send().await.unwrap();
    put("schedule")
        .item("due_shard", text("0"))
        .item("due_at", number(1_800_000_000))
        .send()
        .await
        .unwrap();

    let due = client
        .query()
        .table_name(tables.accounts())
        .index_name("due")
        .key_condition_expression("due_shard = :shard AND due_at <= :now")
        .expression_attribute_values(":shard", text("0"))
        .expression_attribute_values(":now", number(1_800_000_000))
        .send()
        .await
        .unwrap();
    let [item] = due.items() else { panic!("one account is due, not {due:?}") };
    assert_eq!(item["sk"], text("schedule"));
    assert!(!item.contains_key("secret"));
    let billable = client
        .query()
        .table_name(tables.accounts())
        .index_name("billable")
        .key_condition_expression("billable_shard = :shard")
        .expression_attribute_values(":shard", text("0"))
        .send()
        .await
        .unwrap();
    assert_eq!(billable.items(), []);
}

#[tokio::test]
async fn a_row_is_written_once_and_the_loser_is_given_the_winning_row() {
    let (_dynamodb, client, tables) = start().await;
    let append = |body: &str| {
        client
            .put_item()
            .table_name(tables.ledger())
            .item("account", text("a"))
            .item("seq", number(0))
            .item("body", text(body))
            .condition_expression("attribute_not_exists(seq)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    };

    append("first").send().await.unwrap();
    let refused = append("second").send().await.unwrap_err().into_service_error();

    let PutItemError::ConditionalCheckFailedException(refused) = refused else {
        panic!("not refused: {refused:?}")
    };
    assert_eq!(refused.item().unwrap()["body"], text("first"));
}

#[tokio::test]
async fn a_canceled_transaction_names_the_item_that_was_there() {
    let (_dynamodb, client, tables) = start().await;
    let append = |account: &str| {
        let put = Put::builder()
            .table_name(tables.ledger())
            .item("account", text(account))
            .item("seq", number(0))
            .condition_expression("attribute_not_exists(seq)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .unwrap();
        TransactWriteItem::builder().put(put).build()
    };

    client.transact_write_items().transact_items(append("a")).send().await.unwrap();
    let canceled = client
        .transact_write_items()
        .transact_items(append("b"))
        .transact_items(append("a"))
        .send()
        .await
        .unwrap_err()
        .into_service_error();

    let TransactWriteItemsError::TransactionCanceledException(canceled) = canceled else {
        panic!("not canceled: {canceled:?}")
    };
    let codes: Vec<_> =
        canceled.cancellation_reasons().iter().map(|reason| reason.code().unwrap()).collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed"]);
    assert_eq!(canceled.cancellation_reasons()[1].item().unwrap()["account"], text("a"));
}

#[tokio::test]
async fn tests_on_one_endpoint_share_no_table() {
    let (_dynamodb, client, tables) = start().await;
    let others = Tables::create(&client, &TestTemplate::of_this_repository()).await;
    assert_ne!(tables.ledger(), others.ledger());
    others.delete(&client).await;
    tables.delete(&client).await;
}

#[test]
fn a_dropped_server_is_gone_with_its_port() {
    let dynamodb = DynamoDb::embedded();
    let address = dynamodb.url().strip_prefix("http://").unwrap().to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());
    drop(dynamodb);
    assert!(std::net::TcpStream::connect(&address).is_err());
}
