//! Meters and prices: reports and prices in any order and number.

use tollgate::domain::event::{BillingChange, Change};
use tollgate::domain::ids::{AccountId, ProjectId, Sku};
use tollgate::domain::money::{QUANTITY_MAX, Quantity};
use tollgate::domain::prices::Price;
use tollgate::domain::refusal::Refusal;
use tollgate::store::{CommandError, ReportOutcome, UsageReport};
use tollgate_tests::faults::{Calls, DynamoFault, Operation};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, Ledger, at, named};

async fn with_meter() -> Ledger {
    let ledger = Ledger::with_credit("10").await;
    ledger.open_meter(ALICE, "tokens", "10:00:00").await;
    ledger
}

async fn read(ledger: &Ledger, reading: &str) -> ReportOutcome {
    let (alice, project, sku): (AccountId, ProjectId, Sku) =
        (named(ALICE), named("p"), named("tokens"));
    ledger
        .store
        .report_reading(&alice, &project, &sku, named(reading), named("1000000000000000"))
        .await
        .unwrap()
}

async fn used(ledger: &Ledger, quantity: &str, id: &str) -> ReportOutcome {
    let report = UsageReport {
        project: named("p"),
        sku: named("tokens"),
        quantity: named(quantity),
        id: named(id),
    };
    ledger.store.report_usage(&named(ALICE), &report, at("10:10:00")).await.unwrap()
}

async fn reading(ledger: &Ledger) -> String {
    let list = ledger.undisturbed.billables(&named(ALICE)).await.unwrap();
    list.meters.values().next().unwrap().reading.to_string()
}

#[tokio::test]
async fn a_reading_only_grows_whatever_order_reports_come_in() {
    let ledger = with_meter().await;
    assert_eq!(read(&ledger, "1000").await, ReportOutcome::Advanced);
    assert_eq!(read(&ledger, "1000").await, ReportOutcome::NotNewer(named("1000")));
    assert_eq!(read(&ledger, "900").await, ReportOutcome::NotNewer(named("1000")));
    assert_eq!(read(&ledger, "1000.5").await, ReportOutcome::Advanced);
    assert_eq!(reading(&ledger).await, "1000.5");
}

#[tokio::test]
async fn reading_with_a_lost_answer_counts_once() {
    let ledger = with_meter().await;
    ledger.faults.set(Calls::of(Operation::UpdateItem).first(1), DynamoFault::AnswerLost);
    assert_eq!(read(&ledger, "1000").await, ReportOutcome::NotNewer(named("1000")));
    for fault in [
        DynamoFault::Throttled,
        DynamoFault::TransactionConflict,
        DynamoFault::Refused,
        DynamoFault::InternalError,
    ] {
        ledger.faults.clear();
        ledger.faults.set(Calls::of(Operation::UpdateItem).first(2), fault);
        let next: Quantity = named(&format!("{}1", reading(&ledger).await));
        assert_eq!(read(&ledger, &next.to_string()).await, ReportOutcome::Advanced, "{fault:?}");
    }
}

#[tokio::test]
async fn usage_with_an_id_is_added_once() {
    let ledger = with_meter().await;
    assert_eq!(used(&ledger, "10", "a").await, ReportOutcome::Advanced);
    assert_eq!(used(&ledger, "10", "a").await, ReportOutcome::Repeated);
    assert_eq!(used(&ledger, "11", "a").await, ReportOutcome::KeyReused);
    assert_eq!(used(&ledger, "10", "b").await, ReportOutcome::Advanced);
    assert_eq!(reading(&ledger).await, "20");

    ledger.faults.set(Calls::of(Operation::TransactWriteItems).first(1), DynamoFault::AnswerLost);
    assert_eq!(used(&ledger, "5", "c").await, ReportOutcome::Repeated);
    assert_eq!(reading(&ledger).await, "25");
}

#[tokio::test]
async fn a_meter_never_shows_more_than_can_be_read_back() {
    let ledger = with_meter().await;
    assert_eq!(read(&ledger, &QUANTITY_MAX.to_string()).await, ReportOutcome::Advanced);
    assert_eq!(used(&ledger, "1", "a").await, ReportOutcome::TooMuch);
    assert_eq!(reading(&ledger).await, QUANTITY_MAX.to_string());
}

#[tokio::test]
async fn a_meter_that_was_never_opened_takes_no_report() {
    let ledger = Ledger::with_credit("10").await;
    assert_eq!(read(&ledger, "1").await, ReportOutcome::UnknownMeter);
    assert_eq!(used(&ledger, "1", "a").await, ReportOutcome::UnknownMeter);
    ledger.open_meter(ALICE, "tokens", "10:00:00").await;
    assert_eq!(
        used(&ledger, "1", "a").await,
        ReportOutcome::Advanced,
        "the refused report used up nothing"
    );
}

