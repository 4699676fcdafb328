//! The trial: the conditions, the covered resources, and its end.

use std::collections::BTreeSet;

use tollgate::domain::account::{
    CardChoice, PendingPayment, RefillPurpose, RefillState, Standing, TrialPhase,
};
use tollgate::domain::command::{
    BonusGrant, CapturedUsage, CardFunding, CardWallet, Command, RefillSettings, RefillTerms,
    TrialCard,
};
use tollgate::domain::event::{Event, RefillDecline};
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::settle::trial_forecast::{AfterTrial, trial_forecast};
use tollgate::domain::settle::{TriggerDelivery, next_due_row};
use tollgate::domain::timestamp::{DAY, HOUR};

use crate::world::{World, at, is_good, named};

fn start_trial(funding: CardFunding, wallet: CardWallet) -> Command {
    let card = TrialCard { fingerprint: named("fp_1"), funding, wallet };
    Command::StartTrial { card, refill: None }
}

fn in_trial() -> World {
    let mut world = World::opened();
    world.policy.trial.excludes = BTreeSet::from([named("domain")]);
    world.command("12:00", start_trial(CardFunding::Debit, CardWallet::None)).unwrap();
    world.rows(&["12:00:00 trial 20.00 = 20.00"]);
    world
}

/// Runs a service for the last three hours of the trial, for $0.30.
fn to_the_end_with_a_service(world: &mut World) {
    world.start("25T09:00", "a", "app").unwrap();
    for hour in ["10", "11", "12"] {
        world.settle(&format!("25T{hour}:00"));
    }
}

/// What follows the trial if nothing changes.
fn follows(world: &World) -> Option<AfterTrial> {
    trial_forecast(&world.state, &world.policy).map(|forecast| forecast.then)
}

/// Credit and purpose of the refill that is wanted.
fn wanted(world: &World) -> Option<(Usd, RefillPurpose)> {
    world.state.refill.wanted.map(|wanted| (wanted.amount, wanted.purpose))
}

#[test]
fn trial_needs_a_new_account_and_an_eligible_card() {
    let mut world = in_trial();
    let again = world.command("12:01", start_trial(CardFunding::Credit, CardWallet::None)).err();
    assert_eq!(again, Some(Refusal::TrialUsed));
    let mut world = World::with_credit("1");
    assert_eq!(
        world.command("12:01", start_trial(CardFunding::Credit, CardWallet::None)).err(),
        Some(Refusal::TrialUsed)
    );
    let mut world = World::opened();
    for (funding, wallet) in [
        (CardFunding::Prepaid, CardWallet::None),
        (CardFunding::Unknown, CardWallet::None),
        (CardFunding::Credit, CardWallet::Some),
    ] {
        assert_eq!(
            world.command("12:00", start_trial(funding, wallet)).err(),
            Some(Refusal::TrialCard)
        );
    }
    world.command("12:00", Command::Freeze { reason: "odd".to_owned() }).unwrap();
    assert_eq!(
        world.command("12:00", start_trial(CardFunding::Credit, CardWallet::None)).err(),
        Some(Refusal::Frozen)
    );
}

#[test]
fn four_services_run_in_a_trial_and_any_number_of_other_things() {
    let mut world = in_trial();
    for id in ["a", "b", "c", "d"] {
        world.start("12:10", id, "app").unwrap();
    }
    let limit = Refusal::TrialLimit { kind: named("service"), max: 4 };
    assert_eq!(world.start("12:10", "e", "app").err(), Some(limit));
    world.start("12:10", "vm", "vm60").unwrap();
    world.stop("12:20", &["a"]).unwrap();
    world.start("12:20", "e", "app").unwrap();
    let excluded = Refusal::CreditTooLow { required: named("5"), available: named("0") };
    assert_eq!(world.start("12:20", "name", "domain").err(), Some(excluded));
    // A paying customer is a customer like any other.
    world.credit("12:30", "5");
    world.start("12:30", "f", "app").unwrap();
}

