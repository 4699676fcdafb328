//! Paying ahead: the cost of each hour, start and stop, to the second.

use tollgate::domain::command::Command;
use tollgate::domain::event::{Event, RefillDecline};
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::settle::due::due_at;

use crate::world::{World, at, is_good, named};

#[test]
fn start_pays_the_hours_rest_and_each_hour_is_paid_once() {
    let mut world = World::with_credit("25");
    world
        .start("10:20", "a", "vm60")
        .unwrap()
        .rows(&["10:20:00 started -0.40 = 24.60 to 11:00:00"]);
    world
        .settle("11:00")
        .settle("11:00")
        .settle("11:01")
        .rows(&["11:00:00 usage -0.60 = 24.00 to 12:00:00"]);
    world
        .start("11:30", "b", "vm120")
        .unwrap()
        .rows(&["11:30:00 started -0.60 = 23.40 to 12:00:00"]);
    world.stop("11:45", &["b"]).unwrap().rows(&["11:45:00 stopped 0.30 = 23.70 to 12:00:00"]);
    world.stop("11:45", &["a"]).unwrap().rows(&["11:45:00 stopped 0.15 = 23.85"]);
    world.settle("13:00").rows(&[]);
}

#[test]
fn a_start_at_the_full_hour_pays_for_the_hour_that_begins() {
    let mut world = World::with_credit("25");
    world
        .start("11:00", "a", "vm60")
        .unwrap()
        .rows(&["11:00:00 started -0.60 = 24.40 to 12:00:00"]);
    world
        .start("11:59:59", "b", "vm60")
        .unwrap()
        .rows(&["11:59:59 started -0.000167 = 24.399833 to 12:00:00"]);
    world.start("12:00", "c", "vm60").unwrap().rows(&[
        "12:00:00 usage -1.20 = 23.199833 to 13:00:00",
        "12:00:00 started -0.60 = 22.599833 to 13:00:00",
    ]);
}

/// $0.50 left at 12:00 with $1.00 an hour running.
fn half_a_dollar_at_noon() -> World {
    let mut world = World::with_credit("5.50");
    world.start("11:00", "a", "vm100").unwrap();
    world.command("11:59", correction("-4.00")).unwrap();
    world.settle("12:00").rows(&[
        "11:00:00 started -1.00 = 4.50 to 12:00:00",
        "11:59:00 correction -4.00 = 0.50 to 12:00:00",
        "12:00:00 usage -0.50 = 0.00 to 12:30:00",
    ]);
    world
}

fn correction(amount: &str) -> Command {
    Command::Correct { amount: named(amount), reason: "to the point".to_owned() }
}

#[test]
fn credit_before_the_last_paid_second_keeps_all_running() {
    let mut world = half_a_dollar_at_noon();
    world.credit("12:20", "10").rows(&["12:20:00 topup 10.00 = 10.00 to 12:30:00"]);
    world.settle("12:29:59").rows(&[]);
    world.settle("12:30").rows(&["12:30:00 usage -0.50 = 9.50 to 13:00:00"]);
    world.settle("13:00").rows(&["13:00:00 usage -1.00 = 8.50 to 14:00:00"]);
}

#[test]
fn without_credit_all_is_suspended_at_the_last_paid_second() {
    let mut world = half_a_dollar_at_noon();
    world.settle("12:30:40").rows(&["12:30:40 suspended 0.00 = 0.00 as of 12:30:00"]);
    world.settle("13:00").settle("14:00").rows(&[]);
}

#[test]
fn run_after_an_outage_pays_hour_by_hour_within_credit() {
    let mut world = World::with_credit("10");
    world
        .start("12:00", "a", "vm100")
        .unwrap()
        .rows(&["12:00:00 started -1.00 = 9.00 to 13:00:00"]);
    world.settle("16:07").rows(&[
        "16:07:00 usage -1.00 = 8.00 to 14:00:00",
        "16:07:00 usage -1.00 = 7.00 to 15:00:00",
        "16:07:00 usage -1.00 = 6.00 to 16:00:00",
        "16:07:00 usage -1.00 = 5.00 to 17:00:00",
    ]);

    let mut world = World::with_credit("7");
    world.start("12:00", "a", "vm100").unwrap();
    world.command("12:30", correction("-4.50")).unwrap();
    world.settle("16:07").rows(&[
        "12:00:00 started -1.00 = 6.00 to 13:00:00",
        "12:30:00 correction -4.50 = 1.50 to 13:00:00",
        "16:07:00 usage -1.00 = 0.50 to 14:00:00",
        "16:07:00 usage -0.50 = 0.00 to 14:30:00",
        "16:07:00 suspended 0.00 = 0.00 as of 14:30:00",
    ]);
    world.settle("17:00").rows(&[]);
}

