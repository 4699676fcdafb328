//! Holds: what they keep, how they end, and that no order of them spends a credit twice.

use tollgate::domain::account::Standing;
use tollgate::domain::command::{
    BonusGrant, CapturedUsage, CardFunding, CardWallet, Command, TrialCard,
};
use tollgate::domain::decide::decide;
use tollgate::domain::event::{
    Cause, Change, CreditKind, Event, HoldChange, PaymentFacts, TakeBack,
};
use tollgate::domain::funds::Fund;
use tollgate::domain::holds::HoldId;
use tollgate::domain::payment_records::RecordedTotals;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::settle::due::due_at;
use tollgate::domain::timestamp::{HOUR, MINUTE};

use crate::world::{World, at, is_good, named};

impl World {
    /// Sets so much aside for calls and tokens, for so many minutes.
    pub(crate) fn hold(
        &mut self,
        time: &str,
        amount: &str,
        minutes: i64,
    ) -> Result<HoldId, Refusal> {
        self.hold_for(time, amount, minutes, &["call", "tokens"])
    }

    fn hold_for(
        &mut self,
        time: &str,
        amount: &str,
        minutes: i64,
        skus: &[&str],
    ) -> Result<HoldId, Refusal> {
        let (project, skus) = (named("p"), skus.iter().map(|sku| named(sku)).collect());
        let hold =
            Command::Hold { project, skus, amount: named(amount), seconds: minutes * MINUTE };
        self.command(time, hold)?;
        let made = |(seq, event): (usize, &Event)| {
            matches!(event.change, Change::Hold(HoldChange::Held { .. }))
                .then(|| HoldId::of_row(u64::try_from(seq).unwrap()))
        };
        Ok(self.events.iter().enumerate().filter_map(made).next_back().unwrap())
    }

    fn capture(&mut self, time: &str, hold: HoldId, calls: u32) -> Result<&mut World, Refusal> {
        let is_last = true;
        self.command(time, Command::CaptureHold { hold, usage: calls_of(calls), is_last })
    }

    fn capture_part(&mut self, time: &str, hold: HoldId, calls: u32) -> &mut World {
        let usage = calls_of(calls);
        self.command(time, Command::CaptureHold { hold, usage, is_last: false }).unwrap()
    }

    fn capture_late(&mut self, time: &str, hold: HoldId, calls: u32) -> &mut World {
        let usage = calls_of(calls);
        self.command(time, Command::CaptureLate { hold, usage, ends: false }).unwrap()
    }

    fn release(&mut self, time: &str, hold: HoldId) -> Result<&mut World, Refusal> {
        self.command(time, Command::ReleaseHold { hold })
    }

    fn extend(&mut self, time: &str, hold: HoldId, minutes: i64) -> Result<&mut World, Refusal> {
        let skus = [named("call"), named("tokens")].into_iter().collect();
        self.command(time, Command::ExtendHold { hold, skus, seconds: minutes * MINUTE })
    }

    /// Balance and what is available.
    #[track_caller]
    fn has(&self, balance: &str, available: &str) {
        let is = (self.state.balance().to_string(), self.state.available().to_string());
        assert_eq!(is, (balance.to_owned(), available.to_owned()));
    }

    /// The last payment is refunded or disputed in part.
    fn take(&mut self, time: &str, cents: i64) {
        let of = self.payment("10");
        let (by, before) = (TakeBack::Refund(named("re_1")), RecordedTotals::default());
        self.command(time, Command::TakeBack { by, of, cents, before }).unwrap();
    }
}

/// Calls at a dollar each.
fn calls_of(calls: u32) -> Vec<CapturedUsage> {
    let quantity = named(&calls.to_string());
    let (project, sku, rate) = (named("p"), named("call"), named("1"));
    vec![CapturedUsage { project, sku, labels: Default::default(), quantity, rate }]
}

fn with_credit(credit: &str) -> World {
    let mut world = World::with_credit(credit);
    world.skip_rows();
    world
}

fn too_low(required: &str, available: &str) -> Option<Refusal> {
    Some(Refusal::CreditTooLow { required: named(required), available: named(available) })
}

