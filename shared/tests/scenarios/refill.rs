//! Refills: when they are wanted, the course of attempts, and reasons that block them.

use tollgate::domain::account::{CardChoice, RefillPause};
use tollgate::domain::command::{Command, RefillCharge, RefillSettings, RefillTerms};
use tollgate::domain::event::RefillDecline;
use tollgate::domain::ids::CardId;
use tollgate::domain::money::Usd;
use tollgate::domain::refill::hours_covered;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::row_format::RowFormat;

use crate::world::{World, at, named};

/// $6 of credit at $1.00 an hour since 12:00; refill of $25 below $5 is agreed to.
fn running_low() -> World {
    let mut world = World::with_credit("6.50");
    world.agree_to_refill("11:00", ("5", "25"), None);
    world.start("12:00", "a", "vm100").unwrap();
    world.rows(&[
        "11:00:00 refill_changed 0.00 = 6.50",
        "12:00:00 started -1.00 = 5.50 to 13:00:00",
    ]);
    world
}

#[test]
fn row_below_the_threshold_requests_a_refill() {
    let mut world = running_low();
    world.settle("13:00").rows(&["13:00:00 usage -1.00 = 4.50 to 14:00:00 refill!"]);
    world.settle("14:00").rows(&["14:00:00 usage -1.00 = 3.50 to 15:00:00"]);
    world.begin_refill("14:00:05").unwrap();
    world.refill_lands("14:00:09").rows(&[
        "14:00:05 refill_begun 0.00 = 3.50 to 15:00:00",
        "14:00:09 auto_refill 25.00 = 28.50 to 15:00:00",
    ]);
    assert_eq!(world.begin_refill("14:01").err(), Some(Refusal::RefillNotWanted));
}

#[test]
fn sufficient_manual_top_up_cancels_the_wanted_refill() {
    let mut world = World::opened();
    world.agree_to_refill("10:00", ("50", "25"), None);
    assert!(
        world.state.refill.wanted.is_some(),
        "the setting itself finds the balance below the threshold"
    );
    world.credit("10:01", "60");
    assert_eq!(world.state.refill.wanted, None);

    let mut world = World::opened();
    world.credit("10:00", "4");
    let settings = RefillSettings {
        terms: Some(RefillTerms::multiple(named("5"), named("25"))),
        card: None,
        card_choice: CardChoice::Named,
        monthly_cap: None,
        ..RefillSettings::default()
    };
    world.command("10:01", Command::ChangeRefill(settings)).unwrap();
    world.credit("10:02", "0.50");
    assert_eq!(world.state.refill.wanted, None, "there is no card yet");
}

#[test]
fn settings_changed_during_an_attempt_apply_to_the_next() {
    let mut world = running_low();
    world.settle("13:00");
    world.begin_refill("13:00:05").unwrap();
    world.agree_to_refill("13:00:06", ("5", "100"), None);
    let attempt = world.state.refill.attempt.clone().unwrap();
    assert_eq!((attempt.amount, attempt.number), (named("25"), 1));
    assert_eq!(world.begin_refill("13:00:07").err(), Some(Refusal::AttemptOpen { attempt: 1 }));
}

#[test]
fn one_charge_is_the_multiple_that_reaches_the_threshold() {
    let mut world = World::with_credit("6");
    world.agree_to_refill_up_to("11:00", ("20", "5"), "50");
    assert_eq!(world.state.refill.wanted.unwrap().amount, named("15"));
    let mut world = World::with_credit("6");
    let loss = Command::Correct { amount: named("-80"), reason: "a test".to_owned() };
    world.command("10:59", loss).unwrap();
    world.agree_to_refill_up_to("11:00", ("20", "25"), "115");
    assert_eq!(world.state.refill.wanted.unwrap().amount, named("100"), "within the maximum");
}

#[test]
fn a_charge_that_is_not_enough_is_followed_an_hour_later() {
    let mut world = World::with_credit("6");
    world.agree_to_refill("11:00", ("20", "5"), None);
    world.begin_refill("11:01").unwrap();
    world.refill_lands("11:02");
    assert_eq!(world.begin_refill("11:03").err(), Some(Refusal::RefillNotWanted));
    world.start("11:30", "a", "vm60").unwrap();
    assert_eq!(world.begin_refill("11:31").err(), Some(Refusal::RefillNotWanted));
    world.settle("12:02").begin_refill("12:02").unwrap();
}