#[test]
fn trial_end_forfeits_credit_and_skips_grace() {
    let mut world = in_trial();
    world.start("25T10:00", "a", "app").unwrap();
    world.settle("25T11:00");
    world.settle("25T12:00").rows(&[
        "11-25T10:00:00 started -0.10 = 19.90 to 11-25T11:00:00",
        "11-25T10:00:00 trial_ending 0.00 = 19.90 to 11-25T11:00:00",
        "11-25T11:00:00 trial_ending 0.00 = 19.90 to 11-25T11:00:00",
        "11-25T11:00:00 usage -0.10 = 19.80 to 11-25T12:00:00",
        "11-25T12:00:00 trial_ended -19.80 = 0.00 to 11-25T12:00:00",
        "11-25T12:00:00 suspended 0.00 = 0.00 as of 12:00:00",
        "11-25T12:00:00 deleting 0.00 = 0.00",
    ]);
}

#[test]
fn hour_paid_by_the_trial_runs_out_even_if_settled_late() {
    let run = |late: bool| {
        let mut world = in_trial();
        world.start("25T10:30", "a", "app").unwrap();
        world.settle("25T11:00");
        if !late {
            world.settle("25T12:00");
        }
        world.settle("25T13:30");
        let Standing::Suspended(ref suspension) = world.state.standing else { return None };
        Some(suspension.as_of)
    };
    assert_eq!((run(false), run(true)), (None, None), "without a grace it is being deleted");
}

#[test]
fn payment_during_a_trial_gives_the_full_grace() {
    let mut world = in_trial();
    world.start("25T10:30", "a", "app").unwrap();
    world.credit("25T11:10", "1");
    world
        .command("25T11:20", Command::Correct { amount: named("-1.00"), reason: "all".to_owned() })
        .unwrap();
    world.settle("25T12:00");
    let Standing::Suspended(ref suspension) = world.state.standing else {
        panic!("{:?}", world.state.standing)
    };
    assert_eq!(suspension.delete_at, Some(at("28T12:00")));
}

#[test]
fn a_running_service_is_renewed_for_a_month_of_what_it_used() {
    let mut world = in_trial_with_refills();
    to_the_end_with_a_service(&mut world);
    // Three hours at $0.10 in three days are $3.00 in thirty.
    assert_eq!(wanted(&world), Some((named("3"), RefillPurpose::TrialRenewal)));
    assert!(is_good(&world), "the renewal holds back the suspension");
    world.begin_refill("25T12:00:10").unwrap();
    world.refill_lands("25T12:00:20").shown_are_seen();
    assert_eq!(world.state.trial.as_ref().unwrap().phase, TrialPhase::Renewed);
    assert_eq!((world.state.balance(), is_good(&world)), (named("2.90"), true));
}

/// A gateway holds nearly all the credit. What is held pays after the end, too.
#[test]
fn trial_is_renewed_when_its_free_credit_is_used_beside_a_hold() {
    let mut world = in_trial_with_refills();
    world.start("12:00", "a", "app").unwrap();
    let skus = [named("call")].into_iter().collect();
    let (project, amount) = (named("p"), named("19.80"));
    world.command("12:30", Command::Hold { project, skus, amount, seconds: 10 * HOUR }).unwrap();
    let hold = world.state.holds[0].id;
    world.settle("13:00").settle("14:00").settle("14:01");
    assert_eq!(wanted(&world).map(|(_, purpose)| purpose), Some(RefillPurpose::TrialRenewal));
    assert!(is_good(&world), "the service runs on");
    world.begin_refill("14:02").unwrap();
    world.refill_lands("14:03");
    let usage = vec![CapturedUsage {
        project: named("p"),
        sku: named("call"),
        labels: Default::default(),
        quantity: named("5"),
        rate: named("1"),
    }];
    let before = world.state.paid;
    world.command("14:10", Command::CaptureHold { hold, usage, is_last: true }).unwrap();
    world.settle("14:10");
    assert!(is_good(&world));
    assert_eq!(world.state.paid, before, "what was held paid, and the rest of it expired");
    assert_eq!(world.state.balance(), world.state.paid);
}

#[test]
fn trial_without_a_running_service_is_not_renewed() {
    let mut world = in_trial_with_refills();
    world.start("25T09:00", "a", "vm60").unwrap();
    world.settle("25T12:00");
    assert_eq!(world.state.refill.wanted, None, "$0 is below $4, and the words say nothing of it");
    // Whoever agrees to them again has read other words.
    world.agree_to_refill("25T12:10", ("4", "25"), None);
    assert!(matches!(world.state.standing, Standing::Deleting(_)), "too late here");
}

