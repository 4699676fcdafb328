//! The respite of a refill, what is owed for it, and what a start must leave.

use tollgate::domain::account::{AccountState, Standing, SuspensionReason};
use tollgate::domain::event::{
    BillingChange, Change, Event, RefillWant, ResourceChange, StandingChange,
};
use tollgate::domain::resources::ResourceStatus;
use tollgate::domain::timestamp::Timestamp;

use super::{Mode, Model, Thing, cost, ensure, micros, picos};
use crate::Check;

/// The respite, and how long a start's credit must last, in seconds.
const TEN_MINUTES: i64 = 600;
/// From a suspension to the deletion, in seconds.
const GRACE: i64 = 3 * 86_400;

impl Model {
    /// There is one respite between two credits. It begins with the first row that leaves too little
    /// while a refill is wanted or open.
    pub(super) fn respite(
        &mut self,
        before: &AccountState,
        event: &Event,
        after: &AccountState,
    ) -> Check {
        let is_credit = match &event.change {
            Change::Payment(_) | Change::Grant(_) | Change::Staff(_) => {
                event.amount().is_positive()
            }
            _ => false,
        };
        let earlier = self.respite;
        if is_credit && self.pays_for_respite(event, after) {
            self.respite = None;
        } else if is_credit && earlier.is_some() {
            let kept = (event.respite_from, event.respite_until);
            // A rejection has ended it earlier.
            let until = before.refill.respite.map(|respite| respite.until.seconds());
            ensure!(until <= earlier.map(|from| from + TEN_MINUTES), "{until:?} of {earlier:?}");
            ensure!(
                (kept.0.map(Timestamp::seconds), kept.1.map(Timestamp::seconds))
                    == (earlier, until),
                "a credit that does not pay for the respite left {kept:?} of {earlier:?}"
            );
        } else {
            ensure!(event.respite_from.is_none(), "only a credit leaves a respite as it is");
        }
        let refill = &after.refill;
        let is_open = refill.attempt.as_ref().is_some_and(|attempt| attempt.void_at.is_none());
        let is_under_way = is_open || (refill.attempt.is_none() && refill.wanted.is_some());
        let is_over = before.refill.wanted.is_some() && !is_under_way && refill.attempt.is_none();
        let is_unused = after.paid_through().is_none_or(|through| through > event.at);
        if matches!(event.change, Change::Hold(_)) && is_over && is_unused {
            // The hold was the only reason for a refill.
            self.respite = None;
            ensure!(refill.respite.is_none(), "a respite that nothing used goes on");
        }
        let free = self.free();
        let is_low = refill.agreement.is_some_and(|agreed| free < micros(agreed.threshold));
        let wants = matches!(event.want, Some(RefillWant::Now { .. }));
        if (wants || (is_under_way && is_low)) && self.respite.is_none() {
            self.respite = Some(event.at.seconds());
            let until = event.respite_until.map(Timestamp::seconds);
            ensure!(until == Some(event.at.seconds() + TEN_MINUTES), "no respite: {until:?}");
        } else {
            let is_new = event.respite_until.is_some() && event.respite_from.is_none();
            ensure!(!is_new, "another respite before any credit");
        }
        let owed = micros(event.owed);
        let kept = kept_cost(before, event)?;
        // Prices may have changed at the end of the paid time. What was stopped costs less.
        let rated_at = before.paid_through().map_or(0, Timestamp::seconds);
        let is_there = |thing: &&Thing| thing.deleted.is_none();
        let rates = self.things.values().filter(is_there);
        let rates = rates.map(|thing| self.rate(thing, Mode::Running, rated_at));
        let most =
            micros(before.billed.rate.for_seconds(TEN_MINUTES)).max(cost(rates.sum(), TEN_MINUTES));
        let in_respite = owed - kept;
        ensure!(in_respite <= most + 1_000, "{in_respite} is owed for ten minutes of {most}");
        self.owed += owed;
        ensure!(self.owed >= 0, "more was paid than was owed");
        match &event.change {
            Change::Billing(BillingChange::OwedPaid) => {
                let paid = micros(event.amount());
                ensure!(owed == kept + paid && paid < 0, "{owed} was not paid");
            }
            Change::Resource(ResourceChange::StartFailed { resource, .. }) => {
                let thing = self.things.get(resource.id.as_str());
                // What is kept costs what it cost when the suspension began.
                let begun = match &before.standing {
                    Standing::Suspended(suspension) => suspension.as_of,
                    _ => event.at,
                };
                let rate = |mode| {
                    let at = |at: Timestamp| {
                        thing.map_or(0, |thing| self.rate(thing, mode, at.seconds()).max(0))
                    };
                    at(begun).max(at(event.at))
                };
                let most = cost(rate(Mode::Running), TEN_MINUTES) + cost(rate(Mode::Idle), GRACE);
                ensure!(-in_respite <= most + 1_000, "{in_respite} more than {most} is let off");
            }
            _ if owed < 0 => ensure!(self.owed == 0, "only a deletion writes off, and all of it"),
            _ => {}
        }
        Ok(())
    }

