//! Meters and prices: reports and prices in any order and number.

use std::collections::BTreeMap;

use tollgate::domain::event::{BillingChange, Change};
use tollgate::domain::money::{QUANTITY_MAX, Quantity};
use tollgate::domain::prices::Price;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::timestamp::Timestamp;
use tollgate::domain::usage::UsageLabels;
use tollgate::store::{CommandError, ReportOutcome, ReportRules, ReportedAmount, UsageReport};
use tollgate_tests::faults::{Calls, Crash, DynamoFault, Operation};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, Ledger, at, named};

async fn with_meter() -> Ledger {
    let ledger = Ledger::with_credit("10").await;
    ledger.open_meter(ALICE, "tokens", "10:00:00").await;
    ledger
}

/// No bound of a report.
const STEP_MAX: &str = "1000000000000000";

async fn report(
    ledger: &Ledger,
    time: &str,
    labels: &[(&str, &str)],
    amount: ReportedAmount,
) -> ReportOutcome {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let report = UsageReport {
        project: named("p"),
        sku: named("tokens"),
        at: at(time),
        stated_at: None,
        labels: UsageLabels::try_from(labels.collect::<BTreeMap<_, _>>()).unwrap(),
        amount,
    };
    let rules = ReportRules {
        step_max: named(STEP_MAX),
        format: ledger.policy.row_format,
        now: at("10:10:00").max(at(time)),
    };
    ledger.store.report(&named(ALICE), &report, rules).await.unwrap()
}

async fn read(ledger: &Ledger, reading: &str) -> ReportOutcome {
    read_at(ledger, "10:10:00", "main", reading).await
}

async fn read_at(ledger: &Ledger, time: &str, counter: &str, reading: &str) -> ReportOutcome {
    let amount = ReportedAmount::Reading { counter: named(counter), reading: named(reading) };
    report(ledger, time, &[], amount).await
}

async fn used(ledger: &Ledger, quantity: &str, id: &str) -> ReportOutcome {
    used_at(ledger, "10:10:00", quantity, id).await
}

async fn used_at(ledger: &Ledger, time: &str, quantity: &str, id: &str) -> ReportOutcome {
    let amount = ReportedAmount::Quantity { quantity: named(quantity), id: named(id) };
    report(ledger, time, &[], amount).await
}

/// Hour and minute.
fn clock(at: Timestamp) -> String {
    at.to_string().chars().skip(11).take(5).collect()
}

/// What the counter `main` shows.
async fn reading(ledger: &Ledger) -> String {
    let list = ledger.undisturbed.billables(&named(ALICE)).await.unwrap();
    list.meters.values().next().unwrap().reading.to_string()
}

/// Hour, labels, reported and billed quantity of everything that a settling reads.
async fn counted(ledger: &Ledger) -> Vec<String> {
    let alice = named(ALICE);
    let view = ledger.undisturbed.snapshot(&alice, &ledger.prices, &ledger.policy).await.unwrap();
    let shown = view.billables().usage.iter().map(|(key, usage)| {
        let labels: String =
            key.labels.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        format!("{}{labels} {} {}", clock(key.hour), usage.reported, usage.billed)
    });
    shown.collect()
}

/// Time, hour, quantities and amount of each line that billed usage.
async fn billed(ledger: &Ledger) -> Vec<String> {
    let account = check(ledger, ALICE).await;
    let mut lines = Vec::new();
    for row in &account.rows {
        let Change::Billing(BillingChange::Metered { lines: billed, .. }) = &row.event.change
        else {
            continue;
        };
        for line in billed {
            let hour = line.hour.map_or("older".to_owned(), clock);
            let at = clock(row.event.at);
            lines.push(format!("{at}: {hour} {}→{} {}", line.from, line.to, line.amount));
        }
    }
    lines
}

#[tokio::test]
async fn a_reading_only_grows_whatever_order_reports_come_in() {
    let ledger = with_meter().await;
    assert_eq!(read(&ledger, "1000").await, ReportOutcome::Counted(named("1000")));
    assert_eq!(read(&ledger, "1000").await, ReportOutcome::NotNewer(named("1000")));
    assert_eq!(
        read_at(&ledger, "10:09:00", "main", "900").await,
        ReportOutcome::NotNewer(named("1000"))
    );
    assert_eq!(
        read_at(&ledger, "10:11:00", "main", "900").await,
        ReportOutcome::WentBack(named("1000"))
    );
    assert_eq!(read(&ledger, "1000.5").await, ReportOutcome::Counted(named("0.5")));
    assert_eq!(
        (reading(&ledger).await, counted(&ledger).await),
        ("1000.5".to_owned(), vec!["10:00 1000.5 0".to_owned()])
    );
}