/// A trial with refill terms: below $4, $25; a renewal at its end.
fn in_trial_with_refills() -> World {
    let mut world = World::opened();
    let card = TrialCard {
        fingerprint: named("fp_1"),
        funding: CardFunding::Debit,
        wallet: CardWallet::None,
    };
    let refill = Some(RefillSettings {
        terms: Some(RefillTerms::multiple(named("4"), named("25"))),
        words: Some("Charged once when the trial ends.".to_owned()),
        card: Some(named("pm_1")),
        card_choice: CardChoice::Default,
        ..RefillSettings::default()
    });
    world.command("12:00", Command::StartTrial { card, refill }).unwrap();
    world.skip_rows();
    world
}

/// $5.10 an hour: the trial's credit is used after three hours and fifty-five minutes.
fn spend_fast(world: &mut World) {
    world.start("12:00", "a", "app").unwrap();
    for id in ["b", "c", "d", "e", "f"] {
        world.start("12:00", id, "vm100").unwrap();
    }
    world.skip_rows();
}

#[test]
fn trial_lasts_until_a_full_hour() {
    let mut world = World::opened();
    world.command("12:00:01", start_trial(CardFunding::Debit, CardWallet::None)).unwrap();
    assert_eq!(world.state.trial.as_ref().unwrap().ends_at, at("25T13:00"));
}

#[test]
fn trial_is_offered_as_long_as_nothing_was_paid() {
    let card = || start_trial(CardFunding::Debit, CardWallet::None);
    let refused = |change: &dyn Fn(&mut World)| {
        let mut world = World::opened();
        change(&mut world);
        world.command("12:00", card()).err()
    };
    let is_off = Some(Refusal::TrialNotOffered);
    assert_eq!(refused(&|world| world.policy.trial.credit = Usd::ZERO), is_off);
    assert_eq!(refused(&|world| world.policy.row_format = RowFormat::new(5)), is_off);
    let promise = |world: &mut World| {
        let promised = PendingPayment {
            payment: named("pi_slow"),
            amount: named("25"),
            expires_at: at("25T12:00"),
        };
        world.command("11:00", Command::AwaitPayment(promised)).unwrap();
    };
    assert_eq!(refused(&promise), Some(Refusal::TrialUsed));
}

#[test]
fn trial_credit_that_is_used_ends_the_trial() {
    let end = |late: bool| {
        let mut world = in_trial();
        spend_fast(&mut world);
        for time in ["12:01", "13:00", "14:00", "14:56", "15:00", "15:56"] {
            if !late || time == "15:56" {
                world.settle(time);
            }
        }
        let rows: Vec<&str> =
            world.events.iter().rev().take(3).map(|row| row.change.name()).collect();
        assert_eq!(rows, ["deleting", "suspended", "trial_ended"], "without a grace");
        let trial = world.state.trial.clone().unwrap();
        (trial.ends_at, trial.used, world.state.balance())
    };
    let (ended_at, used, balance) = end(false);
    assert_eq!((ended_at, balance), (at("15:55:17"), Usd::ZERO));
    assert!(used > named("19.99"), "{used}");
    assert_eq!(end(true), (ended_at, used, balance), "a late run finds the same end");
}

/// What was charged to the trial's credit comes back to nobody: it has expired.
#[test]
fn start_that_failed_in_a_trial_revives_none_of_its_credit() {
    let mut world = in_trial();
    spend_fast(&mut world);
    for time in ["15:55", "16:00"] {
        world.settle(time);
    }
    assert!(!world.state.is_in_trial(), "{:?}", world.state.trial);
    world.fail_start("16:01", "a").unwrap();
    assert_eq!((world.state.balance(), world.state.grants.len()), (Usd::ZERO, 0));
}

#[test]
fn trial_ending_is_told_a_day_and_an_hour_before() {
    let mut world = in_trial();
    world.start("13:00", "a", "app").unwrap();
    let told = |world: &World| {
        let is_notice = |row: &&Event| row.change.name() == "trial_ending";
        world.events.iter().filter(is_notice).map(|row| row.at).collect::<Vec<_>>()
    };
    let mut time = at("14:00");
    while time < at("25T12:00") {
        world.settle(&time.to_string());
        // Each hour does what the minute run does, too.
        world.settle(&time.plus(60).to_string());
        time = time.plus(HOUR);
    }
    assert_eq!(told(&world), [at("24T12:00"), at("25T11:00")]);
}