/// The funds that paid the last captured line, with the amounts.
fn paid_by(world: &World) -> Vec<(Fund, String)> {
    let lines = |event: &Event| match &event.change {
        Change::Hold(change) => change.lines().last().cloned(),
        _ => None,
    };
    let shares = world.events.iter().rev().find_map(lines).unwrap().shares;
    shares.iter().map(|share| (share.fund, share.amount.to_string())).collect()
}

#[test]
fn held_credit_is_not_available_and_a_capture_spends_it() {
    let mut world = with_credit("10");
    let hold = world.hold("10:01", "6", 10).unwrap();
    world.has("10.00", "4.00");
    assert_eq!(world.hold("10:02", "4.000001", 10).err(), too_low("4.000001", "4"));
    let other = world.hold("10:02", "4", 10).unwrap();
    world.has("10.00", "0.00");
    assert!(is_good(&world), "a hold on all the credit suspends nobody");
    world.capture("10:03", hold, 5).unwrap().has("5.00", "1.00");
    world.capture("10:04", other, 0).unwrap().has("5.00", "5.00");
    world.rows(&[
        "10:01:00 hold 0.00 = 10.00",
        "10:02:00 hold 0.00 = 10.00",
        "10:03:00 hold_captured -5.00 = 5.00",
        "10:04:00 hold_captured 0.00 = 5.00",
    ]);
    assert_eq!(world.capture("10:05", hold, 1).err(), Some(Refusal::HoldEnded { hold }));
}

#[test]
fn parts_are_captured_until_the_last() {
    let mut world = with_credit("10");
    let hold = world.hold("10:01", "6", 10).unwrap();
    world.capture_part("10:02", hold, 2).has("8.00", "4.00");
    world.capture_part("10:03", hold, 2).has("6.00", "4.00");
    // More than is held, and then more than there is.
    world.capture_part("10:04", hold, 5).has("1.00", "1.00");
    world.capture("10:05", hold, 3).unwrap().rows(&[
        "10:01:00 hold 0.00 = 10.00",
        "10:02:00 hold_captured -2.00 = 8.00",
        "10:03:00 hold_captured -2.00 = 6.00",
        "10:04:00 hold_captured -5.00 = 1.00",
        "10:05:00 hold_captured -3.00 = -2.00",
        "10:05:00 suspended 0.00 = -2.00 as of 10:05:00",
    ]);
}

#[test]
fn capture_of_the_last_credit_suspends_an_account_that_runs_nothing() {
    let mut world = with_credit("5");
    let hold = world.hold("10:01", "5", 10).unwrap();
    world.settle("10:05").has("5.00", "0.00");
    world.capture("10:06", hold, 5).unwrap().rows(&[
        "10:01:00 hold 0.00 = 5.00",
        "10:06:00 hold_captured -5.00 = 0.00",
        "10:06:00 suspended 0.00 = 0.00 as of 10:06:00",
    ]);
    assert_eq!(world.hold("10:07", "1", 10).err(), Some(Refusal::Suspended));
    world.credit("10:08", "5");
    assert!(is_good(&world));
    world.hold("10:09", "5", 10).unwrap();
}

#[test]
fn expired_hold_holds_nothing_and_is_captured_once_more() {
    let mut world = with_credit("10");
    let hold = world.hold("10:01", "6", 10).unwrap();
    assert_eq!(due_at(&world.state, &world.policy), Some(at("10:11")));
    world.settle("10:10:59").has("10.00", "4.00");
    world.settle("10:11").has("10.00", "10.00");
    assert_eq!(world.capture("10:12", hold, 2).err(), Some(Refusal::HoldEnded { hold }));
    world.capture_late("10:12", hold, 2).capture_late("10:13", hold, 2).rows(&[
        "10:01:00 hold 0.00 = 10.00",
        "10:11:00 hold_expired 0.00 = 10.00",
        "10:12:00 hold_captured -2.00 = 8.00",
    ]);
    // Its credit may be spent by then.
    let hold = world.hold("10:20", "8", 1).unwrap();
    let next = world.hold("10:21", "8", 10).unwrap();
    world.capture_late("10:22", hold, 3).has("5.00", "-3.00");
    world.capture("10:23", next, 8).unwrap().has("-3.00", "-3.00");
}

