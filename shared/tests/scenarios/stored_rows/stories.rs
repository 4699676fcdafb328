//! The stories that produce the rows of the fixture. Together they have every kind of row, and
//! every field of each.
//!
//! A story never changes, because its rows are stored. An addition is a new story.

use std::collections::{BTreeMap, BTreeSet};

use tollgate::domain::account::{
    BilledTotals, CardChoice, DisputePhase, PendingPayment, RefillPause, RestartPolicy, Standing,
    TaxMode,
};
use tollgate::domain::command::{
    BonusGrant, BudgetTerms, CapturedUsage, CardFunding, CardWallet, Command, MonthSoFar,
    OpeningBalance, RefillCharge, RefillSettings, RefillTerms, RefundTerms, TrialCard,
};
use tollgate::domain::event::{
    BilledLines, BillingChange, Cause, Change, ChunkedLines, CreditKind, DisputeOutcome, Event,
    KeyedRequest, PaymentChange, PaymentFacts, PendingEnd, RefillDecline, StaffRefund, TakeBack,
};
use tollgate::domain::holds::HoldId;
use tollgate::domain::ids::RequestKey;
use tollgate::domain::money::Usd;
use tollgate::domain::payment_records::RecordedTotals;
use tollgate::domain::profile::NonEmptyText;
use tollgate::domain::resolve::{self, NewResource, taken};
use tollgate::domain::row::RowDigest;
use tollgate::domain::settle::settle;

use crate::world::{World, at, named, new};

pub(super) fn all() -> Vec<World> {
    vec![
        payments(),
        reversals(),
        staff(),
        resources(),
        failed_starts(),
        hours(),
        kept_for_free(),
        suspension_and_deletion(),
        coming_back(),
        trial(),
        trial_renewed(),
        refills(),
        refills_of_the_default_card(),
        refills_paused(),
        kept_while_suspended(),
        low_without_refills(),
        refills_to_a_target(),
        refill_never_confirmed(),
        respites(),
        disputes(),
        fraud_warnings(),
        trial_used(),
        closed_and_erased(),
        holds(),
        by_staff(),
        refunds(),
        imported(),
        budgets(),
        withdrawn(),
        plan_bought(),
    ]
}

/// A request of staff, with an idempotency key or without.
fn by_staff_member(world: &mut World, time: &str, key: Option<&str>, command: Command) {
    let request = key.map(|key| KeyedRequest {
        key: named(key),
        digest: RowDigest::of(&[key]).as_str().to_owned(),
    });
    let by = Cause::Staff { by: named("staff-1"), request };
    let before = std::mem::replace(&mut world.cause, by);
    world.command(time, command).unwrap();
    world.cause = before;
}

/// A report from Stripe.
fn stripe(world: &mut World, time: &str, command: Command) {
    let before = std::mem::replace(&mut world.cause, Cause::Stripe);
    let rows = world.events.len();
    world.command(time, command).unwrap();
    assert!(world.events.len() > rows, "it has a row");
    world.cause = before;
}

/// A request with an idempotency key.
fn requested(world: &mut World, time: &str, key: &str, command: Command) {
    let key: RequestKey = named(key);
    let digest = RowDigest::of(&[key.as_str()]).as_str().to_owned();
    let before = std::mem::replace(&mut world.cause, Cause::Request(KeyedRequest { key, digest }));
    world.command(time, command).unwrap();
    world.cause = before;
}

/// Credit bought, and 19 % tax on it.
fn taxed(payment: &str, credit: &str, received_cents: i64) -> PaymentFacts {
    PaymentFacts { payment: named(payment), credit: named(credit), received_cents }
}

fn top_up(payment: PaymentFacts) -> Command {
    Command::Credit { payment, kind: CreditKind::TopUp, plan: None, bonus: None, also: Vec::new() }
}

fn pending(payment: &str, expires: &str) -> Command {
    Command::AwaitPayment(PendingPayment {
        payment: named(payment),
        amount: named("25"),
        expires_at: at(expires),
    })
}

fn ended(payment: &str, how: PendingEnd) -> Command {
    Command::EndPayment { payment: named(payment), how }
}

fn correction(amount: &str) -> Command {
    Command::Correct { amount: named(amount), reason: "to the point".to_owned() }
}

/// Gives back the amount that a refund or dispute took.
fn give_back(world: &World, by: TakeBack, of: PaymentFacts, cents: i64) -> Command {
    let is_its = |event: &Event| matches!(&event.change, Change::Payment(PaymentChange::TakenBack { by: taken_by, .. }) if *taken_by == by);
    let index = world.events.iter().position(is_its);
    let taken = index.and_then(|index| taken(&world.events[index], &world.states[index - 1]));
    Command::GiveBack { by, of, cents, taken, before: RecordedTotals::default() }
}

