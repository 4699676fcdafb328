//! The domain events and notices of each row.

use tollgate::domain::account::CardChoice;
use tollgate::domain::command::{Command, RefillSettings};
use tollgate::domain::policy::Policy;
use tollgate::domain::row::{Row, RowDigest};
use tollgate::domain::row_format::RowFormat;
use tollgate::views::customer_notice::NoticePlace;
use tollgate::views::domain_event::{DomainEvent, notices};

use crate::world::{World, named};

/// `seq: names` of the events of each row.
fn names(world: &World) -> Vec<String> {
    let shown = |(seq, told): (usize, Vec<String>)| format!("{seq}: {}", told.join(" "));
    rows(world).map(|row| names_of(&row)).enumerate().map(shown).collect()
}

fn names_of(row: &Row) -> Vec<String> {
    told(row).iter().map(|notice| notice.news.name().to_owned()).collect()
}

fn told(row: &Row) -> Vec<DomainEvent> {
    notices(&named("acme"), row, &Policy::default())
}

/// `time name amount by deadline at place` of every customer notice.
pub(crate) fn warnings(world: &World) -> Vec<String> {
    let shown = |notice: DomainEvent| {
        let warning = notice.warning?;
        let amount = warning.amount.map_or("-".to_owned(), |amount| amount.to_string());
        let deadline =
            warning.deadline.map_or("-".to_owned(), |deadline| short(&deadline.to_string()));
        let place = match warning.place {
            NoticePlace::Page => "page".to_owned(),
            NoticePlace::AddCredit => "add-credit".to_owned(),
            NoticePlace::Refill => "refill".to_owned(),
            NoticePlace::Project(project) => format!("projects/{project}"),
            NoticePlace::Invoice(url) => url,
        };
        Some(format!(
            "{} {} {amount} by {deadline} at {place}",
            short(&notice.at),
            notice.news.name()
        ))
    };
    rows(world).flat_map(|row| told(&row)).filter_map(shown).collect()
}

/// `22T10:00`, or `12-09T10:00` in another month.
fn short(time: &str) -> String {
    let time = time.strip_prefix("2026-11-").or(time.strip_prefix("2026-")).unwrap_or(time);
    time.trim_end_matches(":00Z").to_owned()
}

fn rows(world: &World) -> impl Iterator<Item = Row> {
    world.events.iter().zip(&world.states).enumerate().map(|(seq, (event, state))| Row {
        seq: u64::try_from(seq).unwrap(),
        event: event.clone(),
        state: state.clone(),
        previous: RowDigest::none(),
        digest: RowDigest::none(),
        format: RowFormat::WRITTEN,
    })
}

#[test]
fn rows_that_matter_emit_events_and_ordinary_hours_do_not() {
    let mut world = World::with_credit("7");
    world.agree_to_refill("10:30", ("5", "25"), None);
    world.start("11:00", "a", "vm100").unwrap();
    world.settle("12:00").settle("13:00");
    world.begin_refill("13:01").unwrap();
    world.refill_fails("13:02", tollgate::domain::event::RefillDecline::Later);
    world
        .command(
            "13:10",
            Command::Correct { amount: -world.state.balance(), reason: "all".to_owned() },
        )
        .unwrap();
    world.settle("14:00");
    world.credit("14:01", "30");
    world.restart("14:02", &["a"]).unwrap();
    world.stop("14:03", &["a"]).unwrap();
    assert_eq!(
        names(&world),
        [
            "0: AccountOpened",
            "1: CreditAdded",
            "2: ",
            "3: ResourceStarted",
            "4: ",
            "5: BalanceLow",
            "6: ",
            "7: RefillFailed",
            "8: CreditTaken",
            "9: Suspended",
            "10: CreditAdded",
            "11: Resumed",
            "12: ResourceStarted",
            "13: ResourceStopped",
        ]
    );
}