#[test]
fn released_hold_gives_back_what_it_held() {
    let mut world = with_credit("10");
    let hold = world.hold("10:01", "6", 10).unwrap();
    world.capture_part("10:02", hold, 1).release("10:03", hold).unwrap().has("9.00", "9.00");
    assert_eq!(world.release("10:04", hold).err(), Some(Refusal::HoldEnded { hold }));
    world.capture_late("10:05", hold, 1).has("8.00", "8.00");
}

#[test]
fn extension_sets_the_same_amount_aside_anew() {
    let mut world = with_credit("10");
    let hold = world.hold("10:01", "6", 10).unwrap();
    world.extend("10:10", hold, 60).unwrap().settle("11:09:59").has("10.00", "4.00");
    world.settle("11:10").has("10.00", "10.00");
    assert_eq!(world.extend("11:11", hold, 60).err(), Some(Refusal::HoldEnded { hold }));
    let bonus = world.grant("11:20", "5", "13:00", &[]).hold("11:21", "12", 60).unwrap();
    assert_eq!(
        world.extend("11:22", bonus, 120).err(),
        too_low("12", "10"),
        "the bonus ends before"
    );
    world.has("15.00", "3.00");
}

#[test]
fn a_hold_is_paid_by_grants_that_outlast_it_and_pay_for_all_its_skus() {
    let mut world = with_credit("1");
    world.grant("10:01", "1", "11:00", &[]); // 1: ends too early for most
    world.grant("10:02", "1", "23T00:00", &["tokens"]); // 2
    world.grant("10:03", "1", "24T00:00", &[]); // 3
    assert_eq!(world.hold("10:04", "2.5", 90).err(), too_low("2.5", "2"));
    let hold = world.hold_for("10:04", "2.5", 90, &["call"]).unwrap();
    world.capture("10:05", hold, 2).unwrap();
    let (second, third) = (Fund::Grant(2), Fund::Grant(3));
    assert_eq!(paid_by(&world), [(second, "-1.00".to_owned()), (third, "-1.00".to_owned())]);
    // What was held pays first, although another grant ends sooner.
    let hold = world.hold("10:06", "1", 90).unwrap();
    world.capture("10:07", hold, 2).unwrap();
    let (paid, first) = (Fund::Paid, Fund::Grant(1));
    assert_eq!(paid_by(&world), [(paid, "-1.00".to_owned()), (first, "-1.00".to_owned())]);
}

#[test]
fn a_debt_comes_before_a_hold() {
    let mut world = with_credit("1");
    let hold = world.hold("10:01", "1", 10).unwrap();
    world.capture("10:02", hold, 5).unwrap();
    world.grant("10:03", "5", "23T00:00", &[]);
    assert_eq!(world.hold("10:04", "1.5", 10).err(), too_low("1.5", "1"));
    world.hold("10:04", "1", 10).unwrap();
    world.has("1.00", "0.00");
}

#[test]
fn grant_expires_after_the_holds_on_it_and_pays_for_what_they_captured() {
    let mut world = with_credit("5");
    world.grant("10:00", "5", "11:00", &[]).skip_rows();
    world.hold("10:50", "4", 10).unwrap();
    world.settle("11:00").rows(&[
        "10:50:00 hold 0.00 = 10.00",
        "11:00:00 hold_expired 0.00 = 10.00",
        "11:00:00 expired -5.00 = 5.00",
    ]);
}

