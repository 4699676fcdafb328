//! From suspension to deletion, restore and purge.

use tollgate::domain::account::{PendingPayment, Standing};
use tollgate::domain::command::Command;
use tollgate::domain::event::{PendingEnd, RefillDecline};
use tollgate::domain::ids::ResourceId;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resources::{ResourceAddress, ResourceCondition};
use tollgate::domain::timestamp::{DAY, HOUR};

use crate::world::{World, at, is_good, named};

/// Suspended on 22 November at 13:00 with one resource.
fn suspended() -> World {
    let mut world = World::with_credit("5.00");
    world.start("12:00", "a", "vm100").unwrap();
    world
        .command("12:30", Command::Correct { amount: named("-4.00"), reason: "all".to_owned() })
        .unwrap();
    world.settle("13:00").rows(&[
        "12:00:00 started -1.00 = 4.00 to 13:00:00",
        "12:30:00 correction -4.00 = 0.00 to 13:00:00",
        "13:00:00 suspended 0.00 = 0.00 as of 13:00:00",
    ]);
    world
}

/// The same, and the grace is over.
fn deleting() -> World {
    let mut world = suspended();
    world.settle("24T13:00").settle("25T13:00").shown_are_seen();
    assert!(matches!(world.state.standing, Standing::Deleting(_)));
    world
}

fn condition(world: &World) -> ResourceCondition {
    world.list.resources[&named::<ResourceId>("a")].condition(&world.state)
}

#[test]
fn deletion_follows_three_days_after_suspension_and_a_check() {
    let mut world = suspended();
    world.settle("24T12:59:59").rows(&[]);
    world.settle("24T13:00").rows(&["11-24T13:00:00 deletion_announced 0.00 = 0.00"]);
    world.settle("25T12:59:59").rows(&[]);
    world.settle("25T13:00").rows(&["11-25T13:00:00 deleting 0.00 = 0.00"]);
    world.settle("25T13:01").rows(&[]);
    world.confirm_deletion("25T13:02").unwrap().rows(&["11-25T13:02:00 deleted 0.00 = 0.00"]);
    assert_eq!(condition(&world), ResourceCondition::Deleted { at: at("25T13:02") });
    assert_eq!(world.confirm_deletion("25T13:03").err(), Some(Refusal::NotDeleting));
}

#[test]
fn deletion_is_announced_a_day_ahead() {
    let mut world = suspended();
    let due = |world: &World| tollgate::domain::settle::due::due_at(&world.state, &world.policy);
    assert_eq!(due(&world), Some(at("24T13:00")));
    world.settle("24T13:00");
    assert_eq!(due(&world), Some(at("25T13:00")), "warned once");
}

#[test]
fn late_warning_still_leaves_a_day() {
    let mut world = suspended();
    // Nothing ran for days, and the deletion has been due for seven hours.
    world.settle("25T20:00").rows(&["11-25T20:00:00 deletion_announced 0.00 = 0.00"]);
    let Standing::Suspended(suspension) = &world.state.standing else {
        panic!("{:?}", world.state.standing)
    };
    assert_eq!(suspension.delete_at, Some(at("26T20:00")), "everybody is told the new deadline");
    world.settle("26T19:59:59").rows(&[]);
    world.settle("26T20:00").rows(&["11-26T20:00:00 deleting 0.00 = 0.00"]);
}

#[test]
fn pending_money_delays_the_warning_and_leaves_a_day() {
    let mut world = suspended();
    let pending = PendingPayment {
        payment: named("pi_slow"),
        amount: named("25"),
        expires_at: at("28T00:00"),
    };
    world.command("24T12:00", Command::AwaitPayment(pending)).unwrap().shown_are_seen();
    world.settle("26T00:00").rows(&[]);
    let failed = Command::EndPayment { payment: named("pi_slow"), how: PendingEnd::Failed };
    world.command("26T10:00", failed).unwrap().rows(&[
        "11-26T10:00:00 payment_ended 0.00 = 0.00",
        "11-26T10:00:00 deletion_announced 0.00 = 0.00",
    ]);
    world.settle("27T09:59:59").rows(&[]);
    world.settle("27T10:00").rows(&["11-27T10:00:00 deleting 0.00 = 0.00"]);
}