#[test]
fn credit_before_the_suspension_row_pays_the_gap() {
    let mut world = half_a_dollar_at_noon();
    // The minute run was down; the machine ran on.
    world.credit("14:10", "10").rows(&[
        "14:10:00 topup 10.00 = 10.00 to 12:30:00",
        "14:10:00 usage -0.50 = 9.50 to 13:00:00",
        "14:10:00 usage -1.00 = 8.50 to 14:00:00",
        "14:10:00 usage -1.00 = 7.50 to 15:00:00",
    ]);
}

/// Credit until 12:30 at $1 an hour, and a refill that is wanted at 12:25 and being charged.
fn half_a_dollar_at_noon_with_a_refill_in_flight() -> World {
    let mut world = World::with_credit("5.50");
    world.start("11:00", "a", "vm100").unwrap();
    world.command("11:59", correction("-4.00")).unwrap();
    world.settle("12:00");
    world.agree_to_refill("12:25", ("0.25", "25"), None);
    world.begin_refill("12:26").unwrap().rows(&[
        "11:00:00 started -1.00 = 4.50 to 12:00:00",
        "11:59:00 correction -4.00 = 0.50 to 12:00:00",
        "12:00:00 usage -0.50 = 0.00 to 12:30:00",
        "12:25:00 refill_changed 0.00 = 0.00 to 12:30:00 refill!",
        "12:26:00 refill_begun 0.00 = 0.00 to 12:30:00",
    ]);
    world
}

#[test]
fn a_refill_in_flight_delays_the_suspension_ten_minutes_at_most() {
    let mut world = half_a_dollar_at_noon_with_a_refill_in_flight();
    world.settle("12:34:59").rows(&[]);
    world.settle("12:35").rows(&["12:35:00 suspended 0.00 = 0.00 as of 12:30:00"]);
    assert_eq!(world.state.owed, named("0.083333"), "five minutes at $1 an hour");
    assert_eq!(world.state.needed_to_resume(at("12:35")), Some(named("0.09")));
}

/// The customer chose another card. The look two minutes later would come after the suspension.
#[test]
fn respite_of_before_goes_on_with_another_card() {
    let in_flight = || {
        let mut world = half_a_dollar_at_noon_with_a_refill_in_flight();
        world.settle("12:30").follow_cards("12:31", "pm_2").unwrap();
        world.refill_fails("12:31:30", RefillDecline::CalledOff);
        world.skip_rows().settle("12:32").rows(&[]);
        world.begin_refill("12:32").unwrap();
        assert_eq!(world.state.refill.attempt.as_ref().unwrap().card, named("pm_2"));
        world
    };
    let mut world = in_flight();
    world.refill_lands("12:32:05");
    assert_eq!(world.state.standing.name(), "good");
    // Never beyond its own end.
    let mut world = in_flight();
    world.skip_rows().settle("12:34:59").rows(&[]);
    world.settle("12:35").rows(&["12:35:00 suspended 0.00 = 0.00 as of 12:30:00"]);
    // A refill that is wanted and has not begun goes on, too.
    let mut world = half_a_dollar_at_noon_with_a_refill_in_flight();
    world.refill_fails("12:27", RefillDecline::CalledOff);
    world.follow_cards("12:29", "pm_2").unwrap();
    world.skip_rows().settle("12:32").rows(&[]);
    world.begin_refill("12:32").unwrap();
}

#[test]
fn a_respite_counts_from_the_row_that_wanted_the_refill() {
    let mut world = World::with_credit("5.50");
    world.agree_to_refill("10:30", ("0.25", "25"), None);
    world.start("11:00", "a", "vm100").unwrap();
    world.command("11:59", correction("-4.00")).unwrap();
    world.settle("12:00").begin_refill("12:01").unwrap();
    world.settle("12:30:01");
    assert_eq!((world.state.standing.name(), world.state.owed), ("suspended", named("0")));
}