/// $17 below a threshold of $20. The card was removed, so no refill is wanted.
fn without_card() -> World {
    let mut world = World::with_credit("17");
    world.agree_to_refill("10:00", ("20", "50"), None);
    world.command("10:01", Command::RemoveCard { card: named("pm_1") }).unwrap();
    assert_eq!(world.state.refill.paused, Some(RefillPause::CardGone));
    world
}

#[test]
fn new_card_charges_nothing_while_its_owner_pays() {
    let mut world = without_card();
    world.follow_cards("11:00", "pm_2").unwrap();
    assert_eq!(world.begin_refill("11:00:01").err(), Some(Refusal::RefillNotWanted));
    world.credit("11:00:02", "100");
    world.settle("11:02").settle("12:00");
    assert_eq!(world.begin_refill("12:00").err(), Some(Refusal::RefillNotWanted));
    assert_eq!((world.state.refill.wanted, world.state.refill.retry_at), (None, None));
}

#[test]
fn new_card_is_charged_after_two_minutes_without_credit() {
    let mut world = without_card();
    world.follow_cards("11:00", "pm_2").unwrap();
    world.start("11:01", "a", "vm100").unwrap();
    assert_eq!(world.begin_refill("11:01:59").err(), Some(Refusal::RefillNotWanted));
    world.settle("11:02").begin_refill("11:02").unwrap();
    world.refill_lands("11:02:03");
}

/// The end of a freeze looks at the balance, too.
#[test]
fn unfrozen_account_leaves_the_owner_of_a_new_card_the_time_to_pay() {
    let mut world = without_card();
    let reason = || "a test".to_owned();
    world.command("10:59", Command::Freeze { reason: reason() }).unwrap();
    world.command("10:59:30", Command::Unfreeze { reason: reason() }).unwrap();
    world.follow_cards("11:00", "pm_2").unwrap();
    world.command("11:00:30", Command::Freeze { reason: reason() }).unwrap();
    world.command("11:01", Command::Unfreeze { reason: reason() }).unwrap();
    world.settle("11:01:59");
    assert_eq!(world.begin_refill("11:01:59").err(), Some(Refusal::RefillNotWanted));
    world.settle("11:02").begin_refill("11:02").unwrap();
}

#[test]
fn credit_below_the_threshold_ends_the_look_at_a_new_card() {
    let mut world = without_card();
    world.follow_cards("11:00", "pm_2").unwrap();
    world.credit("11:00:02", "1");
    world.settle("11:02");
    assert_eq!(
        world.begin_refill("11:02").err(),
        Some(Refusal::RefillNotWanted),
        "a payment never wants one"
    );
    world.start("11:03", "a", "vm100").unwrap();
    world.begin_refill("11:03").unwrap();
}

#[test]
fn attempt_of_a_replaced_card_leaves_the_look_at_the_new_card() {
    let mut world = World::with_credit("6");
    world.agree_to_refill("11:00", ("20", "25"), None);
    world.begin_refill("11:00:01").unwrap();
    world.follow_cards("11:00:02", "pm_2").unwrap();
    world.refill_fails("11:00:03", RefillDecline::CalledOff);
    assert_eq!(world.begin_refill("11:00:04").err(), Some(Refusal::RefillNotWanted));
    world.settle("11:02:02").begin_refill("11:02:02").unwrap();
    assert_eq!(world.state.refill.attempt.as_ref().unwrap().card, named("pm_2"));
}

#[test]
fn suspended_account_refills_after_a_new_card_or_at_once_on_request() {
    let suspended = || {
        let mut world = World::with_credit("6");
        world.agree_to_refill_of_the_default_card("10:00", ("5", "25"), None);
        world.start("11:00", "a", "vm100").unwrap();
        world.settle("17:00");
        assert_eq!(world.state.standing.name(), "suspended");
        world.follow_cards("17:30", "pm_2").unwrap();
        world
    };
    let mut world = suspended();
    world.settle("17:32").begin_refill("17:32").unwrap();
    let mut world = suspended();
    world.command("17:30:10", Command::RefillNow).unwrap();
    world.begin_refill("17:30:10").unwrap();
    assert_eq!(
        world.command("17:30:11", Command::RefillNow).err(),
        Some(Refusal::AttemptOpen { attempt: 1 })
    );
    world.refill_lands("17:30:12");
    assert_eq!(world.command("17:31", Command::RefillNow).err(), Some(Refusal::RefillNotWanted));
}