#[tokio::test]
async fn counters_of_several_processes_add_up() {
    let ledger = with_meter().await;
    for (counter, shown, added) in [
        ("main", "100", "100"),
        ("p-2", "5", "5"),
        ("p-2", "20", "15"),
        ("p-3", "1", "1"),
        ("main", "107", "7"),
    ] {
        assert_eq!(
            read_at(&ledger, "10:10:00", counter, shown).await,
            ReportOutcome::Counted(named(added)),
            "{counter} {shown}"
        );
    }
    assert_eq!(
        read_at(&ledger, "10:12:00", "p-2", "3").await,
        ReportOutcome::WentBack(named("20"))
    );
    assert_eq!(counted(&ledger).await, ["10:00 128 0"]);
}

#[tokio::test]
async fn reading_with_a_lost_answer_counts_once() {
    let ledger = with_meter().await;
    let calls = || Calls::of(Operation::TransactWriteItems);
    ledger.faults.set(calls().first(1), DynamoFault::AnswerLost);
    assert_eq!(read(&ledger, "1000").await, ReportOutcome::Counted(named("1000")));
    assert_eq!(read(&ledger, "1000").await, ReportOutcome::NotNewer(named("1000")));
    for fault in [
        DynamoFault::Throttled,
        DynamoFault::TransactionConflict,
        DynamoFault::Refused,
        DynamoFault::InternalError,
    ] {
        ledger.faults.clear();
        ledger.faults.set(calls().first(2), fault);
        let next: Quantity = named(&format!("{}1", reading(&ledger).await));
        let outcome = read(&ledger, &next.to_string()).await;
        assert!(matches!(outcome, ReportOutcome::Counted(_)), "{fault:?}: {outcome:?}");
    }
    assert_eq!(counted(&ledger).await, [format!("10:00 {} 0", reading(&ledger).await)]);
}

/// So much is kept from then on.
async fn keeps(ledger: &Ledger, time: &str, level: &str) -> ReportOutcome {
    let amount = ReportedAmount::Level { gauge: named("disk"), level: named(level) };
    report(ledger, time, &[], amount).await
}

#[tokio::test]
async fn level_counts_until_the_next_report_in_the_hours_in_which_it_was_kept() {
    let ledger = with_meter().await;
    let counted_as = |units: &str| ReportOutcome::Counted(named(units));
    assert_eq!(keeps(&ledger, "10:00:00", "120").await, counted_as("0"));
    assert_eq!(keeps(&ledger, "10:30:00", "60").await, counted_as("60"));
    assert_eq!(keeps(&ledger, "12:15:00", "0").await, counted_as("105"));
    for (older, level) in [("10:40:00", "7"), ("12:15:00", "0")] {
        assert_eq!(keeps(&ledger, older, level).await, ReportOutcome::NotNewer(named("0")));
    }
    assert_eq!(keeps(&ledger, "13:00:00", "5").await, counted_as("0"));
    assert_eq!(counted(&ledger).await, ["10:00 90 0", "11:00 60 0", "12:00 15 0"]);
}

#[tokio::test]
async fn short_parts_of_an_hour_add_up_to_what_was_kept() {
    let ledger = with_meter().await;
    for second in (0..3_600).step_by(97) {
        let time = format!("10:{:02}:{:02}", second / 60, second % 60);
        keeps(&ledger, &time, "1").await;
    }
    keeps(&ledger, "11:00:00", "1").await;
    assert_eq!(counted(&ledger).await, ["10:00 1 0"]);
}

#[tokio::test]
async fn time_of_a_level_counts_for_three_days_and_no_further_back() {
    for (next, counted) in [
        ("2026-11-25T10:00:00Z", "144"),
        // The first hour is further back than 72 hours, and the last one beyond the 72 of the level.
        ("2026-11-25T11:00:00Z", "142"),
        ("2026-11-28T09:59:59Z", "0.000556"),
        ("2026-11-28T10:00:00Z", "0"),
        ("2027-03-01T10:00:00Z", "0"),
    ] {
        let ledger = with_meter().await;
        keeps(&ledger, "10:00:00", "2").await;
        assert_eq!(
            keeps(&ledger, next, "1").await,
            ReportOutcome::Counted(named(counted)),
            "{next}"
        );
    }
}

