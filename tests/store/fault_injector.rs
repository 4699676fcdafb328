//! Every fault has its documented effect on the caller and on the table.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, KeysAndAttributes, Put, TransactWriteItem,
};
use tollgate_tests::dynamodb::{Attempts, DynamoDb, Tables};
use tollgate_tests::faults::{Calls, Crash, Crashed, DynamoFault, FaultPlan, Faults, Operation};
use tollgate_tests::template::TestTemplate;

/// A ledger behind a faulty network, and a second way to it that is never disturbed.
struct FaultyTables {
    faults: Faults,
    client: Client,
    undisturbed: Client,
    tables: Tables,
    dynamodb: DynamoDb,
}

type Outcome<T, E> = Result<T, SdkError<E>>;

impl FaultyTables {
    async fn new() -> Self {
        let dynamodb = DynamoDb::start();
        let faults = Faults::none();
        let client = dynamodb.client_through(&faults, Attempts::ONE);
        let undisturbed = dynamodb.client();
        let tables = Tables::create(&undisturbed, &TestTemplate::of_this_repository()).await;
        Self { faults, client, undisturbed, tables, dynamodb }
    }

    async fn with(calls: Calls, fault: DynamoFault) -> Self {
        let world = Self::new().await;
        world.faults.set(calls, fault);
        world
    }

    async fn append(&self, seq: u64) -> Outcome<PutItemOutput, PutItemError> {
        self.append_through(&self.client, seq).await
    }

    async fn append_through(
        &self,
        client: &Client,
        seq: u64,
    ) -> Outcome<PutItemOutput, PutItemError> {
        client
            .put_item()
            .table_name(self.tables.ledger())
            .item("account", AttributeValue::S("a".to_owned()))
            .item("seq", AttributeValue::N(seq.to_string()))
            .condition_expression("attribute_not_exists(seq)")
            .send()
            .await
    }

    async fn append_both(
        &self,
        seqs: [u64; 2],
    ) -> Outcome<TransactWriteItemsOutput, TransactWriteItemsError> {
        let item = |seq: u64| {
            let put = Put::builder()
                .table_name(self.tables.ledger())
                .item("account", AttributeValue::S("a".to_owned()))
                .item("seq", AttributeValue::N(seq.to_string()))
                .condition_expression("attribute_not_exists(seq)")
                .build()
                .unwrap();
            TransactWriteItem::builder().put(put).build()
        };
        let items = seqs.map(item).to_vec();
        self.client.transact_write_items().set_transact_items(Some(items)).send().await
    }

    /// How many rows there really are.
    async fn rows(&self) -> usize {
        self.page(&self.undisturbed).await.len()
    }

    async fn page(&self, client: &Client) -> Vec<u64> {
        let answer = client
            .query()
            .table_name(self.tables.ledger())
            .key_condition_expression("account = :account")
            .expression_attribute_values(":account", AttributeValue::S("a".to_owned()))
            .consistent_read(true)
            .send()
            .await
            .unwrap();
        let seq = |item: &std::collections::HashMap<String, AttributeValue>| {
            item["seq"].as_n().unwrap().parse().unwrap()
        };
        answer.items().iter().map(seq).collect()
    }
}

fn reasons(error: SdkError<TransactWriteItemsError>) -> Vec<String> {
    let error = error.into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        panic!("not canceled: {error:?}")
    };
    let code = |reason: &CancellationReason| reason.code().unwrap().to_owned();
    canceled.cancellation_reasons().iter().map(code).collect()
}

fn is_lost<E: std::fmt::Debug>(error: &SdkError<E>) -> bool {
    matches!(error, SdkError::DispatchFailure(failure) if failure.is_io())
}

#[tokio::test]
async fn a_refused_call_never_arrives() {
    let world =
        FaultyTables::with(Calls::of(Operation::PutItem).first(1), DynamoFault::Refused).await;
    let error = world.append(0).await.unwrap_err();
    assert!(is_lost(&error), "{error:?}");
    assert_eq!(world.rows().await, 0);
    world.append(0).await.unwrap();
}

#[tokio::test]
async fn a_throttled_call_is_not_applied() {
    let world = FaultyTables::with(Calls::any().first(2), DynamoFault::Throttled).await;
    let error = world.append(0).await.unwrap_err().into_service_error();
    assert!(error.is_provisioned_throughput_exceeded_exception(), "{error:?}");
    let error = world.append_both([0, 1]).await.unwrap_err().into_service_error();
    assert!(error.is_provisioned_throughput_exceeded_exception(), "{error:?}");
    assert_eq!(world.rows().await, 0);
}

#[tokio::test]
async fn a_transaction_with_a_throttled_item_is_canceled() {
    let world =
        FaultyTables::with(Calls::of(Operation::TransactWriteItems), DynamoFault::ItemThrottled)
            .await;
    let error = world.append_both([0, 1]).await.unwrap_err();
    assert_eq!(reasons(error), ["ThrottlingError", "None"]);
    assert_eq!(world.rows().await, 0);
}

