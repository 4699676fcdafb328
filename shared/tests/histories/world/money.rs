//! Money that arrives, is granted or corrected, and goes back in refunds and disputes.

use std::collections::BTreeSet;

use tollgate::domain::account::{PendingPayment, RefillPurpose};
use tollgate::domain::command::{
    BonusGrant, CardFunding, CardWallet, Command, OpeningBalance, RefundTerms, TakenCredit,
    TrialCard,
};
use tollgate::domain::event::{
    Change, CreditKind, DisputeOutcome, PaymentChange, PaymentFacts, PendingEnd, StaffRefund,
    TakeBack,
};
use tollgate::domain::ids::PaymentId;
use tollgate::domain::money::Usd;
use tollgate::domain::payment_records::RecordedTotals;
use tollgate::domain::profile::NonEmptyText;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve;

use super::{World, excluded, id};
use crate::model::{Asked, ensure, micros};
use crate::steps::{Action, How};

pub(super) fn payment_facts(number: u8) -> Result<PaymentFacts, String> {
    let cents = [2_500, 500, 100, 2_000, 1_001, 10_000, 600, 333][usize::from(number % 8)];
    // Some payments carry tax: more is received than credited.
    let received_cents = if number % 3 == 1 { cents + cents * 825 / 10_000 } else { cents };
    let credit = Usd::from_cents(cents).map_err(|error| error.to_string())?;
    Ok(PaymentFacts { payment: id(&format!("pi_{number}"))?, credit, received_cents })
}

/// Parts that make up the whole payment.
fn part_cents(received: i64, part: u8) -> i64 {
    let third = received / 3;
    match part {
        0 => third,
        1 => third + 1,
        2 => 1,
        _ => received - 2 * third - 2,
    }
}

