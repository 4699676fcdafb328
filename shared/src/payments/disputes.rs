//! Disputes: the ledger follows what Stripe says of a dispute now.
//!
//! The amount of a dispute may exceed its charge, a lost dispute may return a part, a closed one
//! may close again with another outcome, and an event is a snapshot of its time. So each event is
//! only a reason to look: the account's head is read, the dispute is retrieved, and the next row is
//! appended to that head. If another row was faster, both are read again. What is retrieved is thus
//! never older than the head.

use serde_json::Value;

use crate::domain::account::{AccountState, DisputePhase, DisputeState};
use crate::domain::command::{Command, TakenForDispute};
use crate::domain::event::{Change, DisputeOutcome, PaymentChange, TakeBack};
use crate::domain::ids::{DisputeId, PaymentId};
use crate::domain::money::Usd;
use crate::domain::payment_records::RecordedTotals;
use crate::domain::refusal::Refusal;
use crate::domain::row_format::RowFormat;
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::store::{CreditedPayment, Plan, RowOrder, StoreError, TakenPart};
use crate::stripe::objects::StripeDispute;
use crate::stripe::webhook_event::{DisputeNews, DisputeStep};

/// The first format whose rows can move a dispute's money more than once.
const MOVED_AS_OFTEN: RowFormat = RowFormat::new(3);
/// How often head and dispute are read for one event. A dispute needs three rows at most.
const TURNS_MAX: u32 = 12;
/// How many rows are read at once.
const PAGE_ROWS: u32 = 100;

/// The rows that a dispute still needs. A step that cannot be recorded is left out, so that it does
/// not block the other.
#[derive(Clone, Copy)]
struct OpenSteps {
    phase: bool,
    money: bool,
}

