//! Metered usage: when it is billed, by which funds, and what happens at zero.

use tollgate::domain::account::{Standing, SuspensionReason};
use tollgate::domain::command::Command;
use tollgate::domain::event::{BillingChange, Change};
use tollgate::domain::funds::Fund;
use tollgate::domain::money::Usd;
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::settle::due::{due_at, is_billable};
use tollgate::domain::settle::metered::UnbilledList;

use crate::world::{World, at, is_good, named};

/// Credit and a meter of calls at a dollar each. Usage is billed at the end of its hour.
fn with_calls(credit: &str) -> World {
    let mut world = World::with_credit(credit);
    world.policy.unbilled_max = named("1000");
    world.open_meter("10:00", "call").skip_rows();
    world
}

/// Hour, labels and amount of each line of the last row.
fn lines(world: &World) -> Vec<String> {
    let Change::Billing(BillingChange::Metered { lines, .. }) =
        &world.events.last().unwrap().change
    else {
        panic!("the last row bills no usage")
    };
    let hour = |line: &tollgate::domain::event::MeterLine| {
        line.hour.map_or("older".to_owned(), |hour| hour.to_string()[11..16].to_owned())
    };
    let labels = |line: &tollgate::domain::event::MeterLine| {
        line.labels.iter().map(|(name, value)| format!(" {name}={value}")).collect::<String>()
    };
    lines
        .iter()
        .map(|line| {
            format!("{}{} {}→{} {}", hour(line), labels(line), line.from, line.to, line.amount)
        })
        .collect()
}

#[test]
fn usage_is_billed_hourly_and_may_overdraw() {
    let mut world = World::with_credit("7");
    world.policy.unbilled_max = named("1000");
    world.open_meter("12:00", "tokens").start("12:01", "vm", "vm60").unwrap().skip_rows();
    world.used("12:10", "tokens", 10_000_000);
    world.settle("12:30").settle("12:59").settle("13:00").rows(&[
        "13:00:00 metered -1.50 = 4.91 to 13:00:00",
        "13:00:00 usage -0.60 = 4.31 to 14:00:00",
    ]);
    world.used("13:10", "tokens", 20_000_000).settle("13:30");
    world.used("13:40", "tokens", 20_000_000).settle("14:00").rows(&[
        "14:00:00 metered -6.00 = -1.69 to 14:00:00",
        "14:00:00 suspended 0.00 = -1.69 as of 14:00:00",
    ]);
    world.credit("14:10", "1.69");
    assert!(!is_good(&world), "a balance of zero is not above zero");
    world.credit("14:10", "1");
    assert!(is_good(&world));
}

#[test]
fn usage_has_the_price_of_its_hour() {
    let mut world = with_calls("99");
    let mut price = world.prices.at(&named("call"), at("12:00")).unwrap().clone();
    (price.valid_from, price.rate) = (at("11:00"), named("3"));
    world.prices = world.prices.iter().cloned().chain([price]).collect();
    world.used("10:10", "call", 10).used("11:10", "call", 2);
    world
        .settle("12:20")
        .rows(&["12:20:00 metered -10.00 = 89.00", "12:20:00 metered -6.00 = 83.00"]);
    // Reported late.
    world.used("10:50", "call", 1).used("11:50", "call", 1).settle("15:00");
    world.rows(&["15:00:00 metered -1.00 = 82.00", "15:00:00 metered -3.00 = 79.00"]);
    assert_eq!(lines(&world), ["11:00 2→3 -3.00"]);
}

