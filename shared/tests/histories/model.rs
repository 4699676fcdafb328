//! Independent books: the income and payments of each payment and grant, and the covered time of
//! every resource. The input is rows alone. The model knows the design, not the code. It uses no
//! `apply` and no `Purse`, and has its own arithmetic in whole micro-dollars.

mod budgets;
mod holds;
mod money;
mod owed;
mod refills;
mod standing;
mod time;

use std::collections::{BTreeMap, BTreeSet};

use tollgate::domain::account::{AccountState, Standing, TrialNotice};
use tollgate::domain::event::{
    BilledLines, Change, Event, GrantChange, PaymentChange, ResourceChange, ResourceLine,
    StopReason,
};
use tollgate::domain::funds::{Fund, FundShare};
use tollgate::domain::money::{Quantity, Rate, Usd};
use tollgate::domain::prices::Price;
use tollgate::domain::resources::ResourceStatus;
use tollgate::domain::row::Row;
use tollgate::domain::timestamp::Timestamp;

use crate::Check;

/// Fails the check with a sentence.
macro_rules! ensure {
    ($condition:expr, $($sentence:tt)+) => {
        if !$condition {
            return Err(format!($($sentence)+));
        }
    };
}
pub(crate) use ensure;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const DOLLAR: i64 = 1_000_000;

pub(crate) fn micros(amount: Usd) -> i64 {
    let decimal = amount.decimal();
    let scaled = decimal.mantissa() * 10_i128.pow(6 - decimal.scale());
    i64::try_from(scaled).unwrap_or(i64::MAX)
}

/// Millionths of a micro-dollar an hour.
fn picos(rate: Rate) -> i128 {
    let decimal = rate.decimal();
    decimal.mantissa() * 10_i128.pow(12 - decimal.scale())
}

/// The cost of a number of seconds, in micro-dollars, rounded half to even.
fn cost(picos_per_hour: i128, seconds: i64) -> i64 {
    let whole = 3_600_i128 * 1_000_000;
    let exact = picos_per_hour * i128::from(seconds.max(0));
    let (down, rest) = (exact / whole, exact % whole);
    let up = rest * 2 > whole || (rest * 2 == whole && down % 2 == 1);
    i64::try_from(down + i128::from(up)).unwrap_or(i64::MAX)
}

fn hour_end(instant: i64) -> i64 {
    instant - instant.rem_euclid(HOUR) + HOUR
}

/// The expectation for a row: the amount of money in the command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// To paid credit, in micro-dollars.
    pub(crate) paid: i64,
    /// To a new grant, in micro-dollars.
    pub(crate) grant: i64,
}

/// One of the account's funds. Paid credit is number 0.
#[derive(Clone, Debug, Default)]
struct Pot {
    /// All income, less amounts taken out for other reasons than usage.
    put_in: i64,
    remaining: i64,
    /// What holds keep of it.
    held: i64,
    /// The amount paid for the current period, according to the lines.
    used: i64,
    /// When it was given, if that is known.
    given: i64,
    expires: i64,
    excludes: BTreeSet<String>,
    is_trial: bool,
    /// The payment that brought the grant.
    payment: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Running,
    Idle,
}

/// A stretch of time in which a resource is billed in one way.
#[derive(Clone, Copy, Debug)]
struct Phase {
    mode: Mode,
    from: i64,
    /// The first second that is not covered.
    paid_to: i64,
    /// Covered up to here without having been charged.
    free_to: i64,
    picos: i128,
}

/// The charge for a resource since its start, in one row.
#[derive(Clone, Debug)]
struct Charge {
    through: i64,
    shares: Vec<(u32, i64)>,
}

#[derive(Clone, Debug)]
struct Thing {
    project: String,
    sku: String,
    kind: String,
    agreed: Option<i128>,
    created: i64,
    status: ResourceStatus,
    keeps: bool,
    phase: Option<Phase>,
    before: ResourceStatus,
    /// Through when it was paid as idle, when it was started.
    idle_paid_to: i64,
    charges: Vec<Charge>,
    started: i64,
    deleted: Option<i64>,
    /// The time of the purge.
    purged: Option<i64>,
}