/// Moves the money of a dispute to its target.
fn move_dispute(world: &mut World, time: &str, of: PaymentFacts, cents: i64) {
    let (head, dispute) = (world.state.next_seq - 1, named("dp_1"));
    let before = world.recorded_dispute(&of.payment, &dispute);
    stripe(world, time, Command::MoveDispute { head, dispute, of, cents, before });
}

fn change_dispute(world: &mut World, time: &str, phase: DisputePhase) {
    let (head, dispute, payment) = (world.state.next_seq - 1, named("dp_1"), named("pi_plan"));
    let before = world.recorded_dispute(&payment, &dispute);
    stripe(world, time, Command::ChangeDispute { head, dispute, payment, phase, before });
}

fn commit_plan(payment: PaymentFacts, bonus: &str) -> Command {
    let excludes = BTreeSet::from([named("domain"), named("tokens")]);
    let bonus = BonusGrant { amount: named(bonus), expires_at: at("12-22T00:00"), excludes };
    Command::Credit {
        payment,
        kind: CreditKind::Commit,
        plan: None,
        bonus: Some(bonus),
        also: Vec::new(),
    }
}

/// Money in, now and later.
fn payments() -> World {
    let mut world = World::opened_as("payments");
    let w = &mut world;
    stripe(w, "10:01", pending("pi_slow", "23T00:00"));
    stripe(w, "10:02", pending("pi_failing", "23T00:00"));
    stripe(w, "10:03", top_up(taxed("pi_slow", "25", 2975)));
    stripe(w, "10:04", ended("pi_failing", PendingEnd::Failed));
    stripe(w, "10:05", ended("pi_unheard_of", PendingEnd::Canceled));
    stripe(w, "10:06", pending("pi_lost", "11:00"));
    w.settle("11:00");
    stripe(w, "11:05", commit_plan(taxed("pi_plan", "100", 11_900), "20"));
    stripe(w, "11:10", top_up(taxed("pi_late", "12.34", 1234)));
    world
}

/// Money back, and back again.
fn reversals() -> World {
    let mut world = World::opened_as("reversals");
    let w = &mut world;
    let plan = || taxed("pi_plan", "100", 11_900);
    let (refund, dispute) = (TakeBack::Refund(named("re_1")), TakeBack::Dispute(named("dp_1")));
    let take = |by: &TakeBack, of, cents| {
        let (by, before) = (by.clone(), RecordedTotals::default());
        Command::TakeBack { by, of, cents, before }
    };
    stripe(w, "10:01", commit_plan(plan(), "20"));
    stripe(w, "10:02", top_up(taxed("pi_other", "10", 1190)));
    stripe(w, "10:10", take(&refund, plan(), 1190));
    stripe(w, "10:20", Command::OpenDispute { dispute: named("dp_1"), payment: named("pi_plan") });
    stripe(w, "10:21", take(&dispute, plan(), 10_710));
    let command = give_back(w, dispute, plan(), 10_710);
    stripe(w, "10:30", command);
    let won = Command::CloseDispute { dispute: named("dp_1"), outcome: DisputeOutcome::Won };
    stripe(w, "10:31", won);
    let command = give_back(w, refund, plan(), 1190);
    stripe(w, "10:40", command);
    // A refund fails before it is reported.
    let command = give_back(w, TakeBack::Refund(named("re_2")), taxed("pi_other", "10", 1190), 595);
    stripe(w, "10:50", command);
    let lost = Command::CloseDispute { dispute: named("dp_2"), outcome: DisputeOutcome::Lost };
    stripe(w, "10:55", lost);
    world
}

/// A dispute that moves its money as often as the bank decides, and a refund of the same payment.
fn disputes() -> World {
    let mut world = World::opened_as("disputes");
    let w = &mut world;
    let plan = || taxed("pi_plan", "100", 11_900);
    let refund = TakeBack::Refund(named("re_1"));
    stripe(w, "10:01", commit_plan(plan(), "20"));
    change_dispute(w, "10:10", DisputePhase::Open);
    move_dispute(w, "10:11", plan(), 11_900);
    let before = RecordedTotals::default();
    let command = Command::TakeBack { by: refund.clone(), of: plan(), cents: 1190, before };
    stripe(w, "10:20", command);
    change_dispute(w, "10:30", DisputePhase::Lost);
    move_dispute(w, "10:31", plan(), 5950);
    let command = give_back(w, refund, plan(), 1190);
    stripe(w, "10:40", command);
    move_dispute(w, "10:50", plan(), 0);
    change_dispute(w, "10:51", DisputePhase::Over);
    world
}