#[test]
fn removed_default_card_pauses_nothing_and_the_next_default_is_charged() {
    let mut world = World::with_credit("6");
    world.agree_to_refill_of_the_default_card("10:00", ("5", "25"), Some("pm_1"));
    world.command("10:01", Command::RemoveCard { card: named("pm_1") }).unwrap();
    assert_eq!((world.state.refill.paused, &world.state.refill.card), (None, &None));
    world.start("11:00", "a", "vm100").unwrap();
    world.settle("12:00");
    assert_eq!(world.state.refill.wanted, None, "there is no card");
    world.follow_cards("12:01", "pm_2").unwrap();
    world.settle("12:03").begin_refill("12:03").unwrap();
}

#[test]
fn a_cap_below_the_amount_is_refused() {
    let mut world = World::opened();
    let settings = RefillSettings {
        terms: Some(RefillTerms::multiple(named("10"), named("50"))),
        card: Some(named("pm_1")),
        card_choice: CardChoice::Named,
        monthly_cap: Some(named("20")),
        ..RefillSettings::default()
    };
    let refused = world.command("11:00", Command::ChangeRefill(settings)).err();
    assert_eq!(refused, Some(Refusal::CapBelowAmount { amount: named("50") }));
}

#[test]
fn an_attempt_is_no_longer_agreed_once_the_balance_is_enough() {
    let mut world = running_low();
    world.settle("13:00").begin_refill("13:00").unwrap();
    let attempt = world.state.refill.attempt.clone().unwrap();
    assert!(world.state.is_refill_agreed(&attempt, at("13:01")));
    world.credit("13:01", "500");
    assert!(!world.state.is_refill_agreed(&attempt, at("13:01")));
}

#[test]
fn ten_a_day_are_enough_and_the_eleventh_waits_for_midnight() {
    let mut world = World::opened();
    world.agree_to_refill("11:00", ("1000", "1"), None);
    for hour in 11..21 {
        world.settle(&format!("{hour}:00")).begin_refill(&format!("{hour}:00")).unwrap();
        world.refill_lands(&format!("{hour}:00"));
    }
    world.settle("21:00");
    assert_eq!(world.begin_refill("21:00").err(), Some(Refusal::RefillNotWanted));
    assert_eq!(
        tollgate::domain::settle::due::due_at(&world.state, &world.policy),
        Some(at("23T00:00"))
    );
    world.settle("22T23:59:59");
    assert_eq!(world.state.refill.wanted, None);
    world.settle("23T00:00").begin_refill("23T00:00").unwrap();
}

#[test]
fn monthly_cap_counts_pending_refills_until_utc_month_end() {
    let mut world = World::opened();
    world.agree_to_refill("11:00", ("1000", "25"), Some("60"));
    for time in ["11:10", "12:20"] {
        world.settle(time).begin_refill(time).unwrap();
        world.refill_lands(time);
    }
    world.settle("13:20");
    assert_eq!(world.state.refill.wanted, None, "$50 of $60 are charged, and $25 do not fit");
    world.settle("30T23:59:59");
    assert_eq!(world.state.refill.wanted, None);
    world.settle("12-01T00:00").begin_refill("12-01T00:00").unwrap();
}

#[test]
fn failed_attempts_wait_an_hour_and_the_fourth_pauses() {
    let mut world = World::opened();
    world.agree_to_refill("11:00", ("10", "25"), None);
    for hour in ["11", "12", "13", "14"] {
        world.settle(&format!("{hour}:00"));
        world.begin_refill(&format!("{hour}:00")).unwrap();
        world.refill_fails(&format!("{hour}:00"), RefillDecline::Later);
        assert_eq!(
            world.begin_refill(&format!("{hour}:59:59")).err(),
            Some(Refusal::RefillNotWanted)
        );
    }
    assert_eq!(world.state.refill.paused, Some(RefillPause::Failures));
    world.settle("23T11:00");
    assert_eq!(world.state.refill.wanted, None);
    // The customer switches it on again.
    world.agree_to_refill("23T12:00", ("10", "25"), None);
    world.begin_refill("23T12:00").unwrap();
    world.refill_lands("23T12:00");
    assert_eq!(world.state.refill.failures, 0);
}