#[test]
fn credit_ends_a_warning_and_the_next_suspension_warns_anew() {
    let mut world = suspended();
    world.settle("24T13:00");
    world.credit("24T14:00", "5").restart("24T14:00", &["a"]).unwrap();
    for hour in ["15", "16", "17", "18", "19"] {
        world.settle(&format!("24T{hour}:00"));
    }
    world.shown_are_seen();
    world.settle("26T18:59:59").rows(&[]);
    world.settle("26T19:00").rows(&["11-26T19:00:00 deletion_announced 0.00 = 0.00"]);
}

#[test]
fn with_one_day_of_grace_the_suspension_is_the_warning() {
    let mut world = World::with_credit("5.00");
    world.policy.grace_seconds = DAY;
    world.start("12:00", "a", "vm100").unwrap();
    world
        .command("12:30", Command::Correct { amount: named("-4.00"), reason: "all".to_owned() })
        .unwrap();
    world.settle("13:00").shown_are_seen();
    world.settle("23T12:59:59").rows(&[]);
    world.settle("23T13:00").rows(&["11-23T13:00:00 deleting 0.00 = 0.00"]);
}

#[test]
fn credit_one_second_before_the_deletion_saves_everything() {
    let mut world = suspended();
    world
        .credit("25T12:59:59", "1")
        .settle("25T13:00")
        .rows(&["11-25T12:59:59 topup 1.00 = 1.00", "11-25T12:59:59 resumed 0.00 = 1.00"]);
    assert_eq!(condition(&world), ResourceCondition::Suspended);
}

#[test]
fn credit_before_stripes_answer_cancels_the_deletion() {
    let mut world = deleting();
    let head = world.state.next_seq - 1;
    world.credit("25T13:00:10", "1");
    assert!(is_good(&world));
    assert_eq!(
        world.command("25T13:00:20", Command::ConfirmDeletion { head }).err(),
        Some(Refusal::NotDeleting)
    );
}

#[test]
fn any_row_between_the_question_and_the_deletion_asks_again() {
    let mut world = deleting();
    let head = world.state.next_seq - 1;
    world.grant("25T13:00:10", "1", "30T00:00", &[]);
    assert_eq!(
        world.command("25T13:00:20", Command::ConfirmDeletion { head }).err(),
        Some(Refusal::NotDeleting)
    );
    assert!(is_good(&world));
}

#[test]
fn pending_payment_blocks_the_deletion() {
    let mut world = suspended();
    world.settle("24T13:00").shown_are_seen();
    let pending = PendingPayment {
        payment: named("pi_slow"),
        amount: named("25"),
        expires_at: at("28T00:00"),
    };
    world.command("25T12:00", Command::AwaitPayment(pending)).unwrap();
    world.settle("26T00:00").rows(&["11-25T12:00:00 payment_pending 0.00 = 0.00"]);
    let failed = Command::EndPayment { payment: named("pi_slow"), how: PendingEnd::Failed };
    world.command("26T10:00", failed).unwrap().rows(&[
        "11-26T10:00:00 payment_ended 0.00 = 0.00",
        "11-26T10:00:00 deletion_announced 0.00 = 0.00",
    ]);
    world.settle("27T09:59:59").rows(&[]);
    world.settle("27T10:00").rows(&["11-27T10:00:00 deleting 0.00 = 0.00"]);
    // Another payment starts while Stripe is being asked.
    let pending = PendingPayment {
        payment: named("pi_late"),
        amount: named("25"),
        expires_at: at("28T00:00"),
    };
    world.command("27T10:01", Command::AwaitPayment(pending)).unwrap();
    assert_eq!(world.confirm_deletion("27T10:02").err(), Some(Refusal::PaymentPending));
    // It expires without a report, and then nothing blocks the deletion.
    world.confirm_deletion("28T00:00").unwrap().rows(&[
        "11-27T10:01:00 payment_pending 0.00 = 0.00",
        "11-28T00:00:00 payment_ended 0.00 = 0.00",
        "11-28T00:00:00 deleted 0.00 = 0.00",
    ]);
}

#[test]
fn refill_failed_after_the_warning_warns_again_a_day_ahead() {
    let mut world = suspended();
    world.settle("24T13:00").shown_are_seen();
    // A card is given, and it is declined past the deadline.
    world
        .agree_to_refill("25T12:55", ("5", "25"), None)
        .begin_refill("25T12:56")
        .unwrap()
        .shown_are_seen();
    world.settle("25T14:00").rows(&[]);
    world.refill_fails("25T14:10", RefillDecline::Never).rows(&[
        "11-25T14:10:00 refill_failed 0.00 = 0.00",
        "11-25T14:10:00 deletion_announced 0.00 = 0.00",
    ]);
    world.settle("26T14:09:59").rows(&[]);
    world.settle("26T14:10").rows(&["11-26T14:10:00 deleting 0.00 = 0.00"]);
}