/// The hourly run leaves the hour to the respite, and an attempt that begins late is looked at after
/// it.
#[test]
fn end_of_a_respite_over_a_full_hour_is_due_by_itself() {
    let mut world = World::with_credit("5.50");
    world.start("11:00", "a", "vm100").unwrap();
    world.command("11:57", correction("-4.50")).unwrap();
    world.agree_to_refill("11:58", ("0.25", "25"), None);
    world.settle("12:00").begin_refill("12:07:30").unwrap();
    assert_eq!(due_at(&world.state, &world.policy), Some(at("12:08")));
    world.skip_rows().settle("12:08").rows(&["12:08:00 suspended 0.00 = 0.00 as of 12:00:00"]);
}

#[test]
fn a_respite_is_not_renewed_by_other_settings_or_a_new_attempt() {
    let mut world = half_a_dollar_at_noon_with_a_refill_in_flight();
    world.refill_fails("12:27", RefillDecline::CalledOff);
    assert!(
        world.state.refill.wanted.is_some(),
        "called off is not declined: wanted again at once"
    );
    world.begin_refill("12:31").unwrap();
    world.refill_fails("12:32", RefillDecline::CalledOff);
    world.agree_to_refill("12:33", ("5", "50"), None);
    world.begin_refill("12:34").unwrap();
    world.settle("12:35:00");
    assert_eq!((world.state.standing.name(), world.state.owed), ("suspended", named("0.083333")));
    // The next credit pays what is owed first, and begins anew.
    world.credit("12:40", "10");
    assert_eq!((world.state.owed, world.state.balance()), (named("0"), named("9.916667")));
    assert_eq!(world.state.standing.name(), "good");
    assert_eq!(world.state.refill.respite, None);
}

#[test]
fn what_is_owed_is_paid_in_parts_and_before_the_suspension_ends() {
    let mut world = half_a_dollar_at_noon_with_a_refill_in_flight();
    world.settle("12:35").rows(&["12:35:00 suspended 0.00 = 0.00 as of 12:30:00"]);
    world
        .credit("12:36", "0.05")
        .rows(&["12:36:00 topup 0.05 = 0.05", "12:36:00 owed_paid -0.05 = 0.00"]);
    assert_eq!((world.state.owed, world.state.standing.name()), (named("0.033333"), "suspended"));
}

#[test]
fn credit_that_does_not_pay_for_a_respite_leaves_it_as_it_is() {
    for cents in 1..4 {
        let mut world = half_a_dollar_at_noon_with_a_refill_in_flight();
        // $0.01 pays 36 seconds of the four minutes that ran.
        for number in 0..cents {
            world.credit(&format!("12:34:{number}0"), "0.01");
        }
        world.settle("12:50");
        assert_eq!(world.state.standing.name(), "suspended");
        // Five minutes from 12:30 on cost $0.083333. They are paid or owed, all of them.
        let known = Usd::from_cents(cents).unwrap() + world.state.owed;
        assert!(named::<Usd>("0.08333") <= known && known <= named("0.083336"), "{known}");
        assert!(world.state.balance() < named("0.000278"), "less than a second");
    }
}

#[test]
fn credit_that_pays_for_a_respite_allows_another_one() {
    let mut world = half_a_dollar_at_noon_with_a_refill_in_flight();
    world.credit("12:34", "0.10");
    assert_eq!(world.state.paid_through(), Some(at("12:36")));
    assert_eq!(world.state.refill.respite.map(|respite| respite.from), Some(at("12:34")));
    world.settle("12:44");
    assert_eq!((world.state.standing.name(), world.state.owed), ("suspended", named("0.133333")));
}

#[test]
fn what_is_stopped_in_a_respite_is_owed() {
    let mut world = half_a_dollar_at_noon_with_a_refill_in_flight();
    world.stop("12:33", &["a"]).unwrap();
    assert_eq!((world.state.owed, world.state.standing.name()), (named("0.05"), "good"));
    world.refill_lands("12:34").rows(&[
        "12:33:00 stopped 0.00 = 0.00",
        "12:34:00 auto_refill 25.00 = 25.00",
        "12:34:00 owed_paid -0.05 = 24.95",
    ]);
}