#[test]
fn refund_takes_free_credit_first_then_the_newest_hold() {
    for (cents, older_left, newer_left, available) in [
        (100, "4", "4", "1.00"),
        (200, "4", "4", "0.00"),
        (300, "4", "3", "0.00"),
        (700, "3", "0", "0.00"),
        (1_000, "0", "0", "0.00"),
    ] {
        let mut world = with_credit("10");
        let older = world.hold("10:01", "4", 10).unwrap();
        let newer = world.hold("10:02", "4", 10).unwrap();
        world.take("10:03", cents);
        let left = |id| world.state.hold(id).unwrap().amount();
        assert_eq!((left(older), left(newer)), (named(older_left), named(newer_left)), "{cents}");
        assert_eq!(world.state.available().to_string(), available, "{cents}");
        // It can still be captured, in any standing.
        assert_eq!(is_good(&world), cents < 1_000, "{cents}");
        world.capture("10:04", newer, 1).unwrap();
        world.release("10:05", older).unwrap();
    }
}

#[test]
fn correction_and_dispute_cut_holds_as_refunds_do() {
    let mut world = with_credit("10");
    let hold = world.hold("10:01", "8", 10).unwrap();
    let reason = || "typo".to_owned();
    let corrected = Command::Correct { amount: named("-5"), reason: reason() };
    world.command("10:02", corrected).unwrap().has("5.00", "0.00");
    assert_eq!(world.state.hold(hold).unwrap().amount(), named("5"));
    // What comes back is free.
    let corrected = Command::Correct { amount: named("5"), reason: reason() };
    world.command("10:03", corrected).unwrap().has("10.00", "5.00");
}

#[test]
fn usage_and_time_take_nothing_from_holds() {
    let mut world = World::with_credit("10");
    world.open_meter("10:00", "call");
    world.start("10:00", "vm", "vm60").unwrap().skip_rows();
    let hold = world.hold("10:01", "9", 10).unwrap();
    // Reported usage is billed beyond what is available. It happened.
    world.used("10:02", "call", 2).settle("10:02").has("7.40", "-1.60");
    assert!(matches!(world.start("10:03", "b", "vm60"), Err(Refusal::CreditTooLow { .. })));
    assert_eq!(world.hold("10:03", "0.1", 10).err(), too_low("0.1", "0"));
    world.capture("10:04", hold, 9).unwrap().has("-1.60", "-1.60");
}

#[test]
fn time_is_paid_from_what_is_available_and_a_release_brings_it_back() {
    let mut world = World::with_credit("10.60");
    world.start("10:00", "vm", "vm60").unwrap().skip_rows();
    let hold = world.hold("10:55", "9.70", 20).unwrap();
    world.settle("11:00").rows(&[
        "10:55:00 hold 0.00 = 10.00 to 11:00:00",
        "11:00:00 usage -0.30 = 9.70 to 11:30:00",
    ]);
    world.extend("11:01", hold, 60).unwrap().settle("11:30").skip_rows();
    assert!(!is_good(&world), "at the end of what is available");
    assert!(matches!(world.extend("11:31", hold, 90), Err(Refusal::Suspended)));
    world.release("11:40", hold).unwrap();
    assert!(is_good(&world), "what is available again ends the suspension");
    world.has("9.70", "9.70");
}

#[test]
fn capture_beside_a_suspension_leaves_it_and_an_expiry_ends_it() {
    let mut world = World::with_credit("10.60");
    world.start("10:00", "vm", "vm60").unwrap();
    let hold = world.hold("10:55", "10", 20).unwrap();
    world.settle("11:00");
    assert!(!is_good(&world));
    world.capture_part("11:05", hold, 9).has("1.00", "0.00");
    assert!(!is_good(&world), "nothing is available");
    world.settle("11:15").has("1.00", "1.00");
    assert!(is_good(&world));
}

#[test]
fn closing_releases_all_holds() {
    let mut world = with_credit("10");
    let hold = world.hold("10:01", "4", 10).unwrap();
    world.command("10:02", Command::Close { reason: "moved".to_owned() }).unwrap();
    assert_eq!((world.state.standing.clone(), world.state.held()), (Standing::Closed, named("0")));
    assert_eq!(world.capture("10:03", hold, 1).err(), Some(Refusal::HoldEnded { hold }));
    let usage = calls_of(1);
    world.command("10:03", Command::CaptureLate { hold, usage, ends: true }).unwrap();
    world.capture_late("10:04", hold, 1).rows(&[
        "10:01:00 hold 0.00 = 10.00",
        "10:02:00 closed 0.00 = 10.00",
        "10:03:00 hold_captured -1.00 = 9.00",
    ]);
}

