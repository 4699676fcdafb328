//! Refills: a card is charged only as its owner agreed.

use tollgate::domain::account::{AccountState, RefillAgreement, RefillPurpose, Standing};
use tollgate::domain::event::{
    BillingChange, Cause, Change, CreditKind, DisputeOutcome, Event, GrantChange, PaymentChange,
    RefillChange, RefillDecline, RefillWant, ResourceChange, StaffChange,
};
use tollgate::domain::money::Usd;
use tollgate::domain::timestamp::Timestamp;

use super::{HOUR, Model, ensure, micros};
use crate::Check;

/// How long no refill begins after a change of the saved cards, in seconds.
const TWO_MINUTES: i64 = 120;

impl Model {
    /// A card is charged only as its owner agreed.
    pub(super) fn refill(
        &mut self,
        before: &AccountState,
        event: &Event,
        after: &AccountState,
    ) -> Check {
        let at = event.at;
        match &event.change {
            Change::Refill(RefillChange::RefillBegun(attempt)) => {
                ensure!(self.refills.open.is_none(), "a second attempt is open");
                ensure!(before.frozen.is_empty(), "a frozen account's card is charged");
                ensure!(
                    matches!(before.standing, Standing::Good | Standing::Suspended(_)),
                    "a card is charged in standing {:?}",
                    before.standing
                );
                ensure!(before.refill.paused.is_none(), "a card is charged although refills pause");
                ensure!(
                    !self.refills.never.contains(attempt.card.as_str()),
                    "{} said never",
                    attempt.card
                );
                ensure!(
                    before.refill.card.as_ref() == Some(&attempt.card),
                    "another card is charged"
                );
                let Some(agreed) = before.refill.agreement else {
                    return Err("nothing was agreed".to_owned());
                };
                let most = match attempt.purpose {
                    RefillPurpose::Threshold => agreed.target.unwrap_or(agreed.amount),
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
                ensure!(
                    failed + HOUR <= at.seconds(),
                    "an attempt at {at}, one failed at {failed}"
                );
                let waits = self.refills.look_at.filter(|look_at| *look_at > at.seconds());
                ensure!(
                    waits.is_none() || attempt.purpose == RefillPurpose::TrialRenewal,
                    "a card is charged while its owner may be paying, until {waits:?}"
                );
                self.refills.open = Some((attempt.number, attempt.card.as_str().to_owned()));
            }
            Change::Refill(RefillChange::RefillChanged { look_at, .. }) => {
                self.refills.look_at = look_at.map(Timestamp::seconds);
                let patience = look_at.map_or(TWO_MINUTES, |look_at| look_at - at);
                ensure!(patience == TWO_MINUTES, "a look in {patience} seconds");
            }
            Change::Refill(RefillChange::CardExpiring { ends_at, .. }) => {
                ensure!(at < *ends_at, "a warning of {ends_at} at {at}");
                let told = after.refill.card_expiry.is_some_and(|expiry| expiry.warn_at.is_none());
                ensure!(told, "the warning is sent again");
            }
            Change::Refill(RefillChange::CardExpired { .. }) => {
                let ended = before.refill.card_expiry.is_some_and(|expiry| expiry.ends_at <= at);
                ensure!(ended, "{:?} has expired at {at}", before.refill.card_expiry);
                ensure!(after.refill.paused.is_some(), "an expired card is charged");
            }
            // Only its owner asks for a refill before the look.
            Change::Refill(RefillChange::RefillDue) if event.cause != Cause::Time => {
                self.refills.look_at = None;
            }
            Change::Refill(RefillChange::RefillFailed { decline, .. }) => {
                let Some((_, card)) = self.refills.open.take() else {
                    return Err("no attempt was open".to_owned());
                };
                self.refills.failed_at = Some(at.seconds());
                if *decline == RefillDecline::Never {
                    self.refills.never.insert(card);
                }
            }
            Change::Payment(PaymentChange::Credited {
                kind: CreditKind::Refill { attempt, .. },
                credit,
                ..
            }) => {
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
            Change::Refill(RefillChange::CardRemoved { card }) => {
                self.refills.never.remove(card.as_str());
            }
            Change::Payment(
                PaymentChange::DisputeClosed { outcome: DisputeOutcome::Lost, .. }
                | PaymentChange::DisputeOpened { .. },
            ) => {
                ensure!(!after.frozen.is_empty(), "a dispute does not freeze the account");
            }
            _ => {}
        }
        if event.amount().is_positive() && event.change.lines().is_none() {
            self.refills.look_at = None;
        }
        let open = self.refills.open.as_ref().map(|(number, _)| *number);
        let known = after.refill.attempt.as_ref().map(|attempt| attempt.number);
        ensure!(open == known, "attempt {known:?} is open, not {open:?}");
        if let Some(wanted) = after.refill.wanted {
            ensure!(after.frozen.is_empty(), "a refill is wanted while frozen");
            let agreed = after.refill.agreement;
            let is_as_agreed = |agreed: RefillAgreement| match agreed.target {
                None => wanted.amount == agreed.amount,
                // Owed time comes on top. What came since the refill was wanted is not deducted.
                Some(target) => wanted.amount >= agreed.amount && wanted.amount <= target,
            };
            let is_agreed =
                wanted.purpose == RefillPurpose::TrialRenewal || agreed.is_some_and(is_as_agreed);
            ensure!(is_agreed, "{} is wanted, {agreed:?} was agreed", wanted.amount);
        }
        if let Some(RefillWant::Now { amount, purpose: RefillPurpose::Threshold }) = event.want
            && let Some(RefillAgreement { target: Some(target), .. }) = after.refill.agreement
        {
            let owed = after.owed_at(at.plus(HOUR));
            let missing = micros(target + owed) - self.free();
            let fits =
                micros(amount) >= missing.min(micros(target)) || after.refill.monthly_cap.is_some();
            ensure!(fits, "{amount} is wanted, {missing} are missing to {target}");
            ensure!(micros(amount) < missing + 10_000, "{amount} is more than {missing}");
        }
        Ok(())
    }

    /// Rows of failed starts and refunds do not contain the amounts paid for this period. The state
    /// does.
    pub(super) fn look_up_use(&mut self, after: &AccountState) {
        for (number, pot) in &mut self.pots {
            let known = match number {
                0 => after.period.as_ref().map_or(Usd::ZERO, |period| period.used),
                number => after.grant(*number).map_or(Usd::ZERO, |grant| grant.used),
            };
            pot.used = pot.used.min(micros(known));
        }
    }

    /// Checks that books and state agree.
    pub(super) fn agree(
        &self,
        before: &AccountState,
        event: &Event,
        after: &AccountState,
    ) -> Check {
        let name = event.change.name();
        let balance: i64 = self.pots.values().map(|pot| pot.remaining).sum();
        let was = micros(before.balance());
        let is = micros(after.balance());
        ensure!(is == was + micros(event.amount()), "{was} and {} make {is}", event.amount());
        ensure!(is == balance, "the balance is {is}, the funds hold {balance}");
        let sums = &self.sums;
        let total = sums.payments + sums.granted + sums.corrections
            - sums.usage
            - sums.taken_back
            - sums.expired;
        ensure!(total == is, "the balance is {is}, {sums:?} make {total}");
        let open: Vec<u64> = after.open_refunds.iter().map(|open| open.number).collect();
        ensure!(open == self.refunds, "the refunds {open:?} are open, not {:?}", self.refunds);
        let paid = self.pots.get(&0).cloned().unwrap_or_default();
        ensure!(
            micros(after.paid) == paid.remaining,
            "paid credit is {}, not {}",
            after.paid,
            paid.remaining
        );
        ensure!(
            paid.remaining <= paid.put_in + self.dust,
            "paid credit is {}, of {} that came in",
            paid.remaining,
            paid.put_in
        );
        for (number, pot) in self.pots.iter().filter(|(number, _)| **number > 0) {
            let known = after.grant(*number).map_or(0, |grant| micros(grant.remaining));
            ensure!(known == pot.remaining, "grant {number} holds {known}, not {}", pot.remaining);
            ensure!(
                (0..=pot.put_in + self.dust).contains(&known),
                "grant {number} holds {known} of {}",
                pot.put_in
            );
        }
        for grant in &after.grants {
            ensure!(!grant.used.is_negative(), "grant {} has used {}", grant.number, grant.used);
        }
        let time = matches!(
            event.change,
            Change::Billing(BillingChange::Usage { .. })
                | Change::Resource(ResourceChange::Started { .. })
        );
        ensure!(!time || is >= 0 || is >= was, "{name} takes the balance from {was} to {is}");
        let credits = matches!(
            event.change,
            Change::Payment(PaymentChange::Credited { .. } | PaymentChange::GivenBack { .. })
                | Change::Staff(StaffChange::Corrected { .. } | StaffChange::Imported { .. })
                | Change::Grant(GrantChange::Granted { .. })
        ) || matches!(event.change, Change::Grant(GrantChange::TrialStarted { .. }));
        ensure!(
            credits || event.change.lines().is_some() || is <= was,
            "{name} adds to the balance"
        );
        Ok(())
    }
}