#[test]
fn switching_off_and_on_does_not_get_around_the_hour() {
    let mut world = World::opened();
    world.agree_to_refill("11:00", ("10", "25"), None);
    world.begin_refill("11:00").unwrap();
    world.refill_fails("11:01", RefillDecline::Later);
    let off = RefillSettings {
        terms: None,
        card: Some(named("pm_1")),
        card_choice: CardChoice::Named,
        monthly_cap: None,
        ..RefillSettings::default()
    };
    world.command("11:02", Command::ChangeRefill(off)).unwrap();
    world.agree_to_refill("11:03", ("10", "25"), None);
    assert_eq!(world.state.refill.wanted, None);
    world.settle("12:01");
    assert!(world.state.refill.wanted.is_some());
}

#[test]
fn card_declined_forever_is_never_charged_again() {
    let mut world = World::opened();
    world.agree_to_refill("11:00", ("10", "25"), None);
    world.begin_refill("11:00").unwrap();
    world.refill_fails("11:01", RefillDecline::Never);
    assert_eq!(world.state.refill.paused, Some(RefillPause::CardRefused));
    let with = |card: &str| {
        let card: Option<CardId> = Some(named(card));
        Command::ChangeRefill(RefillSettings {
            terms: Some(RefillTerms::multiple(named("10"), named("25"))),
            card,
            card_choice: CardChoice::Named,
            monthly_cap: None,
            ..RefillSettings::default()
        })
    };
    let refused = Refusal::CardRefused { card: named("pm_1") };
    assert_eq!(world.command("11:02", with("pm_1")).err(), Some(refused.clone()));
    world.command("11:03", with("pm_2")).unwrap();
    assert_eq!(world.command("11:04", with("pm_1")).err(), Some(refused));
    world.settle("12:01").begin_refill("12:01").unwrap();
    assert_eq!(world.state.refill.attempt.as_ref().unwrap().card, named("pm_2"));
}

#[test]
fn a_removed_card_pauses_and_a_new_one_goes_on() {
    let mut world = running_low();
    let other = world.command("12:10", Command::RemoveCard { card: named("pm_other") }).err();
    assert_eq!(other, Some(Refusal::CardNotUsed { card: named("pm_other") }));
    world.command("12:20", Command::RemoveCard { card: named("pm_1") }).unwrap();
    assert_eq!(world.state.refill.paused, Some(RefillPause::CardGone));
    world.settle("13:00");
    assert_eq!(world.state.refill.wanted, None);
    world.agree_to_refill("13:10", ("5", "25"), None);
    world.begin_refill("13:10").unwrap();
}

#[test]
fn payment_awaiting_its_customer_blocks_another_attempt() {
    let mut world = running_low();
    world.settle("13:00").begin_refill("13:00").unwrap();
    world.command("13:01", Command::AskCustomer { attempt: 1, url: None }).unwrap();
    assert_eq!(
        tollgate::domain::settle::due::due_at(&world.state, &world.policy),
        Some(at("23T12:01"))
    );
    let again = world.command("13:05", Command::AskCustomer { attempt: 1, url: None }).err();
    assert_eq!(again, Some(Refusal::CustomerAlreadyAsked { attempt: 1 }));
    let other = world.command("13:05", Command::AskCustomer { attempt: 2, url: None }).err();
    assert_eq!(other, Some(Refusal::AttemptNotOpen { attempt: 2 }));
    assert_eq!(world.begin_refill("14:00").err(), Some(Refusal::AttemptOpen { attempt: 1 }));
    world.refill_lands("14:30");
    assert_eq!(world.state.refill.attempt, None);
}

#[test]
fn abandoned_attempt_that_is_paid_is_credited() {
    let mut world = running_low();
    world.settle("13:00").begin_refill("13:00").unwrap();
    world.refill_fails("13:01", RefillDecline::Later);
    let before = world.state.balance();
    let payment = world.payment("25");
    let kind = tollgate::domain::event::CreditKind::Refill {
        attempt: 1,
        purpose: tollgate::domain::account::RefillPurpose::Threshold,
    };
    let payment = tollgate::domain::event::PaymentFacts { payment: named("pi_late"), ..payment };
    world
        .command(
            "13:02",
            Command::Credit { payment, kind, plan: None, bonus: None, also: Vec::new() },
        )
        .unwrap();
    assert_eq!(world.state.balance() - before, named("25"));
}

