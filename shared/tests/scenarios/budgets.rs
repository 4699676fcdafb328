//! Budgets: what counts, where they stop a project, and what they refuse.

use tollgate::domain::account::{Budget, RestartPolicy};
use tollgate::domain::command::{BudgetTerms, CapturedUsage, Command, MonthSoFar};
use tollgate::domain::holds::HoldId;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{self, OwnedProject};
use tollgate::domain::resources::ReturningResources;
use tollgate::domain::row_format::RowFormat;

use crate::world::{World, at, ids_of, named, new};

impl World {
    /// The project `p` may cost so much a month, and stops there.
    fn stop_at(&mut self, time: &str, amount: &str) -> &mut World {
        self.set_budget(time, stopping("p", amount)).unwrap()
    }

    fn set_budget(&mut self, time: &str, terms: BudgetTerms) -> Result<&mut World, Refusal> {
        self.settle(time);
        let head = self.state.next_seq - 1;
        let so_far = MonthSoFar { head, month: at(time).month_start(), spent: named("0") };
        self.command(time, Command::SetBudget { terms, so_far: Some(so_far) })
    }

    /// Starts something in the project `q`.
    fn start_in_q(&mut self, time: &str, id: &str, sku: &str) -> Result<&mut World, Refusal> {
        let project = OwnedProject { id: named("q"), account: named("acme") };
        let new = new(id, sku);
        self.ask(time, |view| resolve::start_new(view, &project, &[new], at(time)))
    }

    fn hold_of(&mut self, time: &str, project: &str, amount: &str) -> Result<HoldId, Refusal> {
        let (project, skus) = (named(project), [named("call")].into());
        let hold = Command::Hold { project, skus, amount: named(amount), seconds: 600 };
        self.command(time, hold).map(|world| HoldId::of_row(world.state.next_seq - 1))
    }

    /// What the month has cost of each budget, and what is left.
    fn spent(&self, time: &str) -> Vec<String> {
        let shown = |budget: &Budget| {
            let (spent, left) = (budget.spent_in(at(time)), budget.left_in(at(time)));
            format!("{} {spent}, {left} left", budget.project)
        };
        self.state.budgets.iter().map(shown).collect()
    }
}

fn stopping(project: &str, amount: &str) -> BudgetTerms {
    BudgetTerms { project: named(project), amount: named(amount), stops: true }
}

fn telling(project: &str, amount: &str) -> BudgetTerms {
    BudgetTerms { stops: false, ..stopping(project, amount) }
}

/// $99 of credit, `a` at $1 an hour in `p`, and `b` at $1 an hour in `q`, from 10:30 on.
fn with_two_projects(budget: &str) -> World {
    let mut world = World::with_credit("99");
    world.stop_at("10:00", budget).start("10:30", "a", "x").unwrap();
    world.start_in_q("10:30", "b", "x").unwrap().skip_rows();
    world
}

#[test]
fn project_stops_where_its_budget_ends_and_the_rest_goes_on() {
    let mut world = with_two_projects("1");
    world.settle("11:00").settle("11:30").settle("12:00").rows(&[
        "11:00:00 usage -1.00 = 97.00 to 11:30:00",
        "11:30:00 stopped 0.00 = 97.00 to 11:30:00 out of budget: a",
        "11:30:00 usage -0.50 = 96.50 to 12:00:00",
        "12:00:00 usage -1.00 = 95.50 to 13:00:00",
    ]);
    assert_eq!(world.spent("12:00"), ["p 1.00, 0.00 left"]);
}

#[test]
fn late_run_stops_at_the_same_second() {
    let story = |runs: &[&str]| {
        let mut world = with_two_projects("2.25");
        for run in runs {
            world.settle(run);
        }
        world.settle("15:00");
        let rows: Vec<_> =
            world.events.iter().map(|event| (event.change.clone(), event.spends.clone())).collect();
        (rows, world.state.balance(), world.state.budgets.clone())
    };
    let punctual = story(&["11:00", "12:00", "12:45", "13:00", "14:00"]);
    assert_eq!(story(&["14:10"]).1, punctual.1);
    assert_eq!(story(&[]), punctual);
}

#[test]
fn stop_gives_back_what_the_budget_paid() {
    let mut world = with_two_projects("1");
    world.stop("10:45", &["a"]).unwrap().rows(&["10:45:00 stopped 0.25 = 98.25 to 11:00:00"]);
    assert_eq!(world.spent("10:45"), ["p 0.25, 0.75 left"]);
    world.restart("10:45", &["a"]).unwrap().settle("11:00").rows(&[
        "10:45:00 started -0.25 = 98.00 to 11:00:00",
        "11:00:00 usage -1.00 = 97.00 to 11:30:00",
    ]);
}

