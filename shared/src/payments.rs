//! What Stripe told of money, recorded in the ledger: credits, promises, refunds, disputes.
//!
//! Every method may be called any number of times, in any order, by the webhook and by whoever got
//! the answer first: the claims of the rows make each cause count once. What was missing at first
//! (look-ups, a payment's other ids) is added by whoever comes later.

pub mod cards;
pub mod company;
pub mod decline;
mod own_cards;
pub mod refill;

pub use own_cards::CardAsked;

use crate::domain::account::{AccountState, PendingPayment};
use crate::domain::command::{Command, RefillSettings};
use crate::domain::event::{
    Cause, Change, DisputeOutcome, Event, PaymentChange, PaymentFacts, PendingEnd, RefillChange,
    TakeBack,
};
use crate::domain::ids::{AccountId, CardId, CustomerId, PaymentId};
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};
use crate::runtime::billing::{Billing, Opening, Visit};
use crate::store::{self, CommandOutcome, CreditedPayment, PaymentIds, Plan, RowOrder, StoreError};
use crate::stripe::metadata::{AgreedTerms, Purchase};
use crate::stripe::webhook_event::{
    DisputeNews, DisputeStep, PaidPayment, PromisedPayment, RefundCourse, RefundNews, StripeIds,
    paid_intent,
};
use crate::stripe::{Stripe, StripeError};

/// How long a promised payment blocks a deletion at the most: bank debits take at most six working
/// days to fail (docs.stripe.com/payments/ach-direct-debit).
const PROMISE_SECONDS: i64 = 14 * DAY;
/// For how long after a payment what was agreed with it may still be recorded. Half of the day for
/// which the claim that makes it single is kept, so that an event that is sent again next week
/// never undoes what the customer chose since.
const AGREEMENT_SECONDS: i64 = 12 * HOUR;

/// How many rows are looked through for what the customer decided since it paid: days of hours, and
/// a dozen changes.
const ROWS_LOOKED_AT: u32 = 100;

/// Where Stripe and the ledger meet, at the time of one trigger.
#[derive(Clone, Copy, Debug)]
pub struct Payments<'a> {
    /// The ledger, prices, and what the operator set.
    pub billing: &'a Billing,
    /// Stripe.
    pub stripe: &'a Stripe,
    /// The trigger's time (UTC).
    pub now: Timestamp,
}

/// What news came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// A row was appended.
    Recorded {
        /// To whose chain.
        account: AccountId,
        /// Its number.
        seq: u64,
    },
    /// It has its row already.
    AlreadyRecorded {
        /// In whose chain.
        account: AccountId,
        /// Its number.
        seq: u64,
    },
    /// It concerns an account of ours, and changes nothing in the ledger.
    Noted {
        /// Which.
        account: AccountId,
    },
    /// It concerns somebody who is no customer of ours: other products may use the same Stripe
    /// account.
    Foreign,
    /// It is nothing to us.
    Ignored,
}

/// Why news could not be recorded: Stripe is asked to send it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaymentError {
    /// The ledger failed.
    #[error(transparent)]
    Fault(#[from] StoreError),
    /// The ledger refused what Stripe confirmed: somebody must look.
    #[error("the ledger refused a payment that Stripe confirmed: {0}")]
    Refused(Refusal),
    /// Stripe had to be asked, and failed.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// A payment is not what it should be: wrong currency, test instead of real, too little. No
    /// credit; somebody must look.
    #[error("{payment} cannot be credited: {why}")]
    Mismatch {
        /// Which.
        payment: String,
        /// Why.
        why: String,
    },
}

impl From<store::CommandError> for PaymentError {
    fn from(failure: store::CommandError) -> PaymentError {
        match failure {
            store::CommandError::Refused(refusal) => PaymentError::Refused(refusal),
            store::CommandError::Fault(fault) => PaymentError::Fault(fault),
        }
    }
}