#[test]
fn late_run_writes_the_rows_of_punctual_runs() {
    let story = |runs: &[&str]| {
        let mut world = with_calls("5");
        world.grant("10:05", "5", "12:00", &[]);
        world.used("10:10", "call", 3).used("11:10", "call", 1).used("12:10", "call", 2);
        for run in runs {
            world.settle(run);
        }
        let rows = world.events.iter().skip(3).map(|event| {
            let change = match &event.change {
                Change::Billing(BillingChange::Metered { lines, .. }) => format!("{lines:?}"),
                other => other.name().to_owned(),
            };
            (change, event.funds.clone())
        });
        (rows.collect::<Vec<_>>(), world.state.paid, world.state.balance())
    };
    let punctual = story(&["11:00", "12:00", "13:00"]);
    assert_eq!(punctual.1, named("3"), "the bonus paid for its two hours, and its rest expired");
    for late in [&["13:00"][..], &["12:00:05", "13:40"], &["20:00"]] {
        assert_eq!(story(late), punctual, "{late:?}");
    }
}

#[test]
fn parts_of_an_hour_cost_what_the_whole_costs() {
    let mut world = World::with_credit("5");
    world.open_meter("10:00", "tokens").skip_rows();
    world.policy.unbilled_max = named("0");
    for second in 1..=20 {
        // A token costs 0.15 micro-dollars.
        world.used("10:10", "tokens", 1).settle(&format!("10:10:{second:02}"));
    }
    assert_eq!(world.state.balance(), named("4.999997"));
}

#[test]
fn usage_is_billed_by_its_labels() {
    let mut world = with_calls("9");
    let keys = [&[("key", "k1")][..], &[("key", "k2"), ("model", "small")], &[]];
    for (number, labels) in (1..).zip(keys) {
        world.used_with("10:10", "call", number, labels);
    }
    world.settle("11:00");
    assert_eq!(
        lines(&world),
        ["10:00 0→3 -3.00", "10:00 key=k1 0→1 -1.00", "10:00 key=k2 model=small 0→2 -2.00"]
    );
}

#[test]
fn usage_before_closing_is_still_billed() {
    let mut world = with_calls("24");
    world.used("10:20", "call", 3);
    world.command("10:50", Command::Close { reason: "moving on".to_owned() }).unwrap();
    assert!(is_billable(&world.state), "the hourly run comes by");
    world
        .settle("11:00")
        .settle("12:00")
        .rows(&["10:50:00 closed 0.00 = 24.00", "11:00:00 metered -3.00 = 21.00"]);
}

#[test]
fn usage_of_an_older_release_is_billed_by_reading() {
    let mut world = with_calls("24");
    world.list.meters.values_mut().for_each(|meter| meter.reading = named("3"));
    world.used("10:20", "call", 2).settle("10:59:59").rows(&[]);
    world.settle("11:00").rows(&["11:00:00 metered -5.00 = 19.00"]);
    assert_eq!(lines(&world), ["older 0→3 -3.00", "10:00 0→2 -2.00"]);
    assert_eq!(world.list.meters.values().next().unwrap().billed, named("3"));
}

#[test]
fn usage_worth_a_dollar_is_billed_at_once() {
    let mut world = World::with_credit("9");
    world.open_meter("10:10", "call").skip_rows();
    world.used("10:20", "call", 1).settle("10:20").rows(&["10:20:00 metered -1.00 = 8.00"]);
    // Once a second: the rest waits for the next trigger. Other rows of that second do not matter.
    world.used("10:20", "call", 2).settle("10:20").rows(&[]);
    world.settle("10:20:01").rows(&["10:20:01 metered -2.00 = 6.00"]);
    world.credit("10:21", "1").used("10:21", "call", 1).settle("10:21");
    world.rows(&["10:21:00 topup 1.00 = 7.00", "10:21:00 metered -1.00 = 6.00"]);
    world.settle("11:00").rows(&[]);
}

#[test]
fn usage_worth_all_the_credit_is_billed_at_once() {
    let mut world = World::with_credit("1");
    world.open_meter("10:10", "tokens").skip_rows();
    world.command("10:11", correction("-0.70")).unwrap().skip_rows();
    world.used("10:20", "tokens", 1_000_000).settle("10:20").rows(&[]);
    world
        .used("10:21", "tokens", 1_000_000)
        .settle("10:21")
        .rows(&["10:21:00 metered -0.30 = 0.00", "10:21:00 suspended 0.00 = 0.00 as of 10:21:00"]);
}