#[test]
fn a_refill_that_lands_in_time_pays_for_the_time_since() {
    let mut world = half_a_dollar_at_noon_with_a_refill_in_flight();
    world.settle("12:32").rows(&[]);
    world.refill_lands("12:33").rows(&[
        "12:33:00 auto_refill 25.00 = 25.00 to 12:30:00",
        "12:33:00 usage -0.50 = 24.50 to 13:00:00",
    ]);
    assert_eq!(world.state.owed, named("0"));
}

#[test]
fn a_rejection_ends_the_respite() {
    let mut world = half_a_dollar_at_noon_with_a_refill_in_flight();
    world.refill_fails("12:33", RefillDecline::Later).rows(&[
        "12:33:00 refill_failed 0.00 = 0.00 to 12:30:00",
        "12:33:00 suspended 0.00 = 0.00 as of 12:30:00",
    ]);
    assert_eq!(world.state.owed, named("0.05"));
}

/// Ten volumes at $0.20 an hour, and $0.10 an hour while off, until the credit ended at 17:00.
fn volumes_kept_since_five() -> World {
    let mut world = World::with_credit("10");
    for number in 0..10 {
        world.start("12:00", &format!("v{number}"), "volume").unwrap();
    }
    world.settle("17:00");
    assert_eq!((world.state.standing.name(), world.state.balance()), ("suspended", named("0")));
    world.skip_rows();
    world
}

#[test]
fn a_dollar_pays_a_part_of_what_was_kept_and_renews_nothing() {
    let mut world = volumes_kept_since_five();
    let delete_at = world.state.delete_at();
    world
        .credit("23T03:00", "1")
        .rows(&["11-23T03:00:00 topup 1.00 = 1.00", "11-23T03:00:00 owed_paid -1.00 = 0.00"]);
    assert_eq!((world.state.standing.name(), world.state.delete_at()), ("suspended", delete_at));
    assert_eq!(world.state.owed_at(at("23T03:00")), named("9"), "ten hours at $1, less a dollar");
    assert_eq!(world.state.owed_at(at("23T03:30")), named("9.50"));
    assert_eq!(world.state.needed_to_resume(at("23T03:00")), Some(named("10.01")));
    world.credit("23T03:30", "10.01").rows(&[
        "11-23T03:30:00 topup 10.01 = 10.01",
        "11-23T03:30:00 owed_paid -9.50 = 0.51",
        "11-23T03:30:00 resumed 0.00 = 0.51 to 11-23T03:30:00",
        "11-23T03:30:00 usage -0.50 = 0.01 to 11-23T04:00:00",
    ]);
    assert_eq!((world.state.standing.name(), world.state.kept()), ("good", None));
}

#[test]
fn frozen_account_goes_on_owing_what_is_kept() {
    let mut world = volumes_kept_since_five();
    world.command("18:00", Command::Freeze { reason: "a dispute".to_owned() }).unwrap();
    world.credit("19:00", "40");
    // $2.00 are paid. The account does not come back, and keeps its volumes at $1 an hour.
    assert_eq!((world.state.standing.name(), world.state.balance()), ("suspended", named("38")));
    assert_eq!(world.state.owed_at(at("20:00")), named("1"));
    world.command("20:00", Command::Unfreeze { reason: "won".to_owned() }).unwrap();
    world.skip_rows();
    world.settle("20:00").rows(&[]);
    assert_eq!((world.state.standing.name(), world.state.owed), ("good", named("0")));
    let used: Usd = world.events.iter().map(Event::amount).sum();
    assert_eq!(used, named("36"), "the third hour, and one paid ahead");
}

#[test]
fn bonus_pays_what_is_owed_whatever_it_excludes() {
    let mut world = volumes_kept_since_five();
    world.grant("19:00", "40", "30T00:00", &["tokens"]);
    world.rows(&[
        "19:00:00 bonus 40.00 = 40.00",
        "19:00:00 owed_paid -2.00 = 38.00",
        "19:00:00 resumed 0.00 = 38.00 to 19:00:00",
        "19:00:00 usage -1.00 = 37.00 to 20:00:00",
    ]);
}