/// A payment that the card's issuer reports.
fn fraud_warnings() -> World {
    let mut world = World::opened_as("fraud_warnings");
    let w = &mut world;
    stripe(w, "10:01", top_up(taxed("pi_a", "10", 1190)));
    let command = Command::WarnOfFraud { warning: named("issfr_1"), payment: named("pi_a") };
    stripe(w, "10:10", command);
    world
}

/// The actions of staff.
fn staff() -> World {
    let mut world = World::opened_as("staff");
    let w = &mut world;
    w.grant("10:01", "20", "12:00", &["domain", "x"]);
    w.grant("10:02", "7.65", "30T00:00", &[]);
    requested(w, "10:03", "mH0dXvB2kq9a:key-1", correction("5.000001"));
    w.start("10:10", "a", "vm60").unwrap();
    w.ask("10:20", |view| resolve::suspend(view, "odd traffic")).unwrap();
    w.command("10:30", Command::Freeze { reason: "odd".to_owned() }).unwrap();
    w.command("10:31", Command::Unfreeze { reason: "explained".to_owned() }).unwrap();
    w.ask("10:40", |view| resolve::resume(view, at("10:40"))).unwrap();
    w.settle("12:00");
    w.command("12:10", correction("-12.650002")).unwrap();
    w.command("12:20", Command::Close { reason: "moving on".to_owned() }).unwrap();
    world
}

/// Resources from creation to the end, one by one.
fn resources() -> World {
    let mut world = World::opened_as("resources");
    let w = &mut world;
    w.credit("10:01", "100");
    let agreed = NewResource { rate: Some(named("0.123456789012")), ..new("agreed", "vm60") };
    let project = w.project();
    w.ask("10:05", |view| {
        resolve::create(view, &project, &[new("vol", "volume"), agreed], at("10:05"))
    })
    .unwrap();
    w.restart("10:10", &["vol", "agreed"]).unwrap();
    w.start("10:15", "vm", "vm60").unwrap();
    w.stop("10:20", &["vol", "vm"]).unwrap();
    w.restart("10:30", &["vol"]).unwrap();
    w.delete("10:40", &["vol"]).unwrap();
    w.delete("10:50", &["vm"]).unwrap();
    w.restore("10:55", &["vol"]).unwrap();
    w.delete("10:56", &["vol"]).unwrap();
    w.delete("10:57", &["agreed"]).unwrap();
    w.restore("10:58", &["vol", "vm"]).unwrap();
    w.restore("10:59", &["agreed"]).unwrap();
    w.delete("11:00", &["vm"]).unwrap();
    w.delete("11:30", &["vol", "agreed"]).unwrap();
    w.settle("12-06T11:00").settle("12-06T11:30");
    world
}

/// Starts that failed on the platform.
fn failed_starts() -> World {
    let mut world = World::opened_as("failed_starts");
    let w = &mut world;
    w.credit("10:01", "20");
    w.grant("10:02", "5", "30T00:00", &[]);
    w.start("10:10", "a", "vm60").unwrap();
    w.start("10:15", "v", "volume").unwrap();
    w.settle("11:00").fail_start("11:05", "a").unwrap();
    w.stop("11:10", &["v"]).unwrap();
    w.restart("11:20", &["v"]).unwrap();
    w.fail_start("11:25", "v").unwrap();
    w.delete("11:30", &["v"]).unwrap();
    w.restore("11:35", &["v"]).unwrap();
    w.fail_start("11:40", "v").unwrap();
    world
}

/// Hours, paid by several funds, with meters and a price that changes.
fn hours() -> World {
    let mut world = World::opened_as("hours");
    let w = &mut world;
    w.credit("10:01", "50");
    w.grant("10:02", "5.80", "23T00:00", &["domain"]);
    let project = w.project();
    w.ask("10:05", |view| resolve::open_meter(view, &project, &named("tokens"), at("10:05")))
        .unwrap();
    w.start("11:00", "a", "vm60").unwrap();
    w.start("11:00", "b", "vm100").unwrap();
    w.start("11:00", "c", "domain").unwrap();
    let mut price = w.prices.at(&named("vm60"), at("12:00")).unwrap().clone();
    (price.valid_from, price.rate) = (at("13:00"), named("0.90"));
    w.prices = w.prices.iter().cloned().chain([price]).collect();
    w.list.meters.values_mut().for_each(|meter| meter.reading = named("12345678.5"));
    w.settle("12:00").used("12:20", "tokens", 1_000_000).settle("13:00");
    w.used_with("13:20", "tokens", 10_000_000, &[("api_key", "key-1")]);
    with_more_meters_to_follow(w, "14:00");
    w.settle("14:00");
    with_lines_in_chunks(w, "15:00");
    w.stop("15:30", &["a", "b", "c"]).unwrap();
    world
}