#[test]
fn usage_that_spends_all_suspends_without_deletion() {
    let mut world = with_calls("5");
    world.used("10:30", "call", 10).settle("11:00").rows(&[
        "11:00:00 metered -10.00 = -5.00",
        "11:00:00 suspended 0.00 = -5.00 as of 11:00:00",
    ]);
    let Standing::Suspended(suspension) = &world.state.standing else { panic!("it is suspended") };
    assert_eq!(suspension.reason, SuspensionReason::Credit);
    assert_eq!((suspension.delete_at, suspension.warn_at), (None, None), "nothing is kept");
    assert_eq!(due_at(&world.state, &world.policy), None);
    // What happened is counted and billed, and a suspension is one row.
    world
        .used("11:10", "call", 1)
        .open_meter("11:20", "tokens")
        .settle("12:00")
        .rows(&["11:20:00 meter_opened 0.00 = -5.00", "12:00:00 metered -1.00 = -6.00"]);
    world.settle("30T12:00").rows(&[]);
    world.credit("30T12:00", "6").rows(&["11-30T12:00:00 topup 6.00 = 0.00"]);
    world.credit("30T12:01", "1");
    assert!(is_good(&world));
}

#[test]
fn stopped_machine_is_kept_for_the_grace_at_zero() {
    let mut world = with_calls("6");
    world.start("10:10", "vm", "vm60").unwrap();
    world.stop("10:10", &["vm"]).unwrap().skip_rows();
    world
        .used("10:30", "call", 6)
        .settle("11:00")
        .rows(&["11:00:00 metered -6.00 = 0.00", "11:00:00 suspended 0.00 = 0.00 as of 11:00:00"]);
    assert_eq!(world.state.delete_at(), Some(at("25T11:00")));
}

#[test]
fn paid_time_is_used_before_a_suspension() {
    let mut world = with_calls("6");
    world.start("10:30", "vm", "vm60").unwrap().skip_rows();
    world.policy.unbilled_max = named("1");
    world.used("10:40", "call", 9).settle("10:40");
    world.rows(&["10:40:00 metered -9.00 = -3.30 to 11:00:00"]);
    world.settle("11:00").rows(&["11:00:00 suspended 0.00 = -3.30 as of 11:00:00"]);
    let mut world = with_calls("6");
    world.policy.unbilled_max = named("1");
    world.start("10:30", "vm", "vm60").unwrap();
    world.used("10:40", "call", 9).settle("10:40").skip_rows();
    world
        .stop("10:45", &["vm"])
        .unwrap()
        .rows(&["10:45:00 stopped 0.15 = -3.15", "10:45:00 suspended 0.00 = -3.15 as of 10:45:00"]);
}

#[test]
fn usage_that_no_row_can_bill_does_not_stop_other_usage() {
    let mut world = with_calls("24");
    world.open_meter("10:00", "tokens");
    for meter in world.list.meters.values_mut() {
        let is_call = meter.sku.as_str() == "call";
        meter.reading = if is_call { named("900000000000000") } else { meter.reading };
    }
    world.used("10:20", "tokens", 10_000_000).settle("11:00").skip_rows();
    assert_eq!(world.state.balance(), named("22.50"));
    world.used("11:20", "tokens", 10_000_000).settle("12:00");
    world.rows(&["12:00:00 metered -1.50 = 21.00"]);
    assert_eq!(UnbilledList::of(&world.view(), at("12:00")).skipped(), 1);
    // Nor does a meter without a price.
    world.prices =
        world.prices.iter().filter(|price| price.sku.as_str() != "call").cloned().collect();
    world.used("12:20", "tokens", 10_000_000).used("12:20", "call", 1).settle("13:00");
    world.rows(&["13:00:00 metered -1.50 = 19.50"]);
    assert_eq!(UnbilledList::of(&world.view(), at("13:00")).skipped(), 2);
}