#[tokio::test]
async fn hours_that_are_late_together_are_read_together() {
    let ledger = with_meter().await;
    keeps(&ledger, "10:00:00", "1000").await;
    keeps(&ledger, "2026-11-25T09:30:00Z", "0").await;
    let _ = ledger.faults.take_calls();
    let alice = named(ALICE);
    let view = ledger.store.snapshot(&alice, &ledger.prices, &ledger.policy).await.unwrap();
    assert_eq!(view.billables().usage.len(), 72, "10:00 of the first day to 09:30 of the fourth");
    assert!(ledger.faults.count(&Operation::Query) <= 4, "head, list, and two ranges of hours");
}

#[tokio::test]
async fn lowest_of_the_levels_of_a_second_counts_in_any_order() {
    for levels in [["9", "6", "7"], ["6", "7", "9"], ["7", "9", "6"]] {
        let ledger = with_meter().await;
        for level in levels.into_iter().chain(levels) {
            keeps(&ledger, "10:00:00", level).await;
        }
        assert_eq!(keeps(&ledger, "10:10:00", "0").await, ReportOutcome::Counted(named("1")));
    }
}

#[tokio::test]
async fn repeats_of_all_earlier_reports_change_nothing() {
    let ledger = with_meter().await;
    let reports = [("10:00:00", "60"), ("10:10:00", "6"), ("10:20:00", "0"), ("12:30:00", "12")];
    for known in 1..=reports.len() {
        let (new, earlier) = reports[..known].split_last().unwrap();
        keeps(&ledger, new.0, new.1).await;
        for (time, level) in earlier.iter().chain([new]) {
            let again = keeps(&ledger, time, level).await;
            assert_eq!(again, ReportOutcome::NotNewer(named(new.1)), "{time} after {}", new.0);
        }
    }
    keeps(&ledger, "12:40:00", "0").await;
    assert_eq!(counted(&ledger).await, ["10:00 11 0", "12:00 2 0"]);
}

/// The platform's clock is a minute ahead, so the level begins in our future.
#[tokio::test]
async fn repeat_of_a_level_from_the_future_is_the_same_report() {
    let ledger = with_meter().await;
    let keeps = async |now: &str, stated_at: &str, level: &str| {
        let amount = ReportedAmount::Level { gauge: named("disk"), level: named(level) };
        let (at, stated_at) = (at(now).min(at(stated_at)), Some(at(stated_at)));
        let (project, sku, labels) = (named("p"), named("tokens"), UsageLabels::default());
        let report = UsageReport { project, sku, at, stated_at, labels, amount };
        let format = ledger.policy.row_format;
        let rules = ReportRules { step_max: named(STEP_MAX), format, now: self::at(now) };
        ledger.store.report(&named(ALICE), &report, rules).await.unwrap()
    };
    keeps("10:10:00", "10:11:00", "60").await;
    keeps("10:10:10", "10:11:10", "0").await;
    let repeated = keeps("10:10:30", "10:11:00", "60").await;
    assert_eq!(repeated, ReportOutcome::NotNewer(named("0")));
    keeps("10:30:00", "10:31:00", "0").await;
    assert_eq!(counted(&ledger).await, ["10:00 0.166667 0"]);
}

/// A report counted full hours of the last level and died before it stored its own.
#[tokio::test]
async fn level_at_the_hour_to_which_another_report_counted_is_stored() {
    let ledger = with_meter().await;
    keeps(&ledger, "10:00:00", "6").await;
    ledger.faults.crash(Crash::AfterCall(3));
    let died = ledger.faults.until_crash(keeps(&ledger, "12:30:00", "6")).await;
    assert!(died.is_err());
    ledger.faults.revive();
    assert_eq!(counted(&ledger).await, ["10:00 6 0"]);
    keeps(&ledger, "11:00:00", "12").await;
    keeps(&ledger, "11:30:00", "0").await;
    assert_eq!(counted(&ledger).await, ["10:00 6 0", "11:00 6 0"]);
}

#[tokio::test]
async fn labels_of_a_level_are_those_of_its_own_report() {
    let ledger = with_meter().await;
    let level = |level: &str| ReportedAmount::Level { gauge: named("disk"), level: named(level) };
    report(&ledger, "10:00:00", &[("bucket", "a")], level("4")).await;
    report(&ledger, "10:15:00", &[("bucket", "b")], level("8")).await;
    report(&ledger, "10:30:00", &[], level("0")).await;
    assert_eq!(counted(&ledger).await, ["10:00 bucket=a 1 0", "10:00 bucket=b 2 0"]);
}