impl World {
    pub(super) fn move_money(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        let none = Asked::default();
        match *action {
            Action::Credit { payment, how } => {
                let payment = payment_facts(payment)?;
                let asked = Asked { paid: micros(payment.credit), grant: 0 };
                let open = self.state().refill.attempt.as_ref();
                let purpose = open.map_or(RefillPurpose::Threshold, |open| open.purpose);
                let (kind, bonus, asked) = match how {
                    How::TopUp => (CreditKind::TopUp, None, asked),
                    How::Commit(seconds) => {
                        let (amount, expires_at) = (Usd::dollars(12), self.now.plus(seconds));
                        let bonus = BonusGrant { amount, expires_at, excludes: BTreeSet::new() };
                        // A bonus that has already expired never blocks the payment it came with.
                        let grant = if seconds > 0 { micros(amount) } else { 0 };
                        (CreditKind::Commit, Some(bonus), Asked { grant, ..asked })
                    }
                    How::Refill(off) => {
                        let attempt =
                            open.map_or(self.state().refill.attempts_so_far, |open| open.number);
                        (
                            CreditKind::Refill { attempt: attempt + u32::from(off), purpose },
                            None,
                            asked,
                        )
                    }
                };
                let refusal = self.command(
                    &Command::Credit { payment, kind, plan: None, bonus, also: Vec::new() },
                    asked,
                )?;
                ensure!(refusal.is_none(), "a confirmed payment is refused: {refusal:?}");
                Ok(refusal)
            }
            Action::AwaitPayment { payment, hours } => {
                let PaymentFacts { payment, credit: amount, .. } = payment_facts(payment)?;
                let expires_at = self.now.plus(hours * 3_600);
                self.command(
                    &Command::AwaitPayment(PendingPayment { payment, amount, expires_at }),
                    none,
                )
            }
            Action::EndPayment { payment, canceled } => {
                let payment = payment_facts(payment)?.payment;
                let how = if canceled == 0 { PendingEnd::Failed } else { PendingEnd::Canceled };
                self.command(&Command::EndPayment { payment, how }, none)
            }
            Action::Grant { cents, seconds, excludes } => {
                let amount = Usd::from_cents(cents).map_err(|error| error.to_string())?;
                let (expires_at, excludes) = (self.now.plus(seconds), excluded(excludes)?);
                let bonus = BonusGrant { amount, expires_at, excludes };
                let asked = Asked { paid: 0, grant: micros(amount) };
                self.command(&Command::Grant { bonus, reason: "for a test".to_owned() }, asked)
            }
            Action::WithdrawGrant { number } => {
                let (number, reason) = (u32::from(number), "for a test".to_owned());
                self.command(&Command::WithdrawGrant { number, reason }, Asked::default())
            }
            Action::Correct { micros } => {
                let reason = if micros == 2 { String::new() } else { "a mistake".to_owned() };
                let amount = Usd::from_micros(micros);
                self.command(&Command::Correct { amount, reason }, Asked { paid: micros, grant: 0 })
            }
            Action::Import { micros: paid, bonus } => {
                let amount = Usd::from_cents(bonus).map_err(|error| error.to_string())?;
                let (expires_at, excludes) = (self.now.plus(3 * 86_400), BTreeSet::new());
                let bonus = (bonus > 0).then_some(BonusGrant { amount, expires_at, excludes });
                let asked = Asked { paid, grant: micros(amount) };
                let credit = Usd::from_micros(paid);
                let reference = NonEmptyText::try_from("customer 17".to_owned())
                    .map_err(|error| error.to_string())?;
                self.command(&Command::Import(OpeningBalance { credit, bonus, reference }), asked)
            }
            Action::StartTrial { card } => {
                let funding = [CardFunding::Credit, CardFunding::Debit, CardFunding::Prepaid]
                    [usize::from(card % 3)];
                let wallet = if card == 4 { CardWallet::Some } else { CardWallet::None };
                let card = TrialCard { fingerprint: id("finger")?, funding, wallet };
                let asked = Asked { paid: 0, grant: micros(self.policy.trial.credit) };
                self.command(&Command::StartTrial { card, refill: None }, asked)
            }
            Action::Refund { payment, part } => {
                let of = payment_facts(payment)?;
                let cents = part_cents(of.received_cents, part);
                let by = TakeBack::Refund(id(&format!("re_{payment}_{part}"))?);
                let before = self.recorded(&of);
                self.command(&Command::TakeBack { by, of, cents, before }, none)
            }
            Action::RefundReversed { payment, part } => {
                let of = payment_facts(payment)?;
                let cents = part_cents(of.received_cents, part);
                let by = TakeBack::Refund(id(&format!("re_{payment}_{part}"))?);
                let taken = self.taken(&by);
                let before = self.recorded(&of);
                self.command(&Command::GiveBack { by, of, cents, taken, before }, none)
            }
            Action::BeginRefund { payment, part } => {
                let of = payment_facts(payment)?;
                // It is credited before it is refunded.
                if !self.is_credited(&of.payment) {
                    return Ok(None);
                }
                let cents = of.credit.to_cents().map_err(|error| error.to_string())?;
                let amount = match part {
                    0 => None,
                    1 => Some(of.credit),
                    _ => Some(Usd::from_cents(part_cents(cents, part - 2)).unwrap_or(of.credit)),
                };
                let (reason, may_leave_debt) = ("for a test".to_owned(), part % 3 == 0);
                let payment = of.payment.clone();
                let terms =
                    RefundTerms { payment, amount, reason, may_leave_debt, payment_max: None };
                let before = self.recorded(&of);
                self.command(&Command::BeginRefund { of, terms, before }, none)
            }
            Action::EndRefund { which, refused } => {
                // Sometimes one that has ended, or was never begun.
                let open = self.state().open_refunds.get(usize::from(which % 4)).copied();
                let Some(number) = open.map(|open| open.number) else {
                    let (refund, payment) = (id("re_none")?, id("pi_none")?);
                    let command = Command::ConfirmRefund { number: 0, refund, payment };
                    return self.command(&command, none);
                };
                let row = self.rows.iter().position(|row| row.seq == number);
                let Some([before, begun]) =
                    row.and_then(|row| self.rows.get(row.checked_sub(1)?..=row))
                else {
                    return Err(format!("refund {number} has no row"));
                };
                let Change::Payment(PaymentChange::TakenBack { of, .. }) = &begun.event.change
                else {
                    return Err(format!("row {number} is no refund"));
                };
                let of = of.clone();
                let command = if refused == 0 {
                    let refund = id(&format!("re_staff_{number}"))?;
                    Command::ConfirmRefund { number, refund, payment: of.payment }
                } else {
                    let taken = resolve::taken(&begun.event, &before.state)
                        .ok_or("a refund took nothing")?;
                    let (payment, before) = (of.payment.clone(), self.recorded(&of));
                    let refund = StaffRefund { number, payment, reason: "refused".to_owned() };
                    Command::UndoRefund { refund, of, taken, before }
                };
                self.command(&command, none)
            }
            Action::DisputeMoney { payment } => {
                let of = payment_facts(payment)?;
                let (cents, by) =
                    (of.received_cents, TakeBack::Dispute(id(&format!("dp_{payment}"))?));
                let before = self.recorded(&of);
                self.command(&Command::TakeBack { by, of, cents, before }, none)
            }
            Action::DisputeReversed { payment } => {
                let of = payment_facts(payment)?;
                let (cents, by) =
                    (of.received_cents, TakeBack::Dispute(id(&format!("dp_{payment}"))?));
                let taken = self.taken(&by);
                let before = self.recorded(&of);
                self.command(&Command::GiveBack { by, of, cents, taken, before }, none)
            }
            Action::DisputeOpened { payment } => {
                let (dispute, payment) =
                    (id(&format!("dp_{payment}"))?, payment_facts(payment)?.payment);
                self.command(&Command::OpenDispute { dispute, payment }, none)
            }
            Action::DisputeClosed { payment, lost } => {
                let outcome = if lost == 0 { DisputeOutcome::Won } else { DisputeOutcome::Lost };
                let dispute = id(&format!("dp_{payment}"))?;
                self.command(&Command::CloseDispute { dispute, outcome }, none)
            }
            _ => Ok(None),
        }
    }

    fn is_credited(&self, of: &PaymentId) -> bool {
        self.rows.iter().any(|row| {
            matches!(&row.event.change, Change::Payment(PaymentChange::Credited { payment, .. }) if payment == of)
        })
    }

    fn recorded(&self, of: &PaymentFacts) -> RecordedTotals {
        let records = self.records.get(&of.payment).cloned().unwrap_or_default();
        records.totals(self.state(), &of.payment)
    }

    fn taken(&self, of: &TakeBack) -> Option<TakenCredit> {
        let place = self.rows.iter().position(
            |row| matches!(&row.event.change, Change::Payment(PaymentChange::TakenBack { by, .. }) if by == of),
        )?;
        let before = place.checked_sub(1).and_then(|place| self.rows.get(place))?;
        resolve::taken(&self.rows.get(place)?.event, &before.state)
    }
}