#[test]
fn frozen_account_gets_no_new_hold_and_captures_open_ones() {
    let mut world = with_credit("10");
    let hold = world.hold("10:01", "4", 10).unwrap();
    world.command("10:02", Command::Freeze { reason: "fraud".to_owned() }).unwrap();
    assert_eq!(world.hold("10:03", "1", 10).err(), Some(Refusal::Frozen));
    assert_eq!(world.extend("10:03", hold, 10).err(), Some(Refusal::Frozen));
    world.capture("10:04", hold, 4).unwrap().has("6.00", "6.00");
}

#[test]
fn ten_holds_may_be_open() {
    let mut world = with_credit("100");
    for _ in 0..10 {
        world.hold("10:01", "1", 10).unwrap();
    }
    assert_eq!(world.hold("10:02", "1", 10).err(), Some(Refusal::TooManyHolds { max: 10 }));
    assert_eq!(world.hold("10:03", "0", 10).err(), Some(Refusal::AmountNotPositive));
    world.hold("10:11", "1", 10).unwrap();
}

#[test]
fn older_formats_make_no_hold_but_end_those_that_are_there() {
    let mut world = with_credit("10");
    let hold = world.hold("10:01", "4", 10).unwrap();
    world.policy.row_format = RowFormat::new(5);
    assert_eq!(world.hold("10:02", "1", 10).err(), Some(Refusal::HoldsNotYet));
    world.capture_part("10:03", hold, 1).settle("10:11").has("9.00", "9.00");
}

#[test]
fn hold_below_the_threshold_wants_a_refill_and_its_release_no_longer() {
    let mut world = with_credit("25");
    world.agree_to_refill("10:00", ("20", "25"), None).skip_rows();
    let hold = world.hold("10:01", "6", 10).unwrap();
    world.rows(&["10:01:00 hold 0.00 = 25.00 refill!"]);
    assert!(world.state.refill.wanted.is_some());
    world.release("10:02", hold).unwrap();
    assert!(world.state.refill.wanted.is_none());
}

#[test]
fn hold_that_ends_in_a_respite_pays_for_time_however_late_the_run_is() {
    let story = |runs: &[&str]| {
        let mut world = World::with_credit("10.60");
        world.agree_to_refill("10:00", ("1", "25"), None);
        world.start("10:00", "vm", "vm60").unwrap();
        world.hold("10:56", "10", 10).unwrap();
        world.begin_refill("10:56").unwrap();
        for run in runs {
            world.settle(run);
        }
        let names = world.events.iter().skip(5).map(|event| event.change.name());
        (names.collect::<Vec<_>>(), world.state.balance())
    };
    let punctual = story(&["11:00", "11:06", "11:10", "11:30"]);
    assert_eq!(punctual, (vec!["refill_begun", "hold_expired", "usage"], named("9.4")));
    for late in [&["11:06:30"][..], &["11:00", "11:20"], &["11:30"]] {
        assert_eq!(story(late), punctual, "{late:?}");
    }
}

fn in_trial() -> World {
    let mut world = World::opened();
    let (funding, wallet) = (CardFunding::Credit, CardWallet::None);
    let card = TrialCard { fingerprint: named("finger"), funding, wallet };
    world.command("10:00", Command::StartTrial { card, refill: None }).unwrap();
    world.skip_rows();
    world
}

/// A trial of which $5 are held for a day, and a machine has used the rest.
fn with_the_rest_of_a_trial_used() -> (World, HoldId) {
    let mut world = in_trial();
    world.start("10:00", "vm", "vm100").unwrap();
    let hold = world.hold("10:30", "5", 24 * 60).unwrap();
    for hour in 11..=24 {
        world.settle(&format!("{}T{:02}:00", 22 + hour / 24, hour % 24));
    }
    world
        .skip_rows()
        .settle("23T01:00")
        .rows(&["11-23T01:00:00 suspended 0.00 = 5.00 as of 01:00:00"]);
    (world, hold)
}