#[test]
fn credit_of_exactly_what_is_owed_keeps_the_suspension_and_its_charge() {
    let mut world = volumes_kept_since_five();
    world.credit("18:00", "1");
    assert_eq!((world.state.standing.name(), world.state.owed), ("suspended", named("0")));
    assert_eq!(world.state.owed_at(at("19:00")), named("1"));
}

#[test]
fn kept_data_is_owed_for_the_grace_and_written_off_with_the_deletion() {
    let mut world = volumes_kept_since_five();
    assert_eq!(world.state.owed_at(at("25T17:00")), named("72"));
    assert_eq!(world.state.owed_at(at("28T17:00")), named("72"), "the grace and no more");
    world.settle("24T17:00").settle("25T17:00:30");
    assert_eq!((world.state.standing.name(), world.state.owed), ("deleting", named("72")));
    assert_eq!(world.state.needed_to_resume(at("25T17:01")), Some(named("72.01")));
    world.confirm_deletion("25T17:02").unwrap();
    assert_eq!((world.state.standing.name(), world.state.owed), ("deleted", named("0")));
}

#[test]
fn credit_after_the_grace_pays_the_grace_before_the_account_resumes() {
    let mut world = volumes_kept_since_five();
    world.settle("24T17:00").settle("25T17:00:30");
    world.credit("25T17:01", "10");
    assert_eq!((world.state.standing.name(), world.state.owed), ("deleting", named("62")));
    world.skip_rows().credit("25T17:02", "62.01").rows(&[
        "11-25T17:02:00 topup 62.01 = 62.01",
        "11-25T17:02:00 owed_paid -62.00 = 0.01",
        "11-25T17:02:00 resumed 0.00 = 0.01 to 11-25T17:02:00",
        "11-25T17:02:00 usage -0.01 = 0.00 to 11-25T17:02:36",
    ]);
}

#[test]
fn credit_that_is_settled_late_pays_what_was_kept_until_it_came() {
    let mut world = volumes_kept_since_five();
    world.credit_unsettled("18:00", "3");
    world.settle("20:00").rows(&[
        "18:00:00 topup 3.00 = 3.00",
        "20:00:00 owed_paid -1.00 = 2.00",
        "20:00:00 resumed 0.00 = 2.00 to 20:00:00",
        "20:00:00 usage -1.00 = 1.00 to 21:00:00",
    ]);
}

#[test]
fn deleted_volume_is_owed_until_its_deletion() {
    let mut world = volumes_kept_since_five();
    world.delete("19:00", &["v0", "v1", "v2", "v3", "v4"]).unwrap();
    assert_eq!(world.state.owed, named("2"), "two hours of ten volumes");
    assert_eq!(world.state.owed_at(at("21:00")), named("3"), "two more of five");
    world.delete("21:00", &["v5", "v6", "v7", "v8", "v9"]).unwrap();
    assert_eq!((world.state.kept(), world.state.owed_at(at("24T10:00"))), (None, named("3")));
    world.credit("24T10:00", "3.01");
    assert_eq!((world.state.standing.name(), world.state.balance()), ("good", named("0.01")));
}

#[test]
fn late_suspension_owes_for_kept_data_since_its_own_time() {
    let mut world = World::with_credit("10");
    for number in 0..10 {
        world.start("12:00", &format!("v{number}"), "volume").unwrap();
    }
    world.settle("20:00");
    assert_eq!(world.state.owed_at(at("20:00")), named("3"), "three hours at $1");
    assert_eq!(world.state.owed_at(at("30T20:00")), named("72"));
}

#[test]
fn format_2_keeps_data_for_free() {
    let mut world = World::with_credit("10");
    world.policy.row_format = RowFormat::new(2);
    world.start("12:00", "v", "volume").unwrap();
    world.command("12:30", correction("-9.80")).unwrap();
    world.settle("13:00");
    assert_eq!((world.state.standing.name(), world.state.kept()), ("suspended", None));
    world.policy.row_format = RowFormat::WRITTEN;
    world.credit("23T12:00", "5");
    assert_eq!((world.state.standing.name(), world.state.owed), ("good", named("0")));
}