#[test]
fn what_is_kept_while_stopped_is_still_billed() {
    let mut world = World::with_credit("9");
    world.stop_at("10:00", "0.30").start("10:00", "v", "volume").unwrap().skip_rows();
    world.settle("11:00").settle("11:30").settle("12:00").settle("13:00").rows(&[
        "11:00:00 usage -0.10 = 8.70 to 11:30:00",
        "11:30:00 stopped 0.00 = 8.70 to 11:30:00 out of budget: v",
        "11:30:00 usage -0.05 = 8.65 to 12:00:00",
        "12:00:00 usage -0.10 = 8.55 to 13:00:00",
        "13:00:00 usage -0.10 = 8.45 to 14:00:00",
    ]);
    assert_eq!(world.spent("13:00"), ["p 0.55, -0.25 left"]);
}

#[test]
fn what_is_free_starts_and_goes_on_without_a_budget() {
    let mut world = World::with_credit("9");
    let mut free = world.prices.at(&named("x"), at("10:00")).unwrap().clone();
    (free.sku, free.rate) = (named("free"), named("0"));
    world.prices = world.prices.iter().cloned().chain([free]).collect();
    world.stop_at("10:00", "1").start("10:00", "a", "x").unwrap();
    world.start("10:00", "b", "free").unwrap().skip_rows();
    world.settle("11:00").rows(&[
        "11:00:00 stopped 0.00 = 8.00 to 11:00:00 out of budget: a",
        "11:00:00 usage 0.00 = 8.00 to 12:00:00",
    ]);
    assert_eq!(world.start("11:00", "c", "app").map(drop), exceeded("0.1", "0"));
    world.start("11:00", "d", "free").unwrap();
}

#[test]
fn starts_and_holds_beyond_a_budget_are_refused() {
    let mut world = with_two_projects("1");
    world.open_meter("10:30", "call").skip_rows();
    assert_eq!(world.start("10:30", "c", "vm60").map(drop), Ok(()), "another $0.30 of 0.50");
    assert_eq!(world.start("10:30", "d", "x").map(drop), exceeded("0.5", "0.2"));
    assert_eq!(world.hold_of("10:30", "p", "0.21").map(drop), exceeded("0.21", "0.2"));
    // An open hold counts.
    let hold = world.hold_of("10:31", "p", "0.15").unwrap();
    assert_eq!(world.hold_of("10:31", "p", "0.06").map(drop), exceeded("0.06", "0.05"));
    assert_eq!(world.hold_of("10:31", "q", "5").map(drop), Ok(()), "another project's");
    world.command("10:32", Command::ReleaseHold { hold }).unwrap();
    let hold = world.hold_of("10:32", "p", "0.2").unwrap();
    let used = Command::CaptureHold { hold, usage: calls("p", "3"), is_last: true };
    world.command("10:33", used).unwrap();
    assert_eq!(world.spent("10:33"), ["p 3.80, -2.80 left"]);
    world.policy.unbilled_max = named("1");
    world.used("10:34", "call", 2).settle("10:35");
    assert_eq!(world.spent("10:35"), ["p 5.80, -4.80 left"]);
    assert_eq!(world.start("10:35", "d", "app").map(drop), exceeded("0.041667", "0"));
    assert_eq!(world.hold_of("10:35", "p", "0.000001").map(drop), exceeded("0.000001", "0"));
    world.skip_rows().settle("11:00").rows(&[
        "11:00:00 hold_expired 0.00 = 92.70 to 11:00:00",
        "11:00:00 stopped 0.00 = 92.70 to 11:00:00 out of budget: a c",
        "11:00:00 usage -1.00 = 91.70 to 12:00:00",
    ]);
}

fn exceeded<T>(required: &str, left: &str) -> Result<T, Refusal> {
    let (required, left) = (named(required), named(left));
    Err(Refusal::BudgetExceeded { project: named("p"), required, left })
}

fn calls(project: &str, quantity: &str) -> Vec<CapturedUsage> {
    let (project, sku, quantity) = (named(project), named("call"), named(quantity));
    vec![CapturedUsage { project, sku, labels: <_>::default(), quantity, rate: named("1") }]
}