#[test]
fn failing_attempts_do_not_postpone_the_deletion_forever() {
    let mut world = suspended();
    world.settle("24T13:00");
    world.agree_to_refill("25T12:55", ("5", "25"), None);
    let mut now = at("25T12:56");
    // Each stays open for most of a day, and the next is wanted before the deadline that this one
    // moved.
    for _ in 0..13 {
        let (begun, failed, again) = (now, now.plus(20 * HOUR), now.plus(21 * HOUR));
        world.begin_refill(&begun.to_string()).unwrap();
        world.refill_fails(&failed.to_string(), RefillDecline::NotCharged);
        world.settle(&again.to_string());
        now = again;
    }
    assert!(now >= at("12-06T13:00"), "two weeks are over: {now}");
    assert_eq!(world.begin_refill(&now.to_string()).err(), Some(Refusal::RefillNotWanted));
    let Standing::Suspended(suspension) = &world.state.standing else {
        panic!("{:?}", world.state.standing)
    };
    let delete_at = suspension.delete_at.unwrap();
    assert!(delete_at <= now.plus(DAY), "{delete_at}");
    // Nor does a customer who renews the agreement each day.
    world.agree_to_refill(&now.to_string(), ("5", "50"), None);
    assert_eq!(world.state.refill.wanted, None);
    world.settle(&delete_at.to_string());
    assert!(matches!(world.state.standing, Standing::Deleting(_)));
}

#[test]
fn refill_that_never_begins_does_not_block_the_deletion() {
    let mut world = suspended();
    world.settle("24T13:00").agree_to_refill("25T12:00", ("5", "25"), None).shown_are_seen();
    assert!(world.state.refill.wanted.is_some(), "money may come");
    world.settle("12-06T12:59:59").rows(&[]);
    // No attempt starts then: a late run first finds that the time is over.
    assert_eq!(world.begin_refill("12-06T13:00").err(), Some(Refusal::RefillNotWanted));
    world.rows(&[
        "12-06T13:00:00 refill_due 0.00 = 0.00",
        "12-06T13:00:00 deletion_announced 0.00 = 0.00",
    ]);
    world.settle("12-07T12:59:59").rows(&[]);
    world.settle("12-07T13:00").rows(&["12-07T13:00:00 deleting 0.00 = 0.00"]);
}

#[test]
fn credit_that_is_taken_back_while_frozen_leaves_a_day_as_well() {
    let mut world = suspended();
    world.settle("24T13:00");
    let opened = Command::OpenDispute { dispute: named("dp_1"), payment: named("pi_1") };
    world.command("25T10:00", opened).unwrap();
    world.credit("25T10:01", "10").settle("26T00:00").shown_are_seen();
    let taken = Command::Correct { amount: named("-10.00"), reason: "not theirs".to_owned() };
    world.command("26T10:00", taken).unwrap().rows(&[
        "11-26T10:00:00 correction -10.00 = 0.00",
        "11-26T10:00:00 deletion_announced 0.00 = 0.00",
    ]);
    world.settle("27T09:59:59").rows(&[]);
    world.settle("27T10:00").rows(&["11-27T10:00:00 deleting 0.00 = 0.00"]);
}

#[test]
fn with_one_day_of_grace_a_failed_payment_is_warned_about() {
    let mut world = World::with_credit("5.00");
    world.policy.grace_seconds = DAY;
    world.start("12:00", "a", "vm100").unwrap();
    world
        .command("12:30", Command::Correct { amount: named("-4.00"), reason: "all".to_owned() })
        .unwrap();
    let pending = PendingPayment {
        payment: named("pi_slow"),
        amount: named("25"),
        expires_at: at("28T00:00"),
    };
    world
        .settle("13:00")
        .command("14:00", Command::AwaitPayment(pending))
        .unwrap()
        .shown_are_seen();
    // It expires without a report.
    world.settle("28T00:00").rows(&[
        "11-28T00:00:00 payment_ended 0.00 = 0.00",
        "11-28T00:00:00 deletion_announced 0.00 = 0.00",
    ]);
    world.settle("29T00:00").rows(&["11-29T00:00:00 deleting 0.00 = 0.00"]);
}