/// One line to be paid, as the model expects it.
struct Due<'a> {
    id: &'a str,
    project: &'a str,
    sku: &'a str,
    mode: Mode,
    start: i64,
    picos: i128,
    seconds: i64,
}

#[derive(Clone, Debug, Default)]
struct Sums {
    payments: i64,
    granted: i64,
    corrections: i64,
    usage: i64,
    taken_back: i64,
    expired: i64,
}

#[derive(Clone, Debug, Default)]
struct Payment {
    credit: i64,
    received: i64,
    cents_back: i64,
    credit_back: i64,
    parts: i64,
    /// More was taken back than was paid.
    is_beyond: bool,
}

#[derive(Clone, Debug, Default)]
struct Refills {
    open: Option<(u32, String)>,
    never: BTreeSet<String>,
    failed_at: Option<i64>,
    day: (u32, u32),
    month: (u32, i64),
    /// No refill begins before this, because the saved cards changed.
    look_at: Option<i64>,
}

/// The independent books of one account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pots: BTreeMap<u32, Pot>,
    sums: Sums,
    things: BTreeMap<String, Thing>,
    prices: Vec<Price>,
    payments: BTreeMap<String, Payment>,
    pending: BTreeSet<String>,
    /// Whether the account has an opening balance.
    imported: bool,
    /// The rows of open refunds by staff.
    refunds: Vec<u64>,
    refills: Refills,
    /// When the respite since the last credit began.
    respite: Option<i64>,
    /// What is owed for respites and kept data, in micro-dollars.
    owed: i64,
    /// The idle rates of what is kept since the suspension, in picos an hour.
    kept: BTreeMap<String, i128>,
    ever_paid: bool,
    trial: Option<(i64, i64)>,
    trial_ended: Option<i64>,
    /// The last notice of its end.
    trial_told: Option<(TrialNotice, i64)>,
    /// Whether a refill that failed is tried again later.
    retries: bool,
    /// The time of the suspension, its grace period, and the remaining balance.
    suspended: Option<(i64, i64, i64)>,
    /// What is billed of each SKU in each hour. Older usage has no hour.
    metered: BTreeMap<(Option<i64>, String), Quantity>,
    /// Open holds by the number of their row.
    holds: BTreeMap<u64, holds::OpenHold>,
    /// What has expired by then keeps nothing.
    held_from: i64,
    /// What each month of a project has cost, in micro-dollars.
    costs: BTreeMap<(String, i64), i64>,
    budgets: BTreeMap<String, budgets::BudgetBook>,
    /// Holds that were captured after their end.
    late_captures: BTreeSet<u64>,
    /// Whether the last credit was spent or taken, and nothing is billed by time.
    used_up: bool,
    /// When its deletion was announced, if nothing has held it since.
    announced: Option<i64>,
    /// When anything last held the deletion since the suspension.
    held: Option<i64>,
    seqs: BTreeMap<u64, i64>,
    /// Lines that gave something back: each may be a micro-dollar off, for it was rounded for
    /// itself.
    dust: i64,
    /// The refunded part of the amounts that grants paid for this period.
    refunded_use: i64,
}

impl Model {
    /// Tells of a new price.
    pub(crate) fn know(&mut self, price: Price) {
        self.prices.push(price);
    }

    /// The rate of a resource's running and off, in picos an hour, by the price list of that
    /// instant.
    fn rate(&self, thing: &Thing, mode: Mode, instant: i64) -> i128 {
        let listed = self
            .prices
            .iter()
            .filter(|price| {
                price.sku.as_str() == thing.sku && price.valid_from.seconds() <= instant
            })
            .max_by_key(|price| price.valid_from);
        match (mode, thing.agreed) {
            (Mode::Running, Some(agreed)) => agreed,
            (Mode::Running, None) => listed.map_or(0, |price| picos(price.rate)),
            (Mode::Idle, agreed) => {
                let idle = listed.map_or(0, |price| picos(price.idle_rate));
                agreed.map_or(idle, |agreed| agreed.min(idle))
            }
        }
    }

