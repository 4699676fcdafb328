//! The minute's run against a real DynamoDB.

use std::time::Duration;

use serde_json::Value;
use settle_due::{
    BUDGET, DELETION_UNCONFIRMED, DELETIONS_MAX, MinuteTrigger, REFILL_DUE, SettleDueClients,
    SettleDueError, SettleDueReport, handle, report_of,
};
use tollgate::domain::account::{CardChoice, Standing};
use tollgate::domain::command::{Command, RefillSettings, RefillTerms, RefundTerms};
use tollgate::domain::event::Cause;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::runtime::delivery::{DeliveryTime, TriggerTimeError};
use tollgate::runtime::run_budget::RunBudget;
use tollgate::store::Plan;
use tollgate_tests::bus::RecordingBus;
use tollgate_tests::faults::{Calls, DynamoFault, Operation};
use tollgate_tests::ledger::{ALICE, Ledger, at, topup};
use tollgate_tests::newer_format::append_row_of_newer_format;

use crate::bus_world::BusWorld;

type World = BusWorld<SettleDueClients>;

async fn world(credit: &str) -> World {
    let ledger = Ledger::with_credit(credit).await;
    BusWorld::on(ledger, &[], |billing, bus| SettleDueClients { billing, bus, budget: BUDGET })
        .await
}

/// A delivery later than all triggers here.
fn on_time() -> DeliveryTime {
    DeliveryTime::at(at("2027-01-01T00:00:00Z"))
}

impl World {
    async fn run(&self, time: &str) -> SettleDueReport {
        let trigger = MinuteTrigger { time: at(time).to_string() };
        handle(&self.clients, &trigger, on_time()).await.unwrap()
    }

    async fn command(&self, time: &str, command: Command) {
        self.command_of(ALICE, time, command).await;
    }

    async fn command_of(&self, account: &str, time: &str, command: Command) {
        let account = account.parse().unwrap();
        let trigger = self.ledger.trigger(&account, at(time));
        self.ledger
            .store
            .execute(
                trigger,
                Cause::Command,
                Plan::on_snapshot(&|_: &AccountSnapshot<'_>| Ok(command.clone())),
            )
            .await
            .unwrap();
    }

    async fn standing(&self) -> Standing {
        self.ledger.head(ALICE).await.state.standing
    }
}

/// Refills of $25 below $5.
fn refill() -> Command {
    Command::ChangeRefill(RefillSettings {
        terms: Some(RefillTerms::multiple("5".parse().unwrap(), "25".parse().unwrap())),
        card: Some("pm_1".parse().unwrap()),
        card_choice: CardChoice::Named,
        monthly_cap: None,
        ..RefillSettings::default()
    })
}

/// Accounts beside Alice, each with a refill that is wanted from 11:00:00 on.
async fn wanting_refills(world: &World, accounts: &[&str]) {
    for account in accounts {
        world.ledger.open(account, "10:00:00").await;
        world.ledger.credit(account, &format!("pi_{account}"), "6", "10:00:00").await;
        world.command_of(account, "10:30:00", refill()).await;
        world.ledger.start(account, "big", &[&format!("big-of-{account}")], "11:00:00").await;
    }
}

fn correction(amount: &str) -> Command {
    Command::Correct { amount: amount.parse().unwrap(), reason: "to the point".to_owned() }
}

#[tokio::test]
async fn account_is_suspended_in_the_minute_its_credit_ends() {
    let world = world("25").await;
    world.ledger.start(ALICE, "vm", &["srv-1"], "11:00:00").await;
    world.command("11:30:00", correction("-24.10")).await;
    // $0.30 of $0.60 an hour are left at 12:00: paid through 12:30.
    world.ledger.settle(ALICE, "12:00:00").await;
    assert_eq!(world.run("12:29:00").await.settled.accounts, 0);
    let report = world.run("12:30:00").await;
    assert_eq!((report.settled.accounts, report.settled.appended), (1, 1));
    assert!(matches!(world.standing().await, Standing::Suspended(_)));
    assert_eq!(
        world.run("12:30:00").await,
        SettleDueReport::default(),
        "a second run finds nothing due"
    );
}

#[tokio::test]
async fn wanted_refill_is_handed_on_each_minute_until_it_begins() {
    let world = world("6").await;
    world.command("10:30:00", refill()).await;
    world.ledger.start(ALICE, "big", &["srv-1"], "11:00:00").await;
    for minute in ["11:01:00", "11:02:00"] {
        assert_eq!(world.run(minute).await.refills, 1);
        let told = world.bus.take();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].detail_type, REFILL_DUE);
        assert_eq!(serde_json::from_str::<Value>(&told[0].detail).unwrap()["account"], ALICE);
    }
    let begin = Command::BeginRefill {
        customer: "cus_1".parse().unwrap(),
        tax: tollgate::domain::account::TaxMode::Off,
    };
    world.command("11:03:00", begin).await;
    assert_eq!(world.run("11:04:00").await.refills, 0, "an attempt is given two minutes");
    assert_eq!(world.run("11:05:00").await.refills, 1);
}