fn holds() -> World {
    let mut world = World::opened_as("holds");
    let w = &mut world;
    stripe(w, "10:01", top_up(taxed("pi_1", "10", 1_000)));
    w.grant("10:02", "2", "23T00:00", &[]);
    let hold = |amount: &str| Command::Hold {
        project: named("p"),
        skus: [named("call"), named("tokens")].into(),
        amount: named(amount),
        seconds: 600,
    };
    let used = |calls: &str| {
        let labels: BTreeMap<_, _> = [("api_key".to_owned(), "key-1".to_owned())].into();
        vec![CapturedUsage {
            project: named("p"),
            sku: named("call"),
            labels: labels.try_into().unwrap(),
            quantity: named(calls),
            rate: named("1"),
        }]
    };
    requested(w, "10:03", "key-1", hold("5"));
    let first = HoldId::of_row(w.state.next_seq - 1);
    let capture = |hold, is_last| Command::CaptureHold { hold, usage: used("1.5"), is_last };
    requested(w, "10:04", "key-2", capture(first, false));
    let extended =
        Command::ExtendHold { hold: first, skus: [named("call")].into(), seconds: 3_600 };
    w.command("10:05", extended).unwrap();
    w.command("10:06", capture(first, true)).unwrap();
    w.command("10:07", hold("1")).unwrap();
    let second = HoldId::of_row(w.state.next_seq - 1);
    w.command("10:08", Command::ReleaseHold { hold: second }).unwrap();
    w.command("10:09", hold("8")).unwrap();
    let third = HoldId::of_row(w.state.next_seq - 1);
    let (by, of) = (TakeBack::Refund(named("re_1")), taxed("pi_1", "10", 1_000));
    let before = RecordedTotals::default();
    stripe(w, "10:10", Command::TakeBack { by, of, cents: 600, before });
    w.settle("10:19");
    w.command("10:20", Command::CaptureLate { hold: second, usage: used("0.1"), ends: false })
        .unwrap();
    w.command("10:21", Command::CaptureLate { hold: third, usage: used("0.1"), ends: false })
        .unwrap();
    w.command("10:22", hold("0.000001")).unwrap();
    w.command("10:23", Command::Close { reason: "moved away".to_owned() }).unwrap();
    let fourth = HoldId::of_row(w.state.next_seq - 2);
    w.command("10:24", Command::CaptureLate { hold: fourth, usage: used("1"), ends: true })
        .unwrap();
    world
}

/// Budgets of two projects, one of which stops what runs.
fn budgets() -> World {
    let mut world = World::opened_as("budgets");
    let w = &mut world;
    stripe(w, "10:01", top_up(taxed("pi_1", "20", 2_000)));
    w.start("10:30", "a", "x").unwrap();
    let set = |w: &World, terms, spent| {
        let (head, month) = (w.state.next_seq - 1, at("10:00").month_start());
        Command::SetBudget { terms, so_far: Some(MonthSoFar { head, month, spent: named(spent) }) }
    };
    let terms = BudgetTerms { project: named("p"), amount: named("1.2"), stops: true };
    let command = set(w, terms, "0.5");
    requested(w, "10:31", "key-1", command);
    let terms = BudgetTerms { project: named("q"), amount: named("5"), stops: false };
    let command = set(w, terms, "0");
    w.command("10:32", command).unwrap();
    let hold = Command::Hold {
        project: named("p"),
        skus: [named("call")].into(),
        amount: named("0.1"),
        seconds: 600,
    };
    w.command("10:33", hold).unwrap();
    w.settle("11:00").settle("12:00");
    w.command("12:01", Command::RemoveBudget { project: named("q") }).unwrap();
    world
}

/// A bonus that staff take back.
fn withdrawn() -> World {
    let mut world = World::opened_as("withdrawn");
    let w = &mut world;
    w.grant("10:01", "5", "23T00:00", &[]).start("10:02", "a", "x").unwrap();
    let reason = "given twice".to_owned();
    by_staff_member(w, "10:03", Some("key-1"), Command::WithdrawGrant { number: 1, reason });
    world
}