#[test]
fn a_frozen_account_is_not_charged() {
    let mut world = running_low();
    world.command("12:10", Command::Freeze { reason: "dispute".to_owned() }).unwrap();
    world.settle("13:00");
    assert_eq!(world.state.refill.wanted, None);
    world.command("13:10", Command::Unfreeze { reason: "over".to_owned() }).unwrap();
    world.settle("14:00");
    assert!(world.state.refill.wanted.is_some());
    world.command("14:10", Command::Freeze { reason: "again".to_owned() }).unwrap();
    assert_eq!(world.begin_refill("14:11").err(), Some(Refusal::Frozen));
}

#[test]
fn settings_out_of_range_are_refused_with_the_limit() {
    let mut world = World::opened();
    let mut set = |threshold: &str, amount: &str, cap: Option<&str>| {
        let terms = Some(RefillTerms::multiple(named(threshold), named(amount)));
        let settings = RefillSettings {
            terms,
            card: None,
            card_choice: CardChoice::Named,
            monthly_cap: cap.map(named),
            ..RefillSettings::default()
        };
        world.command("11:00", Command::ChangeRefill(settings)).err()
    };
    assert_eq!(set("-0.01", "25", None), Some(Refusal::AmountTooSmall { min: Usd::ZERO }));
    assert_eq!(set("10000.01", "25", None), Some(Refusal::AmountTooLarge { max: named("10000") }));
    assert_eq!(set("5.001", "25", None), Some(Refusal::FractionOfCent));
    assert_eq!(set("5", "0.99", None), Some(Refusal::AmountTooSmall { min: named("1") }));
    assert_eq!(set("5", "1000.01", None), Some(Refusal::AmountTooLarge { max: named("1000") }));
    assert_eq!(set("5", "25.001", None), Some(Refusal::FractionOfCent));
    assert_eq!(set("5", "25", Some("0")), Some(Refusal::AmountNotPositive));
    assert_eq!(set("0", "1000", Some("1000")), Some(Refusal::ThresholdNotPositive));
    assert_eq!(set("0.01", "1000", Some("1000")), None);
}

#[test]
fn the_agreement_keeps_its_time_until_its_terms_change() {
    let mut world = World::with_credit("100");
    world.agree_to_refill("11:00", ("5", "25"), None);
    world.agree_to_refill("12:00", ("5", "25"), Some("100"));
    assert_eq!(world.state.refill.agreement.unwrap().at, at("11:00"));
    world.agree_to_refill("13:00", ("5", "30"), Some("100"));
    assert_eq!(world.state.refill.agreement.unwrap().at, at("13:00"));
}

#[test]
fn refill_advice_shows_how_many_hours_an_amount_lasts() {
    let world = running_low();
    assert_eq!(hours_covered(named("25"), &world.state), Some(25));
    assert_eq!(hours_covered(named("25"), &World::opened().state), None);
}

#[test]
fn refill_requested_under_old_terms_charges_new_ones() {
    let mut world = running_low();
    world.settle("13:00");
    assert_eq!(world.state.refill.wanted.unwrap().amount, named("25"));
    world.agree_to_refill("13:05", ("5", "10"), None);
    let wanted = world.state.refill.wanted.unwrap();
    assert_eq!((wanted.amount, wanted.since), (named("10"), at("13:00")));
}

#[test]
fn refusal_of_the_old_card_does_not_affect_the_new_one() {
    let mut world = running_low();
    world.settle("13:00").begin_refill("13:00").unwrap();
    let terms = Some(RefillTerms::multiple(named("5"), named("25")));
    let settings = RefillSettings {
        terms,
        card: Some(named("pm_2")),
        card_choice: CardChoice::Named,
        monthly_cap: None,
        ..RefillSettings::default()
    };
    world.command("13:01", Command::ChangeRefill(settings)).unwrap();
    world.refill_fails("13:02", RefillDecline::Never);
    assert_eq!((world.state.refill.paused, world.state.refill.failures), (None, 0));
    assert!(world.state.refill.never.contains(&named::<CardId>("pm_1")));
}