#[test]
fn trial_ending_sooner_is_told_at_once() {
    let mut world = in_trial_with_refills();
    spend_fast(&mut world);
    let told = world.events.iter().filter(|row| row.change.name() == "trial_ending");
    assert_eq!(told.map(|row| row.at).collect::<Vec<_>>(), [at("12:00")]);
    let after = follows(&world);
    assert_eq!(after, Some(AfterTrial::Renewal(named("25"))));
    for time in ["13:00", "14:00", "14:55:17"] {
        world.settle(time);
    }
    world.rows(&[
        "13:00:00 usage -5.10 = 9.80 to 14:00:00",
        "14:00:00 usage -5.10 = 4.70 to 15:00:00",
        "14:55:17 trial_ending 0.00 = 4.70 to 15:00:00",
    ]);
    // More resources bring the end forward. It is not told again.
    world.command("14:56", bonus("10")).unwrap();
    world.start("14:56", "g", "vm60").unwrap();
    world.skip_rows().settle("14:57").rows(&[]);
}

#[test]
fn queued_run_tells_of_no_end() {
    let mut world = in_trial();
    world.start("24T11:00", "a", "app").unwrap();
    let next = |delivery| next_due_row(&world.view(), at("24T12:00"), delivery).unwrap().unwrap();
    assert_eq!(next(TriggerDelivery::Queued).change.name(), "usage");
    assert_eq!(next(TriggerDelivery::Prompt).change.name(), "trial_ending");
}

#[test]
fn refills_wait_for_the_end_of_the_trial() {
    let mut world = in_trial_with_refills();
    spend_fast(&mut world);
    for time in ["13:00", "14:00", "15:00"] {
        world.settle(time);
    }
    assert!(world.state.balance() < named("4"), "below the threshold");
    assert_eq!(world.state.refill.wanted, None);
    assert_eq!(world.command("15:10", Command::RefillNow).err(), Some(Refusal::RefillNotWanted));
    world.settle("15:55:17");
    assert_eq!(wanted(&world), Some((named("25"), RefillPurpose::TrialRenewal)));
    world.begin_refill("15:55:20").unwrap();
    world.refill_lands("15:55:30");
    assert_eq!(world.state.trial.as_ref().unwrap().phase, TrialPhase::Renewed);
    // Then it is a customer like any other: the balance falls below the threshold.
    world.settle("16:00");
    for hour in 17..21 {
        world.settle(&format!("{hour}:00"));
    }
    assert_eq!(wanted(&world), Some((named("25"), RefillPurpose::Threshold)));
}

#[test]
fn renewal_follows_the_time_that_the_trial_took() {
    let mut world = in_trial_with_refills();
    world.policy.trial.credit = Usd::dollars(1);
    world.policy.trial.renewal_max = Usd::dollars(10_000);
    spend_fast(&mut world);
    for time in ["13:00", "14:00", "15:00", "15:55:17"] {
        world.settle(time);
    }
    // $19.9999 in 3 h 55 min 17 s are $3,672.01 in 30 days.
    assert_eq!(world.state.refill.wanted.unwrap().amount.to_string(), "3672.01");
}

#[test]
fn who_deletes_all_services_and_turns_refills_off_is_not_billed() {
    let mut world = in_trial_with_refills();
    world.start("12:10", "a", "app").unwrap();
    world.start("12:10", "b", "vm60").unwrap();
    world.delete("13:10", &["a"]).unwrap();
    world.command("13:11", Command::ChangeRefill(RefillSettings::default())).unwrap();
    for day in 23..27 {
        for hour in 0..24 {
            world.settle(&format!("{day}T{hour:02}:00"));
        }
    }
    assert!(!world.state.ever_paid && world.state.refill == RefillState::default());
    assert!(matches!(world.state.standing, Standing::Deleting(_)), "{:?}", world.state.standing);
    assert!(world.state.balance().is_zero());
}

#[test]
fn declined_renewal_is_tried_again_as_a_renewal() {
    let mut world = in_trial_with_refills();
    to_the_end_with_a_service(&mut world);
    world.begin_refill("25T12:00:10").unwrap();
    world.refill_fails("25T12:00:20", RefillDecline::Later);
    let Standing::Suspended(ref suspension) = world.state.standing else {
        panic!("a decline ends the respite: {:?}", world.state.standing)
    };
    assert_eq!(suspension.delete_at, Some(at("28T12:00:20")), "nothing is deleted meanwhile");
    assert_eq!(world.state.refill.wanted, None);
    world.settle("25T13:00:20");
    assert_eq!(wanted(&world), Some((named("3"), RefillPurpose::TrialRenewal)));
    world.begin_refill("25T13:00:30").unwrap();
    world.refill_lands("25T13:00:40");
    assert!(is_good(&world));
}