#[test]
fn many_meters_are_billed_in_several_rows_at_once() {
    let mut world = World::with_credit("500");
    world.open_meter("10:00", "call").skip_rows();
    for number in 0..200 {
        let label = format!("k{number}");
        world.used_with("10:20", "call", 1, &[("key", &label)]);
    }
    world.settle("10:20").rows(&[
        "10:20:00 metered -80.00 = 420.00",
        "10:20:00 metered -80.00 = 340.00",
        "10:20:00 metered -40.00 = 300.00",
    ]);
}

#[test]
fn debt_that_an_expired_grant_hid_suspends() {
    let mut world = with_calls("5");
    world.grant("10:05", "20", "12:00", &["call"]);
    world.used("10:20", "call", 8).settle("11:00").skip_rows();
    assert!(is_good(&world), "the balance is above zero");
    world.settle("12:00").rows(&[
        "12:00:00 expired -20.00 = -3.00",
        "12:00:00 suspended 0.00 = -3.00 as of 12:00:00",
    ]);
}

#[test]
fn wanted_refill_delays_a_suspension_at_zero() {
    let wanted = || {
        let mut world = with_calls("24");
        world.agree_to_refill("10:20", ("5", "25"), None).skip_rows();
        world.used("10:30", "call", 24).settle("11:00");
        world
    };
    let mut world = wanted();
    world.rows(&["11:00:00 metered -24.00 = 0.00 refill!"]);
    assert_eq!(due_at(&world.state, &world.policy), Some(at("11:00")), "the refill is wanted");
    world.settle("11:09:59").rows(&[]);
    world.begin_refill("11:10").unwrap().rows(&[
        "11:10:00 suspended 0.00 = 0.00 as of 11:00:00",
        "11:10:00 refill_begun 0.00 = 0.00",
    ]);
    let mut world = wanted();
    world.begin_refill("11:01").unwrap();
    world.refill_lands("11:02").settle("11:30");
    assert!(is_good(&world), "credit came in time");
}

#[test]
fn usage_in_a_respite_is_billed() {
    let mut world = with_calls("6");
    world.policy.unbilled_max = named("1");
    world.agree_to_refill("10:20", ("1", "25"), None);
    world.start("10:30", "vm", "vm60").unwrap();
    world.used("10:55", "call", 6).settle("10:55").settle("11:00").skip_rows();
    world.used("11:01", "call", 2).settle("11:01");
    world.rows(&["11:01:00 metered -2.00 = -2.30 to 11:00:00"]);
}

#[test]
fn grant_pays_what_was_used_before_its_end() {
    // At the full hour, a little late, and hours late.
    for time in ["12:00", "12:00:05", "15:20"] {
        let mut world = with_calls("5");
        world.grant("10:05", "5", "12:00", &[]).settle("11:00");
        world.used("11:10", "call", 3).settle(time);
        assert_eq!(world.state.paid, named("5"), "{time}: the bonus paid three dollars");
        assert_eq!(world.state.balance(), named("5"), "{time}: and its rest expired");
    }
    // Credit that is gone does not come back for a late report.
    let mut world = with_calls("5");
    world.grant("10:05", "5", "12:00", &[]).settle("12:00").skip_rows();
    world.used("11:10", "call", 3).settle("12:30").rows(&["12:30:00 metered -3.00 = 2.00"]);
    // What is used after the end is not paid by the grant, however late the run is.
    let mut world = with_calls("5");
    world.grant("10:05", "5", "12:00", &[]).skip_rows();
    world
        .used("12:10", "call", 3)
        .settle("15:00")
        .rows(&["15:00:00 expired -5.00 = 5.00", "15:00:00 metered -3.00 = 2.00"]);
}

#[test]
fn grant_that_ends_within_an_hour_pays_for_usage_before() {
    let mut world = with_calls("5");
    world.grant("10:05", "5", "12:00", &[]);
    world.end_grants_at("11:30");
    world
        .settle("11:00")
        .skip_rows()
        .used("11:10", "call", 3)
        .settle("11:30")
        .rows(&["11:30:00 metered -3.00 = 7.00", "11:30:00 expired -2.00 = 5.00"]);
}

