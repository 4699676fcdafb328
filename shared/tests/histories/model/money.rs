//! Money that moves for other reasons than time.

use std::collections::{BTreeMap, BTreeSet};

use tollgate::domain::account::{AccountState, GrantKind};
use tollgate::domain::event::{
    BillingChange, Change, Event, GrantChange, PaymentChange, PaymentFacts, StaffChange,
    StaffRefund, TakeBack,
};
use tollgate::domain::timestamp::Timestamp;

use super::{Asked, Model, Pot, ensure, micros, number};
use crate::Check;

impl Model {
    /// Money that moves for other reasons than time.
    pub(super) fn money(&mut self, before: &AccountState, event: &Event, asked: Asked) -> Check {
        let at = event.at.seconds();
        let amount = micros(event.amount());
        for grant in &event.grants {
            let excludes = grant.excludes.iter().map(|sku| sku.as_str().to_owned()).collect();
            let (expires, is_trial) = (grant.expires_at.seconds(), grant.kind == GrantKind::Trial);
            ensure!(expires > at, "a grant was added that has expired");
            ensure!(
                grant.remaining.is_zero() && grant.used.is_zero(),
                "a grant brings money of its own"
            );
            let payment = grant.payment.as_ref().map(|payment| payment.as_str().to_owned());
            let pot = Pot { given: at, expires, excludes, is_trial, payment, ..Pot::default() };
            let known = self.pots.entry(grant.number).or_insert(pot);
            ensure!(
                known.expires == expires,
                "grant {} came back with another expiry",
                grant.number
            );
        }
        let mut by_fund: BTreeMap<u32, i64> = BTreeMap::new();
        for delta in &event.funds {
            *by_fund.entry(number(delta.fund)).or_default() += micros(delta.amount);
        }
        let paid = by_fund.get(&0).copied().unwrap_or(0);
        let grants = amount - paid;
        let newest = event.grants.iter().map(|grant| grant.number).max().unwrap_or(0);
        match &event.change {
            Change::Payment(PaymentChange::Credited {
                payment, credit, received_cents, ..
            }) => {
                ensure!(
                    paid == asked.paid && paid == micros(*credit),
                    "a payment of {} credited {paid}",
                    asked.paid
                );
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
            Change::Grant(
                GrantChange::Granted { number, .. } | GrantChange::TrialStarted { number, .. },
            ) => {
                ensure!(
                    paid == 0 && grants == asked.grant,
                    "a grant of {} gave {amount}",
                    asked.grant
                );
                ensure!(*number == newest, "grant {number} is not the new one");
                self.sums.granted += grants;
                self.put_in(*number, grants);
                if let Change::Grant(GrantChange::TrialStarted { ends_at, .. }) = &event.change {
                    ensure!(
                        !self.ever_paid && self.trial.is_none(),
                        "a second trial, or one after a payment"
                    );
                    self.trial = Some((at, ends_at.seconds()));
                    (self.trial_ended, self.trial_told) = (None, None);
                }
            }
            Change::Staff(StaffChange::Corrected { .. }) => {
                ensure!(
                    grants == 0 && paid == asked.paid,
                    "a correction of {} moved {amount}",
                    asked.paid
                );
                self.sums.corrections += paid;
                self.put_in(0, paid);
            }
            Change::Staff(StaffChange::Imported { credit, .. }) => {
                ensure!(!self.imported, "the account is imported twice");
                let in_trial = self.trial.is_some() && self.trial_ended.is_none();
                ensure!(!in_trial || self.ever_paid, "it is imported in a trial");
                ensure!(
                    paid == asked.paid && paid == micros(*credit) && paid >= 0,
                    "an import of {} moved {paid}",
                    asked.paid
                );
                ensure!(grants == asked.grant, "an import with {} gave {grants}", asked.grant);
                self.imported = true;
                self.sums.corrections += paid;
                self.sums.granted += grants;
                self.put_in(0, paid);
                if grants > 0 {
                    self.put_in(newest, grants);
                }
                self.ever_paid |= paid > 0;
            }
            Change::Payment(PaymentChange::TakenBack { of, cents, credit, .. }) => {
                ensure!(paid == -micros(*credit), "a refund of {credit} took {paid}");
                ensure!(grants <= 0, "a refund gave credit");
                self.take_back(of, *cents, micros(*credit), &by_fund)?;
            }
            Change::Payment(PaymentChange::GivenBack { of, cents, credit, .. }) => {
                ensure!(paid == micros(*credit), "a reversal of {credit} gave {paid}");
                ensure!(grants >= 0, "a reversal took credit");
                let cents = if paid == 0 { 0 } else { *cents };
                self.take_back(of, -cents, -micros(*credit), &by_fund)?;
            }
            Change::Grant(GrantChange::GrantWithdrawn { number, .. }) => {
                let pot = self.pots.get(number).cloned().unwrap_or_default();
                let lasts = pot.expires > at && !pot.is_trial && pot.payment.is_none();
                ensure!(lasts, "grant {number} is withdrawn: {pot:?}");
                let free = pot.remaining - pot.held;
                ensure!(paid == 0 && grants == -free, "{grants} of {free} is withdrawn");
                self.sums.corrections += grants;
                self.put_in(*number, grants);
                self.pots.entry(*number).or_default().expires = at;
            }
            Change::Grant(GrantChange::GrantExpired { number }) => {
                self.expire(before, [*number].into(), at, &by_fund)?;
            }
            Change::Grant(GrantChange::TrialOver { ended_at, renewal }) => {
                self.end_trial(before, (ended_at.seconds(), renewal.is_some()), at)?;
                let its = self
                    .pots
                    .iter()
                    .filter(|(_, pot)| pot.is_trial && pot.remaining > pot.held)
                    .map(|(n, _)| *n);
                self.expire(before, its.collect(), at, &by_fund)?;
            }
            Change::Hold(change) if !change.lines().is_empty() => self.sums.usage -= amount,
            change
                if change.lines().is_some()
                    || matches!(
                        change,
                        Change::Billing(BillingChange::Metered { .. } | BillingChange::OwedPaid)
                    ) =>
            {
                self.sums.usage -= amount;
            }
            _ => ensure!(event.funds.is_empty(), "{} moved {amount}", event.change.name()),
        }
        for (number, part) in by_fund {
            self.pots.entry(number).or_default().remaining += part;
        }
        match &event.change {
            Change::Payment(PaymentChange::PaymentPending(pending)) => {
                self.pending.insert(pending.payment.as_str().to_owned());
            }
            Change::Payment(PaymentChange::PaymentEnded { payment, .. }) => {
                self.pending.remove(payment.as_str());
            }
            Change::Payment(PaymentChange::TakenBack { by: TakeBack::Staff(begun), .. }) => {
                ensure!(begun.number == before.next_seq, "refund {} is another row", begun.number);
                self.refunds.push(begun.number);
            }
            Change::Payment(
                PaymentChange::GivenBack {
                    by: TakeBack::Staff(StaffRefund { number, .. }), ..
                }
                | PaymentChange::RefundSent { number, .. },
            ) => {
                let place = self.refunds.iter().position(|open| open == number);
                self.refunds.remove(place.ok_or("a refund ends that is not open")?);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn put_in(&mut self, number: u32, amount: i64) {
        self.pots.entry(number).or_default().put_in += amount;
    }

    /// The credit taken is proportional to the cents taken, to the micro-dollar for each part.
    pub(super) fn take_back(
        &mut self,
        of: &PaymentFacts,
        cents: i64,
        credit: i64,
        by_fund: &BTreeMap<u32, i64>,
    ) -> Check {
        for (number, part) in by_fund {
            self.sums.taken_back -= part;
            self.put_in(*number, *part);
        }
        let payment = self.payments.entry(of.payment.as_str().to_owned()).or_default();
        (payment.credit, payment.received) = (micros(of.credit), of.received_cents);
        payment.cents_back += cents;
        payment.credit_back += credit;
        payment.parts += 1;
        // More may be refunded and disputed than was paid: then all of the credit is taken, and what
        // a later reversal returns is no longer proportional.
        if payment.cents_back > payment.received {
            payment.is_beyond = true;
        }
        if payment.is_beyond {
            let taken = payment.credit_back;
            ensure!((0..=payment.credit).contains(&taken), "{taken} of {} taken", payment.credit);
            return Ok(());
        }
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

    /// Only an expired grant loses its rest, all of it, and only after it paid for its time.
    /// A trial ends with its time, or as soon as nothing can be paid any more.
    fn end_trial(
        &mut self,
        before: &AccountState,
        (ended_at, is_renewed): (i64, bool),
        at: i64,
    ) -> Check {
        let (from, ends) = self.trial.unwrap_or((0, i64::MAX));
        ensure!(
            self.trial_ended.is_none() && ended_at <= at && ended_at <= ends,
            "a trial ended at {ended_at}, not at {ends}"
        );
        let paid_through = before.paid_through().map(Timestamp::seconds);
        let pays_no_time = paid_through == Some(ended_at) && !self.can_pay(ended_at, 1);
        let its = || self.pots.values().filter(|pot| pot.is_trial);
        let left: i64 = its().map(|pot| pot.remaining).sum();
        let is_held = its().any(|pot| pot.held > 0);
        let is_used_up = self.used_up && before.at.seconds() == ended_at && left == 0;
        // While credit was held, the account was only suspended.
        let floor = self.suspended.map(|(.., floor)| floor);
        let is_off = before.at.seconds() == ended_at && floor.is_some_and(|floor| left <= floor);
        let may_end = !is_held || is_renewed;
        let is_used = !self.ever_paid && (may_end && (pays_no_time || is_used_up) || is_off);
        ensure!(ended_at == ends || is_used, "a trial with credit ended at {ended_at}, not {ends}");
        self.pots.values_mut().filter(|pot| pot.is_trial).for_each(|pot| pot.expires = ended_at);
        (self.trial, self.trial_ended) = (Some((from, ended_at)), Some(at));
        Ok(())
    }

    pub(super) fn expire(
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
            let is_over = pot.expires <= at || pot.held > 0;
            ensure!(is_over, "grant {number} expired at {at} instead of {}", pot.expires);
            let free = pot.remaining - pot.held;
            ensure!(part == -free, "grant {number} had {free} and lost {part}");
            let expires = pot.expires.min(at);
            let paid_through = before.paid_through().map(Timestamp::seconds);
            ensure!(
                paid_through.is_none_or(|through| through >= expires),
                "grant {number} expired at {expires}, although time before that is unpaid"
            );
            self.sums.expired -= part;
        }
        Ok(())
    }
}