#[test]
fn kept_data_is_owed_after_the_respite_that_ran() {
    let mut world = World::with_credit("10");
    for number in 0..10 {
        world.start("12:00", &format!("v{number}"), "volume").unwrap();
    }
    world.agree_to_refill("16:55", ("5", "25"), None);
    world.begin_refill("16:55:30").unwrap();
    world.settle("17:05");
    assert_eq!(world.state.standing.name(), "suspended");
    assert_eq!(world.state.owed, named("0.16667"), "five minutes of ten running volumes");
    assert_eq!(world.state.owed_at(at("18:05")), named("1.16667"));
}

#[test]
fn a_fleet_needs_credit_for_ten_minutes_beyond_the_paid_time() {
    let mut world = World::with_credit("21");
    world.start("11:00", "a", "vm100").unwrap();
    world.start("11:59:59", "rack1", "rack").unwrap();
    // Another second of $100 an hour costs $0.03. Ten minutes of everything cost $33.50.
    let rows = world.state.next_seq;
    let refused = world.start("11:59:59", "rack2", "rack").err();
    let available = named("19.972222");
    assert_eq!(refused, Some(Refusal::CreditTooLow { required: named("33.53"), available }));
    assert_eq!(world.state.next_seq, rows, "nothing was written");
    world.credit("11:59:59", "14").start("11:59:59", "rack2", "rack").unwrap();
}

#[test]
fn refused_start_names_all_that_it_needs() {
    let mut world = World::with_credit("17");
    let refused = world.start("11:30", "rack", "rack").err();
    // Half an hour costs $50, and ten minutes $16.67.
    let (required, available) = (named("66.67"), named("17"));
    assert_eq!(refused, Some(Refusal::CreditTooLow { required, available }));
    world.credit("11:30", "49.67").start("11:30", "rack", "rack").unwrap();
}

#[test]
fn start_cannot_reckon_with_a_grant_that_ends_before_the_reserve() {
    let mut world = World::with_credit("9");
    world.grant("11:00", "900", "12:00", &[]);
    let refused = world.start("11:59:58", "rack", "rack").err();
    let required = named("16.73");
    assert!(
        matches!(refused, Some(Refusal::CreditTooLow { required: needed, .. }) if needed == required),
        "{refused:?}"
    );
    world.credit("11:59:58", "7.67").start("11:59:58", "rack", "rack").unwrap();
}

#[test]
fn start_cannot_reckon_with_a_grant_that_only_covers_a_debt_until_then() {
    let mut world = World::opened();
    world.grant("10:30", "20", "12:00", &[]);
    world.grant("10:31", "5", "30T00:00", &[]);
    world.command("11:00", correction("-8")).unwrap();
    // At 12:00 the first grant ends, and the debt is more than the second.
    let refused = world.start("11:59", "a", "vm100").err();
    assert!(matches!(refused, Some(Refusal::CreditTooLow { .. })), "{refused:?}");
}

#[test]
fn stop_after_a_late_run_pays_first_then_returns() {
    let mut world = World::with_credit("25");
    world.start("11:00", "a", "vm60").unwrap();
    world.stop("12:01", &["a"]).unwrap().rows(&[
        "11:00:00 started -0.60 = 24.40 to 12:00:00",
        "12:01:00 usage -0.60 = 23.80 to 13:00:00",
        "12:01:00 stopped 0.59 = 24.39",
    ]);
}

#[test]
fn start_after_a_late_run_pays_only_from_its_own_time() {
    let mut world = World::with_credit("25");
    world.start("11:00", "a", "vm60").unwrap();
    world.start("12:01", "b", "vm60").unwrap().rows(&[
        "11:00:00 started -0.60 = 24.40 to 12:00:00",
        "12:01:00 usage -0.60 = 23.80 to 13:00:00",
        "12:01:00 started -0.59 = 23.21 to 13:00:00",
    ]);
}

#[test]
fn grant_pays_a_late_hour_from_before_its_expiry() {
    let mut world = World::opened();
    world.grant("12:00", "10", "14:00", &[]);
    world.credit("12:00", "5");
    world.start("12:00", "a", "vm100").unwrap();
    world.settle("16:00").rows(&[
        "12:00:00 bonus 10.00 = 10.00",
        "12:00:00 topup 5.00 = 15.00",
        "12:00:00 started -1.00 = 14.00 to 13:00:00",
        "16:00:00 usage -1.00 = 13.00 to 14:00:00",
        "16:00:00 expired -8.00 = 5.00 to 14:00:00",
        "16:00:00 usage -1.00 = 4.00 to 15:00:00",
        "16:00:00 usage -1.00 = 3.00 to 16:00:00",
        "16:00:00 usage -1.00 = 2.00 to 17:00:00",
    ]);
}