#[test]
fn unfreezing_checks_the_refill_threshold_again() {
    let mut world = running_low();
    world.command("12:10", Command::Freeze { reason: "dispute".to_owned() }).unwrap();
    world.settle("19:00");
    assert!(!crate::world::is_good(&world));
    world.command("20:00", Command::Unfreeze { reason: "won".to_owned() }).unwrap();
    world.begin_refill("20:01").unwrap();
    world.refill_lands("20:02");
    assert!(crate::world::is_good(&world));
}

#[test]
fn a_renewal_that_is_wanted_holds_back_the_deletion() {
    let mut world = running_low();
    world.settle("18:00");
    assert!(world.state.refill.wanted.is_some());
    world.settle("28T00:00");
    assert!(
        matches!(world.state.standing, tollgate::domain::account::Standing::Suspended(_)),
        "money may still come"
    );
}

fn to_target(threshold: &str, target: &str) -> RefillSettings {
    RefillSettings {
        terms: Some(RefillTerms {
            threshold: named(threshold),
            charge: RefillCharge::ToTarget { target: named(target) },
        }),
        card: Some(named("pm_1")),
        ..RefillSettings::default()
    }
}

fn wanted(world: &World) -> Option<Usd> {
    world.state.refill.wanted.map(|wanted| wanted.amount)
}

#[test]
fn refill_to_a_target_buys_what_is_missing() {
    let mut world = World::with_credit("11.26");
    let fraction = Command::Correct { amount: named("-0.005"), reason: "a test".to_owned() };
    world.command("10:59", fraction).unwrap();
    world.command("11:00", Command::ChangeRefill(to_target("10", "60"))).unwrap();
    assert_eq!(wanted(&world), None);
    world.start("11:30", "a", "vm100").unwrap();
    assert_eq!(wanted(&world), None);
    world.settle("12:00");
    assert_eq!(world.state.balance(), named("9.755"));
    assert_eq!(wanted(&world), Some(named("50.25")), "up to the cent");
    world.begin_refill("12:01").unwrap().refill_lands("12:02");
    assert_eq!(world.state.balance(), named("60.005"));
}

#[test]
fn refill_to_a_target_never_exceeds_what_is_missing_later() {
    let mut world = World::with_credit("5");
    world.command("11:00", Command::ChangeRefill(to_target("500", "1000"))).unwrap();
    assert_eq!(wanted(&world), Some(named("995")));
    world.credit("11:01", "400");
    world.begin_refill("11:02").unwrap();
    let attempt = world.state.refill.attempt.clone().unwrap();
    assert_eq!(attempt.amount, named("595"));
    world.credit("11:03", "50");
    assert!(!world.state.is_refill_agreed(&attempt, at("11:04")), "545 are missing");
    world.refill_fails("11:05", RefillDecline::CalledOff);
    assert_eq!(wanted(&world), Some(named("545")));
}

#[test]
fn confirmation_of_a_refill_to_a_target_outlives_a_cent_that_comes_back() {
    let mut world = World::with_credit("5");
    world.command("11:00", Command::ChangeRefill(to_target("10", "60"))).unwrap();
    world.begin_refill("11:01").unwrap();
    world.command("11:02", Command::AskCustomer { attempt: 1, url: None }).unwrap();
    let back =
        |amount: &str| Command::Correct { amount: named(amount), reason: "a test".to_owned() };
    world.command("11:03", back("0.20")).unwrap();
    assert!(!world.state.is_asked_in_vain(), "the customer confirms what was asked for");
    world.command("11:04", back("5")).unwrap();
    assert!(world.state.is_asked_in_vain(), "$10.20 are not below the threshold");
}

#[test]
fn refill_in_multiples_never_exceeds_what_is_missing_later() {
    let mut world = World::with_credit("5");
    world.agree_to_refill_up_to("11:00", ("100", "10"), "200");
    assert_eq!(wanted(&world), Some(named("100")));
    world.credit("11:01", "92");
    world.begin_refill("11:02").unwrap();
    let attempt = world.state.refill.attempt.clone().unwrap();
    assert_eq!(attempt.amount, named("10"));
}