/// Refunds by staff: one that Stripe accepts, and one that it refuses.
fn refunds() -> World {
    let mut world = World::opened_as("refunds");
    let w = &mut world;
    let plan = || taxed("pi_plan", "100", 11_900);
    stripe(w, "10:01", commit_plan(plan(), "20"));
    let begin = |w: &World, amount: Option<Usd>| {
        let (reason, may_leave_debt) = ("bought twice".to_owned(), false);
        let payment = named("pi_plan");
        let terms = RefundTerms { payment, amount, reason, may_leave_debt, payment_max: None };
        Command::BeginRefund { of: plan(), terms, before: w.recorded(&named("pi_plan")) }
    };
    let command = begin(w, Some(named("25")));
    by_staff_member(w, "10:10", Some("key-1"), command);
    let number = w.state.next_seq - 1;
    let (refund, payment) = (named("re_1"), named("pi_plan"));
    stripe(w, "10:11", Command::ConfirmRefund { number, refund, payment });
    let command = begin(w, None);
    by_staff_member(w, "10:20", Some("key-2"), command);
    let number = w.state.open_refunds[0].number;
    let place = usize::try_from(number).unwrap();
    let taken = taken(&w.events[place], &w.states[place - 1]).unwrap();
    let (payment, before) = (named("pi_plan"), w.recorded(&named("pi_plan")));
    let refund = StaffRefund { number, payment, reason: "charge_disputed".to_owned() };
    stripe(w, "10:21", Command::UndoRefund { refund, of: plan(), taken, before });
    world
}

/// An account that was moved from elsewhere with credit and a bonus.
fn imported() -> World {
    let mut world = World::opened_as("imported");
    let bonus = BonusGrant {
        amount: named("5"),
        expires_at: at("2026-12-22T10:00:00Z"),
        excludes: BTreeSet::from([named("gpu")]),
    };
    let reference = NonEmptyText::try_from("customer 4711".to_owned()).unwrap();
    let opening = OpeningBalance { credit: named("12.345678"), bonus: Some(bonus), reference };
    by_staff_member(&mut world, "10:05", None, Command::Import(opening));
    world
}

/// The row that bills a batch of meters of an hour of which there are more.
fn with_more_meters_to_follow(world: &mut World, time: &str) {
    let event = settle(&mut world.view(), at(time)).unwrap().remove(0);
    let Change::Billing(BillingChange::Metered { lines, .. }) = event.change else {
        panic!("{event:?}")
    };
    world.append(Event {
        change: Change::Billing(BillingChange::Metered { hour: None, lines }),
        ..event
    });
}

/// The row that pays for an hour, as it is stored if its lines do not fit it: two in a first chunk,
/// the others in a second.
fn with_lines_in_chunks(world: &mut World, time: &str) {
    let event = settle(&mut world.view(), at(time)).unwrap().remove(0);
    let Some(BilledLines::Here(lines)) = event.change.lines() else { panic!("{event:?}") };
    let (first, second) = lines.split_at(2);
    let chunks = [first, second].map(|lines| serde_json::to_string(lines).unwrap());
    let digest = RowDigest::of(&chunks.each_ref().map(String::as_str)).as_str().to_owned();
    let count = u32::try_from(lines.len()).unwrap();
    let lines = BilledLines::Chunked(ChunkedLines { digest, chunks: 2, count });
    world.append(Event { change: event.change.clone().with_lines(lines), ..event });
    world.stored.last_mut().unwrap().chunks = chunks.into();
}

/// A stopped resource without funds is kept for free.
fn kept_for_free() -> World {
    let mut world = World::opened_as("kept_for_free");
    let w = &mut world;
    w.grant("11:00", "19", "30T00:00", &["volume", "x"]);
    w.credit("11:00", "10");
    w.start("11:00", "v", "volume").unwrap();
    w.start("11:00", "vm", "vm60").unwrap();
    w.start("11:00", "x", "x").unwrap();
    w.stop("11:00", &["v"]).unwrap();
    w.command("11:30", correction("-8.90")).unwrap();
    // `x` has no funds of its own left: it is stopped.
    w.settle("12:00");
    w.credit("12:10", "5");
    w.restart("12:30", &["v"]).unwrap();
    w.command("12:35", correction("-6")).unwrap();
    w.fail_start("12:40", "v").unwrap();
    world
}

/// From a lack of credit to the purge, and afterwards.
fn suspension_and_deletion() -> World {
    let mut world = World::opened_as("suspension_and_deletion");
    let w = &mut world;
    w.credit("10:01", "6");
    for id in ["a", "b", "c"] {
        w.start("12:00", id, "tiny").unwrap();
    }
    let rest = w.state.balance() - Usd::from_micros(2);
    w.command("12:30", correction(&(-rest).to_string())).unwrap();
    w.settle("13:00").settle("24T13:00");
    // The reason for the delay ends, and the customer is warned again.
    stripe(w, "25T12:00", pending("pi_slow", "30T00:00"));
    stripe(w, "26T10:00", ended("pi_slow", PendingEnd::Failed));
    w.settle("27T10:00");
    w.confirm_deletion("27T10:01").unwrap();
    w.credit("28T10:00", "10");
    w.start("28T11:00", "d", "vm60").unwrap();
    w.delete("28T12:00", &["d"]).unwrap();
    w.settle("12-11T10:01").settle("12-12T12:00");
    assert_eq!(w.state.standing, Standing::Good);
    world
}