#[test]
fn a_budget_extends_no_hold_beyond_it() {
    let mut world = with_two_projects("1");
    let hold = world.hold_of("10:30", "p", "0.5").unwrap();
    let extend = || Command::ExtendHold { hold, skus: [named("call")].into(), seconds: 600 };
    world.command("10:31", extend()).unwrap();
    world.set_budget("10:32", stopping("p", "0.9")).unwrap();
    assert_eq!(world.command("10:33", extend()).map(drop), exceeded("0.5", "0.4"));
    assert!(world.state.hold(hold).is_some(), "it stays as it was");
}

#[test]
fn a_budget_that_does_not_stop_counts_and_refuses_nothing() {
    let mut world = World::with_credit("99");
    world.set_budget("10:00", telling("p", "0.1")).unwrap().start("10:00", "a", "x").unwrap();
    world.hold_of("10:01", "p", "5").unwrap();
    world.skip_rows().settle("11:00").rows(&[
        "11:00:00 hold_expired 0.00 = 98.00 to 11:00:00",
        "11:00:00 usage -1.00 = 97.00 to 12:00:00",
    ]);
    assert_eq!(world.spent("11:00"), ["p 2.00, -1.90 left"]);
}

#[test]
fn a_month_begins_anew_and_nothing_starts_by_itself() {
    let mut world = World::with_credit("99");
    world.stop_at("30T21:00", "1.5").start("30T22:00", "a", "x").unwrap();
    world.open_meter("30T22:00", "call").skip_rows();
    world.settle("30T23:00").settle("30T23:30").settle("12-01T00:00").rows(&[
        "11-30T23:00:00 usage -0.50 = 97.50 to 11-30T23:30:00",
        "11-30T23:30:00 stopped 0.00 = 97.50 out of budget: a",
    ]);
    assert_eq!(world.spent("12-01T00:00"), ["p 0.00, 1.50 left"]);
    world.restart("12-01T00:30", &["a"]).unwrap();
    assert_eq!(world.spent("12-01T00:30"), ["p 0.50, 1.00 left"]);
    // Late usage is in the bill of its own month.
    world.used("30T23:10", "call", 7).settle("12-01T01:00");
    assert_eq!(world.spent("12-01T01:00"), ["p 1.50, 0.00 left"]);
    world.settle("12-01T02:00");
    assert_eq!(world.events.last().unwrap().change.name(), "stopped");
}

#[test]
fn a_budget_counts_the_month_so_far_and_keeps_its_count() {
    let mut world = with_two_projects("1");
    let head = world.state.next_seq - 1;
    let month = at("10:00").month_start();
    let so_far = Some(MonthSoFar { head, month, spent: named("0.5") });
    let stale = Some(MonthSoFar { head: head - 1, month, spent: named("0.5") });
    let of_october =
        Some(MonthSoFar { head, month: month.plus(-1).month_start(), spent: named("9") });
    let set = |world: &mut World, terms, so_far| {
        world.command("10:31", Command::SetBudget { terms, so_far }).map(drop)
    };
    assert_eq!(set(&mut world, stopping("q", "3"), stale), Err(Refusal::AccountChanged));
    for so_far in [None, of_october] {
        assert_eq!(set(&mut world, stopping("q", "3"), so_far), Err(Refusal::AccountChanged));
    }
    assert_eq!(set(&mut world, stopping("q", "0"), so_far), Err(Refusal::AmountNotPositive));
    set(&mut world, stopping("q", "3"), so_far).unwrap();
    assert_eq!(world.spent("10:31"), ["p 0.50, 0.50 left", "q 0.50, 2.50 left"]);
    // Another amount keeps what was counted.
    set(&mut world, stopping("q", "2"), None).unwrap();
    assert_eq!(world.spent("10:31"), ["p 0.50, 0.50 left", "q 0.50, 1.50 left"]);
    let remove = || Command::RemoveBudget { project: named("p") };
    world.command("10:32", remove()).unwrap();
    let unknown = Refusal::UnknownBudget { project: named("p") };
    assert_eq!(world.command("10:32", remove()).map(drop), Err(unknown));
    assert_eq!(world.spent("10:32"), ["q 0.50, 1.50 left"]);
    world.skip_rows().settle("11:00").rows(&["11:00:00 usage -2.00 = 96.00 to 12:00:00"]);
}