    /// Credit that may pay for a SKU at an instant, and the grants, soonest expiry first.
    fn eligible(&self, pots: &BTreeMap<u32, Pot>, sku: &str, instant: i64) -> (i64, Vec<u32>) {
        let free = |pot: &Pot| pot.remaining - pot.held;
        let alive = |pot: &Pot| free(pot) > 0 && pot.expires > instant;
        let grants = || pots.iter().filter(|(number, pot)| **number > 0 && alive(pot));
        let paid = pots.get(&0).map_or(0, free);
        let budget = (paid + grants().map(|(_, pot)| free(pot)).sum::<i64>()).max(0);
        let mut mine: Vec<(i64, u32, i64)> = grants()
            .filter(|(_, pot)| !pot.excludes.contains(sku))
            .map(|(number, pot)| (pot.expires, *number, free(pot)))
            .collect();
        mine.sort_unstable();
        let credit =
            (mine.iter().map(|(_, _, remaining)| remaining).sum::<i64>() + paid.max(0)).min(budget);
        (credit, mine.into_iter().map(|(_, number, _)| number).collect())
    }

    /// Draws a cost by the design: the eligible grant that expires soonest, then paid credit, never
    /// below zero.
    fn draw(
        &self,
        pots: &mut BTreeMap<u32, Pot>,
        sku: &str,
        cost: i64,
        instant: i64,
    ) -> Option<Vec<(u32, i64)>> {
        let (credit, grants) = self.eligible(pots, sku, instant);
        if cost > credit {
            return None;
        }
        let (mut rest, mut shares) = (cost, Vec::new());
        for number in grants.into_iter().chain([0]) {
            let Some(pot) = pots.get_mut(&number) else { continue };
            let part = if number == 0 { rest } else { rest.min(pot.remaining - pot.held) };
            if part > 0 {
                pot.remaining -= part;
                rest -= part;
                shares.push((number, part));
            }
        }
        Some(shares)
    }

    /// The resources billed by time at `from`, in payment order.
    fn due(&self, from: i64, through: i64) -> Vec<Due<'_>> {
        let mut due: Vec<(usize, Due<'_>)> = self
            .things
            .iter()
            .filter_map(|(id, thing)| {
                let phase = thing.phase?;
                let (start, picos) = (from.max(phase.from), self.rate(thing, phase.mode, from));
                let grants = self.eligible(&self.pots, &thing.sku, from).1.len();
                let seconds = (through - start).max(0);
                let (project, sku, mode) = (&thing.project, &thing.sku, phase.mode);
                Some((grants, Due { id, project, sku, mode, start, picos, seconds }))
            })
            .collect();
        due.sort_by(|(a, one), (b, other)| (a, one.id).cmp(&(b, other.id)));
        due.into_iter().map(|(_, due)| due).collect()
    }