/// Resources restart after a suspension.
fn coming_back() -> World {
    let mut world = World::opened_as("coming_back");
    let w = &mut world;
    w.command("10:00", Command::ChooseRestartPolicy(RestartPolicy::InOrder)).unwrap();
    w.credit("10:01", "8");
    w.start("12:00", "v", "volume").unwrap();
    w.start("12:00", "a", "vm100").unwrap();
    w.command("12:30", correction("-6.80")).unwrap();
    w.settle("13:00");
    w.credit("13:10", "10");
    w.command("13:20", Command::ChooseRestartPolicy(RestartPolicy::StayOff)).unwrap();
    world
}

fn start_trial(world: &mut World, refill: Option<RefillSettings>) {
    world.policy.trial.excludes = BTreeSet::from([named("domain"), named("x")]);
    let fingerprint = named(&format!("fp_{}", world.project().account));
    let card = TrialCard { fingerprint, funding: CardFunding::Debit, wallet: CardWallet::None };
    world.command("12:00", Command::StartTrial { card, refill }).unwrap();
}

/// Refill terms that are accepted with a trial.
fn terms_with_a_trial() -> RefillSettings {
    RefillSettings {
        terms: Some(RefillTerms::multiple(named("4"), named("25"))),
        words: Some("Charged once when the trial ends, $1.00 to $25.00.".to_owned()),
        card: Some(named("pm_1")),
        card_choice: CardChoice::Default,
        card_ends_at: Some(at("2027-01-01T00:00:00Z")),
        ..RefillSettings::default()
    }
}

/// A trial without a later payment.
fn trial() -> World {
    let mut world = World::opened_as("trial");
    start_trial(&mut world, None);
    world.start("25T10:30", "a", "app").unwrap();
    world.settle("25T12:00");
    world
}

/// An account that its customer closed, that staff opened again, and whose customer was erased.
fn closed_and_erased() -> World {
    let mut world = World::opened_as("closed_and_erased");
    world.credit("12:01", "5");
    world.agree_to_refill("12:02", ("1", "25"), None);
    let shown = named("5");
    world.command("12:03", Command::CloseByCustomer { shown, resources: 0 }).unwrap();
    let reason = "a mistake".to_owned();
    let billed = BilledTotals::default();
    world.command("12:04", Command::Reopen { reason, billed }).unwrap();
    let reason = || "asked by mail".to_owned();
    world.command("12:05", Command::Close { reason: reason() }).unwrap();
    world.command("12:06", Command::Erase { reason: reason() }).unwrap();
    world
}

/// A trial with refill terms, whose credit is used before its time is over.
fn trial_used() -> World {
    let mut world = World::opened_as("trial_used");
    start_trial(
        &mut world,
        Some(RefillSettings { card_choice: CardChoice::Named, ..terms_with_a_trial() }),
    );
    world.start("12:00", "a", "app").unwrap();
    // $5.10 an hour, for less than four hours.
    for id in ["b", "c", "d", "e", "f"] {
        world.start("12:00", id, "vm100").unwrap();
    }
    for time in ["12:01", "13:00", "14:00", "14:56", "15:00", "15:55:18"] {
        world.settle(time);
    }
    world
}

/// A trial renewed with the saved card.
fn trial_renewed() -> World {
    let mut world = World::opened_as("trial_renewed");
    let w = &mut world;
    start_trial(w, Some(terms_with_a_trial()));
    w.start("25T09:00", "a", "app").unwrap();
    for hour in ["10", "11", "12"] {
        w.settle(&format!("25T{hour}:00"));
    }
    w.command(
        "25T12:00:10",
        Command::BeginRefill { customer: named("cus_1"), tax: TaxMode::Automatic },
    )
    .unwrap();
    let url = Some("https://invoice.stripe.com/i/acct_1/live_1".to_owned());
    w.command("25T12:00:20", Command::AskCustomer { attempt: 1, url }).unwrap();
    w.cause = Cause::Stripe;
    w.refill_lands("25T12:05");
    w.cause = Cause::Command;
    w.agree_to_refill("25T12:06", ("4", "25"), Some("100"));
    world
}

fn turn_off_refills(world: &mut World, time: &str) {
    let off = RefillSettings {
        terms: None,
        card: None,
        card_choice: CardChoice::Named,
        monthly_cap: None,
        ..RefillSettings::default()
    };
    world.command(time, Command::ChangeRefill(off)).unwrap();
}

