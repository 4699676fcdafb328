//! What the world is told of each row.

use tollgate::command::Command;
use tollgate::notice::notices;
use tollgate::row::{Digest, Row};

use crate::world::{World, named};

/// `seq: names` of the events of each row.
fn names(world: &World) -> Vec<String> {
    let shown = |(seq, told): (usize, Vec<String>)| format!("{seq}: {}", told.join(" "));
    rows(world).map(|row| names_of(&row)).enumerate().map(shown).collect()
}

fn names_of(row: &Row) -> Vec<String> {
    notices(&named("acme"), row).iter().map(|notice| notice.news.name().to_owned()).collect()
}

fn rows(world: &World) -> impl Iterator<Item = Row> {
    world.events.iter().zip(&world.states).enumerate().map(|(seq, (event, state))| Row {
        seq: u64::try_from(seq).unwrap(),
        event: event.clone(),
        state: state.clone(),
        previous: Digest::none(),
        digest: Digest::none(),
    })
}

#[test]
fn every_row_that_matters_to_others_is_told_and_an_ordinary_hour_is_not() {
    let mut world = World::with_credit("7");
    world.agree_to_refill("10:30", ("5", "25"), None);
    world.start("11:00", "a", "vm100").unwrap();
    world.settle("12:00").settle("13:00");
    world.begin_refill("13:01").unwrap();
    world.refill_fails("13:02", tollgate::event::Decline::Later);
    world.command("13:10", Command::Correct { amount: -world.state.balance(), reason: "all".to_owned() }).unwrap();
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
fn an_event_carries_the_number_of_its_row_and_the_state_that_resulted() {
    let mut world = World::with_credit("25");
    world.start("11:20", "a", "vm60").unwrap();
    let row = rows(&world).last().unwrap();
    let told = notices(&named("acme"), &row);
    insta::assert_snapshot!(serde_json::to_string_pretty(&told).unwrap(), @r#"
    [
      {
        "id": "acme#2#0",
        "account": "acme",
        "seq": 2,
        "at": "2026-11-22T11:20:00Z",
        "state": {
          "balance": "24.60",
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