#[test]
fn an_account_has_ten_budgets_at_most() {
    let mut world = World::opened();
    for project in 0..10 {
        world.set_budget("10:00", telling(&format!("p{project}"), "1")).unwrap();
    }
    let eleventh = world.set_budget("10:00", telling("p10", "1")).map(drop);
    assert_eq!(eleventh, Err(Refusal::TooManyBudgets { max: 10 }));
    world.set_budget("10:00", stopping("p9", "2")).unwrap();
    world.command("10:01", Command::Close { reason: "gone".to_owned() }).unwrap();
    assert_eq!(world.set_budget("10:01", stopping("p9", "3")).map(drop), Err(Refusal::Closed));
}

#[test]
fn older_formats_know_no_budgets() {
    let mut world = World::opened();
    world.policy.row_format = RowFormat::new(5);
    let refused = world.set_budget("10:00", stopping("p", "1")).map(drop);
    assert_eq!(refused, Err(Refusal::BudgetsNotYet));
}

#[test]
fn what_a_budget_stopped_does_not_return_with_the_rest() {
    let mut world = World::with_credit("14.1");
    let restart = Command::ChooseRestartPolicy(RestartPolicy::InOrder);
    world.command("10:00", restart).unwrap();
    world.stop_at("10:00", "0.75").start("10:15", "a", "x").unwrap();
    world.start_in_q("10:15", "b", "x").unwrap();
    world.settle("13:00");
    assert_eq!(world.spent("13:00"), ["p 0.75, 0.00 left"]);
    world.set_budget("13:01", stopping("p", "50")).unwrap().restart("13:01", &["a"]).unwrap();
    // Both are off for lack of credit, and the budget is lowered meanwhile.
    world.settle("19:00").set_budget("19:00", stopping("p", "0.5")).unwrap();
    assert!(!crate::world::is_good(&world));
    let view = world.view();
    let which = ReturningResources::StoppedBySuspension;
    assert_eq!(resolve::returning(&view, which, at("20:00")), ids_of(&["b"]));
    world.skip_rows().credit("20:00", "30").settle("20:00");
    let restarted: Vec<String> = world
        .events
        .iter()
        .filter(|event| event.change.name() == "resumed")
        .map(|event| format!("{:?}", event.list_change().resources()))
        .collect();
    assert!(restarted.concat().contains("b") && !restarted.concat().contains("(\"a\")"));
}

#[test]
fn failed_start_after_a_stop_for_a_budget_owes_nothing() {
    let mut world = World::with_credit("6");
    world.agree_to_refill("10:00", ("1", "10"), None);
    world.stop_at("10:00", "6").start("10:00", "a", "x").unwrap();
    world.settle("16:20");
    let owed = world.state.owed;
    world.fail_start("16:21", "a").unwrap();
    assert!(world.state.owed <= owed && !world.state.owed.is_negative());
    assert_eq!(world.spent("16:21"), ["p 0.00, 6.00 left"]);
}

/// The mails about budgets.
fn mails(world: &World) -> Vec<String> {
    let all = crate::notices::warnings(world).into_iter();
    all.filter(|mail| mail.contains("BudgetSpent")).collect()
}

/// The percentages of which the customer was told.
fn told(world: &World) -> Vec<u8> {
    world.events.iter().flat_map(|event| &event.spends).filter_map(|spend| spend.told).collect()
}

#[test]
fn the_customer_is_told_once_at_80_and_once_at_100_percent() {
    let mut world = with_two_projects("3");
    world.settle("11:00").settle("12:00").settle("13:00").settle("14:00");
    assert_eq!(
        mails(&world),
        [
            "22T12:00 BudgetSpent 3.00 by 12-01T00:00 at projects/p",
            "22T13:00 BudgetSpent 3.00 by 12-01T00:00 at projects/p",
        ]
    );
    assert_eq!(told(&world), [80, 100]);
    // Another amount is another budget, which a start of half an hour leads to 80 percent.
    world.set_budget("14:00", stopping("p", "4.5")).unwrap();
    world.restart("14:00", &["a"]).unwrap().stop("14:01", &["a"]).unwrap();
    world.restart("14:02", &["a"]).unwrap();
    assert_eq!(told(&world), [80, 100, 80]);
}

#[test]
fn a_stop_is_told_although_a_part_of_a_second_is_left() {
    let mut world = World::with_credit("99");
    world.stop_at("10:00", "1.3501").start("10:01:07", "a", "vm120").unwrap().settle("14:00");
    assert_eq!(world.spent("14:00"), ["p 1.35, 0.0001 left"]);
    assert_eq!(told(&world), [80, 100]);
}