    /// The shares of each fund for `[from, through)`, if the funds cover all of it.
    fn spread(&self, due: &[Due<'_>], from: i64, through: i64) -> Option<Vec<Vec<(u32, i64)>>> {
        let mut pots = self.pots.clone();
        due.iter()
            .map(|one| self.draw(&mut pots, one.sku, cost(one.picos, through - one.start), from))
            .collect()
    }

    /// Whether the funds cover `[from, through)`: for everything that costs anything, at least a
    /// micro-dollar must be there, though so short a time may cost nothing.
    fn fits(&self, due: &[Due<'_>], from: i64, through: i64) -> bool {
        let mut pots = self.pots.clone();
        due.iter().all(|one| {
            let least = i64::from(one.picos > 0 && through > one.start);
            self.draw(&mut pots, one.sku, cost(one.picos, through - one.start).max(least), from)
                .is_some()
        })
    }

    /// Whether everything that is billed could be paid for so many seconds from an instant on.
    fn can_pay(&self, from: i64, seconds: i64) -> bool {
        self.fits(&self.due(from, from + seconds), from, from + seconds)
    }

    /// Checks one row and enters it into the books.
    pub(crate) fn row(&mut self, before: &AccountState, row: &Row, asked: Asked) -> Check {
        let (event, after, at) = (&row.event, &row.state, row.event.at.seconds());
        self.seqs.insert(row.seq, at);
        let may_succeed = before.refill.retry_at.is_some() || before.renewal_due().is_some();
        self.retries = may_succeed && before.is_refill_possible();
        self.keep(event);
        self.count_held_for(Some(event));
        self.holds(event, row.seq)?;
        self.lines(before, event, row.seq, at)?;
        self.count_costs(event)?;
        self.budgets(event, after)?;
        self.money(before, event, asked)?;
        self.cut_holds(event, after)?;
        self.standing(event, at)?;
        self.refill(before, event, after)?;
        self.respite(before, event, after)?;
        self.check_kept(event, after)?;
        self.reserve(event, after)?;
        self.count_held_for(None);
        self.hold(after);
        match &event.change {
            Change::Resource(ResourceChange::StartFailed { .. }) => self.look_up_use(after),
            Change::Payment(PaymentChange::TakenBack { .. }) => {
                let used = |model: &Model| model.pots.values().map(|pot| pot.used).sum::<i64>();
                let before = used(self);
                self.look_up_use(after);
                self.refunded_use += before - used(self);
            }
            _ => {}
        }
        self.agree(before, event, after)?;
        self.at_zero(event, after)
    }

    /// Spent or taken credit that leaves nothing, and any debt, suspends an account to which nothing is
    /// billed by time. Credit that expires does not.
    fn at_zero(&mut self, event: &Event, after: &AccountState) -> Check {
        let expires = matches!(
            event.change,
            Change::Grant(GrantChange::GrantExpired { .. } | GrantChange::TrialOver { .. })
        );
        let is_spent = event.amount().is_negative() && !expires;
        let left: i64 = self.pots.values().map(|pot| pot.remaining).sum();
        let is_empty =
            left <= 0 && self.billed().next().is_none() && after.standing == Standing::Good;
        let is_stopped = matches!(
            event.change,
            Change::Resource(ResourceChange::Stopped { why: StopReason::Budget, .. })
        );
        self.used_up = is_empty && (self.used_up || is_spent || is_stopped || left < 0);
        ensure!(
            after.credit_used_up == self.used_up,
            "{left} micro-dollars are left: {}",
            after.credit_used_up
        );
        Ok(())
    }
}

fn new_thing(
    resource: &tollgate::domain::resources::Resource,
    status: ResourceStatus,
    at: i64,
) -> Thing {
    Thing {
        project: resource.project.as_str().to_owned(),
        sku: resource.sku.as_str().to_owned(),
        kind: resource.kind.as_str().to_owned(),
        agreed: resource.rate.map(picos),
        created: at,
        status,
        keeps: false,
        phase: None,
        before: ResourceStatus::New,
        idle_paid_to: at,
        charges: Vec::new(),
        started: at,
        deleted: None,
        purged: None,
    }
}

/// The status to which a resource returns if its start fails.
fn as_before(status: ResourceStatus) -> ResourceStatus {
    match status {
        ResourceStatus::New => ResourceStatus::New,
        ResourceStatus::Running | ResourceStatus::Stopped | ResourceStatus::Deleted => {
            ResourceStatus::Stopped
        }
    }
}

/// Whether a wanted or open refill delays a suspension.
pub(crate) fn is_held(state: &AccountState, at: i64) -> bool {
    hold_end(state).is_some_and(|end| at < end.seconds())
}

/// The end of the respite. None while the customer must confirm.
pub(crate) fn hold_end(state: &AccountState) -> Option<Timestamp> {
    let at_work = state.refill.attempt.as_ref().is_some_and(|attempt| attempt.void_at.is_none());
    let is_held = at_work || (state.refill.attempt.is_none() && state.refill.wanted.is_some());
    state.refill.respite.filter(|_| is_held).map(|respite| respite.until)
}

fn here(lines: &BilledLines) -> Result<&[ResourceLine], String> {
    match lines {
        BilledLines::Here(lines) => Ok(lines),
        BilledLines::Chunked(_) => Err("the lines are elsewhere".to_owned()),
    }
}

fn number(fund: Fund) -> u32 {
    match fund {
        Fund::Paid => 0,
        Fund::Grant(number) => number,
    }
}

/// The amount paid by each fund.
fn paid(shares: &[FundShare]) -> Vec<(u32, i64)> {
    shares.iter().map(|share| (number(share.fund), -micros(share.amount))).collect()
}