#[tokio::test]
async fn a_conflict_cancels_a_transaction_and_refuses_a_put() {
    let world = FaultyTables::with(Calls::any().first(2), DynamoFault::TransactionConflict).await;
    let error = world.append_both([0, 1]).await.unwrap_err();
    assert_eq!(reasons(error), ["TransactionConflict", "None"]);
    let error = world.append(0).await.unwrap_err().into_service_error();
    assert!(error.is_transaction_conflict_exception(), "{error:?}");
    assert_eq!(world.rows().await, 0);
}

#[tokio::test]
async fn an_internal_error_leaves_open_whether_the_call_was_applied() {
    let world = FaultyTables::with(Calls::any().nth(1), DynamoFault::InternalError).await;
    world.faults.set(Calls::any().nth(2), DynamoFault::InternalErrorApplied);

    for rows in [0, 1] {
        let error = world.append(0).await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
        assert!(error.into_service_error().is_internal_server_error());
        assert_eq!(world.rows().await, rows);
    }
}

#[tokio::test]
async fn call_with_a_lost_answer_is_applied() {
    let world = FaultyTables::with(Calls::any().first(1), DynamoFault::AnswerLost).await;
    let error = world.append(0).await.unwrap_err();
    assert!(is_lost(&error), "{error:?}");
    assert_eq!(world.rows().await, 1);
}

#[tokio::test]
async fn a_call_applied_twice_gives_the_second_answer() {
    let world = FaultyTables::with(Calls::any(), DynamoFault::AppliedTwice).await;

    let error = world.append(0).await.unwrap_err().into_service_error();
    assert!(error.is_conditional_check_failed_exception(), "{error:?}");
    assert_eq!(world.rows().await, 1);

    // The SDK gives each transaction a token, so its second time is a replay.
    world.append_both([1, 2]).await.unwrap();
    assert_eq!(world.rows().await, 3);
}

#[tokio::test]
async fn an_unprocessed_batch_returns_its_keys() {
    let world =
        FaultyTables::with(Calls::of(Operation::BatchGetItem).first(1), DynamoFault::Unprocessed)
            .await;
    world.append(0).await.unwrap();
    let key = [
        ("account".to_owned(), AttributeValue::S("a".to_owned())),
        ("seq".to_owned(), AttributeValue::N("0".to_owned())),
    ];
    let keys = KeysAndAttributes::builder().keys(key.into()).build().unwrap();
    let batch = || {
        let request = [(world.tables.ledger().to_owned(), keys.clone())].into();
        world.client.batch_get_item().set_request_items(Some(request)).send()
    };

    let answer = batch().await.unwrap();
    assert!(answer.responses().unwrap().is_empty());
    assert_eq!(answer.unprocessed_keys().unwrap()[world.tables.ledger()].keys().len(), 1);
    let answer = batch().await.unwrap();
    assert_eq!(answer.responses().unwrap()[world.tables.ledger()].len(), 1);
}

#[tokio::test]
async fn short_page_has_one_item_and_a_next_key() {
    let world = FaultyTables::with(Calls::of(Operation::Query), DynamoFault::ShortPage).await;
    world.append_both([0, 1]).await.unwrap();
    assert_eq!(world.page(&world.client).await, [0]);
    assert_eq!(world.page(&world.undisturbed).await, [0, 1]);
}

#[tokio::test]
async fn a_slow_call_waits_before_and_after() {
    let wait = Duration::from_millis(30);
    let world =
        FaultyTables::with(Calls::any(), DynamoFault::Slow { before: wait, after: wait }).await;
    let start = Instant::now();
    world.append(0).await.unwrap();
    assert!(start.elapsed() >= 2 * wait);
}

#[tokio::test]
async fn a_gate_before_a_call_lets_another_writer_win() {
    let world = FaultyTables::new().await;
    let gate = world.faults.gate_before(Calls::of(Operation::PutItem).nth(2));
    world.append(0).await.unwrap();

    let other_writer = async {
        gate.reached().await;
        world.append_through(&world.undisturbed, 1).await.unwrap();
        gate.open();
    };
    let (paused, ()) = tokio::join!(world.append(1), other_writer);

    assert!(paused.unwrap_err().into_service_error().is_conditional_check_failed_exception());
    assert_eq!(world.rows().await, 2);
}

#[tokio::test]
async fn a_gate_after_a_call_holds_an_answer_that_is_already_old() {
    let world = FaultyTables::new().await;
    let gate = world.faults.gate_after(Calls::of(Operation::Query));

    let writer = async {
        gate.reached().await;
        world.append_through(&world.undisturbed, 0).await.unwrap();
        gate.open();
    };
    let (page, ()) = tokio::join!(world.page(&world.client), writer);

    assert!(page.is_empty());
    assert_eq!(world.rows().await, 1);
}

#[tokio::test]
async fn a_dropped_gate_is_open() {
    let world = FaultyTables::new().await;
    drop(world.faults.gate_before(Calls::any()));
    world.append(0).await.unwrap();
}