#[test]
fn declined_renewal_deletes_what_the_trial_made() {
    let mut world = in_trial_with_refills();
    to_the_end_with_a_service(&mut world);
    world.begin_refill("25T12:00:10").unwrap();
    world.refill_fails("25T12:00:20", RefillDecline::Never);
    assert!(matches!(world.state.standing, Standing::Deleting(_)), "{:?}", world.state.standing);
}

#[test]
fn terms_accepted_after_the_trial_are_terms_like_any_other() {
    let mut world = in_trial();
    world.command("25T11:30", bonus("10")).unwrap();
    world.start("25T11:30", "a", "vm60").unwrap();
    world.settle("25T12:00");
    world.agree_to_refill("25T12:30", ("20", "25"), None);
    assert_eq!(wanted(&world), Some((named("25"), RefillPurpose::Threshold)));
}

fn bonus(amount: &str) -> Command {
    let bonus = BonusGrant {
        amount: named(amount),
        expires_at: at("12-31T00:00"),
        excludes: BTreeSet::new(),
    };
    Command::Grant { bonus, reason: "welcome".to_owned() }
}

#[test]
fn other_terms_renew_no_trial() {
    let mut world = in_trial_with_refills();
    world.agree_to_refill("12:05", ("1", "5"), None);
    to_the_end_with_a_service(&mut world);
    assert_eq!(wanted(&world), Some((named("5"), RefillPurpose::Threshold)));
}

#[test]
fn terms_that_are_changed_withdraw_the_renewal() {
    let mut world = in_trial_with_refills();
    to_the_end_with_a_service(&mut world);
    assert!(world.state.refill.wanted.is_some());
    world.agree_to_refill("25T12:00:05", ("1", "5"), None);
    assert_eq!(wanted(&world), Some((named("5"), RefillPurpose::Threshold)));
}

#[test]
fn payment_by_hand_ends_a_renewal_that_is_under_way() {
    let mut world = in_trial_with_refills();
    to_the_end_with_a_service(&mut world);
    world.begin_refill("25T12:00:10").unwrap();
    let attempt = world.state.refill.attempt.clone().unwrap();
    assert!(world.state.is_refill_agreed(&attempt, at("25T12:01")));
    world.credit("25T12:03", "50");
    assert!(!world.state.is_refill_agreed(&attempt, at("25T12:04")));
}

#[test]
fn renewal_keeps_to_the_monthly_cap() {
    let renewal = |cap: &str| {
        let mut world = World::opened();
        let card = TrialCard {
            fingerprint: named("fp_2"),
            funding: CardFunding::Debit,
            wallet: CardWallet::None,
        };
        let refill = Some(RefillSettings {
            terms: Some(RefillTerms::multiple(named("0.50"), named("1"))),
            card: Some(named("pm_1")),
            monthly_cap: Some(named(cap)),
            ..RefillSettings::default()
        });
        world.agree_to_refill("12:00", ("0.50", "1"), Some(cap));
        let start = Command::StartTrial { card, refill };
        world.command("12:00", start).unwrap();
        to_the_end_with_a_service(&mut world);
        world.state.refill.wanted.map(|wanted| wanted.amount)
    };
    assert_eq!(renewal("100"), Some(named("3")));
    assert_eq!(renewal("2"), Some(named("2")));
}

#[test]
fn credit_beyond_the_trial_announces_no_deletion() {
    let mut world = in_trial();
    world.command("12:05", bonus("100")).unwrap();
    world.start("24T11:00", "a", "app").unwrap();
    assert_eq!(follows(&world), Some(AfterTrial::Nothing));
    for hour in 12..36 {
        world.settle(&format!("{}T{:02}:01", 24 + hour / 24, hour % 24));
    }
    assert!(world.events.iter().all(|row| row.change.name() != "trial_ending"));
    assert!(is_good(&world));
}