#[tokio::test]
async fn level_is_counted_once_whatever_fails() {
    let story = ["10:00:00", "10:20:00", "13:10:00"];
    let expected = ["10:00 60 0", "11:00 60 0", "12:00 60 0", "13:00 10 0"];
    for fault in [
        DynamoFault::AnswerLost,
        DynamoFault::InternalErrorApplied,
        DynamoFault::TransactionConflict,
    ] {
        for nth in 1..=8 {
            let ledger = with_meter().await;
            for time in story {
                ledger.faults.set(Calls::of(Operation::TransactWriteItems).nth(nth), fault);
                keeps(&ledger, time, "60").await;
                ledger.faults.clear();
                keeps(&ledger, time, "60").await;
            }
            assert_eq!(counted(&ledger).await, expected, "{fault:?} of call {nth}");
        }
    }
}

#[tokio::test]
async fn simultaneous_levels_count_each_stretch_once() {
    let ledger = with_meter().await;
    keeps(&ledger, "10:00:00", "60").await;
    let reports =
        (1..=12).map(|five| {
            let ledger = &ledger;
            async move {
                keeps(ledger, &format!("{}:{:02}:00", 10 + five / 12, five * 5 % 60), "60").await
            }
        });
    futures_util::future::join_all(reports).await;
    assert_eq!(counted(&ledger).await, ["10:00 60 0"]);
}

#[tokio::test]
async fn usage_with_an_id_is_added_once() {
    let ledger = with_meter().await;
    assert_eq!(used(&ledger, "10", "a").await, ReportOutcome::Counted(named("10")));
    assert_eq!(used(&ledger, "10", "a").await, ReportOutcome::Repeated(named("10")));
    assert_eq!(used(&ledger, "11", "a").await, ReportOutcome::KeyReused);
    assert_eq!(used(&ledger, "10", "b").await, ReportOutcome::Counted(named("10")));
    assert_eq!(counted(&ledger).await, ["10:00 20 0"]);

    ledger.faults.set(Calls::of(Operation::TransactWriteItems).first(1), DynamoFault::AnswerLost);
    assert_eq!(used(&ledger, "5", "c").await, ReportOutcome::Repeated(named("5")));
    assert_eq!(counted(&ledger).await, ["10:00 25 0"]);
    // Where reports meet, one goes to another item of the same hour.
    ledger.faults.clear();
    ledger
        .faults
        .set(Calls::of(Operation::TransactWriteItems).first(1), DynamoFault::TransactionConflict);
    assert_eq!(used(&ledger, "3", "d").await, ReportOutcome::Counted(named("3")));
    assert_eq!(counted(&ledger).await, ["10:00 28 0"]);
}

#[tokio::test]
async fn repeats_among_simultaneous_reports_count_once() {
    let ledger = with_meter().await;
    let reports = (0..100).map(|number| {
        let ledger = &ledger;
        async move { used(ledger, "1", &format!("u-{}", number % 80)).await }
    });
    let outcomes = futures_util::future::join_all(reports).await;
    let new = outcomes.iter().filter(|outcome| matches!(outcome, ReportOutcome::Counted(_)));
    assert_eq!(new.count(), 80, "{outcomes:?}");
    assert_eq!(counted(&ledger).await, ["10:00 80 0"]);
}

#[tokio::test]
async fn no_item_counts_more_than_can_be_read_back() {
    let ledger = with_meter().await;
    let most = QUANTITY_MAX.to_string();
    assert_eq!(read(&ledger, &most).await, ReportOutcome::Counted(named(&most)));
    assert_eq!(used(&ledger, "1", "a").await, ReportOutcome::TooMuch);
    assert_eq!(counted(&ledger).await, [format!("10:00 {most} 0")]);
}

#[tokio::test]
async fn a_meter_that_was_never_opened_takes_no_report() {
    let ledger = Ledger::with_credit("10").await;
    assert_eq!(read(&ledger, "1").await, ReportOutcome::UnknownMeter);
    assert_eq!(used(&ledger, "1", "a").await, ReportOutcome::UnknownMeter);
    ledger.open_meter(ALICE, "tokens", "10:00:00").await;
    assert_eq!(
        used(&ledger, "1", "a").await,
        ReportOutcome::Counted(named("1")),
        "the refused report used up nothing"
    );
}

