//! Grace, pending money and open attempts: when something may be deleted.

use tollgate::domain::account::{AccountState, Standing, SuspensionReason, TrialNotice};
use tollgate::domain::event::{Change, Event, GrantChange, StandingChange};
use tollgate::domain::resources::ResourceStatus;
use tollgate::domain::timestamp::Timestamp;

use super::{DAY, HOUR, Model, Thing, ensure};
use crate::Check;

impl Model {
    /// Grace, pending money and open attempts.
    pub(super) fn standing(&mut self, event: &Event, at: i64) -> Check {
        match &event.change {
            Change::Grant(GrantChange::TrialEnding { ends_at, notice, .. }) => {
                let left = ends_at.seconds() - at;
                let fits = match notice {
                    TrialNotice::Day => (HOUR + 1..=DAY).contains(&left),
                    TrialNotice::Hour => (1..=HOUR).contains(&left),
                };
                ensure!(fits, "told {notice:?} of an end in {left} seconds");
                let ends = ends_at.seconds();
                let told = self.trial_told.filter(|(_, before)| ends - before <= DAY);
                let told = told.map(
                    |(told, before)| {
                        if ends - before > HOUR { TrialNotice::Day } else { told }
                    },
                );
                ensure!(told < Some(*notice), "told {notice:?} twice");
                let ends = self.trial.map_or(0, |(_, ends)| ends);
                ensure!(
                    self.trial_ended.is_none() && !self.ever_paid && ends_at.seconds() <= ends,
                    "told of an end at {ends_at}, not at {ends}"
                );
                self.trial_told = Some((*notice, ends_at.seconds()));
            }
            Change::Standing(StandingChange::Suspended { reason, delete_at, warn_at, .. }) => {
                let is_new = |thing: &Thing| {
                    self.trial.is_some_and(|(from, to)| (from..to).contains(&thing.created))
                        || thing.purged.is_some()
                };
                let unpaid_trial =
                    self.trial.is_some() && !self.ever_paid && self.things.values().all(is_new);
                // While the renewal is tried again, nothing is deleted.
                let grace = if unpaid_trial && !self.retries { 0 } else { 3 * DAY };
                let is_kept = |thing: &Thing| {
                    thing.status != ResourceStatus::New
                        && thing.deleted.is_none()
                        && thing.purged.is_none()
                };
                let deletes =
                    *reason == SuspensionReason::Credit && self.things.values().any(is_kept);
                let expected = deletes.then_some(at + grace);
                let found = delete_at.map(Timestamp::seconds);
                ensure!(
                    found == expected,
                    "suspended at {at}, to be deleted at {found:?}, not {expected:?}"
                );
                let left = self.free();
                let expected =
                    expected.map(|delete_at| delete_at - DAY).filter(|warn_at| *warn_at > at);
                let found = warn_at.map(Timestamp::seconds);
                ensure!(
                    found == expected,
                    "suspended at {at}, to be warned at {found:?}, not {expected:?}"
                );
                (self.suspended, self.announced, self.held) =
                    (Some((at, grace, left.max(0))), None, None);
            }
            Change::Standing(StandingChange::DeletionAnnounced { delete_at }) => {
                let (since, grace) = self.loses("warned")?;
                ensure!(self.announced.is_none(), "warned twice of the same deletion");
                ensure!(
                    grace > DAY || self.held.is_some(),
                    "warned of a deletion that the suspension announced"
                );
                ensure!(
                    since + grace - DAY <= at,
                    "warned at {at}, suspended at {since}, grace {grace}"
                );
                let (expected, found) = ((since + grace).max(at + DAY), delete_at.seconds());
                ensure!(
                    found == expected,
                    "warned at {at}, to be deleted at {found}, not {expected}"
                );
                self.announced = Some(at);
            }
            Change::Standing(StandingChange::DeletionDue | StandingChange::Deleted) => {
                let (since, grace) = self.loses("deleted")?;
                ensure!(
                    since + grace <= at,
                    "deleted at {at}, suspended at {since}, grace {grace}"
                );
                let had_a_day = self.announced.is_some_and(|announced| announced + DAY <= at);
                let is_warning_itself = grace <= DAY && self.held.is_none();
                ensure!(
                    is_warning_itself || had_a_day,
                    "deleted at {at}, warned at {:?}",
                    self.announced
                );
            }
            Change::Standing(StandingChange::Resumed { .. } | StandingChange::Reopened { .. }) => {
                self.suspended = None;
            }
            _ => {}
        }
        Ok(())
    }

    /// Records reasons that delay the deletion after a row. Only the next warning counts then.
    pub(super) fn hold(&mut self, after: &AccountState) {
        let Some((_, _, left)) =
            self.suspended.filter(|_| matches!(after.standing, Standing::Suspended(_)))
        else {
            return;
        };
        let refill = self.refills.open.is_some() || after.refill.wanted.is_some();
        let balance = self.free();
        let is_held = self.pots.values().any(|pot| pot.held > 0);
        if refill || !self.pending.is_empty() || balance > left || is_held {
            (self.announced, self.held) = (None, Some(after.at.seconds()));
        }
    }

    /// Checks that nothing blocks a deletion. Returns the time of the suspension and the grace
    /// period.
    pub(super) fn loses(&self, what: &str) -> Result<(i64, i64), String> {
        let Some((since, grace, left)) = self.suspended else {
            return Err(format!("{what} without a suspension"));
        };
        let balance = self.free();
        ensure!(
            balance <= left,
            "{what} with {balance}, of which {left} was left at the suspension"
        );
        let is_held = self.pots.values().any(|pot| pot.held > 0);
        ensure!(!is_held, "{what} while credit is held");
        ensure!(self.pending.is_empty(), "{what} while {:?} is pending", self.pending);
        ensure!(self.refills.open.is_none(), "{what} while a refill is open");
        Ok((since, grace))
    }
}