/// An account with a running resource that has no price cannot be settled.
#[tokio::test]
async fn late_refund_is_handed_on_although_the_account_cannot_be_settled() {
    for (is_priced, failed) in [(true, 0), (false, 1)] {
        let ledger = Ledger::with_credit("25").await;
        if is_priced {
            ledger.put_prices().await;
        }
        ledger.start(ALICE, "vm", &["srv-1"], "11:00:00").await;
        let (account, of) = (ALICE.parse().unwrap(), topup("pi_first", "25"));
        let terms = RefundTerms {
            payment: "pi_first".parse().unwrap(),
            amount: Some("10".parse().unwrap()),
            reason: "too much".to_owned(),
            may_leave_debt: false,
            payment_max: None,
        };
        let (trigger, plan) =
            (ledger.trigger(&account, at("11:10:00")), Plan::begin_refund(&of, &terms));
        ledger.store.execute(trigger, Cause::Command, plan).await.unwrap();
        let bus = RecordingBus::new();
        let clients =
            SettleDueClients { billing: ledger.billing(&[]), bus: bus.bus(), budget: BUDGET };
        let world = World { ledger, bus, clients };
        assert_eq!(world.run("11:11:00").await, SettleDueReport::default(), "it is not late");
        let report = world.run("11:12:00").await;
        assert_eq!((report.refills, report.settled.failed.len()), (1, failed), "{is_priced}");
        assert_eq!(world.bus.take()[0].detail_type, REFILL_DUE);
    }
}

