//! The trial: the conditions, the covered resources, and its end.

use std::collections::BTreeSet;

use tollgate::domain::account::{RefillPurpose, Standing, TrialPhase};
use tollgate::domain::command::{CardFunding, CardWallet, Command, TrialCard};
use tollgate::domain::refusal::Refusal;

use crate::world::{World, at, is_good, named};

fn start_trial(funding: CardFunding, wallet: CardWallet) -> Command {
    let card = TrialCard { fingerprint: named("fp_1"), funding, wallet };
    Command::StartTrial { card, excludes: BTreeSet::new() }
}

fn in_trial() -> World {
    let mut world = World::opened();
    world.policy.trial.excludes = BTreeSet::from([named("domain")]);
    world.command("12:00", start_trial(CardFunding::Debit, CardWallet::None)).unwrap();
    world.rows(&["12:00:00 trial 20.00 = 20.00"]);
    world
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
    let mut world = in_trial();
    world.agree_to_refill("12:05", ("0", "25"), None);
    world.start("25T09:00", "a", "app").unwrap();
    for hour in ["10", "11", "12"] {
        world.settle(&format!("25T{hour}:00"));
    }
    // Three hours at $0.10 in three days are $3.00 in thirty.
    let wanted = world.state.refill.wanted.unwrap();
    assert_eq!((wanted.amount, wanted.purpose), (named("3"), RefillPurpose::TrialRenewal));
    assert!(is_good(&world), "the renewal holds back the suspension");
    world.begin_refill("25T12:00:10").unwrap();
    world.refill_lands("25T12:00:20").shown_are_seen();
    assert_eq!(world.state.trial.as_ref().unwrap().phase, TrialPhase::Renewed);
    assert_eq!((world.state.balance(), is_good(&world)), (named("2.90"), true));
}

#[test]
fn trial_without_a_running_service_is_not_renewed() {
    let mut world = in_trial();
    world.agree_to_refill("12:05", ("0", "25"), None);
    world.start("25T09:00", "a", "vm60").unwrap();
    world.settle("25T12:00");
    assert_eq!(world.state.refill.wanted, None);
}