fn use_card(world: &mut World, time: &str, card: Option<&str>) {
    let terms = Some(RefillTerms::multiple(named("10"), named("25")));
    let settings = RefillSettings {
        terms,
        card: card.map(named),
        card_choice: CardChoice::Named,
        monthly_cap: None,
        ..RefillSettings::default()
    };
    world.command(time, Command::ChangeRefill(settings)).unwrap();
}

/// Refills that succeed, fail, wait and are switched off.
fn refills() -> World {
    let mut world = World::opened_as("refills");
    let w = &mut world;
    use_card(w, "11:00", Some("pm_1"));
    w.begin_refill("11:01").unwrap();
    w.refill_fails("11:02", RefillDecline::Later);
    w.settle("12:02");
    w.begin_refill("12:03").unwrap();
    w.refill_fails("12:04", RefillDecline::NotCharged);
    w.settle("13:04");
    w.begin_refill("13:05").unwrap();
    w.command("13:06", Command::AskCustomer { attempt: 3, url: None }).unwrap();
    w.cause = Cause::Stripe;
    w.refill_lands("13:07");
    w.cause = Cause::Command;
    turn_off_refills(w, "14:00");
    world
}

/// Refills of the default card, which changes, and one that the customer asks for.
fn refills_of_the_default_card() -> World {
    let mut world = World::opened_as("refills_of_the_default_card");
    let w = &mut world;
    w.agree_to_refill_of_the_default_card("11:00", ("10", "25"), Some("pm_1"));
    w.cause = Cause::Stripe;
    let (card, card_choice) = (named("pm_2"), CardChoice::Default);
    let follow = Command::FollowCards { card, card_choice, card_ends_at: None };
    w.command("11:01", follow).unwrap();
    w.cause = Cause::Command;
    w.command("11:02", Command::RefillNow).unwrap();
    w.begin_refill("11:02").unwrap();
    w.cause = Cause::Stripe;
    w.refill_lands("11:03");
    world
}

/// Each reason for which no refill is attempted.
fn refills_paused() -> World {
    let mut world = World::opened_as("refills_paused");
    let w = &mut world;
    use_card(w, "11:00", Some("pm_1"));
    for hour in ["11", "12", "13", "14"] {
        w.settle(&format!("{hour}:00"));
        w.begin_refill(&format!("{hour}:00")).unwrap();
        w.refill_fails(&format!("{hour}:00"), RefillDecline::Later);
    }
    assert_eq!(w.state.refill.paused, Some(RefillPause::Failures));
    use_card(w, "15:00", Some("pm_2"));
    w.begin_refill("15:01").unwrap();
    w.refill_fails("15:02", RefillDecline::Never);
    assert_eq!(w.state.refill.paused, Some(RefillPause::CardRefused));
    use_card(w, "16:30", Some("pm_3"));
    stripe(w, "16:31", Command::RemoveCard { card: named("pm_3") });
    assert_eq!(w.state.refill.paused, Some(RefillPause::CardGone));
    stripe(w, "16:32", Command::RemoveCard { card: named("pm_2") });
    world
}

/// Refills to a target, from a card that the issuer renews and that expires at last.
fn refills_to_a_target() -> World {
    let mut world = World::opened_as("refills_to_a_target");
    let w = &mut world;
    let settings = RefillSettings {
        terms: Some(RefillTerms {
            threshold: named("10"),
            charge: RefillCharge::ToTarget { target: named("60") },
        }),
        words: Some("Below $10.00 your card is charged up to $60.00.".to_owned()),
        card: Some(named("pm_1")),
        card_ends_at: Some(at("2026-12-01T00:00:00Z")),
        ..RefillSettings::default()
    };
    w.command("11:00", Command::ChangeRefill(settings)).unwrap();
    w.begin_refill("11:01").unwrap();
    w.cause = Cause::Stripe;
    w.refill_lands("11:02");
    w.cause = Cause::Command;
    w.settle("11:03");
    let (card, card_choice) = (named("pm_1"), CardChoice::Named);
    let card_ends_at = Some(at("2027-01-01T00:00:00Z"));
    stripe(w, "11:04", Command::FollowCards { card, card_choice, card_ends_at });
    w.settle("2026-12-01T00:00:00Z");
    w.settle("2027-01-01T00:00:00Z");
    assert_eq!(w.state.refill.paused, Some(RefillPause::CardExpired));
    world
}