#[test]
fn trial_and_what_was_made_in_it_outlast_the_holds_on_its_credit() {
    let (mut world, hold) = with_the_rest_of_a_trial_used();
    world.capture_part("23T09:00", hold, 3).has("2.00", "0.00");
    assert_eq!(paid_by(&world), [(Fund::Grant(1), "-3.00".to_owned())]);
    world.skip_rows().settle("23T10:29:59").rows(&[]);
    // What comes back ends the suspension.
    world.settle("23T10:30").has("2.00", "2.00");
    assert!(is_good(&world));
    world.skip_rows().settle("25T10:00").rows(&["11-25T10:00:00 trial_ended -2.00 = 0.00"]);
}

#[test]
fn trial_ends_when_what_was_held_of_its_credit_is_used() {
    let (mut world, hold) = with_the_rest_of_a_trial_used();
    world.capture("23T09:00", hold, 5).unwrap().settle("24T09:00").rows(&[
        "11-23T09:00:00 hold_captured -5.00 = 0.00",
        "11-23T09:00:00 trial_ended 0.00 = 0.00",
        "11-23T09:00:00 deletion_announced 0.00 = 0.00",
        "11-24T09:00:00 deleting 0.00 = 0.00",
    ]);
}

#[test]
fn hold_lasts_to_the_end_of_the_trial_at_most() {
    let mut world = in_trial();
    let (day, half) = (24 * 60, 24 * 60 - 30);
    assert_eq!(world.hold("24T10:30", "5", day).err(), too_low("5", "0"));
    let hold = world.hold("24T10:30", "5", half).unwrap();
    world.capture_part("25T09:59:59", hold, 2);
    assert_eq!(paid_by(&world), [(Fund::Grant(1), "-2.00".to_owned())]);
    world.skip_rows().settle("25T10:00").rows(&[
        "11-25T10:00:00 hold_expired 0.00 = 18.00",
        "11-25T10:00:00 trial_ended -18.00 = 0.00",
    ]);
}

#[test]
fn hold_tells_no_customer_that_the_trial_ends() {
    let mut world = in_trial();
    world.start("10:00", "vm", "vm60").unwrap().skip_rows();
    world.hold("10:30", "19", 10).unwrap();
    world.rows(&["10:30:00 hold 0.00 = 19.40 to 11:00:00"]);
    assert!(due_at(&world.state, &world.policy) > Some(at("10:30")));
}

#[test]
fn deletion_waits_while_credit_is_held_and_is_announced_again() {
    let mut world = World::with_credit("10.60");
    world.policy.grace_seconds = HOUR;
    world.start("10:00", "vm", "vm60").unwrap();
    let hold = world.hold("10:55", "9.70", 24 * 60).unwrap();
    world.settle("11:00").skip_rows().settle("11:30").settle("13:00");
    world.capture("14:00", hold, 10).unwrap().settle("23T13:59:59").settle("23T14:00");
    world.rows(&[
        "11:30:00 suspended 0.00 = 9.70 as of 11:30:00",
        "14:00:00 hold_captured -10.00 = -0.30",
        "14:00:00 deletion_announced 0.00 = -0.30",
        "11-23T14:00:00 deleting 0.00 = -0.30",
    ]);
}

#[test]
fn refund_after_usage_below_zero_takes_from_holds_only_what_it_takes() {
    for (taken, left) in [("-1", "3"), ("-3", "1"), ("-5", "0")] {
        let mut world = World::with_credit("5");
        world.open_meter("10:00", "call");
        let hold = world.hold("10:01", "4", 10).unwrap();
        world.used("10:02", "call", 3).settle("10:02").has("2.00", "-2.00");
        let correct = Command::Correct { amount: named(taken), reason: "typo".to_owned() };
        world.command("10:03", correct).unwrap();
        assert_eq!(world.state.hold(hold).unwrap().amount(), named(left), "{taken}");
    }
}