#[tokio::test]
async fn hour_bills_what_was_used_in_it() {
    let ledger = with_meter().await;
    used_at(&ledger, "10:10:00", "1000000", "a").await;
    assert_eq!(ledger.settle(ALICE, "11:00:00").await.appended, 1);
    used_at(&ledger, "11:10:00", "400000", "b").await;
    assert_eq!(ledger.settle(ALICE, "11:30:00").await.appended, 0);
    assert_eq!(ledger.settle(ALICE, "12:00:00").await.appended, 1);
    assert_eq!(
        billed(&ledger).await,
        ["11:00: 10:00 0→1000000 -2.00", "12:00: 11:00 0→400000 -0.80"]
    );
}

#[tokio::test]
async fn late_reports_are_billed_by_their_hour() {
    let ledger = with_meter().await;
    used_at(&ledger, "10:10:00", "100000", "a").await;
    ledger.settle(ALICE, "11:00:00").await;
    used_at(&ledger, "18:10:00", "100000", "b").await;
    ledger.settle(ALICE, "19:00:00").await;
    // The hours since 16:00 are read in any case; 10:00 and 14:00 are found by their notes.
    for (hour, id) in [("10:20:00", "c"), ("14:20:00", "d"), ("17:20:00", "e")] {
        let amount = ReportedAmount::Quantity { quantity: named("50000"), id: named(id) };
        let report = UsageReport {
            project: named("p"),
            sku: named("tokens"),
            at: at(hour),
            stated_at: None,
            labels: UsageLabels::default(),
            amount,
        };
        let format = ledger.policy.row_format;
        let rules = ReportRules { step_max: named(STEP_MAX), format, now: at("19:20:00") };
        let outcome = ledger.store.report(&named(ALICE), &report, rules).await.unwrap();
        assert_eq!(outcome, ReportOutcome::Counted(named("50000")), "{hour}");
    }
    ledger.settle(ALICE, "20:00:00").await;
    assert_eq!(
        billed(&ledger).await,
        [
            "11:00: 10:00 0→100000 -0.20",
            "19:00: 18:00 0→100000 -0.20",
            "20:00: 10:00 100000→150000 -0.10",
            "20:00: 14:00 0→50000 -0.10",
            "20:00: 17:00 0→50000 -0.10",
        ]
    );
    // Nothing is billed again.
    ledger.settle(ALICE, "23:00:00").await;
    assert_eq!(billed(&ledger).await.len(), 5);
}

#[tokio::test]
async fn labels_are_counted_and_billed_for_themselves() {
    let ledger = with_meter().await;
    for (id, labels) in
        [("a", &[("key", "k1")][..]), ("b", &[("key", "k2")]), ("c", &[]), ("d", &[("key", "k1")])]
    {
        let amount = ReportedAmount::Quantity { quantity: named("100000"), id: named(id) };
        report(&ledger, "10:10:00", labels, amount).await;
    }
    assert_eq!(
        counted(&ledger).await,
        ["10:00 100000 0", "10:00 key=k1 200000 0", "10:00 key=k2 100000 0"]
    );
    ledger.settle(ALICE, "11:00:00").await;
    assert_eq!(
        counted(&ledger).await,
        ["10:00 100000 100000", "10:00 key=k1 200000 200000", "10:00 key=k2 100000 100000"]
    );
}

#[tokio::test]
async fn usage_with_too_many_sets_of_labels_is_counted_together() {
    let ledger = with_meter().await;
    ledger.put_label_sets(ALICE, "tokens", at("10:00:00"), 999).await;
    let keys = ["k1", "k2", "k3", "k1", "k3"];
    for (number, key) in keys.into_iter().enumerate() {
        let id = named(&format!("u-{number}"));
        let amount = ReportedAmount::Quantity { quantity: named("100"), id };
        let counted = report(&ledger, "10:10:00", &[("key", key)], amount.clone()).await;
        assert_eq!(counted, ReportOutcome::Counted(named("100")));
        let again = report(&ledger, "10:10:00", &[("key", key)], amount).await;
        assert_eq!(again, ReportOutcome::Repeated(named("100")));
    }
    assert_eq!(counted(&ledger).await, ["10:00 key=k1 200 0", "10:00 other=true 300 0"]);
    // Another hour has sets of its own, and usage without labels is never limited.
    let amount = ReportedAmount::Quantity { quantity: named("1"), id: named("v-1") };
    report(&ledger, "11:10:00", &[("key", "k9")], amount).await;
    used(&ledger, "7", "v-2").await;
    assert_eq!(
        counted(&ledger).await,
        ["10:00 7 0", "10:00 key=k1 200 0", "10:00 other=true 300 0", "11:00 key=k9 1 0"]
    );
}

