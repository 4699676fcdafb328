//! The books a sceptic would keep: what each payment and grant brought in and paid out, and for every resource the
//! stretch of time that is covered. Fed by rows alone. It knows the design, not the code: no `apply`, no `Purse`, its own
//! arithmetic in whole micro-dollars.

use std::collections::{BTreeMap, BTreeSet};

use tollgate::billables::Status;
use tollgate::event::{
    Change, CreditKind, Decline, DisputeOutcome, Event, Line, Lines, MeterLine, PaymentFacts, StartKind, StopReason,
};
use tollgate::funds::{Fund, Share};
use tollgate::money::{Rate, Usd};
use tollgate::prices::Price;
use tollgate::row::Row;
use tollgate::state::{AccountState, GrantKind, RefillPurpose, Standing, SuspensionReason};
use tollgate::timestamp::Timestamp;

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

/// Whole micro-dollars.
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

/// What so many seconds cost, in micro-dollars, rounded half to even.
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

/// What is known of a row beforehand: how much money the command was about.
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
    /// Everything ever put in, less what was taken out other than by using it.
    put_in: i64,
    remaining: i64,
    /// What it paid of the current period, as far as the lines tell.
    used: i64,
    expires: i64,
    excludes: BTreeSet<String>,
    is_trial: bool,
    /// The payment it came with.
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

/// What a resource was charged since its start in one row.
#[derive(Clone, Debug)]
struct Charge {
    through: i64,
    shares: Vec<(u32, i64)>,
}

#[derive(Clone, Debug)]
struct Thing {
    sku: String,
    kind: String,
    agreed: Option<i128>,
    created: i64,
    status: Status,
    keeps: bool,
    phase: Option<Phase>,
    before: Status,
    /// Through when it was paid as idle, when it was started.
    idle_paid_to: i64,
    charges: Vec<Charge>,
    started: i64,
    deleted: Option<i64>,
    /// When it went for good.
    purged: Option<i64>,
}

/// One line to be paid, as the model expects it.
struct Due<'a> {
    id: &'a str,
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
}

#[derive(Clone, Debug, Default)]
struct Refills {
    open: Option<(u32, String)>,
    never: BTreeSet<String>,
    failed_at: Option<i64>,
    day: (u32, u32),
    month: (u32, i64),
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
    refills: Refills,
    ever_paid: bool,
    trial: Option<(i64, i64)>,
    trial_ended: Option<i64>,
    /// When the suspension was written, its grace, and what was left.
    suspended: Option<(i64, i64, i64)>,
    /// When its deletion was announced, if nothing has held it since.
    announced: Option<i64>,
    /// When anything last held the deletion since the suspension.
    held: Option<i64>,
    seqs: BTreeMap<u64, i64>,
    /// Lines that gave something back: each may be a micro-dollar off, for it was rounded for itself.
    dust: i64,
    /// What was refunded of what grants paid of this period.
    refunded_use: i64,
}

impl Model {
    /// Tells of a new price.
    pub(crate) fn know(&mut self, price: Price) {
        self.prices.push(price);
    }

    /// The rate of a resource's running and off, in picos an hour, by the price list of that instant.
    fn rate(&self, thing: &Thing, mode: Mode, instant: i64) -> i128 {
        let listed = self
            .prices
            .iter()
            .filter(|price| price.sku.as_str() == thing.sku && price.valid_from.seconds() <= instant)
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
        let alive = |pot: &Pot| pot.remaining > 0 && pot.expires > instant;
        let grants = || pots.iter().filter(|(number, pot)| **number > 0 && alive(pot));
        let paid = pots.get(&0).map_or(0, |pot| pot.remaining);
        let budget = (paid + grants().map(|(_, pot)| pot.remaining).sum::<i64>()).max(0);
        let mut mine: Vec<(i64, u32, i64)> = grants()
            .filter(|(_, pot)| !pot.excludes.contains(sku))
            .map(|(number, pot)| (pot.expires, *number, pot.remaining))
            .collect();
        mine.sort_unstable();
        let credit = (mine.iter().map(|(_, _, remaining)| remaining).sum::<i64>() + paid.max(0)).min(budget);
        (credit, mine.into_iter().map(|(_, number, _)| number).collect())
    }

    /// Draws a cost as the design says: the eligible grant that expires soonest, then paid credit, never below zero.
    fn draw(&self, pots: &mut BTreeMap<u32, Pot>, sku: &str, cost: i64, instant: i64) -> Option<Vec<(u32, i64)>> {
        let (credit, grants) = self.eligible(pots, sku, instant);
        if cost > credit {
            return None;
        }
        let (mut rest, mut shares) = (cost, Vec::new());
        for number in grants.into_iter().chain([0]) {
            let Some(pot) = pots.get_mut(&number) else { continue };
            let part = if number == 0 { rest } else { rest.min(pot.remaining) };
            if part > 0 {
                pot.remaining -= part;
                rest -= part;
                shares.push((number, part));
            }
        }
        Some(shares)
    }

    /// What is billed by time at `from`, in the order in which it is paid.
    fn due(&self, from: i64, through: i64) -> Vec<Due<'_>> {
        let mut due: Vec<(usize, Due<'_>)> = self
            .things
            .iter()
            .filter_map(|(id, thing)| {
                let phase = thing.phase?;
                let (start, picos) = (from.max(phase.from), self.rate(thing, phase.mode, from));
                let grants = self.eligible(&self.pots, &thing.sku, from).1.len();
                let seconds = (through - start).max(0);
                Some((grants, Due { id, sku: &thing.sku, mode: phase.mode, start, picos, seconds }))
            })
            .collect();
        due.sort_by(|(a, one), (b, other)| (a, one.id).cmp(&(b, other.id)));
        due.into_iter().map(|(_, due)| due).collect()
    }

