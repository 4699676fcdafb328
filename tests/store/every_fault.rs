//! Whatever happens at whichever call of the store, the chain is the same in the end.
//!
//! A scenario is run once undisturbed and its calls are counted. Then it is run again for every
//! call and everything that may happen to that call. A run that fails or dies is run again, as its
//! trigger would be.

use std::time::Duration;

use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::event::{Cause, CreditKind, KeyedRequest, TakeBack};
use tollgate::domain::ids::{AccountId, CounterName};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{open_meter, start_new, stop};
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;
use tollgate::domain::usage::UsageLabels;
use tollgate::store::{
    CommandError, CommandOutcome, Plan, ReportRules, ReportedAmount, Store, TakenPart, UsageReport,
};
use tollgate_tests::dynamodb::Attempts;
use tollgate_tests::faults::{Calls, Crash, DynamoFault, Operation};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, Ledger, at, named, new_resources, project, topup};

/// The maximum number of deliveries of a trigger.
const DELIVERIES_MAX: u32 = 3;

/// The triggers of the scenario, each at its own time, in order.
#[derive(Clone, Copy, Debug)]
enum Trigger {
    Open,
    Credit(&'static str, &'static str),
    Start(&'static [&'static str]),
    Stop(&'static str),
    Settle,
    Refund,
    ReverseRefund,
    OpenMeter,
    Read,
    Use,
}

/// Everything the store does, with a suspension that a payment ends.
const SCENARIO: [(&str, Trigger); 12] = [
    ("10:00:00", Trigger::Open),
    ("10:01:00", Trigger::Credit("pi_1", "7")),
    ("10:02:00", Trigger::OpenMeter),
    ("10:20:00", Trigger::Start(&["r1", "r2"])),
    ("10:40:00", Trigger::Read),
    ("10:41:00", Trigger::Use),
    ("11:00:00", Trigger::Settle),
    ("11:30:00", Trigger::Stop("r2")),
    ("11:31:00", Trigger::Refund),
    ("11:32:00", Trigger::ReverseRefund),
    ("14:55:00", Trigger::Settle),
    ("15:30:00", Trigger::Credit("pi_2", "9")),
];

/// The calls of the scenario when nothing happens, trigger by trigger: q is a query, g a get, p a
/// put, u an update, t a transaction.
const CALLS: [&str; 12] = [
    "qp", "qtq", "qgqt", "qgqqt", "gt", "gt", "qqqtp", "qgqqt", "qqqqt", "qgqqtqq", "qqqpptt",
    "qtqqt",
];

/// The rows of the scenario with amount and balance, the counter of the meter, and what was reported
/// and billed of the hour.
const OUTCOME: [&str; 17] = [
    "0 opened 2026-11-22T10:00:00Z 0.00 0.00",
    "1 topup 2026-11-22T10:01:00Z 7.00 7.00",
    "2 meter_opened 2026-11-22T10:02:00Z 0.00 7.00",
    "3 started 2026-11-22T10:20:00Z -1.60 5.40",
    "4 metered 2026-11-22T11:00:00Z -0.30 5.10",
    "5 usage 2026-11-22T11:00:00Z -2.40 2.70",
    "6 stopped 2026-11-22T11:30:00Z 0.60 3.30",
    "7 refund 2026-11-22T11:31:00Z -1.50 1.80",
    "8 refund_reversed 2026-11-22T11:32:00Z 1.50 3.30",
    "9 usage 2026-11-22T14:55:00Z -1.20 2.10",
    "10 usage 2026-11-22T14:55:00Z -1.20 0.90",
    "11 usage 2026-11-22T14:55:00Z -0.90 0.00",
    "12 suspended 2026-11-22T14:55:00Z 0.00 0.00",
    "13 topup 2026-11-22T15:30:00Z 9.00 9.00",
    "14 resumed 2026-11-22T15:30:00Z 0.00 9.00",
    "100000 100000",
    "150000 150000",
];