#[test]
fn refund_takes_what_holds_keep_of_its_bonus() {
    let mut world = World::opened();
    let payment = PaymentFacts { payment: named("pi_1"), credit: named("5"), received_cents: 500 };
    let bonus = BonusGrant { amount: named("5"), expires_at: at("30T00:00"), excludes: [].into() };
    let (kind, bonus, also) = (CreditKind::TopUp, Some(bonus), Vec::new());
    let credit = Command::Credit { payment: payment.clone(), kind, plan: None, bonus, also };
    world.command("10:00", credit).unwrap();
    let hold = world.hold("10:01", "7", 10).unwrap();
    let (by, before) = (TakeBack::Refund(named("re_1")), RecordedTotals::default());
    let refund = Command::TakeBack { by, of: payment, cents: 500, before };
    world.command("10:02", refund).unwrap().has("0.00", "0.00");
    assert!(world.state.hold(hold).unwrap().shares.is_empty());
    // A capture is billed as any other usage then.
    world.capture("10:03", hold, 1).unwrap().has("-1.00", "-1.00");
}

#[test]
fn expired_hold_keeps_nothing_from_a_refund_although_no_row_says_so() {
    let mut world = with_credit("10");
    let lasting = world.hold("10:01", "2", 60).unwrap();
    world.hold("10:01", "8", 10).unwrap();
    let of = world.payment("10");
    let (by, before) = (TakeBack::Refund(named("re_1")), RecordedTotals::default());
    let refund = Command::TakeBack { by, of, cents: 500, before };
    let event = decide(&world.state, &refund, Cause::Command, &world.policy, at("10:12")).unwrap();
    assert_eq!(event.cuts, []);
    world.append(event);
    world.settle("10:12").has("5.00", "3.00");
    assert_eq!(world.state.hold(lasting).unwrap().amount(), named("2"));
}

#[test]
fn respite_that_only_a_hold_caused_ends_with_it_if_nothing_ran_unpaid() {
    let mut world = World::with_credit("10.60");
    world.agree_to_refill("10:00", ("1", "25"), None);
    world.start("10:00", "vm", "vm60").unwrap();
    let hold = world.hold("10:10", "9.80", 60).unwrap();
    assert_eq!(world.state.refill.respite.map(|respite| respite.until), Some(at("10:20")));
    world.release("10:11", hold).unwrap();
    assert_eq!(world.state.refill.respite, None);
    // Another refill has a respite of its own.
    let hold = world.hold("10:56", "10", 60).unwrap();
    let until = Some(at("11:06"));
    assert_eq!(world.state.refill.respite.map(|respite| respite.until), until);
    // What ran unpaid had its respite.
    world.settle("11:00").release("11:05", hold).unwrap();
    assert_eq!(world.state.refill.respite.map(|respite| respite.until), until);
    assert!(world.state.refill.wanted.is_none() && is_good(&world));
}

#[test]
fn capture_of_an_expired_hold_is_late_although_nobody_settled() {
    let mut world = with_credit("10");
    let hold = world.hold("10:01", "6", 10).unwrap();
    let capture = |is_last| Command::CaptureHold { hold, usage: calls_of(2), is_last };
    let decided = |world: &World, command: &Command| {
        decide(&world.state, command, Cause::Command, &world.policy, at("10:12"))
    };
    let event = decided(&world, &capture(false)).unwrap();
    assert!(matches!(event.change, Change::Hold(HoldChange::CapturedLate { ends: true, .. })));
    let skus = [named("call")].into_iter().collect();
    let extend = Command::ExtendHold { hold, skus, seconds: 60 };
    assert_eq!(decided(&world, &extend).err(), Some(Refusal::HoldEnded { hold }));
    world.append(event);
    world.has("8.00", "8.00");
    assert_eq!(decided(&world, &capture(true)).err(), Some(Refusal::HoldEnded { hold }));
    world
        .settle("10:13")
        .rows(&["10:01:00 hold 0.00 = 10.00", "10:12:00 hold_captured -2.00 = 8.00"]);
}