    /// Who pays what for `[from, through)`, if the funds cover all of it.
    fn spread(&self, due: &[Due<'_>], from: i64, through: i64) -> Option<Vec<Vec<(u32, i64)>>> {
        let mut pots = self.pots.clone();
        due.iter().map(|one| self.draw(&mut pots, one.sku, cost(one.picos, through - one.start), from)).collect()
    }

    /// Whether the funds cover `[from, through)`: for everything that costs anything, at least a micro-dollar must be
    /// there, though so short a time may cost nothing.
    fn fits(&self, due: &[Due<'_>], from: i64, through: i64) -> bool {
        let mut pots = self.pots.clone();
        due.iter().all(|one| {
            let least = i64::from(one.picos > 0 && through > one.start);
            self.draw(&mut pots, one.sku, cost(one.picos, through - one.start).max(least), from).is_some()
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
        self.lines(before, event, row.seq, at)?;
        self.money(before, event, asked)?;
        self.standing(event, at)?;
        self.refill(before, event, after)?;
        self.hold(after);
        match &event.change {
            Change::StartFailed { .. } => self.look_up_use(after),
            Change::TakenBack { .. } => {
                let used = |model: &Model| model.pots.values().map(|pot| pot.used).sum::<i64>();
                let before = used(self);
                self.look_up_use(after);
                self.refunded_use += before - used(self);
            }
            _ => {}
        }
        self.agree(before, event, after)
    }

    /// Money that moves for other reasons than time.
    fn money(&mut self, before: &AccountState, event: &Event, asked: Asked) -> Check {
        let at = event.at.seconds();
        let amount = micros(event.amount());
        for grant in &event.grants {
            let excludes = grant.excludes.iter().map(|sku| sku.as_str().to_owned()).collect();
            let (expires, is_trial) = (grant.expires_at.seconds(), grant.kind == GrantKind::Trial);
            ensure!(expires > at, "a grant was added that has expired");
            ensure!(grant.remaining.is_zero() && grant.used.is_zero(), "a grant brings money of its own");
            let payment = grant.payment.as_ref().map(|payment| payment.as_str().to_owned());
            let pot = Pot { expires, excludes, is_trial, payment, ..Pot::default() };
            let known = self.pots.entry(grant.number).or_insert(pot);
            ensure!(known.expires == expires, "grant {} came back with another expiry", grant.number);
        }
        let mut by_fund: BTreeMap<u32, i64> = BTreeMap::new();
        for delta in &event.funds {
            *by_fund.entry(number(delta.fund)).or_default() += micros(delta.amount);
        }
        let paid = by_fund.get(&0).copied().unwrap_or(0);
        let grants = amount - paid;
        let newest = event.grants.iter().map(|grant| grant.number).max().unwrap_or(0);
        match &event.change {
            Change::Credited { payment, credit, received_cents, .. } => {
                ensure!(paid == asked.paid && paid == micros(*credit), "a payment of {} credited {paid}", asked.paid);
                ensure!(grants == asked.grant, "a bonus of {} gave {grants}", asked.grant);
                self.sums.payments += paid;
                self.sums.granted += grants;
                self.put_in(0, paid);
                if grants > 0 {
                    self.put_in(newest, grants);
                }
                self.pending.remove(payment.as_str());
                let known = self.payments.entry(payment.as_str().to_owned()).or_default();
                (known.credit, known.received) = (micros(*credit), *received_cents);
                self.ever_paid = true;
            }
            Change::Granted { number, .. } | Change::TrialStarted { number, .. } => {
                ensure!(paid == 0 && grants == asked.grant, "a grant of {} gave {amount}", asked.grant);
                ensure!(*number == newest, "grant {number} is not the new one");
                self.sums.granted += grants;
                self.put_in(*number, grants);
                if let Change::TrialStarted { ends_at, .. } = &event.change {
                    ensure!(!self.ever_paid && self.trial.is_none(), "a second trial, or one after a payment");
                    self.trial = Some((at, ends_at.seconds()));
                    self.trial_ended = None;
                }
            }
            Change::Corrected { .. } => {
                ensure!(grants == 0 && paid == asked.paid, "a correction of {} moved {amount}", asked.paid);
                self.sums.corrections += paid;
                self.put_in(0, paid);
            }
            Change::TakenBack { of, cents, credit, .. } => {
                ensure!(paid == -micros(*credit), "a refund of {credit} took {paid}");
                ensure!(grants <= 0, "a refund gave credit");
                self.take_back(of, *cents, micros(*credit), &by_fund)?;
            }
            Change::GivenBack { of, cents, credit, .. } => {
                ensure!(paid == micros(*credit), "a reversal of {credit} gave {paid}");
                ensure!(grants >= 0, "a reversal took credit");
                let cents = if paid == 0 { 0 } else { *cents };
                self.take_back(of, -cents, -micros(*credit), &by_fund)?;
            }
            Change::GrantExpired { number } => self.expire(before, [*number].into(), at, &by_fund)?,
            Change::TrialEnded => {
                let ends = self.trial.map_or(i64::MAX, |(_, ends)| ends);
                ensure!(self.trial_ended.is_none() && ends <= at, "a trial ended at {at}, not at {ends}");
                self.trial_ended = Some(at);
                let its = self.pots.iter().filter(|(_, pot)| pot.is_trial && pot.remaining > 0).map(|(n, _)| *n);
                self.expire(before, its.collect(), at, &by_fund)?;
            }
            change if change.lines().is_some() || matches!(change, Change::Metered { .. }) => {
                self.sums.usage -= amount;
            }
            _ => ensure!(event.funds.is_empty(), "{} moved {amount}", event.change.name()),
        }
        for (number, part) in by_fund {
            self.pots.entry(number).or_default().remaining += part;
        }
        match &event.change {
            Change::PaymentPending(pending) => {
                self.pending.insert(pending.payment.as_str().to_owned());
            }
            Change::PaymentEnded { payment, .. } => {
                self.pending.remove(payment.as_str());
            }
            _ => {}
        }
        Ok(())
    }

    fn put_in(&mut self, number: u32, amount: i64) {
        self.pots.entry(number).or_default().put_in += amount;
    }

    /// The credit that is gone follows the cents that are gone, to the micro-dollar for each part.
    fn take_back(&mut self, of: &PaymentFacts, cents: i64, credit: i64, by_fund: &BTreeMap<u32, i64>) -> Check {
        for (number, part) in by_fund {
            self.sums.taken_back -= part;
            self.put_in(*number, *part);
        }
        let payment = self.payments.entry(of.payment.as_str().to_owned()).or_default();
        (payment.credit, payment.received) = (micros(of.credit), of.received_cents);
        payment.cents_back += cents;
        payment.credit_back += credit;
        payment.parts += 1;
        let share = i128::from(payment.credit) * i128::from(payment.cents_back);
        let exact = i64::try_from(share / i128::from(payment.received)).unwrap_or(i64::MAX);
        let is_whole = payment.cents_back % payment.received == 0;
        let tolerance = if is_whole { 0 } else { payment.parts };
        ensure!(
            (payment.credit_back - exact).abs() <= tolerance,
            "{} cents of {} are back, and {} micro-dollars of {}, not {exact}",
            payment.cents_back,
            payment.received,
            payment.credit_back,
            payment.credit
        );
        Ok(())
    }

    /// Only what has expired expires, all of it, and not before it paid for the time it was there for.
    fn expire(
        &mut self,
        before: &AccountState,
        numbers: BTreeSet<u32>,
        at: i64,
        by_fund: &BTreeMap<u32, i64>,
    ) -> Check {
        for fund in by_fund.keys() {
            ensure!(numbers.contains(fund), "fund {fund} expired with others");
        }
        for number in numbers {
            let part = by_fund.get(&number).copied().unwrap_or(0);
            let pot = self.pots.entry(number).or_default();
            ensure!(pot.expires <= at, "grant {number} expired at {at} instead of {}", pot.expires);
            ensure!(part == -pot.remaining, "grant {number} had {} and lost {part}", pot.remaining);
            let expires = pot.expires;
            let paid_through = before.paid_through().map(Timestamp::seconds);
            ensure!(
                paid_through.is_none_or(|through| through >= expires),
                "grant {number} expired at {expires}, although time before that is unpaid"
            );
            self.sums.expired -= part;
        }
        Ok(())
    }

    /// Time: every second of what runs is paid once.
    fn lines(&mut self, before: &AccountState, event: &Event, seq: u64, at: i64) -> Check {
        let paid_through = before.paid_through().map(Timestamp::seconds);
        match &event.change {
            Change::Created { resources } => {
                for resource in resources {
                    ensure!(!self.things.contains_key(resource.id.as_str()), "{} was created twice", resource.id);
                    let thing = new_thing(resource, Status::New, at);
                    self.things.insert(resource.id.as_str().to_owned(), thing);
                }
                Ok(())
            }
            Change::Started { .. } => self.started(before, event, at),
            Change::Usage { from, through, lines, .. } => {
                ensure!(before.standing == Standing::Good, "time is billed in standing {:?}", before.standing);
                self.usage(paid_through, (from.seconds(), through.seconds()), here(lines)?, at)
            }
            Change::Stopped { resources, why, lines, .. } => {
                let ids: Vec<&str> = resources.iter().map(|resource| resource.id.as_str()).collect();
                let as_of = match why {
                    StopReason::Requested => at,
                    StopReason::Credit => {
                        let as_of = paid_through.unwrap_or(at);
                        ensure!(as_of <= at, "stopped for lack of credit before {as_of}");
                        ensure!(!self.can_pay(as_of, 1), "stopped, although a further second could be paid");
                        ensure!(!is_held(before, at), "stopped although a refill is under way");
                        as_of
                    }
                };
                self.give_back(before, &ids, here(lines)?, as_of, at)?;
                for id in ids {
                    self.settle_off(id, Status::Stopped, paid_through, as_of)?;
                }
                Ok(())
            }
            Change::ResourcesDeleted { resources, lines, .. } => {
                let ids: Vec<&str> = resources.iter().map(|resource| resource.id.as_str()).collect();
                self.give_back(before, &ids, here(lines)?, at, at)?;
                for id in ids {
                    self.settle_off(id, Status::Deleted, paid_through, at)?;
                }
                Ok(())
            }
            Change::Suspended { as_of, reason, lines, .. } => {
                self.suspend(before, (as_of.seconds(), *reason), here(lines)?, at)
            }
            Change::StartFailed { resource, status, lines, .. } => {
                self.start_failed(before, resource.id.as_str(), *status, here(lines)?, at)
            }
            Change::Resumed { resources, .. } => {
                let ids: Vec<&str> = resources.iter().map(|resource| resource.id.as_str()).collect();
                self.resumed(before, &ids, at)
            }
            Change::Deleted => {
                for thing in self.things.values_mut() {
                    ensure!(thing.phase.is_none(), "something that runs was deleted");
                    thing.deleted = thing.deleted.or(Some(at));
                }
                Ok(())
            }
            Change::Purged { resources, deletion, .. } => {
                for resource in resources {
                    let gone = self.things.remove(resource.id.as_str()).and_then(|thing| thing.deleted);
                    let is_over = gone.is_some_and(|deleted| deleted + 14 * DAY <= at);
                    ensure!(is_over, "{} was purged, deleted at {gone:?}", resource.id);
                }
                if let Some(seq) = deletion {
                    let deleted = self.seqs.get(seq).copied().unwrap_or(i64::MAX);
                    ensure!(
                        deleted + 14 * DAY <= at,
                        "the deletion of row {seq} can be undone until {}",
                        deleted + 14 * DAY
                    );
                    for thing in self.things.values_mut().filter(|thing| thing.deleted.is_some_and(|at| at <= deleted))
                    {
                        thing.purged = Some(at);
                    }
                }
                Ok(())
            }
            Change::Metered { lines, .. } => lines.iter().try_for_each(|line| self.metered(line, at)),
            _ => Ok(()),
        }
        .map_err(|broken| format!("{broken} (row {seq})"))
    }

    fn started(&mut self, before: &AccountState, event: &Event, at: i64) -> Check {
        let Change::Started { resources, how, lines, through, .. } = &event.change else { return Ok(()) };
        ensure!(before.standing == Standing::Good && before.frozen.is_empty(), "a start while it is not allowed");
        let paid_through = before.paid_through().map(Timestamp::seconds);
        let expected = paid_through.unwrap_or_else(|| hour_end(at));
        let through = through.seconds();
        ensure!(through == expected && through > at, "started at {at} and paid to {through}, not {expected}");
        if paid_through.is_none() {
            self.begin_period();
        }
        let lines = here(lines)?;
        ensure!(lines.len() == resources.len(), "{} lines for {} starts", lines.len(), resources.len());
        let mut pots = self.pots.clone();
        for (resource, line) in resources.iter().zip(lines) {
            let id = resource.id.as_str();
            ensure!(line.resource == resource.id, "the line of {} stands at {id}", line.resource);
            let mut thing = match self.things.get(id) {
                Some(known) => known.clone(),
                None => new_thing(resource, Status::New, at),
            };
            match (how, thing.deleted) {
                (StartKind::Started, None) => {}
                (StartKind::Restored { .. }, Some(deleted)) => {
                    ensure!(
                        thing.purged.is_none() && at < deleted + 14 * DAY,
                        "{id} was restored, deleted at {deleted}"
                    );
                }
                _ => return Err(format!("{id} was {how:?} although deleted: {:?}", thing.deleted)),
            }
            let rate = self.rate(&thing, Mode::Running, at);
            let idle = match thing.phase {
                Some(phase) => {
                    ensure!(phase.mode == Mode::Idle, "{id} was running already");
                    ensure!(phase.paid_to == through, "{id} was idle, paid to {} only", phase.paid_to);
                    // What was kept for free is not paid yet: it starts at the whole price.
                    if phase.free_to > at { 0 } else { phase.picos }
                }
                None => 0,
            };
            let difference = (rate - idle).max(0);
            let (seconds, amount) = (through - at, cost(difference, through - at));
            ensure!(picos(line.rate) == difference, "{id} starts at {}, not {difference}", line.rate);
            ensure!(line.seconds == seconds, "{id} starts and pays {} s, not {seconds}", line.seconds);
            ensure!(micros(line.amount) == -amount, "{id} starts for {}, not {amount}", line.amount);
            let (credit, _) = self.eligible(&pots, &thing.sku, at);
            ensure!(credit >= (5 * DOLLAR).max(amount), "{id} was started with only {credit}");
            let shares = self.draw(&mut pots, &thing.sku, amount, at);
            ensure!(shares.as_ref() == Some(&paid(&line.shares)), "{id} was paid by {:?}, not {shares:?}", line.shares);
            thing.idle_paid_to = thing.phase.filter(|phase| phase.free_to <= at).map_or(at, |phase| phase.paid_to);
            let mode = Mode::Running;
            thing.phase = Some(Phase { mode, from: at, paid_to: through, free_to: at, picos: rate });
            thing.before = if thing.deleted.is_some() { Status::Deleted } else { as_before(thing.status) };
            (thing.status, thing.started, thing.deleted) = (Status::Running, at, None);
            thing.charges = vec![Charge { through, shares: paid(&line.shares) }];
            thing.keeps = self.listed_idle(&thing.sku, at) > 0;
            self.things.insert(id.to_owned(), thing);
            self.use_up(&line.shares);
        }
        let services = self
            .things
            .values()
            .filter(|thing| thing.kind == "service" && thing.phase.is_some_and(|phase| phase.mode == Mode::Running));
        let in_trial = self.trial.is_some() && self.trial_ended.is_none() && !self.ever_paid;
        let new_service = resources.iter().any(|resource| resource.kind.as_str() == "service");
        ensure!(!in_trial || !new_service || services.count() <= 4, "more services than a trial may run");
        Ok(())
    }

    fn usage(&mut self, paid_through: Option<i64>, (from, through): (i64, i64), lines: &[Line], at: i64) -> Check {
        ensure!(paid_through == Some(from), "paid from {from}, but paid through {paid_through:?} before");
        ensure!(from <= at, "paid from {from} before it began");
        ensure!(through > from && through <= hour_end(from), "a usage row from {from} to {through}");
        let all_could_pay = self.can_pay(from, 1);
        let by_id: BTreeMap<&str, &Line> = lines.iter().map(|line| (line.resource.as_str(), line)).collect();
        ensure!(by_id.len() == lines.len(), "a resource has two lines");
        let (due, unpaid): (Vec<_>, Vec<_>) =
            self.due(from, through).into_iter().partition(|due| by_id.contains_key(due.id));
        ensure!(due.len() == lines.len(), "a line for something that is not billed");
        for one in &unpaid {
            ensure!(one.mode == Mode::Idle, "{} runs and was not billed for [{from}, {through})", one.id);
            ensure!(!all_could_pay, "{} is off and was not billed, although everything could be paid", one.id);
        }
        ensure!(self.fits(&due, from, through), "the funds reach less far than {through}");
        let Some(spread) = self.spread(&due, from, through) else {
            return Err(format!("the funds do not cover [{from}, {through})"));
        };
        for (one, shares) in due.iter().zip(&spread) {
            let line = by_id[one.id];
            let amount = cost(one.picos, one.seconds);
            ensure!(picos(line.rate) == one.picos, "{} pays {}, not {}", one.id, line.rate, one.picos);
            ensure!(line.seconds == one.seconds, "{} pays {} s, not {}", one.id, line.seconds, one.seconds);
            ensure!(micros(line.amount) == -amount, "{} pays {}, not {amount}", one.id, line.amount);
            ensure!(*shares == paid(&line.shares), "{} is paid by {:?}, not {shares:?}", one.id, line.shares);
        }
        ensure!(
            through == hour_end(from) || !self.fits(&due, from, through + 1),
            "paid to {through} only, although a further second could be paid"
        );
        let covered: Vec<(String, i64, i128, bool)> = due
            .iter()
            .map(|one| (one, false))
            .chain(unpaid.iter().map(|one| (one, true)))
            .map(|(one, is_free)| (one.id.to_owned(), one.start, one.picos, is_free))
            .collect();
        self.begin_period();
        for (id, start, picos, is_free) in covered {
            let line = by_id.get(id.as_str());
            let Some(thing) = self.things.get_mut(&id) else { continue };
            if let Some(line) = line {
                thing.charges.push(Charge { through, shares: paid(&line.shares) });
            }
            let Some(phase) = &mut thing.phase else { continue };
            phase.picos = picos;
            if through <= start {
                continue;
            }
            ensure!(phase.paid_to == start, "{id} is paid to {} and then from {start}", phase.paid_to);
            phase.paid_to = through;
            if is_free {
                phase.free_to = through;
            }
        }
        lines.iter().for_each(|line| self.use_up(&line.shares));
        Ok(())
    }

    /// Checks what is given back for some resources that are switched off as of an instant.
    fn give_back(&mut self, before: &AccountState, ids: &[&str], lines: &[Line], as_of: i64, at: i64) -> Check {
        let paid_through = before.paid_through().map_or(as_of, Timestamp::seconds);
        ensure!(as_of <= paid_through || is_held(before, at), "{ids:?} ran unpaid from {paid_through} to {as_of}");
        let unused = (paid_through - as_of).max(0);
        let mut found = 0;
        for id in ids {
            let Some(thing) = self.things.get(*id) else { return Err(format!("{id} is not known")) };
            let Some(phase) = thing.phase else { continue };
            let covered = phase.paid_to == paid_through.max(phase.from);
            ensure!(covered, "{id} is paid to {} although the account is to {paid_through}", phase.paid_to);
            let Some(line) = lines.iter().find(|line| line.resource.as_str() == *id) else {
                ensure!(as_of < at || unused == 0, "{id} was switched off without a line");
                continue;
            };
            found += 1;
            let was_free = phase.free_to > as_of;
            let seconds = if was_free { 0 } else { unused };
            ensure!(line.seconds == seconds, "{id} gets back {} s, not {seconds}", line.seconds);
            let most = cost(picos(line.rate), seconds);
            ensure!(picos(line.rate) <= phase.picos, "{id} gets back {} an hour, charged {}", line.rate, phase.picos);
            self.check_given(id, line, most, at)?;
        }
        ensure!(found == lines.len(), "lines for what was not billed");
        Ok(())
    }

    /// No fund gets more than it paid, an expired one nothing; and nothing is withheld but what is forfeit.
    fn check_given(&mut self, id: &str, line: &Line, most: i64, at: i64) -> Check {
        let given = micros(line.amount);
        ensure!((0..=most).contains(&given), "{id} gets back {given} of {most}");
        let forfeit = self.forfeit(at);
        self.dust += 1;
        let least = most - forfeit - self.dust;
        ensure!(given >= least, "{id} gets back {given}, not {most}, and {forfeit} may be forfeit");
        for share in &line.shares {
            let part = micros(share.amount);
            let number = number(share.fund);
            let pot = self.pots.entry(number).or_default();
            ensure!(number == 0 || pot.expires > at, "grant {number} has expired and gets {part}");
            ensure!(part <= pot.used, "fund {number} gets back {part} and paid {} of this period", pot.used);
            pot.used -= part;
        }
        let mut withheld = most - given;
        for (_, pot) in self.pots.iter_mut().filter(|(number, pot)| **number > 0 && pot.expires <= at) {
            let part = withheld.clamp(0, pot.used);
            pot.used -= part;
            withheld -= part;
        }
        Ok(())
    }

    /// What is not given back of this period: what expired grants paid, and what was refunded together with a grant.
    fn forfeit(&self, at: i64) -> i64 {
        let expired = self.pots.iter().filter(|(number, pot)| **number > 0 && pot.expires <= at);
        expired.map(|(_, pot)| pot.used).sum::<i64>() + self.refunded_use
    }

    /// Whether a grant gets nothing back for time that is over: it has expired, or its payment was refunded.
    fn gives_up(&self, number: u32, at: i64) -> bool {
        let Some(pot) = self.pots.get(&number).filter(|_| number > 0) else { return false };
        let of = pot.payment.as_ref().and_then(|payment| self.payments.get(payment));
        pot.expires <= at || of.is_some_and(|payment| payment.parts > 0)
    }

    /// A resource is off from now on; what it keeps may be billed.
    fn settle_off(&mut self, id: &str, status: Status, paid_through: Option<i64>, at: i64) -> Check {
        let Some(thing) = self.things.get(id) else { return Err(format!("{id} is not known")) };
        let idle = self.rate(thing, Mode::Idle, paid_through.map_or(at, |through| through - 1));
        let Some(thing) = self.things.get_mut(id) else { return Ok(()) };
        let was = thing.phase.take();
        if let (Status::Stopped, Some(was), true) = (status, was, thing.keeps) {
            let paid_to = paid_through.map_or(at, |through| through.max(at));
            let phase = Phase { mode: Mode::Idle, from: at, paid_to, free_to: was.free_to, picos: idle };
            thing.phase = Some(phase);
        }
        thing.status = status;
        thing.deleted = (status == Status::Deleted).then_some(at);
        Ok(())
    }

    fn suspend(
        &mut self,
        before: &AccountState,
        (as_of, reason): (i64, SuspensionReason),
        lines: &[Line],
        at: i64,
    ) -> Check {
        let paid_through = before.paid_through().map(Timestamp::seconds);
        match reason {
            SuspensionReason::Credit => {
                ensure!(
                    paid_through == Some(as_of) && as_of <= at,
                    "suspended as of {as_of}, paid to {paid_through:?}"
                );
                ensure!(lines.is_empty(), "a suspension for lack of credit gives something back");
                ensure!(!self.can_pay(as_of, 1), "suspended, although a further second could be paid");
                ensure!(!is_held(before, at), "suspended although a refill is under way");
            }
            SuspensionReason::Staff => {
                let ids: Vec<String> = self.billed().cloned().collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                self.give_back(before, &ids, lines, at, at)?;
            }
        }
        for (id, thing) in &mut self.things {
            if let Some(phase) = thing.phase.take() {
                let paid_to = paid_through.unwrap_or(as_of).max(phase.from);
                ensure!(phase.paid_to == paid_to, "{id} is paid to {} at the suspension", phase.paid_to);
            }
        }
        Ok(())
    }

    fn billed(&self) -> impl Iterator<Item = &String> {
        self.things.iter().filter(|(_, thing)| thing.phase.is_some()).map(|(id, _)| id)
    }

    fn start_failed(&mut self, before: &AccountState, id: &str, status: Status, lines: &[Line], at: i64) -> Check {
        let Some(thing) = self.things.get(id).cloned() else { return Err(format!("{id} is not known")) };
        ensure!(thing.phase.is_some_and(|phase| phase.mode == Mode::Running), "{id} failed to start and did not run");
        ensure!(at - thing.started <= DAY, "{id} failed a day after its start");
        ensure!(status == thing.before, "{id} falls back to {status:?}, not {:?}", thing.before);
        let paid_through = before.paid_through().map_or(at, Timestamp::seconds);
        // Everything back: but for what an expired grant paid, or would get of what is given back for this period.
        let (mut whole, mut forfeit) = (0, 0);
        for charge in &thing.charges {
            for (number, part) in &charge.shares {
                whole += part;
                if charge.through != paid_through && self.gives_up(*number, at) {
                    forfeit += part;
                }
            }
        }
        forfeit += self.forfeit(at);
        let Some(first) = lines.first() else { return Err(format!("{id} failed to start and has no line")) };
        let given: BTreeMap<u32, i64> =
            first.shares.iter().map(|share| (number(share.fund), micros(share.amount))).collect();
        let all: i64 = given.values().sum();
        let least = whole - forfeit - self.dust;
        ensure!(
            (least..=whole).contains(&all),
            "{id} failed to start and gets {given:?} of {whole}, {forfeit} forfeit"
        );
        ensure!(micros(first.amount) == all, "{id} gets {}, not {all}", first.amount);

        let keeps = thing.keeps && status == Status::Stopped;
        let rate = self.rate(&thing, Mode::Idle, paid_through.max(at + 1) - 1);
        let mut phase = None;
        if keeps {
            let mut pots = self.pots.clone();
            for (number, part) in &given {
                pots.entry(*number).or_default().remaining += part;
            }
            let from = at.max(thing.idle_paid_to);
            let price = cost(rate, paid_through - from);
            let shares = self.draw(&mut pots, &thing.sku, price, at);
            let charged = lines.get(1).map_or(0, |line| -micros(line.amount));
            let is_free = shares.is_none();
            let price = if is_free { 0 } else { price };
            ensure!(charged == price, "{id} is off again and pays {charged} of [{at}, {paid_through}), not {price}");
            let paid_to = paid_through.max(at);
            let free_to = if is_free { paid_to } else { at };
            phase = Some(Phase { mode: Mode::Idle, from: at, paid_to, free_to, picos: rate });
            if let Some(line) = lines.get(1) {
                self.use_up(&line.shares);
            }
        } else {
            ensure!(lines.len() == 1, "{id} failed to start and pays");
        }
        if let Some(known) = self.things.get_mut(id) {
            known.phase = phase;
            known.status = status;
            known.deleted = (status == Status::Deleted).then_some(at);
        }
        Ok(())
    }

    fn resumed(&mut self, before: &AccountState, ids: &[&str], at: i64) -> Check {
        if before.standing != Standing::Good {
            let idle: Vec<(String, i128)> = self
                .things
                .iter()
                .filter(|(_, thing)| thing.keeps && thing.deleted.is_none() && thing.status != Status::New)
                .map(|(id, thing)| (id.clone(), self.rate(thing, Mode::Idle, at)))
                .collect();
            for (id, picos) in idle {
                if let Some(thing) = self.things.get_mut(&id) {
                    thing.phase = Some(Phase { mode: Mode::Idle, from: at, paid_to: at, free_to: at, picos });
                }
            }
        }
        let paid_through = before.paid_through().map(Timestamp::seconds);
        ensure!(ids.is_empty() || before.frozen.is_empty(), "something came back while frozen");
        for id in ids {
            let Some(known) = self.things.get(*id) else { return Err(format!("{id} is not known")) };
            ensure!(known.status == Status::Running && known.deleted.is_none(), "{id} came back as {:?}", known.status);
            ensure!(
                paid_through.is_none_or(|through| through <= at),
                "{id} came back at {at} and is not charged before {paid_through:?}"
            );
            let picos = self.rate(known, Mode::Running, at);
            if let Some(thing) = self.things.get_mut(*id) {
                let paid_to = paid_through.unwrap_or(at).max(at);
                thing.phase = Some(Phase { mode: Mode::Running, from: at, paid_to, free_to: paid_to, picos });
                (thing.started, thing.before, thing.idle_paid_to) = (at, Status::Stopped, at);
                thing.charges.clear();
            }
        }
        Ok(())
    }

    fn metered(&mut self, line: &MeterLine, at: i64) -> Check {
        ensure!(line.to > line.from, "a meter went from {} to {}", line.from, line.to);
        for share in &line.shares {
            let number = number(share.fund);
            let pot = self.pots.get(&number).cloned().unwrap_or_default();
            let allowed = number == 0 || (pot.expires > at && !pot.excludes.contains(line.sku.as_str()));
            ensure!(allowed && share.amount <= Usd::ZERO, "grant {number} pays for {}", line.sku);
        }
        let shares: Usd = line.shares.iter().map(|share| share.amount).sum();
        ensure!(
            shares == line.amount && line.amount <= Usd::ZERO,
            "{} costs {} and is paid {shares}",
            line.sku,
            line.amount
        );
        Ok(())
    }

    fn begin_period(&mut self) {
        self.refunded_use = 0;
        self.pots.values_mut().for_each(|pot| pot.used = 0);
    }

    fn use_up(&mut self, shares: &[Share]) {
        for (number, part) in paid(shares) {
            self.pots.entry(number).or_default().used += part;
        }
    }

    fn listed_idle(&self, sku: &str, instant: i64) -> i128 {
        let known =
            self.prices.iter().filter(|price| price.sku.as_str() == sku && price.valid_from.seconds() <= instant);
        known.max_by_key(|price| price.valid_from).map_or(0, |price| picos(price.idle_rate))
    }

    /// Grace, pending money and open attempts.
    fn standing(&mut self, event: &Event, at: i64) -> Check {
        match &event.change {
            Change::Suspended { reason, delete_at, warn_at, .. } => {
                let is_new = |thing: &Thing| {
                    self.trial.is_some_and(|(from, to)| (from..to).contains(&thing.created)) || thing.purged.is_some()
                };
                let unpaid_trial = self.trial.is_some() && !self.ever_paid && self.things.values().all(is_new);
                let grace = if unpaid_trial { 0 } else { 3 * DAY };
                let expected = (*reason == SuspensionReason::Credit).then_some(at + grace);
                let found = delete_at.map(Timestamp::seconds);
                ensure!(found == expected, "suspended at {at}, to be deleted at {found:?}, not {expected:?}");
                let left: i64 = self.pots.values().map(|pot| pot.remaining).sum();
                let expected = expected.map(|delete_at| delete_at - DAY).filter(|warn_at| *warn_at > at);
                let found = warn_at.map(Timestamp::seconds);
                ensure!(found == expected, "suspended at {at}, to be warned at {found:?}, not {expected:?}");
                (self.suspended, self.announced, self.held) = (Some((at, grace, left.max(0))), None, None);
            }
            Change::DeletionAnnounced { delete_at } => {
                let (since, grace) = self.loses("warned")?;
                ensure!(self.announced.is_none(), "warned twice of the same deletion");
                ensure!(grace > DAY || self.held.is_some(), "warned of a deletion that the suspension announced");
                ensure!(since + grace - DAY <= at, "warned at {at}, suspended at {since}, grace {grace}");
                let (expected, found) = ((since + grace).max(at + DAY), delete_at.seconds());
                ensure!(found == expected, "warned at {at}, to be deleted at {found}, not {expected}");
                self.announced = Some(at);
            }
            Change::DeletionDue | Change::Deleted => {
                let (since, grace) = self.loses("deleted")?;
                ensure!(since + grace <= at, "deleted at {at}, suspended at {since}, grace {grace}");
                let had_a_day = self.announced.is_some_and(|announced| announced + DAY <= at);
                let is_warning_itself = grace <= DAY && self.held.is_none();
                ensure!(is_warning_itself || had_a_day, "deleted at {at}, warned at {:?}", self.announced);
            }
            Change::Resumed { .. } => self.suspended = None,
            _ => {}
        }
        Ok(())
    }

    /// Notes what holds the deletion after a row: then the next warning counts, and none before it.
    fn hold(&mut self, after: &AccountState) {
        let Some((_, _, left)) = self.suspended.filter(|_| matches!(after.standing, Standing::Suspended(_))) else {
            return;
        };
        let refill = self.refills.open.is_some() || after.refill.wanted.is_some();
        let balance: i64 = self.pots.values().map(|pot| pot.remaining).sum();
        if refill || !self.pending.is_empty() || balance > left {
            (self.announced, self.held) = (None, Some(after.at.seconds()));
        }
    }

    /// Checks that nothing stands in the way of a deletion; when everything was suspended, and the grace.
    fn loses(&self, what: &str) -> Result<(i64, i64), String> {
        let Some((since, grace, left)) = self.suspended else {
            return Err(format!("{what} without a suspension"));
        };
        let balance: i64 = self.pots.values().map(|pot| pot.remaining).sum();
        ensure!(balance <= left, "{what} with {balance}, of which {left} was left at the suspension");
        ensure!(self.pending.is_empty(), "{what} while {:?} is pending", self.pending);
        ensure!(self.refills.open.is_none(), "{what} while a refill is open");
        Ok((since, grace))
    }

    /// A card is charged only as its owner agreed.
    fn refill(&mut self, before: &AccountState, event: &Event, after: &AccountState) -> Check {
        let at = event.at;
        match &event.change {
            Change::RefillBegun(attempt) => {
                ensure!(self.refills.open.is_none(), "a second attempt is open");
                ensure!(before.frozen.is_empty(), "a frozen account's card is charged");
                ensure!(
                    matches!(before.standing, Standing::Good | Standing::Suspended(_)),
                    "a card is charged in standing {:?}",
                    before.standing
                );
                ensure!(before.refill.paused.is_none(), "a card is charged although refills pause");
                ensure!(!self.refills.never.contains(attempt.card.as_str()), "{} said never", attempt.card);
                ensure!(before.refill.card.as_ref() == Some(&attempt.card), "another card is charged");
                let Some(agreed) = before.refill.agreement else { return Err("nothing was agreed".to_owned()) };
                let most = match attempt.purpose {
                    RefillPurpose::Threshold => agreed.amount,
                    RefillPurpose::TrialRenewal => Usd::dollars(25),
                };
                ensure!(attempt.amount <= most, "{} is charged, {most} was agreed", attempt.amount);
                let (month, charged) = self.refills.month;
                let charged = if month == at.month() { charged } else { 0 };
                let sum = charged + micros(attempt.amount);
                let cap = before.refill.monthly_cap.map_or(i64::MAX, micros);
                ensure!(sum <= cap, "{sum} charged in a month, {cap} allowed");
                let (day, count) = self.refills.day;
                ensure!(day != at.day() || count < 10, "an eleventh refill in a day");
                let failed = self.refills.failed_at.unwrap_or(i64::MIN / 2);
                ensure!(failed + HOUR <= at.seconds(), "an attempt at {at}, one failed at {failed}");
                self.refills.open = Some((attempt.number, attempt.card.as_str().to_owned()));
            }
            Change::RefillFailed { decline, .. } => {
                let Some((_, card)) = self.refills.open.take() else { return Err("no attempt was open".to_owned()) };
                self.refills.failed_at = Some(at.seconds());
                if *decline == Decline::Never {
                    self.refills.never.insert(card);
                }
            }
            Change::Credited { kind: CreditKind::Refill { attempt, .. }, credit, .. } => {
                if self.refills.open.as_ref().is_some_and(|(open, _)| open == attempt) {
                    self.refills.open = None;
                }
                self.refills.failed_at = None;
                let (day, count) = self.refills.day;
                self.refills.day = (at.day(), if day == at.day() { count + 1 } else { 1 });
                let (month, charged) = self.refills.month;
                let charged = if month == at.month() { charged } else { 0 };
                self.refills.month = (at.month(), charged + micros(*credit));
            }
            Change::CardRemoved { card } => {
                self.refills.never.remove(card.as_str());
            }
            Change::DisputeClosed { outcome: DisputeOutcome::Lost, .. } | Change::DisputeOpened { .. } => {
                ensure!(!after.frozen.is_empty(), "a dispute does not freeze the account");
            }
            _ => {}
        }
        let open = self.refills.open.as_ref().map(|(number, _)| *number);
        let known = after.refill.attempt.as_ref().map(|attempt| attempt.number);
        ensure!(open == known, "attempt {known:?} is open, not {open:?}");
        if let Some(wanted) = after.refill.wanted {
            ensure!(after.frozen.is_empty(), "a refill is wanted while frozen");
            let agreed = after.refill.agreement.map(|agreed| agreed.amount);
            let is_agreed = wanted.purpose == RefillPurpose::TrialRenewal || agreed == Some(wanted.amount);
            ensure!(is_agreed, "{} is wanted, {agreed:?} was agreed", wanted.amount);
        }
        Ok(())
    }

    /// Of what a failed start gives back and a refund takes, rows do not say what was paid of this period; the state does.
    fn look_up_use(&mut self, after: &AccountState) {
        for (number, pot) in &mut self.pots {
            let known = match number {
                0 => after.period.as_ref().map_or(Usd::ZERO, |period| period.used),
                number => after.grant(*number).map_or(Usd::ZERO, |grant| grant.used),
            };
            pot.used = pot.used.min(micros(known));
        }
    }

    /// The books and the state say the same.
    fn agree(&self, before: &AccountState, event: &Event, after: &AccountState) -> Check {
        let name = event.change.name();
        let balance: i64 = self.pots.values().map(|pot| pot.remaining).sum();
        let was = micros(before.balance());
        let is = micros(after.balance());
        ensure!(is == was + micros(event.amount()), "{was} and {} make {is}", event.amount());
        ensure!(is == balance, "the balance is {is}, the funds hold {balance}");
        let sums = &self.sums;
        let total = sums.payments + sums.granted + sums.corrections - sums.usage - sums.taken_back - sums.expired;
        ensure!(total == is, "the balance is {is}, {sums:?} make {total}");
        let paid = self.pots.get(&0).cloned().unwrap_or_default();
        ensure!(micros(after.paid) == paid.remaining, "paid credit is {}, not {}", after.paid, paid.remaining);
        ensure!(
            paid.remaining <= paid.put_in + self.dust,
            "paid credit is {}, of {} that came in",
            paid.remaining,
            paid.put_in
        );
        for (number, pot) in self.pots.iter().filter(|(number, _)| **number > 0) {
            let known = after.grant(*number).map_or(0, |grant| micros(grant.remaining));
            ensure!(known == pot.remaining, "grant {number} holds {known}, not {}", pot.remaining);
            ensure!((0..=pot.put_in + self.dust).contains(&known), "grant {number} holds {known} of {}", pot.put_in);
        }
        for grant in &after.grants {
            ensure!(!grant.used.is_negative(), "grant {} has used {}", grant.number, grant.used);
        }
        let time = matches!(event.change, Change::Usage { .. } | Change::Started { .. });
        ensure!(!time || is >= 0 || is >= was, "{name} takes the balance from {was} to {is}");
        let credits = matches!(
            event.change,
            Change::Credited { .. } | Change::Corrected { .. } | Change::GivenBack { .. } | Change::Granted { .. }
        ) || matches!(event.change, Change::TrialStarted { .. });
        ensure!(credits || event.change.lines().is_some() || is <= was, "{name} adds to the balance");
        Ok(())
    }
}

fn new_thing(resource: &tollgate::billables::Resource, status: Status, at: i64) -> Thing {
    Thing {
        sku: resource.sku.as_str().to_owned(),
        kind: resource.kind.as_str().to_owned(),
        agreed: resource.rate.map(picos),
        created: at,
        status,
        keeps: false,
        phase: None,
        before: Status::New,
        idle_paid_to: at,
        charges: Vec::new(),
        started: at,
        deleted: None,
        purged: None,
    }
}

/// What a start falls back to if it fails.
fn as_before(status: Status) -> Status {
    match status {
        Status::New => Status::New,
        Status::Running | Status::Stopped | Status::Deleted => Status::Stopped,
    }
}

/// Whether a refill that is wanted or open holds back a suspension.
pub(crate) fn is_held(state: &AccountState, at: i64) -> bool {
    hold_end(state).is_some_and(|end| at < end.seconds())
}

/// Ten minutes from the row that wanted the refill, or from the end of what is paid; not while the customer is asked.
pub(crate) fn hold_end(state: &AccountState) -> Option<Timestamp> {
    let wanted = state.refill.wanted.map(|wanted| wanted.since);
    let at_work = state.refill.attempt.as_ref().filter(|attempt| attempt.void_at.is_none());
    let since = at_work.map(|attempt| attempt.wanted_since).or(wanted)?;
    Some(since.max(state.paid_through()?).plus(600))
}

fn here(lines: &Lines) -> Result<&[Line], String> {
    match lines {
        Lines::Here(lines) => Ok(lines),
        Lines::Chunked(_) => Err("the lines are elsewhere".to_owned()),
    }
}

fn number(fund: Fund) -> u32 {
    match fund {
        Fund::Paid => 0,
        Fund::Grant(number) => number,
    }
}

/// Who paid how much.
fn paid(shares: &[Share]) -> Vec<(u32, i64)> {
    shares.iter().map(|share| (number(share.fund), -micros(share.amount))).collect()
}