#[test]
fn refund_of_the_last_credit_suspends_and_expiry_does_not() {
    let mut world = World::opened();
    world.grant("10:05", "5", "12:00", &[]).skip_rows();
    world.settle("12:00").rows(&["12:00:00 expired -5.00 = 0.00"]);
    assert!(is_good(&world), "nothing was spent or taken");
    world.credit("12:10", "5").command("12:20", correction("-5.00")).unwrap().rows(&[
        "12:10:00 topup 5.00 = 5.00",
        "12:20:00 correction -5.00 = 0.00",
        "12:20:00 suspended 0.00 = 0.00 as of 12:20:00",
    ]);
}

#[test]
fn older_format_leaves_an_account_good_at_zero() {
    let mut world = World::opened();
    world.policy.row_format = RowFormat::new(5);
    world.policy.unbilled_max = named("1000");
    world.credit("10:00", "5").open_meter("10:00", "call").skip_rows();
    world.list.meters.values_mut().for_each(|meter| meter.reading = named("5"));
    world.settle("11:00").rows(&["11:00:00 metered -5.00 = 0.00"]);
    assert!(is_good(&world));
}

fn correction(amount: &str) -> Command {
    Command::Correct { amount: named(amount), reason: "to the point".to_owned() }
}

#[test]
fn older_process_leaves_usage_by_hour_to_newer_ones() {
    let mut world = with_calls("24");
    world.used("10:20", "call", 2);
    world.list.meters.values_mut().for_each(|meter| meter.reading = named("3"));
    world.policy.row_format = RowFormat::new(5);
    world.settle("11:00").settle("12:00").rows(&["11:00:00 metered -3.00 = 21.00"]);
    assert_eq!(world.state.metered_at, None, "hour 10 is still to be read");
    world.policy.row_format = RowFormat::new(6);
    world.settle("15:00").rows(&["15:00:00 metered -2.00 = 19.00"]);
}

#[test]
fn usage_of_the_first_second_of_an_hour_is_billed_at_once() {
    let mut world = World::with_credit("5");
    world.open_meter("10:00", "call").skip_rows();
    world.used("11:00", "call", 1).settle("11:00").rows(&["11:00:00 metered -1.00 = 4.00"]);
    // A bonus that ends there pays for what was before, and for nothing after.
    world.grant("11:10", "5", "12:00", &[]).skip_rows();
    world.used("11:59", "call", 1).used("12:00", "call", 3);
    world.settle("12:00").settle("12:00:01").rows(&[
        "12:00:00 metered -1.00 = 8.00",
        "12:00:00 expired -4.00 = 4.00",
        "12:00:01 metered -3.00 = 1.00",
    ]);
}

#[test]
fn grant_pays_for_no_usage_of_hours_before_it() {
    let mut world = with_calls("5");
    world.grant("12:30", "5", "23T00:00", &[]).skip_rows();
    world.used("11:10", "call", 1).used("12:10", "call", 2).settle("13:00");
    let paid = |fund| {
        let of_fund = world.events.iter().flat_map(|event| &event.funds);
        let spent = of_fund.filter(|delta| delta.fund == fund && delta.amount.is_negative());
        spent.map(|delta| delta.amount).sum::<Usd>()
    };
    assert_eq!((paid(Fund::Paid), paid(Fund::Grant(1))), (named("-1"), named("-2")));
}

#[test]
fn grant_of_an_older_row_pays_for_usage_of_any_hour() {
    let mut world = with_calls("5");
    let format = std::mem::replace(&mut world.policy.row_format, RowFormat::new(5));
    world.grant("12:30", "5", "23T00:00", &[]);
    assert_eq!(world.state.grants[0].given_at, None);
    world.policy.row_format = format;
    world.used("11:10", "call", 1).settle("13:00");
    assert_eq!((world.state.paid, world.state.balance()), (named("5"), named("9")));
}