#[test]
fn refill_to_a_target_stays_within_its_maximum() {
    let below = |settings: RefillSettings, balance: &str| {
        let mut world = World::with_credit("100");
        world.command("11:00", Command::ChangeRefill(settings)).unwrap();
        let loss = named::<Usd>(balance) - named("100");
        world
            .command("11:01", Command::Correct { amount: loss, reason: "a loss".to_owned() })
            .unwrap();
        world.command("11:02", Command::RefillNow).unwrap();
        wanted(&world)
    };
    let with = |max_charge: &str, cap: &str| RefillSettings {
        max_charge: Some(named(max_charge)),
        monthly_cap: Some(named(cap)),
        ..to_target("10", "60")
    };
    assert_eq!(below(to_target("10", "60"), "9"), Some(named("51")));
    assert_eq!(below(to_target("10", "60"), "-240"), Some(named("60")));
    assert_eq!(below(with("200", "1000"), "-100"), Some(named("160")));
    assert_eq!(below(with("200", "75"), "-100"), Some(named("75")));
    assert_eq!(below(with("50", "1000"), "-100"), Some(named("50")));
}

#[test]
fn target_must_be_within_the_limits_of_a_charge() {
    let refused = |settings: RefillSettings| {
        let mut world = World::opened();
        world.command("11:00", Command::ChangeRefill(settings)).err()
    };
    let below = Some(Refusal::TargetBelowThreshold { threshold: named("10") });
    assert_eq!(refused(to_target("10", "10")), below);
    assert_eq!(refused(to_target("10", "-5")), below);
    assert_eq!(
        refused(to_target("10", "10.50")),
        Some(Refusal::AmountTooSmall { min: named("1") })
    );
    let too_large = Some(Refusal::AmountTooLarge { max: named("1000") });
    assert_eq!(refused(to_target("10", "1010.01")), too_large);
    assert_eq!(refused(to_target("10", "1010")), None);
    assert_eq!(refused(to_target("10", "60.001")), Some(Refusal::FractionOfCent));
    let cap = RefillSettings { monthly_cap: Some(named("49")), ..to_target("10", "60") };
    assert_eq!(refused(cap), Some(Refusal::CapBelowAmount { amount: named("50") }));
    let max = RefillSettings { max_charge: Some(named("49")), ..to_target("10", "60") };
    assert_eq!(refused(max), Some(Refusal::AmountTooSmall { min: named("50") }));

    let mut world = World::opened();
    world.policy.row_format = RowFormat::new(3);
    let settings = Command::ChangeRefill(to_target("10", "60"));
    assert_eq!(world.command("11:00", settings).err(), Some(Refusal::RefillTermsNeeded));
}

/// $100 of credit, and refills from a card that is valid to the end of November.
fn with_card_until_december() -> World {
    let mut world = World::with_credit("100");
    let settings = RefillSettings {
        terms: Some(RefillTerms::multiple(named("10"), named("25"))),
        card: Some(named("pm_1")),
        card_ends_at: Some(at("2026-12-01T00:00:00Z")),
        ..RefillSettings::default()
    };
    world.skip_rows().command("11:00", Command::ChangeRefill(settings)).unwrap();
    world
}

fn renew_card(world: &mut World, time: &str, ends_at: &str) {
    let (card, card_choice, card_ends_at) = (named("pm_1"), CardChoice::Named, Some(at(ends_at)));
    world.command(time, Command::FollowCards { card, card_choice, card_ends_at }).unwrap();
}

#[test]
fn expiring_card_is_told_of_once_and_pauses_refills() {
    let mut world = with_card_until_december();
    world.rows(&["11:00:00 refill_changed 0.00 = 100.00", "11:00:00 card_expiring 0.00 = 100.00"]);
    world.settle("2026-11-30T23:59:59Z").rows(&[]);
    world.settle("2026-12-01T00:00:00Z").rows(&["12-01T00:00:00 card_expired 0.00 = 100.00"]);
    assert_eq!(world.state.refill.paused, Some(RefillPause::CardExpired));
    assert!(!world.state.is_refill_possible());
    world.settle("2026-12-20T00:00:00Z").rows(&[]);
    let (card, card_choice) = (named("pm_1"), CardChoice::Named);
    let card_ends_at = Some(at("2026-12-01T00:00:00Z"));
    let as_before = Command::FollowCards { card, card_choice, card_ends_at };
    let refused = world.command("2026-12-20T00:00:01Z", as_before).err();
    assert_eq!(refused, Some(Refusal::RefillNotWanted), "it is not renewed");
}