/// A refill that its customer does not confirm while everything is off, and asks for again.
fn refill_never_confirmed() -> World {
    let mut world = World::opened_as("refill_never_confirmed");
    let w = &mut world;
    w.credit("10:30", "6");
    w.start("11:00", "a", "vm100").unwrap();
    w.command("11:30", Command::Correct { amount: named("-5"), reason: "a loss".to_owned() })
        .unwrap();
    w.settle("12:00");
    use_card(w, "12:10", Some("pm_1"));
    w.begin_refill("12:11").unwrap();
    w.command("12:12", Command::AskCustomer { attempt: 1, url: None }).unwrap();
    w.command(
        "23T11:12",
        Command::FailRefill {
            attempt: 1,
            decline: RefillDecline::Later,
            code: "authentication_required".to_owned(),
            reason: None,
        },
    )
    .unwrap();
    assert_eq!(w.state.refill.paused, Some(RefillPause::Unconfirmed));
    w.settle("23T13:00");
    w.command("23T14:00", Command::RefillNow).unwrap();
    w.begin_refill("23T14:01").unwrap();
    w.command(
        "23T14:05",
        Command::FailRefill {
            attempt: 2,
            decline: RefillDecline::NotCharged,
            code: "abandoned".to_owned(),
            reason: Some("stuck".to_owned()),
        },
    )
    .unwrap();
    let payment = taxed("pi_part_1", "25", 2_500);
    let also = vec![named("in_1"), named("pi_part_2")];
    let kind = CreditKind::TopUp;
    stripe(w, "23T15:00", Command::Credit { payment, kind, plan: None, bonus: None, also });
    world
}

/// Credit that is low because refills were turned off.
fn low_without_refills() -> World {
    let mut world = World::opened_as("low_without_refills");
    let w = &mut world;
    w.credit("11:00", "10");
    w.agree_to_refill("11:01", ("5", "25"), None);
    w.start("12:00", "a", "vm100").unwrap();
    turn_off_refills(w, "12:10");
    world
}

/// Volumes that are kept during a suspension, and owed.
fn kept_while_suspended() -> World {
    let mut world = World::opened_as("kept_while_suspended");
    let w = &mut world;
    w.credit("11:00", "6");
    w.start("12:00", "v", "volume").unwrap();
    w.start("12:00", "w", "volume").unwrap();
    w.command("12:30", Command::Correct { amount: named("-5.60"), reason: "a loss".to_owned() })
        .unwrap();
    w.settle("13:00");
    w.delete("14:00", &["w"]).unwrap();
    w.credit("15:00", "0.10");
    w.credit("16:00", "5");
    world
}

/// Refills that are called off, and time in a respite that is owed, paid and written off.
fn respites() -> World {
    let mut world = World::opened_as("respites");
    let w = &mut world;
    w.credit("10:30", "6");
    w.start("11:00", "a", "vm100").unwrap();
    w.command("11:30", Command::Correct { amount: named("-5"), reason: "a loss".to_owned() })
        .unwrap();
    w.agree_to_refill_up_to("11:58", ("1", "5"), "20");
    w.begin_refill("11:59").unwrap();
    w.refill_fails("11:59:30", RefillDecline::CalledOff);
    w.credit("12:05", "0.01");
    w.settle("12:08");
    w.credit("12:09", "0.10");
    w.credit("12:10", "6");
    w.start("12:20", "b", "vm100").unwrap();
    w.command("12:30", Command::Correct { amount: named("-10"), reason: "a loss".to_owned() })
        .unwrap();
    w.agree_to_refill_up_to("12:58", ("2", "5"), "20");
    w.begin_refill("12:59").unwrap();
    w.stop("13:02", &["b"]).unwrap();
    assert!(w.state.owed.is_positive());
    world
}

/// What staff did, by whom.
fn by_staff() -> World {
    let mut world = World::opened_as("by_staff");
    let w = &mut world;
    let bonus = BonusGrant {
        amount: named("5"),
        expires_at: at("2026-12-22T00:00:00Z"),
        excludes: BTreeSet::new(),
    };
    let reason = || "a test".to_owned();
    by_staff_member(w, "10:05", Some("bonus:k1"), Command::Grant { bonus, reason: reason() });
    by_staff_member(w, "10:06", None, Command::Freeze { reason: reason() });
    world
}

/// A commit plan that the row names, and half of its payment back.
fn plan_bought() -> World {
    let mut world = World::opened_as("plan_bought");
    let w = &mut world;
    let excludes = BTreeSet::from([named("domain")]);
    let bonus =
        BonusGrant { amount: named("20"), expires_at: at("2027-11-22T10:00:30Z"), excludes };
    let payment = || taxed("pi_plan", "100", 11_900);
    let plan = Command::Credit {
        payment: payment(),
        kind: CreditKind::Commit,
        plan: Some(named("year")),
        bonus: Some(bonus),
        also: Vec::new(),
    };
    stripe(w, "10:00:30", plan);
    w.start("12:00", "a", "vm100").unwrap();
    let (by, before) = (TakeBack::Refund(named("re_half")), RecordedTotals::default());
    stripe(w, "12:10", Command::TakeBack { by, of: payment(), cents: 5_950, before });
    world
}