#[test]
fn end_that_moved_away_is_told_again() {
    let mut world = in_trial();
    world.start("12:00", "a", "app").unwrap();
    for id in ["b", "c", "d", "e", "f"] {
        world.start("12:00", id, "vm100").unwrap();
    }
    for time in ["13:00", "14:00", "15:00", "15:10"] {
        world.settle(time);
    }
    let told = |world: &World| {
        world.events.iter().filter(|row| row.change.name() == "trial_ending").count()
    };
    assert_eq!(told(&world), 2, "of its last day, and of its last hour");
    world.delete("15:10", &["b", "c", "d", "e", "f"]).unwrap();
    let mut time = at("16:00");
    while time < at("24T16:00") {
        world.settle(&time.to_string());
        time = time.plus(HOUR);
    }
    assert!(told(&world) >= 3, "{}", told(&world));
}

#[test]
fn changed_card_pays_the_renewal_that_is_due() {
    let mut world = in_trial_with_refills();
    to_the_end_with_a_service(&mut world);
    world.follow_cards("25T12:00:05", "pm_2").unwrap();
    assert_eq!(wanted(&world), Some((named("3"), RefillPurpose::TrialRenewal)));
    assert!(is_good(&world), "the respite goes on");
    world.begin_refill("25T12:00:10").unwrap();
    world.refill_lands("25T12:00:20");
    assert_eq!(world.state.trial.as_ref().unwrap().phase, TrialPhase::Renewed);
}

/// Its owner may be paying by hand with the new card. The payment then comes a moment later.
#[test]
fn new_card_of_a_suspended_account_is_not_charged_at_once_for_the_renewal() {
    let mut world = in_trial_with_refills();
    world.policy.trial_grace_seconds = 3 * DAY;
    let card = world.state.refill.card.clone().unwrap();
    world.start("25T09:00", "a", "app").unwrap();
    world.settle("25T10:00").settle("25T11:00");
    world.command("25T11:30", Command::RemoveCard { card }).unwrap();
    world.settle("25T12:00").settle("25T12:30");
    assert!(!is_good(&world));
    world.follow_cards("25T14:00", "pm_2").unwrap();
    assert_eq!(wanted(&world), None, "not before the look");
    world.settle("25T14:02");
    assert!(matches!(wanted(&world), Some((_, RefillPurpose::TrialRenewal))));
}

#[test]
fn same_terms_that_are_accepted_after_a_trial_charge_again() {
    let mut world = in_trial_with_refills();
    world.command("25T11:00", bonus("10")).unwrap();
    world.settle("25T12:00");
    assert_eq!(world.command("25T12:01", Command::RefillNow).err(), Some(Refusal::RefillNotWanted));
    world.start("25T12:10", "a", "vm100").unwrap();
    for hour in 13..20 {
        world.settle(&format!("25T{hour}:00"));
    }
    assert_eq!(world.state.refill.wanted, None, "{} is below $4", world.state.balance());
    world.agree_to_refill("25T19:30", ("4", "25"), None);
    assert_eq!(world.state.refill.wanted.unwrap().amount, named("25"));
}

#[test]
fn renewal_that_failed_is_due_beside_other_credit() {
    let mut world = in_trial_with_refills();
    world.command("25T08:00", bonus("10")).unwrap();
    to_the_end_with_a_service(&mut world);
    world.begin_refill("25T12:00:10").unwrap();
    world.refill_fails("25T12:00:20", RefillDecline::Later);
    assert!(world.state.balance() > named("4") && world.state.refill.retry_at.is_some());
    world.settle("25T13:00:20");
    assert_eq!(world.state.refill.wanted.unwrap().purpose, RefillPurpose::TrialRenewal);
    // Whoever deletes all services meanwhile is not charged.
    world.delete("25T13:01", &["a"]).unwrap();
    assert_eq!(world.state.refill.wanted, None);
    world.settle("25T15:00");
    assert_eq!(world.state.refill.wanted, None);
}

#[test]
fn same_terms_with_another_card_are_no_renewal() {
    let mut world = in_trial_with_refills();
    world.command("25T08:00", bonus("10")).unwrap();
    to_the_end_with_a_service(&mut world);
    world.begin_refill("25T12:00:10").unwrap();
    world.refill_fails("25T12:00:20", RefillDecline::Never);
    let terms = Some(RefillTerms::multiple(named("4"), named("25")));
    let card = Some(named("pm_2"));
    let settings = RefillSettings { terms, card, ..RefillSettings::default() };
    world.command("26T12:00", Command::ChangeRefill(settings)).unwrap();
    assert_eq!(world.state.refill.wanted, None, "{} is above $4", world.state.balance());
}