async fn deliver(ledger: &Ledger, number: usize) -> Result<(), CommandError> {
    let (time, step) = SCENARIO[number];
    let (account, now): (AccountId, Timestamp) = (named(ALICE), at(time));
    let (store, trigger) = (&ledger.store, ledger.trigger(&account, now));
    let request = Cause::Request(KeyedRequest {
        key: named(&format!("request-{number}")),
        digest: format!("{step:?}"),
    });
    let (refunded, refund) = (topup("pi_1", "7"), TakeBack::Refund(named("re_1")));
    let done = match step {
        Trigger::Open => store
            .execute(
                trigger,
                Cause::Command,
                Plan::on_snapshot(&|_: &AccountSnapshot<'_>| Ok(Command::Open)),
            )
            .await
            .and_then(settled),
        Trigger::Credit(payment, amount) => {
            let (payment, kind) = (topup(payment, amount), CreditKind::TopUp);
            let credit = |_: &AccountState| {
                Ok(Command::Credit {
                    payment: payment.clone(),
                    kind,
                    plan: None,
                    bonus: None,
                    also: Vec::new(),
                })
            };
            store.execute(trigger, Cause::Stripe, Plan::on_state(&credit)).await.and_then(settled)
        }
        Trigger::Start(ids) => {
            let (project, new) = (project(&account), new_resources("big", ids));
            store
                .execute(
                    trigger,
                    request,
                    Plan::on_snapshot(&|view: &AccountSnapshot<'_>| {
                        start_new(view, &project, &new, now)
                    }),
                )
                .await
                .and_then(settled)
        }
        Trigger::Stop(id) => {
            let ids = [named(id)];
            store
                .execute(
                    trigger,
                    request,
                    Plan::on_snapshot(&|view: &AccountSnapshot<'_>| stop(view, &ids)),
                )
                .await
                .and_then(settled)
        }
        Trigger::Settle => store.settle(trigger).await.map(drop).map_err(CommandError::from),
        Trigger::Refund => {
            let take = Plan::take_back(&refund, &refunded, TakenPart::Cents(150));
            store.execute(trigger, Cause::Stripe, take).await.and_then(settled)
        }
        Trigger::ReverseRefund => store
            .execute(trigger, Cause::Stripe, Plan::give_back(&refund, &refunded, 150))
            .await
            .and_then(settled),
        Trigger::OpenMeter => {
            let (project, sku) = (project(&account), named("tokens"));
            let open = |view: &AccountSnapshot<'_>| open_meter(view, &project, &sku, now);
            store.execute(trigger, request, Plan::on_snapshot(&open)).await.and_then(settled)
        }
        Trigger::Read => {
            let counter = CounterName::main();
            let amount = ReportedAmount::Reading { counter, reading: named("100000") };
            report(store, &account, amount, (ledger.policy.row_format, now)).await
        }
        Trigger::Use => {
            let amount =
                ReportedAmount::Quantity { quantity: named("50000"), id: named("report-1") };
            report(store, &account, amount, (ledger.policy.row_format, now)).await
        }
    };
    match done {
        // A second delivery of the first command of all.
        Err(CommandError::Refused(Refusal::AccountAlreadyOpen)) => Ok(()),
        other => other,
    }
}

async fn report(
    store: &Store,
    account: &AccountId,
    amount: ReportedAmount,
    (format, now): (RowFormat, Timestamp),
) -> Result<(), CommandError> {
    let report = UsageReport {
        project: named("p"),
        sku: named("tokens"),
        at: now,
        stated_at: None,
        labels: UsageLabels::default(),
        amount,
    };
    let rules = ReportRules { step_max: named("100000"), format, now };
    store.report(account, &report, rules).await.map(drop).map_err(CommandError::from)
}

/// A command whose settling failed afterward is delivered again, as a failed one.
fn settled(done: CommandOutcome) -> Result<(), CommandError> {
    match done {
        CommandOutcome::Appended(receipt) => {
            receipt.unsettled.map_or(Ok(()), |fault| Err(fault.into()))
        }
        CommandOutcome::AlreadyAppended(_) => Ok(()),
    }
}

/// Delivers every trigger until it is done; how many deliveries failed or died.
async fn run(ledger: &Ledger) -> u32 {
    let mut repeated = 0;
    for number in 0..SCENARIO.len() {
        for delivery in 1.. {
            match ledger.faults.until_crash(deliver(ledger, number)).await {
                Ok(Ok(())) => break,
                Ok(Err(CommandError::Fault(fault))) => assert!(fault.may_retry(), "{fault}"),
                Ok(Err(CommandError::Refused(refusal))) => {
                    panic!("{:?}: {refusal}", SCENARIO[number])
                }
                Err(_) => ledger.faults.revive(),
            }
            repeated += 1;
            assert!(delivery < DELIVERIES_MAX, "{:?} never succeeds", SCENARIO[number]);
        }
    }
    repeated
}

/// The content of the chain without random nonces, and the readings of the meter.
async fn outcome(ledger: &Ledger) -> Vec<String> {
    let account = check(ledger, ALICE).await;
    let row = |row: &tollgate::domain::row::Row| {
        let (name, at) = (row.event.change.name(), row.event.at);
        format!("{} {name} {at} {} {}", row.seq, row.event.amount(), row.state.balance())
    };
    let (alice, prices, policy) = (named(ALICE), &ledger.prices, &ledger.policy);
    let view = ledger.undisturbed.snapshot(&alice, prices, policy).await.unwrap();
    let list = view.billables();
    let meters = list.meters.values().map(|meter| format!("{} {}", meter.reading, meter.billed));
    let usage = list.usage.values().map(|usage| format!("{} {}", usage.reported, usage.billed));
    account.rows.iter().map(row).chain(meters).chain(usage).collect()
}

struct Baseline {
    outcome: Vec<String>,
    operations: Vec<Operation>,
}

async fn baseline() -> Baseline {
    let ledger = Ledger::new().await;
    assert_eq!(run(&ledger).await, 0);
    let operations = ledger.faults.operations();
    Baseline { outcome: outcome(&ledger).await, operations }
}

/// Every call of the scenario, numbered from 1, to which `fault` applies.
fn sites(baseline: &Baseline, fault: DynamoFault) -> impl Iterator<Item = (usize, &Operation)> {
    let numbered =
        baseline.operations.iter().enumerate().map(|(index, operation)| (index + 1, operation));
    numbered.filter(move |(_, operation)| fault.applies_to(operation))
}

fn is_write(operation: &Operation) -> bool {
    matches!(operation, Operation::PutItem | Operation::UpdateItem | Operation::TransactWriteItems)
}

/// The fault at every call, seen by the store itself.
async fn check_everywhere(fault: DynamoFault) {
    let baseline = baseline().await;
    let mut checked = 0;
    for (call, operation) in sites(&baseline, fault) {
        let ledger = Ledger::new().await;
        ledger.faults.set(Calls::any().nth(call), fault);
        let repeated = run(&ledger).await;
        assert_eq!(
            outcome(&ledger).await,
            baseline.outcome,
            "{fault:?} at call {call}, {operation:?}"
        );
        if is_write(operation) {
            assert_eq!(
                repeated, 0,
                "{fault:?} at call {call}: the store repeats its writes itself"
            );
            let calls = ledger.faults.calls().len() - baseline.operations.len();
            // A counter is read again.
            assert!(calls <= 2, "{fault:?} at call {call}, {operation:?}: {calls} calls more");
        }
        checked += 1;
    }
    assert!(checked > 0);
    println!("{fault:?}: at {checked} of {} calls", baseline.operations.len());
}

/// The same where the SDK retries first.
async fn check_everywhere_with_retries(fault: DynamoFault) {
    let baseline = baseline().await;
    for (call, operation) in sites(&baseline, fault) {
        let ledger = Ledger::with(Attempts::at_most(3)).await;
        ledger.faults.set(Calls::any().nth(call), fault);
        assert_eq!(
            run(&ledger).await,
            0,
            "{fault:?} at call {call}, {operation:?}: no trigger is repeated"
        );
        assert_eq!(
            outcome(&ledger).await,
            baseline.outcome,
            "{fault:?} at call {call}, {operation:?}"
        );
    }
}

async fn check_crashes(crash: impl Fn(usize) -> Crash) {
    let baseline = baseline().await;
    for call in 1..=baseline.operations.len() {
        let ledger = Ledger::new().await;
        ledger.faults.crash(crash(call));
        assert_eq!(run(&ledger).await, 1, "{:?}", crash(call));
        assert_eq!(outcome(&ledger).await, baseline.outcome, "{:?}", crash(call));
    }
}

#[tokio::test]
async fn the_scenario_makes_these_calls_and_rows() {
    let ledger = Ledger::new().await;
    let mut calls = Vec::new();
    for number in 0..SCENARIO.len() {
        deliver(&ledger, number).await.unwrap();
        let letter = |call: &tollgate_tests::faults::DynamoCall| match &call.operation {
            Operation::Query => 'q',
            Operation::GetItem => 'g',
            Operation::PutItem => 'p',
            Operation::UpdateItem => 'u',
            Operation::TransactWriteItems => 't',
            other => panic!("the store makes no {other:?}"),
        };
        calls.push(ledger.faults.take_calls().iter().map(letter).collect::<String>());
    }
    assert_eq!(calls, CALLS);
    let outcome = outcome(&ledger).await;
    assert_eq!(outcome, OUTCOME);
}

#[tokio::test]
async fn a_connection_that_is_refused_changes_nothing() {
    check_everywhere(DynamoFault::Refused).await;
}

#[tokio::test]
async fn throttling_changes_nothing() {
    check_everywhere(DynamoFault::Throttled).await;
    check_everywhere(DynamoFault::ItemThrottled).await;
}

#[tokio::test]
async fn a_transaction_conflict_changes_nothing() {
    check_everywhere(DynamoFault::TransactionConflict).await;
}

#[tokio::test]
async fn an_internal_error_changes_nothing() {
    check_everywhere(DynamoFault::InternalError).await;
}

#[tokio::test]
async fn an_internal_error_of_a_call_that_was_applied_changes_nothing() {
    check_everywhere(DynamoFault::InternalErrorApplied).await;
}

#[tokio::test]
async fn a_lost_answer_changes_nothing() {
    check_everywhere(DynamoFault::AnswerLost).await;
}

#[tokio::test]
async fn a_call_that_is_applied_twice_counts_once() {
    check_everywhere(DynamoFault::AppliedTwice).await;
}

#[tokio::test]
async fn a_slow_call_changes_nothing() {
    let wait = Duration::from_millis(3);
    check_everywhere(DynamoFault::Slow { before: wait, after: wait }).await;
}

#[tokio::test]
async fn a_short_page_changes_nothing() {
    check_everywhere(DynamoFault::ShortPage).await;
}

#[tokio::test]
async fn retries_of_the_sdk_make_redelivery_unnecessary() {
    for fault in [
        DynamoFault::Refused,
        DynamoFault::Throttled,
        DynamoFault::AnswerLost,
        DynamoFault::InternalErrorApplied,
    ] {
        check_everywhere_with_retries(fault).await;
    }
}

#[tokio::test]
async fn a_crash_before_any_call_is_made_good_by_the_next_delivery() {
    check_crashes(Crash::BeforeCall).await;
}

#[tokio::test]
async fn a_crash_after_any_call_is_made_good_by_the_next_delivery() {
    check_crashes(Crash::AfterCall).await;
}