#[test]
fn payment_failed_before_the_warning_changes_nothing() {
    let mut world = suspended();
    let pending = PendingPayment {
        payment: named("pi_slow"),
        amount: named("25"),
        expires_at: at("28T00:00"),
    };
    world.command("23T12:00", Command::AwaitPayment(pending)).unwrap();
    let failed = Command::EndPayment { payment: named("pi_slow"), how: PendingEnd::Failed };
    world.command("23T13:00", failed).unwrap().shown_are_seen();
    world.settle("24T12:59:59").rows(&[]);
    world.settle("24T13:00").rows(&["11-24T13:00:00 deletion_announced 0.00 = 0.00"]);
    world.settle("25T13:00").rows(&["11-25T13:00:00 deleting 0.00 = 0.00"]);
}

fn deleted() -> World {
    let mut world = deleting();
    world.confirm_deletion("25T13:00").unwrap();
    world.shown_are_seen();
    world
}

#[test]
fn deleted_resources_are_restored_on_day_thirteen() {
    let mut world = deleted();
    assert_eq!(world.restore("26T00:00", &["a"]).err(), Some(Refusal::Suspended));
    world
        .credit("12-08T12:00", "5")
        .rows(&["12-08T12:00:00 topup 5.00 = 5.00", "12-08T12:00:00 resumed 0.00 = 5.00"]);
    world
        .restore("12-08T12:00", &["a"])
        .unwrap()
        .rows(&["12-08T12:00:00 restored -1.00 = 4.00 to 12-08T13:00:00"]);
    assert_eq!(condition(&world), ResourceCondition::Running);
    assert_eq!(world.list.resources[&named::<ResourceId>("a")].address, ResourceAddress::New);
    world.settle("12-08T13:00").settle("12-09T13:00");
    assert_eq!(world.state.deletions, [], "the deletion can no longer be undone");
    assert_eq!(
        condition(&world),
        ResourceCondition::Suspended,
        "its credit ran out, and it was not purged"
    );
}

#[test]
fn restoring_needs_the_credit_a_start_needs() {
    let mut world = deleted();
    world.credit("26T00:00", "4.99");
    let too_low = Refusal::CreditTooLow { required: named("5"), available: named("4.99") };
    assert_eq!(world.restore("26T00:00", &["a"]).err(), Some(too_low));
}

#[test]
fn deleted_resources_are_purged_after_fourteen_days() {
    let mut world = deleted();
    world.credit("26T00:00", "5").shown_are_seen();
    world.settle("12-09T12:59:59").rows(&[]);
    world.settle("12-09T13:00").rows(&["12-09T13:00:00 purged 0.00 = 5.00"]);
    assert_eq!(condition(&world), ResourceCondition::Purged);
    assert_eq!(
        world.restore("12-09T13:00", &["a"]).err(),
        Some(Refusal::UnknownResource { resource: named("a") })
    );
}

#[test]
fn a_single_resource_is_deleted_restored_and_purged_on_its_own() {
    let mut world = World::with_credit("100");
    for id in ["a", "b", "c"] {
        world.start("12:00", id, "free").unwrap();
    }
    world.delete("12:10", &["a"]).unwrap();
    world.delete("23T12:10", &["b", "c"]).unwrap();
    world.restore("24T12:00", &["b"]).unwrap();
    world.shown_are_seen();
    let due = |world: &World| tollgate::domain::settle::due::due_at(&world.state, &world.policy);
    assert_eq!(due(&world), Some(at("12-06T12:10")));
    world.settle("12-06T12:10");
    assert!(!world.list.resources.contains_key(&named::<ResourceId>("a")));
    assert_eq!(due(&world), Some(at("12-07T12:10")));
    world.settle("12-07T12:10");
    assert!(!world.list.resources.contains_key(&named::<ResourceId>("c")));
    assert!(world.list.resources.contains_key(&named::<ResourceId>("b")));
    assert_eq!(due(&world), None);
}

#[test]
fn credit_does_not_lift_a_freeze_by_dispute() {
    let mut world = suspended();
    let opened = Command::OpenDispute { dispute: named("dp_1"), payment: named("pi_1") };
    world.command("13:10", opened).unwrap();
    world.credit("13:20", "10");
    assert!(matches!(world.state.standing, Standing::Suspended(_)));
    world.settle("28T00:00");
    assert!(
        matches!(world.state.standing, Standing::Suspended(_)),
        "with credit nothing is deleted"
    );
    world.command("28T01:00", Command::Unfreeze { reason: "settled".to_owned() }).unwrap();
    assert!(is_good(&world));
}