#[test]
fn unused_time_goes_back_to_the_grant_that_paid_for_it() {
    let mut world = World::opened();
    world.grant("12:00", "10", "23T00:00", &[]);
    world.start("12:00", "a", "vm100").unwrap();
    world.stop("12:30", &["a"]).unwrap().rows(&[
        "12:00:00 bonus 10.00 = 10.00",
        "12:00:00 started -1.00 = 9.00 to 13:00:00",
        "12:30:00 stopped 0.50 = 9.50",
    ]);
    assert_eq!((world.state.paid, world.state.grants[0].remaining), (Usd::ZERO, named("9.50")));
}

#[test]
fn unused_time_that_an_expired_grant_paid_for_is_forfeit() {
    let mut world = World::opened();
    world.grant("12:00", "10", "13:00", &[]);
    world.end_grants_at("12:20");
    world.credit("12:00", "5");
    world.start("12:00", "a", "vm100").unwrap();
    world.stop("12:30", &["a"]).unwrap().rows(&[
        "12:00:00 bonus 10.00 = 10.00",
        "12:00:00 topup 5.00 = 15.00",
        "12:00:00 started -1.00 = 14.00 to 13:00:00",
        "12:30:00 expired -9.00 = 5.00 to 13:00:00",
        "12:30:00 stopped 0.00 = 5.00",
    ]);
    assert_eq!(world.state.grants, []);
}

#[test]
fn resource_whose_own_funds_end_is_stopped_alone() {
    let mut world = World::opened();
    world.grant("12:00", "20", "30T00:00", &["x"]);
    world.credit("12:00", "5.25");
    world.start("12:00", "vm", "vm100").unwrap();
    world.start("12:00", "x", "x").unwrap();
    world.command("12:59", correction("-4.00")).unwrap();
    world.settle("13:00").rows(&[
        "12:00:00 bonus 20.00 = 20.00",
        "12:00:00 topup 5.25 = 25.25",
        "12:00:00 started -1.00 = 24.25 to 13:00:00",
        "12:00:00 started -1.00 = 23.25 to 13:00:00",
        "12:59:00 correction -4.00 = 19.25 to 13:00:00",
        "13:00:00 usage -0.50 = 18.75 to 13:15:00",
    ]);
    world.settle("13:15:20").rows(&[
        "13:15:20 stopped 0.00 = 18.75 to 13:15:00 out of funds: x",
        "13:15:20 usage -0.75 = 18.00 to 14:00:00",
    ]);
    assert!(is_good(&world));
}

#[test]
fn excluded_grant_stops_resources_and_keeps_good_standing() {
    let mut world = World::opened();
    world.grant("12:00", "20", "30T00:00", &["x"]);
    world.credit("12:00", "5");
    world.start("12:00", "x", "x").unwrap();
    world.command("12:59", correction("-4.00")).unwrap();
    world.settle("13:00:10").rows(&[
        "12:00:00 bonus 20.00 = 20.00",
        "12:00:00 topup 5.00 = 25.00",
        "12:00:00 started -1.00 = 24.00 to 13:00:00",
        "12:59:00 correction -4.00 = 20.00 to 13:00:00",
        "13:00:10 stopped 0.00 = 20.00 out of funds: x",
    ]);
    assert!(is_good(&world));
    world.start("13:01", "vm", "vm100").unwrap();
}

#[test]
fn the_reach_is_what_the_rounded_lines_cost() {
    let mut world = World::with_credit("6");
    for id in ["a", "b", "c"] {
        world.start("12:00", id, "tiny").unwrap();
    }
    let rest = world.state.balance() - Usd::from_micros(2);
    world.command("12:30", correction(&(-rest).to_string())).unwrap();
    // After a second each of the three lines would be rounded up to a micro-dollar: two are not
    // enough for three.
    world.settle("13:00").rows(&[
        "12:00:00 started -0.00216 = 5.99784 to 13:00:00",
        "12:00:00 started -0.00216 = 5.99568 to 13:00:00",
        "12:00:00 started -0.00216 = 5.99352 to 13:00:00",
        "12:30:00 correction -5.993518 = 0.000002 to 13:00:00",
        "13:00:00 suspended 0.00 = 0.000002 as of 13:00:00",
    ]);
    // Dust is not credit: it lifts no suspension.
    world.settle("13:01").rows(&[]);
    world.credit("13:02", "1");
    assert!(is_good(&world));
}

