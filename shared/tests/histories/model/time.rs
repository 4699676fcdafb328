//! Time: every second of a running resource is paid once.

use std::collections::BTreeMap;

use tollgate::domain::account::{AccountState, Standing, SuspensionReason};
use tollgate::domain::event::{
    BillingChange, Change, Event, MeterLine, ResourceChange, ResourceLine, StandingChange,
    StartKind, StopReason,
};
use tollgate::domain::funds::FundShare;
use tollgate::domain::money::{Quantity, Usd};
use tollgate::domain::resources::ResourceStatus;
use tollgate::domain::timestamp::Timestamp;

use super::{
    Charge, DAY, DOLLAR, HOUR, Mode, Model, Phase, Thing, as_before, cost, ensure, here, hour_end,
    is_held, micros, new_thing, number, paid, picos,
};
use crate::Check;

impl Model {
    /// Time: every second of a running resource is paid once.
    pub(super) fn lines(
        &mut self,
        before: &AccountState,
        event: &Event,
        seq: u64,
        at: i64,
    ) -> Check {
        let paid_through = before.paid_through().map(Timestamp::seconds);
        match &event.change {
            Change::Resource(ResourceChange::Created { resources }) => {
                for resource in resources {
                    ensure!(
                        !self.things.contains_key(resource.id.as_str()),
                        "{} was created twice",
                        resource.id
                    );
                    let thing = new_thing(resource, ResourceStatus::New, at);
                    self.things.insert(resource.id.as_str().to_owned(), thing);
                }
                Ok(())
            }
            Change::Resource(ResourceChange::Started { .. }) => self.started(before, event, at),
            Change::Billing(BillingChange::Usage { from, through, lines, .. }) => {
                ensure!(
                    before.standing == Standing::Good,
                    "time is billed in standing {:?}",
                    before.standing
                );
                self.usage(paid_through, (from.seconds(), through.seconds()), here(lines)?, at)
            }
            Change::Resource(ResourceChange::Stopped { resources, why, lines, .. }) => {
                let ids: Vec<&str> =
                    resources.iter().map(|resource| resource.id.as_str()).collect();
                let as_of = match why {
                    StopReason::Requested => at,
                    StopReason::Credit => {
                        let as_of = paid_through.unwrap_or(at);
                        ensure!(as_of <= at, "stopped for lack of credit before {as_of}");
                        ensure!(
                            !self.can_pay(as_of, 1),
                            "stopped, although a further second could be paid"
                        );
                        ensure!(!is_held(before, at), "stopped although a refill is under way");
                        as_of
                    }
                    StopReason::Budget => {
                        let as_of = paid_through.unwrap_or(at);
                        ensure!(as_of <= at, "stopped for a budget before {as_of}");
                        ensure!(here(lines)?.is_empty(), "a stop for a budget gives back");
                        self.check_stopped_for_budget(&ids, as_of)?;
                        // What is off may have no funds left, and is kept for free then.
                        let due = self.due(as_of, as_of + 1);
                        let is_paid = |one| self.fits(std::slice::from_ref(one), as_of, as_of + 1);
                        ensure!(
                            due.iter().any(is_paid) || super::hold_end(before).is_some(),
                            "stopped for a budget where the credit ends, too"
                        );
                        as_of
                    }
                };
                self.give_back(before, &ids, here(lines)?, as_of, at)?;
                for id in ids {
                    self.settle_off(id, ResourceStatus::Stopped, paid_through, as_of)?;
                }
                Ok(())
            }
            Change::Resource(ResourceChange::ResourcesDeleted { resources, lines, .. }) => {
                let ids: Vec<&str> =
                    resources.iter().map(|resource| resource.id.as_str()).collect();
                self.give_back(before, &ids, here(lines)?, at, at)?;
                for id in ids {
                    self.settle_off(id, ResourceStatus::Deleted, paid_through, at)?;
                }
                Ok(())
            }
            Change::Standing(StandingChange::Suspended { as_of, reason, lines, .. }) => {
                self.suspend(before, (as_of.seconds(), *reason), here(lines)?, at)
            }
            Change::Resource(ResourceChange::StartFailed { resource, status, lines, .. }) => {
                self.start_failed(before, resource.id.as_str(), *status, here(lines)?, at)
            }
            Change::Standing(StandingChange::Resumed { resources, .. }) => {
                let ids: Vec<&str> =
                    resources.iter().map(|resource| resource.id.as_str()).collect();
                self.resumed(before, &ids, at)
            }
            Change::Standing(StandingChange::Reopened { .. }) => self.resumed(before, &[], at),
            Change::Standing(StandingChange::Deleted) => {
                for thing in self.things.values_mut() {
                    ensure!(thing.phase.is_none(), "something that runs was deleted");
                    thing.deleted = thing.deleted.or(Some(at));
                }
                Ok(())
            }
            Change::Resource(ResourceChange::Purged { resources, deletion, .. }) => {
                for resource in resources {
                    let gone =
                        self.things.remove(resource.id.as_str()).and_then(|thing| thing.deleted);
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
                    for thing in self
                        .things
                        .values_mut()
                        .filter(|thing| thing.deleted.is_some_and(|at| at <= deleted))
                    {
                        thing.purged = Some(at);
                    }
                }
                Ok(())
            }
            Change::Billing(BillingChange::Metered { lines, .. }) => {
                lines.iter().try_for_each(|line| self.metered(line))
            }
            _ => Ok(()),
        }
        .map_err(|broken| format!("{broken} (row {seq})"))
    }