impl Payments<'_> {
    /// Credits a payment, once; then what was agreed with it.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn credit(&self, paid: &PaidPayment) -> Result<PaymentOutcome, PaymentError> {
        let Some((payment, purchase, ids)) = self.identify(paid).await? else {
            return Ok(PaymentOutcome::Foreign);
        };
        self.check(&payment, paid, &purchase)?;
        let facts = PaymentFacts {
            payment: payment.clone(),
            credit: purchase.credit,
            received_cents: paid.received_cents,
        };
        let credit = |_: &AccountState| {
            Ok(Command::Credit { payment: facts.clone(), kind: purchase.kind, bonus: None })
        };
        let done = self.append_opened(&purchase.account, Plan::on_state(&credit)).await?;
        let outcome = self.outcome(&purchase.account, done);
        let (PaymentOutcome::Recorded { account, seq }
        | PaymentOutcome::AlreadyRecorded { account, seq }) = &outcome
        else {
            return Ok(outcome);
        };
        self.note(account, *seq, &payment, &ids).await?;
        if let Some(agreement) = purchase.agreement {
            Box::pin(self.agree(account, *seq, &payment, agreement, paid.customer.as_ref()))
                .await?;
        }
        Ok(outcome)
    }

    /// Records that a delayed payment was promised.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn promise(
        &self,
        promised: &PromisedPayment,
    ) -> Result<PaymentOutcome, PaymentError> {
        let PromisedPayment { payment, purchase, ids } = promised;
        let pending = PendingPayment {
            payment: payment.clone(),
            amount: purchase.credit,
            expires_at: self.now.plus(PROMISE_SECONDS),
        };
        let wait = |_: &AccountState| Ok(Command::AwaitPayment(pending.clone()));
        let done = self.append_opened(&purchase.account, Plan::on_state(&wait)).await?;
        let outcome = self.outcome(&purchase.account, done);
        if let PaymentOutcome::Recorded { account, .. }
        | PaymentOutcome::AlreadyRecorded { account, .. } = &outcome
        {
            self.billing.store.note_payment(account, payment, &payment_ids(ids)).await?;
        }
        Ok(outcome)
    }

    /// Records that a delayed payment will not come.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn end(
        &self,
        account: &AccountId,
        payment: &PaymentId,
        how: PendingEnd,
    ) -> Result<PaymentOutcome, PaymentError> {
        let end = |_: &AccountState| Ok(Command::EndPayment { payment: payment.clone(), how });
        let done = self.append_opened(account, Plan::on_state(&end)).await?;
        Ok(self.outcome(account, done))
    }

    /// Records a refund, or that it came back.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn refund(&self, news: &RefundNews) -> Result<PaymentOutcome, PaymentError> {
        let Some(credited) = self.credited(news.payment.as_ref(), news.charge.as_deref()).await?
        else {
            return Ok(PaymentOutcome::Foreign);
        };
        let by = TakeBack::Refund(news.refund.clone());
        let outcome = match news.course {
            RefundCourse::Goes => self.take_back(&credited, &by, news.cents).await?,
            RefundCourse::CameBack => self.give_back(&credited, &by, news.cents).await?,
        };
        self.note_ids(&outcome, &[news.refund.as_str()]).await?;
        Ok(outcome)
    }

    /// Records what became of a dispute.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn dispute(&self, news: &DisputeNews) -> Result<PaymentOutcome, PaymentError> {
        let Some(credited) = self.credited(news.payment.as_ref(), news.charge.as_deref()).await?
        else {
            return Ok(PaymentOutcome::Foreign);
        };
        let dispute = &news.dispute;
        let by = TakeBack::Dispute(dispute.clone());
        let close = |outcome| Command::CloseDispute { dispute: dispute.clone(), outcome };
        let mut outcome = PaymentOutcome::Ignored;
        for step in &news.steps {
            let command = match step {
                DisputeStep::Debit => {
                    outcome = self.take_back(&credited, &by, news.cents).await?;
                    continue;
                }
                DisputeStep::Reversal => {
                    outcome = self.give_back(&credited, &by, news.cents).await?;
                    continue;
                }
                DisputeStep::Open => Command::OpenDispute {
                    dispute: dispute.clone(),
                    payment: credited.facts.payment.clone(),
                },
                DisputeStep::Won => close(DisputeOutcome::Won),
                DisputeStep::Lost => close(DisputeOutcome::Lost),
            };
            let decide = |_: &AccountState| Ok(command.clone());
            let done = self.append_opened(&credited.account, Plan::on_state(&decide)).await?;
            outcome = self.outcome(&credited.account, done);
        }
        self.note_ids(&outcome, &[dispute.as_str()]).await?;
        Ok(outcome)
    }

    /// Opens an account, if it is not open.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn open(&self, account: &AccountId) -> Result<(), PaymentError> {
        Ok(self.billing.ensure_open(self.opening(account)).await?)
    }

    /// Records what Stripe confirmed. Money that arrives opens its account, should it not be open.
    pub(super) async fn append_opened(
        &self,
        account: &AccountId,
        plan: Plan<'_>,
    ) -> Result<CommandOutcome, PaymentError> {
        Ok(self.billing.execute(self.opening(account), Cause::Stripe, plan).await?)
    }

    /// Records what concerns an account that is open.
    pub(super) async fn append(
        &self,
        account: &AccountId,
        cause: Cause,
        plan: Plan<'_>,
    ) -> Result<CommandOutcome, PaymentError> {
        Ok(self.billing.execute(Visit::of(account, self.now), cause, plan).await?)
    }

    fn opening<'v>(&self, account: &'v AccountId) -> Visit<'v> {
        let opening = Opening::Allowed { email: None };
        Visit { opening, ..Visit::of(account, self.now) }
    }

    /// Which payment it is, whose, and what it buys. A payment of an invoice carries nothing of
    /// ours: its invoice does.
    async fn identify(
        &self,
        paid: &PaidPayment,
    ) -> Result<Option<(PaymentId, Purchase, StripeIds)>, PaymentError> {
        if let Some(purchase) = &paid.purchase
            && !self.is_of_its_customer(paid, purchase).await?
        {
            return Ok(None);
        }
        match (&paid.payment, &paid.purchase) {
            (Some(payment), Some(purchase)) => {
                Ok(Some((payment.clone(), purchase.clone(), paid.ids.clone())))
            }
            (None, Some(purchase)) => self.payment_of_invoice(paid, purchase).await,
            (payment, None) => {
                let Some(account) = self.account_of(paid.customer.as_ref()).await? else {
                    return Ok(None);
                };
                let found = match payment {
                    Some(payment) => self.invoice_of_payment(paid, payment).await?,
                    None => None,
                };
                if let Some((payment, purchase, _)) = &found {
                    is_same(&account, purchase, payment.as_str())?;
                }
                if found.is_none() {
                    tracing::error!(
                        alarm = "payment_without_purchase", %account, payment = ?payment, ids = ?paid.ids,
                        "a customer of ours paid for something that we do not know"
                    );
                }
                Ok(found)
            }
        }
    }

    /// Whether who paid is the customer of the account that the metadata name: another installation
    /// may use the same Stripe account, with accounts of the same names. A customer's look-up is
    /// written before it is first used.
    async fn is_of_its_customer(
        &self,
        paid: &PaidPayment,
        purchase: &Purchase,
    ) -> Result<bool, PaymentError> {
        let Some(customer) = &paid.customer else { return Ok(true) };
        let Some(account) = self.account_of(Some(customer)).await? else {
            // It is not for us to credit, and not to be passed over either: the look-up may have
            // been lost with a table.
            tracing::error!(
                alarm = "customer_unknown", account = %purchase.account, %customer, ids = ?paid.ids,
                "a payment with our metadata, by no customer of ours"
            );
            return Ok(false);
        };
        let payment =
            paid.payment.as_ref().map(ToString::to_string).or_else(|| paid.ids.invoice.clone());
        is_same(&account, purchase, &payment.unwrap_or_default())?;
        Ok(true)
    }

    async fn payment_of_invoice(
        &self,
        paid: &PaidPayment,
        purchase: &Purchase,
    ) -> Result<Option<(PaymentId, Purchase, StripeIds)>, PaymentError> {
        let nameless = || PaymentError::Mismatch {
            payment: format!("{:?}", paid.ids.invoice),
            why: "the invoice was not paid by a payment".to_owned(),
        };
        let invoice = paid.ids.invoice.as_ref().ok_or_else(nameless)?;
        let invoice = self.stripe.invoice(invoice).await?;
        let intent = invoice.payment_intent().ok_or_else(nameless)?;
        let payment = intent.id.parse().map_err(|_| nameless())?;
        let charge = intent.object.as_ref().and_then(|intent| intent.latest_charge.as_ref());
        let charge = charge.map(|charge| charge.id.clone());
        let ids = StripeIds { charge: paid.ids.charge.clone().or(charge), ..paid.ids.clone() };
        Ok(Some((payment, purchase.clone(), ids)))
    }

    async fn invoice_of_payment(
        &self,
        paid: &PaidPayment,
        payment: &PaymentId,
    ) -> Result<Option<(PaymentId, Purchase, StripeIds)>, PaymentError> {
        let leads = self.stripe.invoice_payments_of(payment).await?;
        let Some(invoice) = leads.data.into_iter().find_map(|lead| lead.invoice) else {
            return Ok(None);
        };
        let invoice = self.stripe.invoice(&invoice.id).await?;
        let mismatch = |why| PaymentError::Mismatch { payment: payment.to_string(), why };
        let Some(purchase) = Purchase::read(&invoice.metadata).map_err(mismatch)? else {
            return Ok(None);
        };
        let ids = StripeIds { invoice: Some(invoice.id), ..paid.ids.clone() };
        Ok(Some((payment.clone(), purchase, ids)))
    }

    /// Whether a payment is what it should be, before anything is credited for it.
    fn check(
        &self,
        payment: &PaymentId,
        paid: &PaidPayment,
        purchase: &Purchase,
    ) -> Result<(), PaymentError> {
        let mismatch =
            |why: String| Err(PaymentError::Mismatch { payment: payment.to_string(), why });
        if paid.currency != "usd" {
            return mismatch(format!("its currency is {}", paid.currency));
        }
        let mode = self.stripe.mode();
        if paid.livemode != Some(mode.livemode()) {
            return mismatch(format!(
                "its livemode is {:?}, and we are in {mode:?}",
                paid.livemode
            ));
        }
        let credit_cents = purchase.credit.to_cents().unwrap_or(i64::MAX);
        if paid.received_cents < credit_cents {
            return mismatch(format!(
                "{} cents were received for a credit of {credit_cents}",
                paid.received_cents
            ));
        }
        Ok(())
    }

    /// Whose customer it is.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn account_of(
        &self,
        customer: Option<&CustomerId>,
    ) -> Result<Option<AccountId>, StoreError> {
        let Some(customer) = customer else { return Ok(None) };
        match self.billing.store.look_up(customer.as_str()).await? {
            Some(noted) => Ok(Some(noted.account)),
            // Releases of November 2026 noted some as owners.
            None => self.billing.store.owner(customer.as_str()).await,
        }
    }

    /// The payment that money goes back from, credited by now if it is ours: what takes it back may
    /// be told first.
    async fn credited(
        &self,
        payment: Option<&PaymentId>,
        charge: Option<&str>,
    ) -> Result<Option<CreditedPayment>, PaymentError> {
        let Some(payment) = payment else { return self.credited_by_charge(charge).await };
        if let Some(credited) = self.billing.store.credited(payment).await? {
            return Ok(Some(credited));
        }
        let intent = match self.stripe.payment_intent(payment).await {
            Ok(intent) => intent,
            Err(StripeError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let is_live = self.stripe.mode().livemode();
        let mismatch = |why| PaymentError::Mismatch { payment: payment.to_string(), why };
        let paid = paid_intent(&intent, Some(is_live)).map_err(mismatch)?;
        match Box::pin(self.credit(&paid)).await? {
            PaymentOutcome::Recorded { .. } | PaymentOutcome::AlreadyRecorded { .. } => {
                Ok(self.billing.store.credited(payment).await?)
            }
            PaymentOutcome::Noted { .. } | PaymentOutcome::Foreign | PaymentOutcome::Ignored => {
                Ok(None)
            }
        }
    }

    /// Older events name the charge alone. Ours always have a payment, which noted its charge.
    async fn credited_by_charge(
        &self,
        charge: Option<&str>,
    ) -> Result<Option<CreditedPayment>, PaymentError> {
        let Some(charge) = charge else { return Ok(None) };
        let Some(claimed) = self.billing.store.look_up(charge).await? else { return Ok(None) };
        let page = self
            .billing
            .store
            .rows(&claimed.account, claimed.seq..claimed.seq + 1, RowOrder::OldestFirst, 1)
            .await?;
        let payment = page.rows.into_iter().find_map(|row| {
            let Change::Payment(PaymentChange::Credited { payment, .. }) = row.event.change else {
                return None;
            };
            Some(payment)
        });
        match payment {
            Some(payment) => Ok(self.billing.store.credited(&payment).await?),
            None => Ok(None),
        }
    }

    async fn take_back(
        &self,
        credited: &CreditedPayment,
        by: &TakeBack,
        cents: i64,
    ) -> Result<PaymentOutcome, PaymentError> {
        let take = |_: &AccountState| {
            Ok(Command::TakeBack { by: by.clone(), of: credited.facts.clone(), cents })
        };
        let done = self.append_opened(&credited.account, Plan::on_state(&take)).await?;
        Ok(self.outcome(&credited.account, done))
    }

    async fn give_back(
        &self,
        credited: &CreditedPayment,
        by: &TakeBack,
        cents: i64,
    ) -> Result<PaymentOutcome, PaymentError> {
        let plan = Plan::give_back(by, &credited.facts, cents);
        let done = self.append(&credited.account, Cause::Stripe, plan).await?;
        Ok(self.outcome(&credited.account, done))
    }

    /// What a command came to. A cause whose row is in another account's chain is somebody's
    /// mistake.
    pub(super) fn outcome(&self, account: &AccountId, done: CommandOutcome) -> PaymentOutcome {
        match done {
            CommandOutcome::Appended(receipt) => {
                if let Some(fault) = &receipt.unsettled {
                    tracing::warn!(%account, seq = receipt.seq, %fault, "recorded, but the account is not settled yet");
                }
                PaymentOutcome::Recorded { account: account.clone(), seq: receipt.seq }
            }
            CommandOutcome::AlreadyAppended(claimed) => {
                if claimed.account != *account {
                    let key = claimed.key.as_str();
                    tracing::error!(alarm = "claimed_by_another", %account, by = %claimed.account, key);
                }
                PaymentOutcome::AlreadyRecorded { account: claimed.account, seq: claimed.seq }
            }
        }
    }

    async fn note(
        &self,
        account: &AccountId,
        seq: u64,
        payment: &PaymentId,
        ids: &StripeIds,
    ) -> Result<(), StoreError> {
        let others = [&ids.session, &ids.charge, &ids.invoice];
        let all: Vec<&str> = std::iter::once(payment.as_str())
            .chain(others.into_iter().flatten().map(String::as_str))
            .collect();
        self.billing.store.note_look_ups(account, seq, &all).await?;
        self.billing.store.note_payment(account, payment, &payment_ids(ids)).await
    }

    async fn note_ids(&self, outcome: &PaymentOutcome, ids: &[&str]) -> Result<(), StoreError> {
        match outcome {
            PaymentOutcome::Recorded { account, seq }
            | PaymentOutcome::AlreadyRecorded { account, seq } => {
                self.billing.store.note_look_ups(account, *seq, ids).await
            }
            PaymentOutcome::Noted { .. } | PaymentOutcome::Foreign | PaymentOutcome::Ignored => {
                Ok(())
            }
        }
    }

    /// Records what the customer agreed to about refills when paying: once, not long after, and
    /// unless it has decided about refills since. The card that paid is the one that was agreed to,
    /// unless another one was agreed to before.
    async fn agree(
        &self,
        account: &AccountId,
        seq: u64,
        payment: &PaymentId,
        agreement: AgreedTerms,
        customer: Option<&CustomerId>,
    ) -> Result<(), PaymentError> {
        let page = self.billing.store.rows(account, seq..seq + 1, RowOrder::OldestFirst, 1).await?;
        let Some(credited_at) = page.rows.first().map(|row| row.event.at) else { return Ok(()) };
        if self.now - credited_at > AGREEMENT_SECONDS {
            return Ok(());
        }
        let paid = self.stripe.payment_intent(payment).await?;
        let agreed_at = paid.created.and_then(|created| Timestamp::from_seconds(created).ok());
        if self.decided_since(account, agreed_at.unwrap_or(credited_at)).await? {
            return Ok(());
        }
        let key = format!("agreement:{payment}").parse();
        let Ok(key) = key else { return Ok(()) };
        let cause = Cause::Request { key, digest: payment.to_string() };
        if let Some(customer) = customer {
            self.look_at_cards(account, customer).await?;
        }
        let profile = self.billing.store.customer_profile(account).await?;
        let paid_with: Option<CardId> =
            paid.payment_method.and_then(|method| method.id.parse().ok());
        let change = |state: &AccountState| {
            let terms = match agreement {
                AgreedTerms::Off => None,
                AgreedTerms::On { threshold, amount } => Some((threshold, amount)),
            };
            let card = cards::agreed(&state.refill, &profile, paid_with.as_ref());
            Ok(Command::ChangeRefill(RefillSettings {
                terms,
                card,
                monthly_cap: state.refill.monthly_cap,
            }))
        };
        match self.append(account, cause, Plan::on_state(&change)).await {
            Ok(_) => Ok(()),
            // The account was closed, or the operator's limits changed since: the payment counts
            // all the same.
            Err(PaymentError::Refused(refusal)) => {
                tracing::warn!(%account, %payment, %refusal, "what was agreed about refills is not recorded");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether the customer itself has set refills since: then what it agreed to before is
    /// outdated, however late Stripe tells of it.
    async fn decided_since(
        &self,
        account: &AccountId,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let page = self
            .billing
            .store
            .rows(account, 0..u64::MAX, RowOrder::NewestFirst, ROWS_LOOKED_AT)
            .await?;
        let is_own = |event: &Event| match &event.cause {
            Cause::Request { key, .. } => !key.as_str().starts_with("agreement:"),
            Cause::Command => true,
            Cause::Stripe | Cause::Time => false,
        };
        let mut since_then =
            page.rows.iter().map(|row| &row.event).take_while(|event| event.at >= since);
        Ok(since_then.any(|event| {
            matches!(event.change, Change::Refill(RefillChange::RefillChanged { .. }))
                && is_own(event)
        }))
    }
}

/// What an account's customer pays for is that account's.
fn is_same(account: &AccountId, purchase: &Purchase, payment: &str) -> Result<(), PaymentError> {
    if *account == purchase.account {
        return Ok(());
    }
    let why = format!("its customer is that of {account}, and it is for {}", purchase.account);
    Err(PaymentError::Mismatch { payment: payment.to_owned(), why })
}

fn payment_ids(ids: &StripeIds) -> PaymentIds {
    PaymentIds {
        session: ids.session.clone(),
        charge: ids.charge.clone(),
        invoice: ids.invoice.clone(),
    }
}