#[tokio::test]
async fn two_reports_at_once_may_both_bring_the_last_set_of_labels() {
    let ledger = with_meter().await;
    ledger.put_label_sets(ALICE, "tokens", at("10:00:00"), 999).await;
    let used = |id: &str| ReportedAmount::Quantity { quantity: named("100"), id: named(id) };
    let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).first(1));
    let first = report(&ledger, "10:10:00", &[("key", "k1")], used("a"));
    let (first, second) = tokio::join!(first, async {
        gate.reached().await;
        let second = report(&ledger, "10:10:00", &[("key", "k1")], used("b")).await;
        gate.open();
        second
    });
    assert_eq!([first, second], [ReportOutcome::Counted(named("100")); 2]);
    assert_eq!(counted(&ledger).await, ["10:00 key=k1 200 0"]);
}

#[tokio::test]
async fn usage_that_an_older_release_counted_is_billed_too() {
    let mut ledger = with_meter().await;
    let format = ledger.policy.row_format;
    ledger.policy.row_format = RowFormat::new(5);
    assert_eq!(read(&ledger, "100000").await, ReportOutcome::Counted(named("100000")));
    assert_eq!(used(&ledger, "50000", "a").await, ReportOutcome::Counted(named("50000")));
    ledger.policy.row_format = format;
    assert_eq!(used(&ledger, "50000", "a").await, ReportOutcome::Repeated(named("50000")));
    assert_eq!(used(&ledger, "70000", "b").await, ReportOutcome::Counted(named("70000")));
    // The counter goes on where it was.
    assert_eq!(read(&ledger, "250000").await, ReportOutcome::Counted(named("100000")));
    ledger.settle(ALICE, "11:00:00").await;
    assert_eq!(
        billed(&ledger).await,
        ["11:00: older 100000→250000 -0.30", "11:00: 10:00 0→170000 -0.34"]
    );
}

#[tokio::test]
async fn a_report_that_races_with_its_billing_is_billed_the_next_hour() {
    let ledger = with_meter().await;
    used_at(&ledger, "10:10:00", "1000000", "a").await;
    let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).first(1));
    let (settled, ()) = tokio::join!(ledger.settle(ALICE, "11:00:00"), async {
        gate.reached().await;
        used_at(&ledger, "10:59:59", "500000", "b").await;
        gate.open();
    });
    assert_eq!((settled.appended, settled.lost), (1, 0));
    assert_eq!(ledger.head(ALICE).await.state.balance(), named("8"));
    ledger.settle(ALICE, "12:00:00").await;
    assert_eq!(
        billed(&ledger).await,
        ["11:00: 10:00 0→1000000 -2.00", "12:00: 10:00 1000000→1500000 -1.00"]
    );
}

#[tokio::test]
async fn two_workers_bill_usage_once() {
    let ledger = with_meter().await;
    used_at(&ledger, "10:10:00", "1000000", "a").await;
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

#[tokio::test]
async fn second_biller_takes_no_more_than_is_left() {
    let ledger = with_meter().await;
    let (store, alice) = (&ledger.store, named(ALICE));
    assert_eq!(store.add_unbilled(&alice, named("0.60")).await.unwrap(), named("0.60"));
    assert_eq!(store.add_unbilled(&alice, named("0.000001")).await.unwrap(), named("0.600001"));
    assert_eq!(store.add_unbilled(&alice, named("0.50")).await.unwrap(), named("1.100001"));
    // Two reports saw different sums, and both bill. The second finds less than it saw.
    store.take_unbilled(&alice, named("0.600001")).await.unwrap();
    store.take_unbilled(&alice, named("1.100001")).await.unwrap();
    assert_eq!(store.add_unbilled(&alice, named("0")).await.unwrap(), named("0.50"));
}

fn price(rate: &str, valid_from: &str) -> Price {
    Price {
        sku: named("gpu"),
        unit: tollgate::domain::prices::PriceUnit::Hour,
        kind: named("instance"),
        rate: named(rate),
        idle_rate: named("0"),
        valid_from: at(valid_from),
        display: tollgate::domain::prices::PriceDisplay::default(),
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