/// Appends three rows, one call each. Reports the number of completed calls.
async fn process(world: &FaultyTables, reached: &mut u64) -> Result<(), SdkError<PutItemError>> {
    for seq in 0..3 {
        *reached = seq;
        world.append(seq).await?;
    }
    *reached = 3;
    Ok(())
}

#[tokio::test]
async fn a_process_dies_before_any_call_and_no_more_of_it_runs() {
    for (crash, rows) in [
        (Crash::BeforeCall(1), 0),
        (Crash::AfterCall(1), 1),
        (Crash::BeforeCall(3), 2),
        (Crash::AfterCall(3), 3),
    ] {
        let world = FaultyTables::new().await;
        world.faults.crash(crash);
        let mut reached = 0;
        let mut survived = false;

        let outcome = world
            .faults
            .until_crash(async {
                let _failed = process(&world, &mut reached).await;
                survived = true;
            })
            .await;

        assert_eq!(outcome, Err(Crashed), "{crash:?}");
        assert!(!survived, "{crash:?}");
        assert_eq!(world.rows().await, rows, "{crash:?}");
        assert!(world.faults.has_crashed());
        assert!(world.append(9).await.is_err(), "the dead make no calls");

        world.faults.revive();
        world.append(9).await.unwrap();
    }
}

#[tokio::test]
async fn a_crash_beyond_the_last_call_never_comes() {
    let world = FaultyTables::new().await;
    world.faults.crash(Crash::BeforeCall(4));
    let mut reached = 0;
    world.faults.until_crash(process(&world, &mut reached)).await.unwrap().unwrap();
    assert_eq!(reached, 3);
    world.faults.revive();
    world.append(3).await.unwrap();
}

#[tokio::test]
async fn the_dead_are_not_retried_by_the_sdk() {
    let world = FaultyTables::new().await;
    let client = world.dynamodb.client_through(&world.faults, Attempts::at_most(5));
    world.faults.crash(Crash::BeforeCall(1));
    world.append_through(&client, 0).await.unwrap_err();
    assert_eq!(world.faults.calls().len(), 1);
}

#[tokio::test]
async fn the_sdk_retries_as_often_as_it_is_allowed_to() {
    let world = FaultyTables::with(Calls::any().first(2), DynamoFault::Refused).await;
    let client = world.dynamodb.client_through(&world.faults, Attempts::at_most(3));
    world.append_through(&client, 0).await.unwrap();
    assert_eq!(world.faults.count(&Operation::PutItem), 3);
}

#[tokio::test]
async fn calls_are_recorded_with_their_outcome() {
    let world =
        FaultyTables::with(Calls::of(Operation::PutItem).nth(2), DynamoFault::Throttled).await;
    world.append(0).await.unwrap();
    world.append(1).await.unwrap_err();
    world.page(&world.client).await;

    assert_eq!(
        world.faults.operations(),
        [Operation::PutItem, Operation::PutItem, Operation::Query]
    );
    let calls = world.faults.take_calls();
    assert_eq!(calls[0].json()["TableName"], world.tables.ledger());
    assert_eq!(calls[0].json()["Item"]["seq"]["N"], "0");
    assert_eq!((calls[0].fault, calls[0].status), (None, Some(200)));
    assert_eq!((calls[1].fault, calls[1].status), (Some(DynamoFault::Throttled), Some(400)));
    assert_eq!(world.faults.calls().len(), 0);
}

#[tokio::test]
async fn a_plan_does_the_same_for_the_same_seed() {
    let outcomes = async |seed: u64| {
        let world = FaultyTables::new().await;
        let plan = FaultPlan::seeded(seed)
            .with(DynamoFault::Throttled, 200)
            .with(DynamoFault::AnswerLost, 200)
            .with(DynamoFault::ShortPage, 600)
            .only([Operation::PutItem])
            .at_most(10);
        world.faults.plan(plan);
        for seq in 0..50 {
            let _maybe_faulty = world.append(seq).await;
        }
        let calls = world.faults.take_calls();
        calls.into_iter().map(|call| call.fault).collect::<Vec<_>>()
    };

    let once = outcomes(7).await;
    assert_eq!(once.iter().flatten().count(), 10);
    assert!(
        once.contains(&Some(DynamoFault::Throttled))
            && once.contains(&Some(DynamoFault::AnswerLost))
    );
    assert!(!once.contains(&Some(DynamoFault::ShortPage)), "a put has no pages");
    assert_eq!(outcomes(7).await, once);
    assert_ne!(outcomes(8).await, once);
}

#[tokio::test]
async fn faults_can_be_cleared() {
    let world = FaultyTables::with(Calls::any(), DynamoFault::Refused).await;
    world.faults.plan(FaultPlan::seeded(1).with(DynamoFault::Throttled, 1000));
    world.faults.crash(Crash::BeforeCall(1));
    world.faults.clear();
    world.append(0).await.unwrap();
}