#[tokio::test]
async fn hour_bills_a_meter_from_reading_to_reading() {
    let ledger = with_meter().await;
    read(&ledger, "1000000").await;
    assert_eq!(ledger.settle(ALICE, "11:00:00").await.appended, 1);
    read(&ledger, "1500000").await;
    assert_eq!(ledger.settle(ALICE, "11:30:00").await.appended, 0);
    assert_eq!(ledger.settle(ALICE, "12:00:00").await.appended, 1);
    let account = check(&ledger, ALICE).await;
    let lines: Vec<_> = account
        .rows
        .iter()
        .filter_map(|row| {
            let Change::Billing(BillingChange::Metered { lines, .. }) = &row.event.change else {
                return None;
            };
            let [line] = lines.as_slice() else { panic!("one meter, one line") };
            Some((line.from.to_string(), line.to.to_string(), line.amount.to_string()))
        })
        .collect();
    let line =
        |from: &str, to: &str, amount: &str| (from.to_owned(), to.to_owned(), amount.to_owned());
    assert_eq!(lines, [line("0", "1000000", "-2.00"), line("1000000", "1500000", "-1.00")]);
}

#[tokio::test]
async fn a_report_that_races_with_its_billing_is_billed_the_next_hour() {
    let ledger = with_meter().await;
    read(&ledger, "1000000").await;
    let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).first(1));
    let (settled, ()) = tokio::join!(ledger.settle(ALICE, "11:00:00"), async {
        gate.reached().await;
        read(&ledger, "1500000").await;
        gate.open();
    });
    assert_eq!((settled.appended, settled.lost), (1, 0));
    assert_eq!(ledger.head(ALICE).await.state.balance(), named("8"));
    ledger.settle(ALICE, "12:00:00").await;
    assert_eq!(check(&ledger, ALICE).await.balance(), named("7"));
}

#[tokio::test]
async fn two_workers_bill_a_meter_once() {
    let ledger = with_meter().await;
    read(&ledger, "1000000").await;
    let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).first(1));
    let (first, second) = tokio::join!(ledger.settle(ALICE, "11:00:00"), async {
        gate.reached().await;
        let second = ledger.settle(ALICE, "11:00:00").await;
        gate.open();
        second
    });
    assert_eq!((first.already_there, second.appended), (1, 1));
    assert_eq!(check(&ledger, ALICE).await.balance(), named("8"));
}

fn price(rate: &str, valid_from: &str) -> Price {
    Price {
        sku: named("gpu"),
        unit: tollgate::domain::prices::PriceUnit::Hour,
        kind: named("instance"),
        rate: named(rate),
        idle_rate: named("0"),
        valid_from: at(valid_from),
    }
}

#[tokio::test]
async fn a_price_is_set_once_and_never_changed() {
    let ledger = Ledger::new().await;
    let now = at("10:00:00");
    assert_eq!(ledger.store.put_price(&price("2.5", "10:00:00"), now).await, Ok(()));
    assert_eq!(ledger.store.put_price(&price("3", "12:00:00"), now).await, Ok(()));
    let exists = Refusal::PriceExists { sku: named("gpu"), valid_from: at("12:00:00") };
    let again = ledger.store.put_price(&price("4", "12:00:00"), now).await;
    assert_eq!(again, Err(CommandError::Refused(exists)));
    let list = ledger.store.prices().await.unwrap();
    let rates: Vec<_> = list.iter().map(|price| price.rate.to_string()).collect();
    assert_eq!(rates, ["2.5", "3"]);
}

#[tokio::test]
async fn of_two_simultaneous_first_prices_one_stays() {
    let ledger = Ledger::new().await;
    let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).first(1));
    let (late, ()) = tokio::join!(
        async { ledger.store.put_price(&price("4", "10:20:05"), at("10:20:05")).await },
        async {
            gate.reached().await;
            ledger.undisturbed.put_price(&price("5", "10:20:03"), at("10:20:03")).await.unwrap();
            gate.open();
        }
    );
    let too_soon = Refusal::PriceTooSoon { earliest: at("11:00:00") };
    assert_eq!(late, Err(CommandError::Refused(too_soon)));
    assert_eq!(ledger.store.prices().await.unwrap().iter().count(), 1);
}

#[tokio::test]
async fn of_two_simultaneous_prices_for_an_hour_the_first_stays() {
    for (theirs, expected) in [("4", Ok(())), ("5", Err("exists"))] {
        let ledger = Ledger::new().await;
        let now = at("10:00:00");
        let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).first(1));
        let (first, ()) = tokio::join!(
            async { ledger.store.put_price(&price("4", "10:00:00"), now).await },
            async {
                gate.reached().await;
                ledger.undisturbed.put_price(&price(theirs, "10:00:00"), now).await.unwrap();
                gate.open();
            }
        );
        assert_eq!(first.map_err(|_| "exists"), expected);
        let list = ledger.store.prices().await.unwrap();
        assert_eq!(list.iter().next().unwrap().rate, named(theirs));
    }
}