#[tokio::test]
async fn an_account_that_fails_does_not_stop_the_others() {
    let world = world("25").await;
    world.ledger.open("bob", "10:00:00").await;
    world.ledger.credit("bob", "pi_bob", "5.10", "10:00:00").await;
    for account in [ALICE, "bob"] {
        let due = Command::Grant {
            bonus: tollgate::domain::command::BonusGrant {
                amount: "1".parse().unwrap(),
                expires_at: at("12:00:00"),
                excludes: std::collections::BTreeSet::new(),
            },
            reason: "hello".to_owned(),
        };
        let id = account.parse().unwrap();
        let trigger = world.ledger.trigger(&id, at("11:00:00"));
        world
            .ledger
            .store
            .execute(
                trigger,
                Cause::Command,
                Plan::on_snapshot(&|_: &AccountSnapshot<'_>| Ok(due.clone())),
            )
            .await
            .unwrap();
    }
    append_row_of_newer_format(&world.ledger, ALICE).await;
    let report = world.run("12:00:00").await;
    assert_eq!(
        (report.settled.accounts, report.settled.appended, report.settled.failed.len()),
        (2, 1, 1)
    );
}

#[tokio::test]
async fn run_without_readable_time_or_bus_fails() {
    let world = world("6").await;
    let unreadable =
        handle(&world.clients, &MinuteTrigger { time: "now".to_owned() }, on_time()).await;
    assert!(matches!(unreadable, Err(SettleDueError::Time(TriggerTimeError::Unreadable { .. }))));
    assert_eq!(report_of(&unreadable), None);

    world.command("10:30:00", refill()).await;
    world.ledger.start(ALICE, "big", &["srv-1"], "11:00:00").await;
    world.bus.die(usize::MAX);
    let silent = handle(
        &world.clients,
        &MinuteTrigger { time: "2026-11-22T11:01:00Z".to_owned() },
        on_time(),
    )
    .await;
    assert!(matches!(silent, Err(SettleDueError::Bus { .. })), "{silent:?}");
    let counted = report_of(&silent).map(|report| (report.settled.accounts, report.refills));
    assert_eq!(counted, Some((1, 0)), "what was done is counted all the same");
}

#[tokio::test]
async fn a_run_dated_ahead_settles_nothing() {
    let world = world("6").await;
    let trigger = MinuteTrigger { time: "2026-12-08T11:00:00Z".to_owned() };
    let delivered = DeliveryTime::at(at("2026-11-22T11:00:00Z"));
    let refused = handle(&world.clients, &trigger, delivered).await;
    assert!(
        matches!(refused, Err(SettleDueError::Time(TriggerTimeError::Ahead { .. }))),
        "{refused:?}"
    );
}

/// The head of this account is never read.
fn hang(world: &World, account: &str) {
    let hour = Duration::from_secs(3600);
    world.ledger.faults.set(
        Calls::of(Operation::Query).containing(&format!("\"{account}\"")),
        DynamoFault::Slow { before: hour, after: Duration::ZERO },
    );
}

#[tokio::test]
async fn hanging_account_delays_no_other_and_no_refill() {
    let mut world = world("6").await;
    wanting_refills(&world, &["bob", "carol", "dora"]).await;
    hang(&world, "bob");
    // Long enough for a run that was stopped to have sent what it found.
    world.clients.budget =
        RunBudget { starting: Duration::from_mins(1), finishing: Duration::from_mins(1) };
    let trigger = MinuteTrigger { time: at("11:01:00").to_string() };
    let run = handle(&world.clients, &trigger, on_time());
    let stopped = tokio::time::timeout(Duration::from_secs(3), run).await;
    assert!(stopped.is_err(), "the account still hangs");
    assert_eq!(world.bus.take().len(), 2, "the refills of the others are already sent");

    // With a budget the run ends by itself, and the next one takes up the account.
    world.clients.budget.finishing = Duration::from_secs(2);
    let report = world.run("11:02:00").await;
    assert_eq!((report.settled.accounts, report.refills, report.cut_off), (3, 2, false));
    let failed: Vec<&str> =
        report.settled.failed.iter().map(|failed| failed.account.as_str()).collect();
    assert_eq!(failed, ["bob"]);
    world.ledger.faults.clear();
    let report = world.run("11:03:00").await;
    assert_eq!((report.refills, report.settled.failed.len()), (3, 0));
}

#[tokio::test]
async fn run_short_of_time_leaves_the_rest_to_the_next() {
    let mut world = world("6").await;
    let accounts = ["bob", "carol", "dora", "ed", "fay"];
    wanting_refills(&world, &accounts).await;
    world.clients.budget.starting = Duration::ZERO;
    let report = world.run("11:01:00").await;
    assert_eq!((report.settled.accounts, report.refills, report.cut_off), (1, 1, true));
    world.clients.budget = BUDGET;
    let report = world.run("11:02:00").await;
    assert_eq!((report.settled.accounts, report.refills, report.cut_off), (5, 5, false));
}

#[tokio::test]
async fn runs_short_of_time_reach_every_account_in_turn() {
    let mut world = world("6").await;
    let accounts = ["bob", "carol", "dora", "ed", "fay"];
    wanting_refills(&world, &accounts).await;
    world.clients.budget.starting = Duration::ZERO;
    let mut reached = std::collections::BTreeSet::new();
    // Wanted refills stay due, so no account leaves the index.
    for minute in 1..=4 {
        world.run(&format!("11:0{minute}:00")).await;
        reached.extend(world.bus.take().into_iter().map(|event| event.detail));
    }
    assert!(reached.len() >= 2, "always the same account: {reached:?}");
}

#[tokio::test]
async fn unreadable_shard_fails_the_run_after_the_others() {
    let world = world("6").await;
    wanting_refills(&world, &["bob", "carol"]).await;
    let shard = tollgate::store::IndexShard::of(&"bob".parse().unwrap());
    assert_ne!(shard, tollgate::store::IndexShard::of(&"carol".parse().unwrap()));
    let key = format!("{{\"S\":\"{}\"}}", shard.number());
    world
        .ledger
        .faults
        .set(Calls::of(Operation::Query).containing(&key), DynamoFault::InternalError);
    let trigger = MinuteTrigger { time: at("11:01:00").to_string() };
    let run = handle(&world.clients, &trigger, on_time()).await;
    assert!(matches!(run, Err(SettleDueError::Index { .. })), "{run:?}");
    let counted = report_of(&run).map(|report| (report.settled.accounts, report.refills));
    assert_eq!(counted, Some((1, 1)));
}

/// Accounts whose grace period ended at these times of the 25th.
async fn deleting(world: &World, accounts: &[(String, &str)]) {
    for (account, ended) in accounts {
        let ledger = &world.ledger;
        ledger.open(account, "10:00:00").await;
        ledger.credit(account, &format!("pi_{account}"), "6", "10:00:00").await;
        ledger.start(account, "big", &[&format!("big-of-{account}")], "10:00:00").await;
        // The credit lasts for five hours, and everything is kept for three days more.
        for time in ["2026-11-22T15:00:00Z", "2026-11-24T15:00:00Z", *ended] {
            ledger.settle(account, time).await;
        }
        let standing = ledger.head(account).await.state.standing;
        assert!(matches!(standing, Standing::Deleting(_)), "{standing:?}");
    }
}

fn told(world: &World) -> Vec<String> {
    let told = world.bus.take();
    assert!(told.iter().all(|event| event.detail_type == DELETION_UNCONFIRMED), "{told:?}");
    let account = |detail: &str| serde_json::from_str::<Value>(detail).unwrap()["account"].clone();
    told.iter().map(|event| account(&event.detail).as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn those_that_wait_longest_are_asked_about_first_and_no_more_than_a_minute_allows() {
    let world = world("6").await;
    let late = (0..DELETIONS_MAX).map(|n| (format!("late-{n}"), "2026-11-25T16:01:00Z"));
    let early = (0..5).map(|n| (format!("early-{n}"), "2026-11-25T16:00:00Z"));
    deleting(&world, &late.chain(early).collect::<Vec<_>>()).await;
    let report = world.run("2026-11-25T16:02:00Z").await;
    assert_eq!(report.deletions as usize, DELETIONS_MAX);
    let told = told(&world);
    assert_eq!(told.len(), DELETIONS_MAX);
    assert!(told[..5].iter().all(|account| account.starts_with("early")), "{told:?}");
}

#[tokio::test]
async fn deletions_that_wait_are_asked_about_less_and_less_often() {
    let world = world("6").await;
    let accounts = ["bob", "carol"].map(|name| (name.to_owned(), "2026-11-25T16:00:00Z"));
    deleting(&world, &accounts).await;
    let asked = async |from: u32, minutes: u32| {
        let mut count = 0;
        for minute in from..from + minutes {
            let (hour, minute) = (16 + minute / 60, minute % 60);
            count += world.run(&format!("2026-11-25T{hour}:{minute:02}:00Z")).await.deletions;
        }
        count
    };
    assert_eq!(asked(0, 10).await, 2 * 10);
    assert_eq!(asked(10, 20).await, 2 * 4);
    assert_eq!(asked(60, 60).await, 2 * 4);
    let told = told(&world);
    assert_eq!(told.iter().filter(|account| *account == "bob").count(), 18, "each has its turn");
}

#[tokio::test]
async fn promised_payment_delays_a_deletion_without_asking() {
    let world = world("6").await;
    deleting(&world, &[("bob".to_owned(), "2026-11-25T16:00:00Z")]).await;
    let pending = tollgate::domain::account::PendingPayment {
        payment: "pi_debit".parse().unwrap(),
        amount: "25".parse().unwrap(),
        expires_at: at("2026-12-09T16:00:00Z"),
    };
    world.command_of("bob", "2026-11-25T16:01:00Z", Command::AwaitPayment(pending)).await;
    let report = world.run("2026-11-25T16:02:00Z").await;
    assert_eq!((report.settled.accounts, report.deletions), (0, 0), "it is not even read");
    let end = Command::EndPayment {
        payment: "pi_debit".parse().unwrap(),
        how: tollgate::domain::event::PendingEnd::Failed,
    };
    world.command_of("bob", "2026-11-26T16:00:00Z", end).await;
    assert_eq!(world.run("2026-11-26T16:01:00Z").await.deletions, 1);
    assert_eq!(told(&world), ["bob"]);
}