impl Payments<'_> {
    /// Records a dispute as it is at Stripe: its status, and the money it moved.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn dispute(&self, news: &DisputeNews) -> Result<PaymentOutcome, PaymentError> {
        let Some(credited) = self.credited(news.payment.as_ref(), news.charge.as_deref()).await?
        else {
            return Ok(PaymentOutcome::Foreign);
        };
        let written = self.billing.settings.policy.row_format;
        let outcome = if written >= MOVED_AS_OFTEN || self.has_newer_rows(&news.dispute).await? {
            // Boxed: they are many futures deep.
            Box::pin(self.follow(&credited, &news.dispute)).await
        } else {
            Box::pin(self.record_steps(&credited, news)).await
        };
        let seq = match &outcome {
            Ok(
                PaymentOutcome::Recorded { seq, .. } | PaymentOutcome::AlreadyRecorded { seq, .. },
            ) => *seq,
            Ok(
                PaymentOutcome::Noted { .. } | PaymentOutcome::Foreign | PaymentOutcome::Ignored,
            )
            | Err(_) => credited.seq,
        };
        let id = news.dispute.as_str();
        self.billing.store.note_look_ups(&credited.account, seq, &[id]).await?;
        outcome
    }

    /// Whether rows of format 3 recorded a dispute. Then the steps of format 2 would count its
    /// money twice, even if the release was rolled back since.
    async fn has_newer_rows(&self, dispute: &DisputeId) -> Result<bool, StoreError> {
        for mark in ["moved", "changed"] {
            if self.billing.store.claim(&format!("stripe#{dispute}#{mark}")).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Appends rows until the ledger agrees with Stripe.
    async fn follow(
        &self,
        credited: &CreditedPayment,
        dispute: &DisputeId,
    ) -> Result<PaymentOutcome, PaymentError> {
        let account = &credited.account;
        let mut outcome = PaymentOutcome::Noted { account: account.clone() };
        let (mut open, mut failed) = (OpenSteps { phase: true, money: true }, None);
        for _ in 0..TURNS_MAX {
            let Some(head) = self.billing.store.head(account).await? else { return Ok(outcome) };
            let told = self.stripe.dispute(dispute).await?;
            let recorded = Box::pin(self.recorded(credited, dispute, &told, &head.state)).await?;
            let Some(command) = next_step(credited, dispute, &told, &head.state, recorded, open)
            else {
                return match (failed, phase(&told)) {
                    (Some(failure), _) => Err(failure),
                    (None, Some(_)) => Ok(outcome),
                    (None, None) => Err(unknown_status(dispute, &told)),
                };
            };
            let plan = |_: &AccountState| Ok(command.clone());
            match Box::pin(self.append_opened(account, Plan::on_state(&plan))).await {
                Ok(done) => outcome = self.outcome(account, done),
                Err(PaymentError::Refused(Refusal::AccountChanged)) => {}
                Err(failure @ PaymentError::Refused(_)) => {
                    if matches!(command, Command::MoveDispute { .. }) {
                        open.money = false;
                    } else {
                        open.phase = false;
                    }
                    failed.get_or_insert(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(StoreError::Contended { attempts: TURNS_MAX }.into())
    }

    /// What is recorded of a dispute. Items say it, from formats before 5 the state, and from
    /// formats before 3 only the rows.
    async fn recorded(
        &self,
        credited: &CreditedPayment,
        dispute: &DisputeId,
        told: &StripeDispute,
        state: &AccountState,
    ) -> Result<TakenForDispute, PaymentError> {
        let payment = &credited.facts.payment;
        let records = self.billing.store.payment_records(&credited.account, payment).await?;
        let known = records.dispute(state, dispute);
        let phase = match known.as_ref().and_then(|known| known.phase) {
            Some(phase) => Some(phase),
            None => self.phase_of_older_rows(dispute).await?,
        };
        // Rows of formats 3 and 4 that told of a status know no money that rows before them moved.
        let is_known = state.dispute(dispute).is_none_or(|known| known.cents != 0);
        let (dispute_cents, grants) = match known.filter(|_| is_known) {
            Some(DisputeState { cents, grants, .. }) => (cents, grants),
            None => match self.billing.store.taken_by_older_rows(dispute).await? {
                Some(taken) => (taken.cents, taken.grants),
                None => (0, Vec::new()),
            },
        };
        let charge = told.charge.as_ref().and_then(|charge| charge.object.as_ref());
        let is_refunded = charge.is_none_or(|charge| charge.amount_refunded != Some(0));
        let RecordedTotals { taken, in_item } = records.totals(state, payment);
        let (payment_cents, payment_credit) = match taken {
            Some(taken) => (taken.cents, taken.credit),
            // Nothing or everything is taken back.
            None if is_refunded || dispute_cents > 0 => self.taken_by_rows(credited).await?,
            None => (0, Usd::ZERO),
        };
        Ok(TakenForDispute {
            dispute_cents,
            grants,
            payment_cents,
            payment_credit,
            phase,
            in_items: in_item,
        })
    }

    /// The status that rows of formats before 3 recorded.
    async fn phase_of_older_rows(
        &self,
        dispute: &DisputeId,
    ) -> Result<Option<DisputePhase>, StoreError> {
        let store = &self.billing.store;
        if store.claim(&format!("stripe#{dispute}#changed")).await?.is_some() {
            return Ok(None);
        }
        let Some(closed) = store.claim(&format!("stripe#{dispute}#closed")).await? else {
            let opened = store.claim(&format!("stripe#{dispute}#opened")).await?;
            return Ok(opened.map(|_| DisputePhase::Open));
        };
        let (account, seq) = (&closed.account, closed.seq);
        let page = store.rows(account, seq..seq + 1, RowOrder::OldestFirst, 1).await?;
        Ok(page.rows.into_iter().find_map(|row| {
            let Change::Payment(PaymentChange::DisputeClosed { outcome, .. }) = row.event.change
            else {
                return None;
            };
            Some(match outcome {
                DisputeOutcome::Won => DisputePhase::Over,
                DisputeOutcome::Lost => DisputePhase::Lost,
            })
        }))
    }

    /// The cents and credit taken back of a payment, added up from the rows since it was credited.
    async fn taken_by_rows(&self, credited: &CreditedPayment) -> Result<(i64, Usd), StoreError> {
        let is_its = |payment: &PaymentId| *payment == credited.facts.payment;
        let (mut cents_taken, mut credit_taken) = (0, Usd::ZERO);
        let mut rest = Some(credited.seq + 1..u64::MAX);
        while let Some(numbers) = rest {
            let store = &self.billing.store;
            let page =
                store.rows(&credited.account, numbers, RowOrder::OldestFirst, PAGE_ROWS).await?;
            for row in page.rows {
                if let Change::Payment(
                    PaymentChange::TakenBack { of, cents, credit, .. }
                    | PaymentChange::DisputeMoved { of, cents, credit, .. },
                ) = &row.event.change
                    && is_its(&of.payment)
                {
                    cents_taken += cents;
                    credit_taken += *credit;
                }
                if let Change::Payment(PaymentChange::GivenBack {
                    of,
                    cents,
                    credit,
                    known: true,
                    ..
                }) = &row.event.change
                    && is_its(&of.payment)
                {
                    cents_taken -= cents;
                    credit_taken -= *credit;
                }
            }
            rest = page.rest;
        }
        Ok((cents_taken, credit_taken))
    }

    /// Records the steps of an event under row format 2. Each step has at most one row.
    async fn record_steps(
        &self,
        credited: &CreditedPayment,
        news: &DisputeNews,
    ) -> Result<PaymentOutcome, PaymentError> {
        let dispute = &news.dispute;
        let by = TakeBack::Dispute(dispute.clone());
        let close = |outcome| Command::CloseDispute { dispute: dispute.clone(), outcome };
        let (mut outcome, mut failed) = (PaymentOutcome::Ignored, None);
        for step in &news.steps {
            let done = match step {
                DisputeStep::Debit => {
                    let left = TakenPart::AtMostLeft(news.cents);
                    self.take_back(credited, &by, left).await
                }
                DisputeStep::Reversal => {
                    let cents = news.cents.min(credited.facts.received_cents);
                    self.give_back(credited, &by, cents).await
                }
                DisputeStep::Open => {
                    let (dispute, payment) = (dispute.clone(), credited.facts.payment.clone());
                    self.record(credited, Command::OpenDispute { dispute, payment }).await
                }
                DisputeStep::Won => self.record(credited, close(DisputeOutcome::Won)).await,
                DisputeStep::Lost => self.record(credited, close(DisputeOutcome::Lost)).await,
            };
            match done {
                Ok(done) => outcome = done,
                Err(failure @ PaymentError::Refused(_)) => {
                    failed.get_or_insert(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        failed.map_or(Ok(outcome), Err)
    }

    async fn record(
        &self,
        credited: &CreditedPayment,
        command: Command,
    ) -> Result<PaymentOutcome, PaymentError> {
        let plan = |_: &AccountState| Ok(command.clone());
        let done = self.append_opened(&credited.account, Plan::on_state(&plan)).await?;
        Ok(self.outcome(&credited.account, done))
    }
}

/// The next row that a dispute needs. An account freezes before money moves, and unfreezes after
/// it: its balance may be below the threshold of its refills until then.
fn next_step(
    credited: &CreditedPayment,
    dispute: &DisputeId,
    told: &StripeDispute,
    state: &AccountState,
    recorded: TakenForDispute,
    open: OpenSteps,
) -> Option<Command> {
    let head = state.next_seq - 1;
    let (dispute, of) = (dispute.clone(), credited.facts.clone());
    let before = recorded.phase.unwrap_or(DisputePhase::Over);
    let change = phase(told).filter(|phase| open.phase && *phase != before);
    let change = change.map(|phase| {
        let (dispute, payment) = (dispute.clone(), of.payment.clone());
        (phase, Command::ChangeDispute { head, dispute, payment, phase, before: recorded.clone() })
    });
    let cents = withdrawn_cents(told, of.received_cents);
    let moves = open.money && cents != recorded.dispute_cents;
    let money = Command::MoveDispute { head, dispute, of, cents, before: recorded };
    let money = moves.then_some(money);
    match change {
        Some((phase, change)) if phase.freezes() => Some(change),
        change => money.or(change.map(|(_, change)| change)),
    }
}

/// `None` for a status that is not known here.
fn phase(told: &StripeDispute) -> Option<DisputePhase> {
    match told.status.as_deref()? {
        "needs_response" | "under_review" => Some(DisputePhase::Open),
        "lost" => Some(DisputePhase::Lost),
        // An inquiry freezes nothing: it is no dispute yet.
        "won"
        | "warning_closed"
        | "prevented"
        | "warning_needs_response"
        | "warning_under_review" => Some(DisputePhase::Over),
        _ => None,
    }
}

fn unknown_status(dispute: &DisputeId, told: &StripeDispute) -> PaymentError {
    let why = format!("its status is {:?}", told.status);
    PaymentError::Mismatch { payment: dispute.to_string(), why }
}

/// The cents of the payment that Stripe withdrew for a dispute and did not reinstate.
///
/// The balance transactions may be in another currency than the payment, so only their share of the
/// first withdrawal counts. Fees are in `net` and are the operator's.
fn withdrawn_cents(told: &StripeDispute, received_cents: i64) -> i64 {
    let amounts = || {
        let amount = |moved: &Value| moved.get("amount").and_then(Value::as_i64);
        told.balance_transactions.iter().filter_map(amount)
    };
    let Some(first) = amounts().find(|amount| *amount < 0) else { return 0 };
    let withdrawn = i128::from(first).abs();
    let kept = (-amounts().map(i128::from).sum::<i128>()).clamp(0, withdrawn);
    let charge = told.charge.as_ref().and_then(|charge| charge.object.as_ref()?.amount);
    let charged = charge.unwrap_or(received_cents);
    let disputed = told.amount.unwrap_or(charged).min(charged).max(0);
    // Rounded half up to whole cents.
    let cents = (2 * i128::from(disputed) * kept + withdrawn) / (2 * withdrawn);
    i64::try_from(cents).unwrap_or(charged)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn withdrawn_share_follows_the_balance_transactions() {
        let cents = |amount: i64, moved: &[i64]| {
            let moved: Vec<Value> = moved
                .iter()
                .map(|moved| json!({"amount": moved, "fee": 1500, "net": moved - 1500}))
                .collect();
            let dispute = json!({"id": "dp_1", "amount": amount, "status": "lost", "charge": {"id": "ch_1", "amount": 2500},
                "balance_transactions": moved});
            withdrawn_cents(&serde_json::from_value(dispute).unwrap(), 2500)
        };
        for (amount, moved, expected) in [
            (2500, &[][..], 0),
            (2500, &[-2500], 2500),
            (2600, &[-2600], 2500),
            (1000, &[-1000], 1000),
            // In another currency.
            (2500, &[-2310], 2500),
            (2500, &[-2310, 2310], 0),
            (2500, &[-2310, 924], 1500),
            (2500, &[-2500, 2500, -2500], 2500),
            (2500, &[-2500, 2500, -2500, 1], 2499),
            (2500, &[-2500, 2600], 0),
            (2500, &[-3, 1], 1667),
        ] {
            assert_eq!(cents(amount, moved), expected, "{amount} {moved:?}");
        }
    }
}