#[test]
fn event_carries_its_row_number_and_resulting_state() {
    let mut world = World::with_credit("25");
    world.start("11:20", "a", "vm60").unwrap();
    let row = rows(&world).last().unwrap();
    let told = told(&row);
    insta::assert_snapshot!(serde_json::to_string_pretty(&told).unwrap(), @r#"
    [
      {
        "id": "acme#2#0",
        "account": "acme",
        "seq": 2,
        "at": "2026-11-22T11:20:00Z",
        "state": {
          "balance": "24.60",
          "available": "24.60",
          "standing": "good",
          "frozen": false,
          "paid_through": "2026-11-22T12:00:00Z"
        },
        "resource": {
          "id": "a",
          "project": "p",
          "sku": "vm60",
          "kind": "instance"
        }
      }
    ]
    "#);
}

#[test]
fn without_refills_one_warning_comes_a_day_before_zero() {
    let mut world = World::with_credit("30");
    world.start("11:00", "a", "vm100").unwrap();
    for hour in 12..=18 {
        world.settle(&format!("{hour}:00"));
    }
    world
        .command(
            "18:30",
            Command::Correct { amount: -world.state.balance(), reason: "all".to_owned() },
        )
        .unwrap();
    world
        .settle("19:00")
        .settle("24T19:00")
        .settle("25T19:00")
        .confirm_deletion("25T19:01")
        .unwrap();
    assert_eq!(
        warnings(&world),
        [
            // $23.00 are left, the resources cost $24.00 a day, and the hour is paid.
            "22T17:00 CreditLow 1.00 by 23T17:00 at add-credit",
            "22T19:00 Suspended 1.00 by 25T19:00 at add-credit",
            "24T19:00 DeletionSoon 1.00 by 25T19:00 at add-credit",
            "25T19:00 DeletionDue 1.00 by 25T19:00 at add-credit",
            "25T19:01 Deleted 1.00 by 12-09T19:01 at add-credit",
        ]
    );
}

#[test]
fn suggested_top_up_never_exceeds_the_maximum() {
    let mut world = World::with_credit("25");
    world.start("11:00", "a", "vm100").unwrap();
    world
        .command("11:30", Command::Correct { amount: named("-3000"), reason: "a debt".to_owned() })
        .unwrap();
    world.settle("12:00");
    told_since(&world, "11:31", &["22T12:00 Suspended 1000.00 by 25T12:00 at add-credit"]);
}

#[test]
fn low_credit_warns_at_the_first_start_only() {
    let mut world = World::with_credit("6");
    world.start("11:00", "a", "vm100").unwrap();
    world.start("11:00", "b", "tiny").unwrap();
    world.settle("12:00").stop("12:30", &["a"]).unwrap();
    // The rest lasts for months. The next start crosses the limit again, on the same day.
    world.credit("12:40", "5").start("12:40", "c", "vm60").unwrap();
    let names = |one: &String| one.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let told: Vec<String> = warnings(&world).iter().map(names).collect();
    assert_eq!(told, ["22T11:00 CreditLow 19.00"]);
}

#[test]
fn expected_refill_is_announced_with_its_outcome() {
    let mut world = World::with_credit("7");
    world.agree_to_refill("10:30", ("5", "25"), Some("25"));
    world.start("11:00", "a", "vm100").unwrap();
    world.settle("12:00").settle("13:00").begin_refill("13:01").unwrap();
    let url = Some("https://invoice.example/1".to_owned());
    world.command("13:01", Command::AskCustomer { attempt: 1, url }).unwrap();
    world.refill_fails("13:02", tollgate::domain::event::RefillDecline::Later);
    assert_eq!(
        warnings(&world),
        [
            "22T13:00 BalanceLow 25.00 by 22T18:00 at refill",
            "22T13:01 RefillNeedsCustomer 25.00 by 23T12:01 at https://invoice.example/1",
            "22T13:02 RefillFailed 25.00 by 22T18:00 at refill",
        ]
    );
}

#[test]
fn a_refill_that_the_monthly_cap_forbids_is_none_to_wait_for() {
    let mut world = World::with_credit("7");
    world.agree_to_refill("10:30", ("5", "25"), Some("25"));
    world.start("11:00", "a", "vm100").unwrap();
    world.settle("12:00").settle("13:00").begin_refill("13:01").unwrap().refill_lands("13:02");
    world
        .command("13:10", Command::Correct { amount: named("-24.00"), reason: "a test".to_owned() })
        .unwrap();
    world.settle("14:00").settle("15:00");
    assert_eq!(
        warnings(&world),
        [
            "22T13:00 BalanceLow 25.00 by 22T18:00 at refill",
            "22T13:10 CreditLow 19.00 by 22T19:00 at add-credit"
        ]
    );
}

#[test]
fn an_expiry_brings_the_deadline_forward() {
    let mut world = World::opened();
    world.grant("10:00", "20", "23T00:00", &[]);
    world.credit("10:00", "3").start("11:00", "a", "vm100").unwrap();
    let told = warnings(&world);
    // The grant pays until it expires, at midnight; $3.00 of paid credit last for three hours more.
    assert_eq!(told, ["22T11:00 CreditLow 21.00 by 23T03:00 at add-credit"]);
}

/// $10 in all, $1 an hour, refills of $25 below $5: nothing is low as long as a refill is to be
/// expected.
fn with_refill(terms: (&str, &str), cap: Option<&str>) -> World {
    let mut world = World::with_credit("10");
    world
        .agree_to_refill("10:30", terms, cap)
        .start("11:00", "a", "vm100")
        .unwrap()
        .settle("12:00");
    world
}

/// The events since a row.
#[track_caller]
fn told_since(world: &World, time: &str, expected: &[&str]) {
    let since = crate::world::at(time).to_string();
    let told: Vec<String> =
        warnings(world).into_iter().filter(|one| one.as_str() >= short(&since).as_str()).collect();
    assert_eq!(told, expected);
}

#[test]
fn disabling_refills_warns_of_low_credit() {
    let mut world = with_refill(("5", "25"), None);
    told_since(&world, "10:00", &[]);
    let off = RefillSettings {
        terms: None,
        card: Some(named("pm_1")),
        card_choice: CardChoice::Named,
        monthly_cap: None,
        ..RefillSettings::default()
    };
    world.command("12:10", Command::ChangeRefill(off)).unwrap();
    world.settle("13:00");
    told_since(&world, "10:00", &["22T12:10 CreditLow 16.00 by 22T21:00 at add-credit"]);
}

#[test]
fn starting_and_stopping_tells_of_low_credit_once_a_day() {
    let mut world = World::with_credit("10");
    for minute in (10..30).step_by(2) {
        if minute == 10 {
            world.start("11:10", "a", "vm100").unwrap();
        } else {
            world.restart(&format!("11:{minute}"), &["a"]).unwrap();
        }
        world.stop(&format!("11:{}", minute + 1), &["a"]).unwrap();
    }
    let low = |world: &World| -> Vec<String> {
        warnings(world).into_iter().filter(|one| one.contains("CreditLow")).collect()
    };
    assert_eq!(low(&world).len(), 1, "{:?}", low(&world));
    world.restart("23T11:10", &["a"]).unwrap();
    assert_eq!(low(&world).len(), 2, "a day later it is news again");
}

#[test]
fn removing_the_card_warns_of_low_credit() {
    let mut world = with_refill(("5", "25"), None);
    world.command("12:10", Command::RemoveCard { card: named("pm_1") }).unwrap();
    told_since(&world, "10:00", &["22T12:10 CreditLow 16.00 by 22T21:00 at add-credit"]);
}

#[test]
fn freeze_announces_that_no_refill_comes() {
    for freeze in [
        Command::Freeze { reason: "a test".to_owned() },
        Command::OpenDispute { dispute: named("dp_1"), payment: named("pi_1") },
    ] {
        let mut world = with_refill(("5", "25"), None);
        world.command("12:10", freeze).unwrap();
        told_since(&world, "10:00", &["22T12:10 CreditLow 16.00 by 22T21:00 at add-credit"]);
    }
}

#[test]
fn the_last_refill_that_the_cap_allows_is_followed_by_a_warning() {
    let mut world = with_refill(("9", "5"), Some("5"));
    world.begin_refill("12:01").unwrap().refill_lands("12:02");
    told_since(
        &world,
        "10:00",
        &[
            "22T12:00 BalanceLow 5.00 by 22T21:00 at refill",
            "22T12:02 CreditLow 11.00 by 23T02:00 at add-credit",
        ],
    );
}

#[test]
fn refill_above_the_remaining_cap_is_not_expected() {
    // $20 of the $30 are charged in this month, and $14.00 more are needed for a day.
    let mut world = with_refill(("9", "20"), Some("30"));
    world.begin_refill("12:01").unwrap().refill_lands("12:02").settle("13:00");
    for hour in ["14", "15", "16", "17"] {
        world.settle(&format!("{hour}:00"));
    }
    told_since(
        &world,
        "10:00",
        &[
            "22T12:00 BalanceLow 20.00 by 22T21:00 at refill",
            "22T17:00 CreditLow 1.00 by 23T17:00 at add-credit",
        ],
    );
}

#[test]
fn a_refill_that_was_not_charged_is_no_matter_of_the_card() {
    let mut world = with_refill(("9", "25"), None);
    world.begin_refill("12:01").unwrap().credit("12:02", "50");
    world.refill_fails("12:03", tollgate::domain::event::RefillDecline::NotCharged);
    assert_eq!(names(&world).last().map(String::as_str), Some("7: RefillFailed"));
    told_since(&world, "12:01", &[]);
}

#[test]
fn grant_expiry_is_announced_once_a_day_ahead() {
    let mut world = World::opened();
    world.grant("10:00", "100", "24T13:30", &[]);
    world.start("11:00", "a", "vm100").unwrap();
    for time in ["12:00", "13:00", "23T12:00", "23T13:00"] {
        world.settle(time);
    }
    told_since(&world, "10:00", &[]);
    world.settle("23T14:00").settle("23T15:00").settle("24T13:00");
    told_since(&world, "10:00", &["23T14:00 CreditLow 24.00 by 24T14:00 at add-credit"]);
    world.settle("24T14:00");
    told_since(&world, "24T00:00", &["24T14:00 Suspended 1.00 by 27T14:00 at add-credit"]);
}

#[test]
fn a_late_run_foretells_the_end_of_a_grant_once() {
    let mut world = World::opened();
    world.grant("10:00", "100", "24T13:30", &[]);
    world.start("11:00", "a", "vm100").unwrap().settle("23T20:00");
    told_since(&world, "10:00", &["23T20:00 CreditLow 24.00 by 24T14:00 at add-credit"]);
}

#[test]
fn grant_with_exclusions_does_not_extend_the_runway() {
    let mut world = World::opened();
    world.grant("10:00", "100", "12-24T00:00", &["tiny"]);
    world.credit("10:00", "30").start("11:00", "a", "x").unwrap();
    told_since(&world, "10:00", &[]);
    world
        .command("11:30", Command::Correct { amount: named("-10.00"), reason: "a test".to_owned() })
        .unwrap();
    let told = warnings(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("22T11:30 CreditLow 4.00 "), "{told:?}");
}