    pub(super) fn started(&mut self, before: &AccountState, event: &Event, at: i64) -> Check {
        let Change::Resource(ResourceChange::Started { resources, how, lines, through, .. }) =
            &event.change
        else {
            return Ok(());
        };
        ensure!(
            before.standing == Standing::Good && before.frozen.is_empty(),
            "a start while it is not allowed"
        );
        let paid_through = before.paid_through().map(Timestamp::seconds);
        let expected = paid_through.unwrap_or_else(|| hour_end(at));
        let through = through.seconds();
        ensure!(
            through == expected && through > at,
            "started at {at} and paid to {through}, not {expected}"
        );
        if paid_through.is_none() {
            self.begin_period();
        }
        let lines = here(lines)?;
        ensure!(
            lines.len() == resources.len(),
            "{} lines for {} starts",
            lines.len(),
            resources.len()
        );
        let mut pots = self.pots.clone();
        for (resource, line) in resources.iter().zip(lines) {
            let id = resource.id.as_str();
            ensure!(line.resource == resource.id, "the line of {} stands at {id}", line.resource);
            let mut thing = match self.things.get(id) {
                Some(known) => known.clone(),
                None => new_thing(resource, ResourceStatus::New, at),
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
                    ensure!(
                        phase.paid_to == through,
                        "{id} was idle, paid to {} only",
                        phase.paid_to
                    );
                    // A resource kept for free is not paid yet. It starts at the full price.
                    if phase.free_to > at { 0 } else { phase.picos }
                }
                None => 0,
            };
            let difference = (rate - idle).max(0);
            let (seconds, amount) = (through - at, cost(difference, through - at));
            ensure!(
                picos(line.rate) == difference,
                "{id} starts at {}, not {difference}",
                line.rate
            );
            ensure!(
                line.seconds == seconds,
                "{id} starts and pays {} s, not {seconds}",
                line.seconds
            );
            ensure!(
                micros(line.amount) == -amount,
                "{id} starts for {}, not {amount}",
                line.amount
            );
            let (credit, _) = self.eligible(&pots, &thing.sku, at);
            ensure!(credit >= (5 * DOLLAR).max(amount), "{id} was started with only {credit}");
            let shares = self.draw(&mut pots, &thing.sku, amount, at);
            ensure!(
                shares.as_ref() == Some(&paid(&line.shares)),
                "{id} was paid by {:?}, not {shares:?}",
                line.shares
            );
            thing.idle_paid_to =
                thing.phase.filter(|phase| phase.free_to <= at).map_or(at, |phase| phase.paid_to);
            let mode = Mode::Running;
            thing.phase =
                Some(Phase { mode, from: at, paid_to: through, free_to: at, picos: rate });
            thing.before = if thing.deleted.is_some() {
                ResourceStatus::Deleted
            } else {
                as_before(thing.status)
            };
            (thing.status, thing.started, thing.deleted) = (ResourceStatus::Running, at, None);
            thing.charges = vec![Charge { through, shares: paid(&line.shares) }];
            thing.keeps = self.listed_idle(&thing.sku, at) > 0;
            self.things.insert(id.to_owned(), thing);
            self.use_up(&line.shares);
        }
        let mut costs = BTreeMap::<&str, i64>::new();
        for (resource, line) in resources.iter().zip(lines) {
            *costs.entry(resource.project.as_str()).or_default() -= micros(line.amount);
        }
        for (project, amount) in costs {
            self.check_within_budget(project, amount, at)?;
        }
        let services = self.things.values().filter(|thing| {
            thing.kind == "service" && thing.phase.is_some_and(|phase| phase.mode == Mode::Running)
        });
        let in_trial = self.trial.is_some() && self.trial_ended.is_none() && !self.ever_paid;
        let new_service = resources.iter().any(|resource| resource.kind.as_str() == "service");
        ensure!(
            !in_trial || !new_service || services.count() <= 4,
            "more services than a trial may run"
        );
        Ok(())
    }

    pub(super) fn usage(
        &mut self,
        paid_through: Option<i64>,
        (from, through): (i64, i64),
        lines: &[ResourceLine],
        at: i64,
    ) -> Check {
        ensure!(
            paid_through == Some(from),
            "paid from {from}, but paid through {paid_through:?} before"
        );
        ensure!(from <= at, "paid from {from} before it began");
        ensure!(
            through > from && through <= hour_end(from),
            "a usage row from {from} to {through}"
        );
        let all_could_pay = self.can_pay(from, 1);
        let by_id: BTreeMap<&str, &ResourceLine> =
            lines.iter().map(|line| (line.resource.as_str(), line)).collect();
        ensure!(by_id.len() == lines.len(), "a resource has two lines");
        let (due, unpaid): (Vec<_>, Vec<_>) =
            self.due(from, through).into_iter().partition(|due| by_id.contains_key(due.id));
        ensure!(due.len() == lines.len(), "a line for something that is not billed");
        for one in &unpaid {
            ensure!(
                one.mode == Mode::Idle,
                "{} runs and was not billed for [{from}, {through})",
                one.id
            );
            ensure!(
                !all_could_pay,
                "{} is off and was not billed, although everything could be paid",
                one.id
            );
        }
        ensure!(self.fits(&due, from, through), "the funds reach less far than {through}");
        ensure!(self.budgets_fit(&due, from, through), "a budget ends before {through}");
        let Some(spread) = self.spread(&due, from, through) else {
            return Err(format!("the funds do not cover [{from}, {through})"));
        };
        for (one, shares) in due.iter().zip(&spread) {
            let line = by_id[one.id];
            let amount = cost(one.picos, one.seconds);
            ensure!(
                picos(line.rate) == one.picos,
                "{} pays {}, not {}",
                one.id,
                line.rate,
                one.picos
            );
            ensure!(
                line.seconds == one.seconds,
                "{} pays {} s, not {}",
                one.id,
                line.seconds,
                one.seconds
            );
            ensure!(
                micros(line.amount) == -amount,
                "{} pays {}, not {amount}",
                one.id,
                line.amount
            );
            ensure!(
                *shares == paid(&line.shares),
                "{} is paid by {:?}, not {shares:?}",
                one.id,
                line.shares
            );
        }
        ensure!(
            through == hour_end(from)
                || !self.fits(&due, from, through + 1)
                || !self.budgets_fit(&due, from, through + 1),
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
            ensure!(
                phase.paid_to == start,
                "{id} is paid to {} and then from {start}",
                phase.paid_to
            );
            phase.paid_to = through;
            if is_free {
                phase.free_to = through;
            }
        }
        lines.iter().for_each(|line| self.use_up(&line.shares));
        Ok(())
    }

    /// Checks the amounts given back for resources that are stopped as of an instant.
    pub(super) fn give_back(
        &mut self,
        before: &AccountState,
        ids: &[&str],
        lines: &[ResourceLine],
        as_of: i64,
        at: i64,
    ) -> Check {
        let paid_through = before.paid_through().map_or(as_of, Timestamp::seconds);
        ensure!(
            as_of <= paid_through || is_held(before, at),
            "{ids:?} ran unpaid from {paid_through} to {as_of}"
        );
        let unused = (paid_through - as_of).max(0);
        let mut found = 0;
        for id in ids {
            let Some(thing) = self.things.get(*id) else {
                return Err(format!("{id} is not known"));
            };
            let Some(phase) = thing.phase else { continue };
            let covered = phase.paid_to == paid_through.max(phase.from);
            ensure!(
                covered,
                "{id} is paid to {} although the account is to {paid_through}",
                phase.paid_to
            );
            let Some(line) = lines.iter().find(|line| line.resource.as_str() == *id) else {
                ensure!(as_of < at || unused == 0, "{id} was switched off without a line");
                continue;
            };
            found += 1;
            let was_free = phase.free_to > as_of;
            let seconds = if was_free { 0 } else { unused };
            ensure!(line.seconds == seconds, "{id} gets back {} s, not {seconds}", line.seconds);
            let most = cost(picos(line.rate), seconds);
            ensure!(
                picos(line.rate) <= phase.picos,
                "{id} gets back {} an hour, charged {}",
                line.rate,
                phase.picos
            );
            self.check_given(id, line, most, at)?;
        }
        ensure!(found == lines.len(), "lines for what was not billed");
        Ok(())
    }

    /// No fund gets more than it paid, and an expired one gets nothing. Only forfeited amounts are
    /// withheld.
    pub(super) fn check_given(
        &mut self,
        id: &str,
        line: &ResourceLine,
        most: i64,
        at: i64,
    ) -> Check {
        let given = micros(line.amount);
        ensure!((0..=most).contains(&given), "{id} gets back {given} of {most}");
        if let Some(thing) = self.things.get_mut(id)
            && let Some(through) = thing.charges.last().map(|charge| charge.through)
        {
            let back = line.shares.iter().map(|share| (number(share.fund), -micros(share.amount)));
            thing.charges.push(Charge { through, shares: back.collect() });
        }
        let forfeit = self.forfeit(at);
        self.dust += 1;
        let least = most - forfeit - self.dust;
        ensure!(given >= least, "{id} gets back {given}, not {most}, and {forfeit} may be forfeit");
        for share in &line.shares {
            let part = micros(share.amount);
            let number = number(share.fund);
            let pot = self.pots.entry(number).or_default();
            ensure!(number == 0 || pot.expires > at, "grant {number} has expired and gets {part}");
            ensure!(
                part <= pot.used,
                "fund {number} gets back {part} and paid {} of this period",
                pot.used
            );
            pot.used -= part;
        }
        let mut withheld = most - given;
        for (_, pot) in
            self.pots.iter_mut().filter(|(number, pot)| **number > 0 && pot.expires <= at)
        {
            let part = withheld.clamp(0, pot.used);
            pot.used -= part;
            withheld -= part;
        }
        Ok(())
    }

    /// The amounts of this period that are not given back: shares of expired grants, and amounts
    /// refunded together with a grant.
    pub(super) fn forfeit(&self, at: i64) -> i64 {
        let expired = self.pots.iter().filter(|(number, pot)| **number > 0 && pot.expires <= at);
        expired.map(|(_, pot)| pot.used).sum::<i64>() + self.refunded_use
    }

    /// Whether a grant gets nothing back for time that is over: it has expired, or its payment was
    /// refunded.
    pub(super) fn gives_up(&self, number: u32, at: i64) -> bool {
        let Some(pot) = self.pots.get(&number).filter(|_| number > 0) else { return false };
        let of = pot.payment.as_ref().and_then(|payment| self.payments.get(payment));
        pot.expires <= at || of.is_some_and(|payment| payment.parts > 0)
    }

    /// A resource is stopped from now on. Its kept data may be billed.
    pub(super) fn settle_off(
        &mut self,
        id: &str,
        status: ResourceStatus,
        paid_through: Option<i64>,
        at: i64,
    ) -> Check {
        let Some(thing) = self.things.get(id) else { return Err(format!("{id} is not known")) };
        let idle = self.rate(thing, Mode::Idle, paid_through.map_or(at, |through| through - 1));
        let Some(thing) = self.things.get_mut(id) else { return Ok(()) };
        let was = thing.phase.take();
        if let (ResourceStatus::Stopped, Some(was), true) = (status, was, thing.keeps) {
            let paid_to = paid_through.map_or(at, |through| through.max(at));
            let phase =
                Phase { mode: Mode::Idle, from: at, paid_to, free_to: was.free_to, picos: idle };
            thing.phase = Some(phase);
        }
        thing.status = status;
        thing.deleted = (status == ResourceStatus::Deleted).then_some(at);
        Ok(())
    }

    pub(super) fn suspend(
        &mut self,
        before: &AccountState,
        (as_of, reason): (i64, SuspensionReason),
        lines: &[ResourceLine],
        at: i64,
    ) -> Check {
        let paid_through = before.paid_through().map(Timestamp::seconds);
        match reason {
            SuspensionReason::Credit => {
                // Where nothing is billed by time, the account stops with the row that spent all.
                let stops = paid_through.or(self.used_up.then_some(before.at.seconds()));
                ensure!(
                    stops == Some(as_of) && as_of <= at,
                    "suspended as of {as_of}, to be stopped at {stops:?}"
                );
                ensure!(lines.is_empty(), "a suspension for lack of credit gives something back");
                ensure!(
                    self.used_up || !self.can_pay(as_of, 1),
                    "suspended, although a further second could be paid"
                );
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
                ensure!(
                    phase.paid_to == paid_to,
                    "{id} is paid to {} at the suspension",
                    phase.paid_to
                );
            }
        }
        Ok(())
    }

    pub(super) fn billed(&self) -> impl Iterator<Item = &String> {
        self.things.iter().filter(|(_, thing)| thing.phase.is_some()).map(|(id, _)| id)
    }

    pub(super) fn start_failed(
        &mut self,
        before: &AccountState,
        id: &str,
        status: ResourceStatus,
        lines: &[ResourceLine],
        at: i64,
    ) -> Check {
        let Some(thing) = self.things.get(id).cloned() else {
            return Err(format!("{id} is not known"));
        };
        if thing.phase.is_none_or(|phase| phase.mode == Mode::Idle) {
            return self.ended_start_failed(before, id, &thing, status, lines, at);
        }
        ensure!(at - thing.started <= DAY, "{id} failed a day after its start");
        ensure!(status == thing.before, "{id} falls back to {status:?}, not {:?}", thing.before);
        let paid_through = before.paid_through().map_or(at, Timestamp::seconds);
        // Everything is given back, except for an expired grant's payments and its share of this
        // period.
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
        let Some(first) = lines.first() else {
            return Err(format!("{id} failed to start and has no line"));
        };
        let given: BTreeMap<u32, i64> =
            first.shares.iter().map(|share| (number(share.fund), micros(share.amount))).collect();
        let all: i64 = given.values().sum();
        let least = whole - forfeit - self.dust;
        ensure!(
            (least..=whole).contains(&all),
            "{id} failed to start and gets {given:?} of {whole}, {forfeit} forfeit"
        );
        ensure!(micros(first.amount) == all, "{id} gets {}, not {all}", first.amount);

        let keeps = thing.keeps && status == ResourceStatus::Stopped;
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
            ensure!(
                charged == price,
                "{id} is off again and pays {charged} of [{at}, {paid_through}), not {price}"
            );
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
            known.deleted = (status == ResourceStatus::Deleted).then_some(at);
            known.charges.clear();
        }
        Ok(())
    }

    /// A start whose resource was stopped, suspended or deleted before its failure was reported.
    /// At most what is left of its charges is given back, and only once.
    fn ended_start_failed(
        &mut self,
        before: &AccountState,
        id: &str,
        thing: &Thing,
        status: ResourceStatus,
        lines: &[ResourceLine],
        at: i64,
    ) -> Check {
        ensure!(at - thing.started <= DAY, "{id} failed a day after its start");
        let expected = if thing.deleted.is_some() { ResourceStatus::Deleted } else { thing.before };
        ensure!(status == expected, "{id} falls back to {status:?}, not {expected:?}");
        let [line] = lines else {
            return Err(format!("{id} failed to start and has {} lines", lines.len()));
        };
        let left: i64 =
            thing.charges.iter().flat_map(|charge| &charge.shares).map(|(_, part)| part).sum();
        // A suspension by staff also gave back what an earlier charge had paid for it while off. Then
        // at most the time since the start is left.
        let since = cost(self.rate(thing, Mode::Running, at).max(0), at - thing.started);
        let left = if left < 0 { since } else { left };
        let given = micros(line.amount);
        ensure!((0..=left + self.dust).contains(&given), "{id} gets {given} of {left}");
        let paid_to = before.paid_through().map_or(at, |through| through.seconds().max(at));
        let keeps = status == ResourceStatus::Stopped;
        if let Some(known) = self.things.get_mut(id) {
            known.phase = known.phase.filter(|_| keeps).map(|phase| Phase {
                from: at,
                paid_to,
                free_to: paid_to,
                ..phase
            });
            known.status = status;
            known.deleted = (status == ResourceStatus::Deleted).then_some(at);
            known.charges.clear();
        }
        Ok(())
    }

    pub(super) fn resumed(&mut self, before: &AccountState, ids: &[&str], at: i64) -> Check {
        if before.standing != Standing::Good {
            let idle: Vec<(String, i128)> = self
                .things
                .iter()
                .filter(|(_, thing)| {
                    thing.keeps && thing.deleted.is_none() && thing.status != ResourceStatus::New
                })
                .map(|(id, thing)| (id.clone(), self.rate(thing, Mode::Idle, at)))
                .collect();
            for (id, picos) in idle {
                if let Some(thing) = self.things.get_mut(&id) {
                    thing.phase =
                        Some(Phase { mode: Mode::Idle, from: at, paid_to: at, free_to: at, picos });
                }
            }
        }
        let paid_through = before.paid_through().map(Timestamp::seconds);
        ensure!(ids.is_empty() || before.frozen.is_empty(), "something came back while frozen");
        for id in ids {
            let Some(known) = self.things.get(*id) else {
                return Err(format!("{id} is not known"));
            };
            ensure!(
                known.status == ResourceStatus::Running && known.deleted.is_none(),
                "{id} came back as {:?}",
                known.status
            );
            ensure!(
                paid_through.is_none_or(|through| through <= at),
                "{id} came back at {at} and is not charged before {paid_through:?}"
            );
            ensure!(
                self.rate(known, Mode::Running, at) == 0
                    || !self.is_over_budget(&known.project, at),
                "{id} came back, and its budget is used up"
            );
            let picos = self.rate(known, Mode::Running, at);
            if let Some(thing) = self.things.get_mut(*id) {
                let paid_to = paid_through.unwrap_or(at).max(at);
                thing.phase =
                    Some(Phase { mode: Mode::Running, from: at, paid_to, free_to: paid_to, picos });
                (thing.started, thing.before, thing.idle_paid_to) =
                    (at, ResourceStatus::Stopped, at);
                thing.charges.clear();
            }
        }
        Ok(())
    }

    /// Each unit is billed once, at the price of its hour, by a fund that could pay in that hour.
    pub(super) fn metered(&mut self, line: &MeterLine) -> Check {
        ensure!(line.to > line.from, "a meter went from {} to {}", line.from, line.to);
        let hour = line.hour.map(Timestamp::seconds);
        let sku = line.sku.as_str();
        let billed = self.metered.insert((hour, sku.to_owned()), line.to).unwrap_or_default();
        ensure!(billed == line.from, "{sku} is billed from {}, and was to {billed}", line.from);
        if let Some(hour) = hour {
            let known = self.prices.iter().filter(|price| {
                price.sku.as_str() == sku && price.valid_from.seconds() < hour + HOUR
            });
            let rate = known.max_by_key(|price| price.valid_from).map(|price| price.rate);
            ensure!(rate.is_none_or(|rate| rate == line.rate), "{sku} costs {}", line.rate);
            let exact = |units: Quantity| line.rate.for_quantity(units);
            let amount = exact(line.to) - exact(line.from);
            ensure!(line.amount == -amount, "{sku} costs {}, not {amount}", line.amount);
        }
        for share in &line.shares {
            let number = number(share.fund);
            let pot = self.pots.get(&number).cloned().unwrap_or_default();
            let is_of_hour = hour.is_none_or(|hour| pot.expires > hour && pot.given < hour + HOUR);
            let allowed = number == 0 || (is_of_hour && !pot.excludes.contains(sku));
            ensure!(allowed && share.amount <= Usd::ZERO, "grant {number} pays for {sku}");
        }
        let shares: Usd = line.shares.iter().map(|share| share.amount).sum();
        ensure!(
            shares == line.amount && line.amount <= Usd::ZERO,
            "{sku} costs {} and is paid {shares}",
            line.amount
        );
        Ok(())
    }

    pub(super) fn begin_period(&mut self) {
        self.refunded_use = 0;
        self.pots.values_mut().for_each(|pot| pot.used = 0);
    }

    pub(super) fn use_up(&mut self, shares: &[FundShare]) {
        for (number, part) in paid(shares) {
            self.pots.entry(number).or_default().used += part;
        }
    }

    pub(super) fn listed_idle(&self, sku: &str, instant: i64) -> i128 {
        let known = self
            .prices
            .iter()
            .filter(|price| price.sku.as_str() == sku && price.valid_from.seconds() <= instant);
        known.max_by_key(|price| price.valid_from).map_or(0, |price| picos(price.idle_rate))
    }
}