#[test]
fn a_budget_below_what_was_spent_is_told_at_once() {
    let mut world = with_two_projects("50");
    world.settle("12:30").set_budget("12:30", stopping("p", "2")).unwrap();
    assert_eq!(told(&world), [100]);
    world.set_budget("12:30", telling("p", "2")).unwrap();
    world.set_budget("12:30", stopping("p", "2")).unwrap().settle("13:00");
    assert_eq!(told(&world), [100], "the amount is the same");
    let mut world = with_two_projects("50");
    world.settle("12:30").set_budget("12:30", telling("p", "3")).unwrap();
    assert_eq!(told(&world), [80]);
}

#[test]
fn more_stops_than_a_row_takes_are_told_once() {
    let mut world = World::with_credit("99");
    world.stop_at("10:00", "33.00345");
    for batch in 0..2 {
        let all: Vec<_> = (0..50).map(|n| new(&format!("r{}", batch * 50 + n), "app")).collect();
        let project = world.project();
        world
            .ask("10:00", |view| resolve::start_new(view, &project, &all[..40], at("10:00")))
            .unwrap();
        world
            .ask("10:00", |view| resolve::start_new(view, &project, &all[40..], at("10:00")))
            .unwrap();
    }
    world.settle("15:00");
    assert_eq!(told(&world), [80, 100]);
    assert!(world.state.billed.count() == 0);
}

#[test]
fn credit_that_ends_with_the_budget_suspends_the_account() {
    for budget in ["6", "6.2001", "6.5"] {
        let mut world = World::with_credit("6");
        world.stop_at("10:00", budget).start("10:00", "a", "x").unwrap().skip_rows();
        world.settle("17:00");
        let last = world.events.last().unwrap();
        assert_eq!(last.change.name(), "suspended", "{budget}");
        assert!(told(&world).contains(&80));
    }
    // A budget that ends before stops its project, and nothing is left to be paid or suspended.
    let mut world = World::with_credit("6");
    world.stop_at("10:00", "5.9").start("10:00", "a", "x").unwrap().settle("17:00");
    assert!(crate::world::is_good(&world));
    assert_eq!(world.state.balance(), named("0.1"));
}

#[test]
fn time_in_a_respite_is_owed_within_the_budget_only() {
    let mut world = World::with_credit("6");
    world.stop_at("10:00", "6.05").start("10:00", "a", "x").unwrap();
    world.agree_to_refill("15:58", ("1", "10"), None).settle("16:20");
    assert_eq!(world.state.owed, named("0.05"));
}

#[test]
fn a_return_of_all_leaves_out_what_a_budget_has_no_room_for() {
    let mut world = World::with_credit("9");
    for n in 0..3 {
        world.start("10:00", &format!("a{n}"), "x").unwrap();
    }
    world.start_in_q("10:00", "b", "x").unwrap().settle("13:00");
    assert!(!crate::world::is_good(&world));
    world.set_budget("13:00", stopping("p", "1.5")).unwrap();
    world.credit("13:00", "50").settle("13:00").skip_rows();
    let which = ReturningResources::StoppedBySuspension;
    world
        .ask("13:00", |view| resolve::start_returning(view, which, at("13:00")))
        .unwrap()
        .rows(&["13:00:00 started -2.00 = 48.00 to 14:00:00"]);
    let running: Vec<&str> =
        world.state.billed.running.keys().map(tollgate::domain::ids::Kind::as_str).collect();
    assert_eq!((running, world.state.billed.running_count()), (vec!["instance"], 2));
    let none = world.ask("13:00", |view| resolve::start_returning(view, which, at("13:00")));
    assert_eq!(none.map(drop), exceeded("1", "0.5"), "two are left, and have no room");
}

#[test]
fn credit_back_of_an_earlier_month_makes_no_budget_larger() {
    let mut world = World::with_credit("99");
    world.stop_at("30T23:00", "1.5").start("30T23:30", "a", "x").unwrap();
    world.settle("12-01T00:00").fail_start("12-01T00:01", "a").unwrap();
    assert_eq!(world.spent("12-01T00:01"), ["p -0.50, 1.50 left"]);
}

#[test]
fn late_usage_of_a_month_that_is_over_is_not_told() {
    let mut world = World::with_credit("99");
    world.policy.unbilled_max = named("1000");
    world.stop_at("30T23:00", "5").open_meter("30T23:00", "call");
    world.used("30T23:10", "call", 5).settle("12-01T00:00");
    assert_eq!(world.spent("30T23:59"), ["p 5.00, 0.00 left"]);
    assert!(told(&world).is_empty());
}