#[test]
fn renewed_card_moves_its_expiry_and_ends_the_pause() {
    let mut world = with_card_until_december();
    renew_card(&mut world, "11:10", "2027-02-01T00:00:00Z");
    world.skip_rows().settle("2026-12-31T23:59:59Z").rows(&[]);
    world.settle("2027-01-01T00:00:00Z").rows(&["2027-01-01T00:00:00 card_expiring 0.00 = 100.00"]);
    world.settle("2027-02-01T00:00:00Z");
    assert_eq!(world.state.refill.paused, Some(RefillPause::CardExpired));
    renew_card(&mut world, "2027-02-02T00:00:00Z", "2030-02-01T00:00:00Z");
    assert_eq!(world.state.refill.paused, None);
    let again = Command::FollowCards {
        card: named("pm_1"),
        card_choice: CardChoice::Named,
        card_ends_at: Some(at("2030-02-01T00:00:00Z")),
    };
    let refused = world.command("2027-02-02T00:01:00Z", again).err();
    assert_eq!(refused, Some(Refusal::RefillNotWanted), "nothing is new");
}

#[test]
fn renewed_card_does_not_end_the_pause_after_declines() {
    let mut world = running_low();
    for hour in ["13", "14", "15", "16"] {
        world.settle(&format!("{hour}:00")).begin_refill(&format!("{hour}:00:05")).unwrap();
        world.refill_fails(&format!("{hour}:00:05"), RefillDecline::Later);
    }
    assert_eq!(world.state.refill.paused, Some(RefillPause::Failures));
    renew_card(&mut world, "16:10", "2030-02-01T00:00:00Z");
    assert_eq!(world.state.refill.paused, Some(RefillPause::Failures));
    assert_eq!(world.state.refill.failures, 4);
}

/// Suspended since 13:00, and a refill that waits for its customer since 13:11.
fn suspended_and_asked() -> World {
    let mut world = World::with_credit("6.50");
    world.start("12:30", "a", "vm100").unwrap();
    world
        .command("12:40", Command::Correct { amount: named("-6"), reason: "a loss".to_owned() })
        .unwrap();
    world.settle("13:00").agree_to_refill("13:10", ("5", "25"), None);
    world.begin_refill("13:11").unwrap();
    world.command("13:11", Command::AskCustomer { attempt: 1, url: None }).unwrap();
    world
}

fn is_not_confirmed(world: &mut World, time: &str) {
    let attempt = world.state.refill.attempt.as_ref().unwrap().number;
    let (decline, code) = (RefillDecline::Later, "authentication_required".to_owned());
    world.command(time, Command::FailRefill { attempt, decline, code, reason: None }).unwrap();
}

#[test]
fn unconfirmed_refill_waits_for_its_customer_while_off() {
    let mut world = suspended_and_asked();
    is_not_confirmed(&mut world, "23T12:11");
    assert_eq!(world.state.refill.paused, Some(RefillPause::Unconfirmed));
    world.settle("24T13:00").settle("25T12:59:59");
    let kinds: Vec<&str> = world.events.iter().map(|event| event.change.name()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "refill_begun").count(), 1, "{kinds:?}");
    world.settle("25T13:00");
    assert_eq!(world.state.standing.name(), "deleting", "nothing delays it again");
}

#[test]
fn customer_who_returns_is_refilled_again() {
    let mut world = suspended_and_asked();
    is_not_confirmed(&mut world, "23T12:11");
    world.command("23T14:00", Command::RefillNow).unwrap();
    assert_eq!((world.state.refill.paused, wanted(&world)), (None, Some(named("25"))));

    let mut world = suspended_and_asked();
    is_not_confirmed(&mut world, "23T12:11");
    world.credit("23T14:00", "6");
    assert_eq!(world.state.refill.paused, None, "who adds credit has returned");

    let mut world = suspended_and_asked();
    is_not_confirmed(&mut world, "23T12:11");
    world.agree_to_refill("23T14:00", ("5", "25"), None);
    assert_eq!(world.state.refill.paused, None);
}