    /// Whether a credit is enough for what ran in the respite, with all that is owed.
    fn pays_for_respite(&self, event: &Event, after: &AccountState) -> bool {
        let Some(through) = after.paid_through() else { return true };
        let seconds = (event.at - through).max(0);
        let to_pay = micros(after.billed.rate.for_seconds(seconds)) + self.owed;
        let usable = self.pots.iter().filter(|(number, pot)| {
            **number > 0 && pot.excludes.is_empty() && pot.expires > event.at.seconds()
        });
        let free = |pot: &super::Pot| pot.remaining - pot.held;
        let paid = self.pots.get(&0).map_or(0, free);
        let credit = paid.max(0) + usable.map(|(_, pot)| free(pot)).sum::<i64>();
        // Time never takes the balance below zero, so a debt is paid first.
        seconds == 0 || credit.min(self.free().max(0)) >= to_pay
    }

    /// Enters what is kept since a suspension, before its row ends what is billed.
    pub(super) fn keep(&mut self, event: &Event) {
        match &event.change {
            Change::Standing(StandingChange::Suspended { as_of, reason, .. }) => {
                let is_kept = |thing: &Thing| {
                    *reason == SuspensionReason::Credit && thing.keeps && thing.phase.is_some()
                };
                let kept = self.things.iter().filter(|(_, thing)| is_kept(thing));
                let idle = |thing: &Thing| self.rate(thing, Mode::Idle, as_of.seconds());
                self.kept = kept.map(|(id, thing)| (id.clone(), idle(thing))).collect();
            }
            Change::Resource(ResourceChange::ResourcesDeleted { resources, .. }) => {
                for resource in resources {
                    self.kept.remove(resource.id.as_str());
                }
            }
            Change::Resource(ResourceChange::StartFailed { resource, status, .. })
                if *status != ResourceStatus::Stopped =>
            {
                self.kept.remove(resource.id.as_str());
            }
            _ => {}
        }
    }

    /// What is kept during a suspension costs its idle rate for the grace at most.
    pub(super) fn check_kept(&self, event: &Event, after: &AccountState) -> Check {
        let kept = after.kept();
        let rate = kept.map_or(0, |kept| picos(kept.rate));
        let expected: i128 = self.kept.values().sum();
        ensure!(kept.is_none() || rate == expected, "{kept:?} is charged, {expected} is kept");
        let Change::Standing(StandingChange::Suspended { as_of, delete_at, .. }) = &event.change
        else {
            return Ok(());
        };
        // A trial has no grace, in which anything could be kept.
        let has_grace = *delete_at != Some(event.at);
        ensure!(!has_grace || rate == expected, "{kept:?} is charged, {expected} is kept");
        let Some(kept) = kept else { return Ok(()) };
        let free = kept.from - *as_of;
        ensure!((0..=TEN_MINUTES).contains(&free), "kept data is free for {free} seconds");
        ensure!(kept.until - kept.from == GRACE, "{kept:?} is not the grace");
        Ok(())
    }

    /// After a start the account can pay ten minutes of everything.
    pub(super) fn reserve(&self, event: &Event, after: &AccountState) -> Check {
        if !matches!(&event.change, Change::Resource(ResourceChange::Started { .. })) {
            return Ok(());
        }
        // Each line is rounded for itself.
        let needed = micros(after.billed.rate.for_seconds(TEN_MINUTES)) - 1_000;
        let left = self.free();
        ensure!(left >= needed, "{left} micro-dollars are left, and ten minutes cost {needed}");
        ensure!(micros(after.owed) == self.owed, "{} is owed", self.owed);
        Ok(())
    }
}

/// What a row adds to the amount owed for kept data, in micro-dollars. Only a row that pays, deletes
/// or ends the grace adds it, so that it is never counted twice.
fn kept_cost(before: &AccountState, event: &Event) -> Result<i64, String> {
    let Some(kept) = before.kept() else { return Ok(0) };
    let through = match &event.change {
        Change::Billing(BillingChange::OwedPaid) => before.at,
        Change::Resource(ResourceChange::StartFailed { .. }) if event.kept.is_some() => event.at,
        Change::Resource(ResourceChange::ResourcesDeleted { .. })
        | Change::Standing(StandingChange::DeletionDue) => event.at,
        _ => {
            let is_new =
                matches!(&event.change, Change::Standing(StandingChange::Suspended { .. }));
            ensure!(event.kept.is_none() || is_new, "a row of another kind changes what is kept");
            return Ok(0);
        }
    };
    if let Some(next) = event.kept {
        let moved = through.min(kept.until).max(kept.from);
        ensure!(next.from == moved && next.rate <= kept.rate, "time is lost or counted twice");
    }
    let seconds = (through.min(kept.until) - kept.from).max(0);
    Ok(micros(kept.rate.for_seconds(seconds)))
}