#[test]
fn trial_grant_pays_first_except_for_excluded_kinds() {
    let mut world = World::opened();
    world.grant("12:00", "20", "25T12:00", &["domain"]);
    world.credit("12:00", "5");
    world.start("12:00", "vm", "vm100").unwrap();
    world.start("12:00", "name", "domain").unwrap();
    assert_eq!((world.state.paid, world.state.grants[0].remaining), (named("4.50"), named("19")));
    world.settle("13:00");
    assert_eq!((world.state.paid, world.state.grants[0].remaining), (named("4.00"), named("18")));
}

#[test]
fn a_volume_costs_while_it_is_off() {
    let mut world = World::with_credit("25");
    world.start("12:00", "v", "volume").unwrap();
    world.stop("12:30", &["v"]).unwrap();
    world.settle("13:00");
    world.restart("13:30", &["v"]).unwrap();
    world.delete("13:45", &["v"]).unwrap().rows(&[
        "12:00:00 started -0.20 = 24.80 to 13:00:00",
        "12:30:00 stopped 0.05 = 24.85 to 13:00:00",
        "13:00:00 usage -0.10 = 24.75 to 14:00:00",
        "13:30:00 started -0.05 = 24.70 to 14:00:00",
        "13:45:00 resources_deleted 0.05 = 24.75",
    ]);
}

#[test]
fn free_resources_run_at_zero_until_a_paid_one_ends() {
    let mut world = World::with_credit("5");
    world.start("12:00", "f", "free").unwrap();
    world.command("12:30", correction("-5.00")).unwrap();
    world.settle("13:00").rows(&[
        "12:00:00 started 0.00 = 5.00 to 13:00:00",
        "12:30:00 correction -5.00 = 0.00 to 13:00:00",
        "13:00:00 usage 0.00 = 0.00 to 14:00:00",
    ]);
}

#[test]
fn too_cheap_for_a_second_is_suspended_all_the_same() {
    let mut world = World::with_credit("5");
    world.start("12:00", "v", "speck").unwrap();
    world.command("12:30", correction("-4.9998")).unwrap();
    world.settle("14:00").rows(&[
        "12:00:00 started -0.0002 = 4.9998 to 13:00:00",
        "12:30:00 correction -4.9998 = 0.00 to 13:00:00",
        "14:00:00 suspended 0.00 = 0.00 as of 13:00:00",
    ]);
}

#[test]
fn free_idle_time_returns_nothing_and_a_start_pays_in_full() {
    let mut world = World::opened();
    world.grant("11:00", "19", "30T00:00", &["volume"]);
    world.credit("11:00", "5");
    world.start("11:00", "v", "volume").unwrap();
    world.start("11:00", "vm", "vm60").unwrap();
    world.stop("11:00", &["v"]).unwrap();
    world.command("11:30", correction("-4.90")).unwrap();
    world.shown_are_seen();
    world.settle("12:00").rows(&["12:00:00 usage -0.60 = 17.80 to 13:00:00"]);
    world.credit("12:10", "5");
    world.restart("12:30", &["v"]).unwrap().rows(&[
        "12:10:00 topup 5.00 = 22.80 to 13:00:00",
        "12:30:00 started -0.10 = 22.70 to 13:00:00",
    ]);
    world
        .delete("12:45", &["v"])
        .unwrap()
        .rows(&["12:45:00 resources_deleted 0.05 = 22.75 to 13:00:00"]);
}

#[test]
fn payment_awaiting_its_customer_delays_no_suspension() {
    let mut world = half_a_dollar_at_noon_with_a_refill_in_flight();
    world.command("12:27", Command::AskCustomer { attempt: 1, url: None }).unwrap();
    world.settle("12:30").rows(&[
        "12:27:00 refill_needs_customer 0.00 = 0.00 to 12:30:00",
        "12:30:00 suspended 0.00 = 0.00 as of 12:30:00",
    ]);
}
