//! Money in: payments that came, were promised, or will not come; and what was agreed with them.

use crate::domain::account::{AccountState, PendingPayment};
use crate::domain::command::{Command, RefillSettings, RefillTerms};
use crate::domain::event::{
    Cause, Change, Event, KeyedRequest, PaymentFacts, RefillChange, StandingChange,
};
use crate::domain::ids::{AccountId, CardId, CustomerId, PaymentId};
use crate::domain::row::Row;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};
use crate::payments::cards;
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::store::{PaymentIds, Plan, RowOrder, StoreError};
use crate::stripe::metadata::{self, AgreedTerms, Purchase};
use crate::stripe::objects::{CheckoutSession, StripeInvoice};
use crate::stripe::webhook_event::{
    EndedPayment, PaidPayment, PromisedPayment, StripeIds, paid_session,
};

/// How long a promised payment blocks a deletion at the most: bank debits take at most six working
/// days to fail (docs.stripe.com/payments/ach-direct-debit).
const PROMISE_SECONDS: i64 = 14 * DAY;
/// For how long after a payment what was agreed with it may still be recorded. Half of the day for
/// which the claim that makes it single is kept, so that an event that is sent again next week
/// never undoes what the customer chose since.
const AGREEMENT_SECONDS: i64 = 12 * HOUR;
/// Terms of a page that is older are outdated: no payment takes longer.
const TERMS_SECONDS: i64 = PROMISE_SECONDS;

/// How many rows are read at once to find what was decided since a payment: days of hours, and a
/// dozen changes.
const ROWS_READ: u32 = 100;
/// How many reads look for it. Two weeks of hours take four.
const READS_MAX: u32 = 10;
/// Begins the key of the row that records the terms of a page. Its payment follows.
const AGREEMENT_KEY: &str = "agreement:";

impl Payments<'_> {
    /// Credits a payment, once; then what was agreed with it.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn credit(&self, paid: &PaidPayment) -> Result<PaymentOutcome, PaymentError> {
        let IdentifiedPayment { payment, also, purchase, ids, received_cents } =
            match self.identify(paid).await? {
                Ok(identified) => identified,
                Err(outcome) => return Ok(outcome),
            };
        let paid = PaidPayment { received_cents, ..paid.clone() };
        self.check(&payment, &paid, &purchase)?;
        let facts =
            PaymentFacts { payment: payment.clone(), credit: purchase.credit, received_cents };
        let credit = |_: &AccountState| {
            Ok(Command::Credit {
                payment: facts.clone(),
                kind: purchase.kind.credit_kind(),
                plan: purchase.kind.plan().map(|terms| terms.plan.clone()),
                bonus: purchase.kind.plan().map(|terms| terms.bonus_from(self.now)),
                also: also.clone(),
            })
        };
        let done = self.append_opened(&purchase.account, Plan::on_state(&credit)).await?;
        let outcome = self.outcome(&purchase.account, done);
        let (PaymentOutcome::Recorded { account, seq }
        | PaymentOutcome::AlreadyRecorded { account, seq }) = &outcome
        else {
            return Ok(outcome);
        };
        self.note(account, *seq, &payment, &also, &ids).await?;
        if let Some(agreement) = purchase.agreement {
            Box::pin(self.agree(account, *seq, &payment, agreement, paid.customer.as_ref()))
                .await?;
        }
        Ok(outcome)
    }

    /// Credits a payment page that is paid at Stripe, with the webhook's own command and claim.
    /// `None` if the page is not paid.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn credit_session(
        &self,
        session: &CheckoutSession,
    ) -> Result<Option<PaymentOutcome>, PaymentError> {
        if session.payment_status.as_deref() != Some("paid") {
            return Ok(None);
        }
        let unreadable = |why| PaymentError::Mismatch { payment: session.id.clone(), why };
        let Some(paid) = paid_session(session, None).map_err(unreadable)? else { return Ok(None) };
        // Boxed: it is many futures deep.
        Box::pin(self.credit(&paid)).await.map(Some)
    }

    /// Records that a delayed payment was promised.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn promise(
        &self,
        promised: &PromisedPayment,
    ) -> Result<PaymentOutcome, PaymentError> {
        let PromisedPayment { payment, purchase, customer, installation, ids } = promised;
        let origin = PaymentOrigin {
            payment: payment.as_str(),
            account: &purchase.account,
            customer: customer.as_ref(),
            installation: installation.as_deref(),
        };
        if !self.is_ours(origin).await? {
            return Ok(PaymentOutcome::Foreign);
        }
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
    pub async fn end(&self, ended: &EndedPayment) -> Result<PaymentOutcome, PaymentError> {
        let EndedPayment { payment, account, customer, installation, how } = ended;
        let origin = PaymentOrigin {
            payment: payment.as_str(),
            account,
            customer: customer.as_ref(),
            installation: installation.as_deref(),
        };
        if !self.is_ours(origin).await? {
            return Ok(PaymentOutcome::Foreign);
        }
        let end =
            |_: &AccountState| Ok(Command::EndPayment { payment: payment.clone(), how: *how });
        let done = self.append_opened(account, Plan::on_state(&end)).await?;
        Ok(self.outcome(account, done))
    }

    /// Which payment it is, whose, and what it buys, or why there is nothing to credit. A payment of
    /// an invoice carries nothing of ours: its invoice does.
    async fn identify(
        &self,
        paid: &PaidPayment,
    ) -> Result<Result<IdentifiedPayment, PaymentOutcome>, PaymentError> {
        if let Some(purchase) = &paid.purchase {
            let payment = paid.payment.as_ref().map(PaymentId::as_str);
            let origin = PaymentOrigin {
                payment: payment.or(paid.ids.invoice.as_deref()).unwrap_or_default(),
                account: &purchase.account,
                customer: paid.customer.as_ref(),
                installation: paid.installation.as_deref(),
            };
            if !self.is_ours(origin).await? {
                return Ok(Err(PaymentOutcome::Foreign));
            }
        }
        match (&paid.payment, &paid.purchase) {
            (Some(payment), Some(purchase)) => Ok(Ok(IdentifiedPayment {
                payment: payment.clone(),
                also: paid.also.clone(),
                purchase: purchase.clone(),
                ids: paid.ids.clone(),
                received_cents: paid.received_cents,
            })),
            (None, Some(purchase)) => self.payment_of_invoice(paid, purchase).await,
            (payment, None) => {
                let Some(account) = self.account_of(paid.customer.as_ref()).await? else {
                    return Ok(Err(PaymentOutcome::Foreign));
                };
                let found = match payment {
                    Some(payment) => self.invoice_of_payment(&account, paid, payment).await?,
                    None => Err(PaymentOutcome::Foreign),
                };
                if found == Err(PaymentOutcome::Foreign) {
                    tracing::error!(
                        alarm = "payment_without_purchase", %account, payment = ?payment, ids = ?paid.ids,
                        "a customer of ours paid for something that we do not know"
                    );
                }
                Ok(found)
            }
        }
    }

    /// Whether a payment with our metadata is this installation's. Returns false for another
    /// installation's: it may use the same Stripe account, with accounts of the same names.
    /// Releases before November 2026 named no installation. Their payments are ours if the
    /// customer is.
    ///
    /// A customer's look-up is written before it is first used. So an unknown customer of this
    /// installation is an error, and Stripe sends the event again.
    pub(super) async fn is_ours(&self, origin: PaymentOrigin<'_>) -> Result<bool, PaymentError> {
        let PaymentOrigin { payment, account, customer, installation } = origin;
        let ours = self.stripe.settings().installation.as_deref();
        let is_named = ours.is_none() || installation == ours;
        if !is_named && installation.is_some() {
            return Ok(false);
        }
        let Some(customer) = customer else { return Ok(is_named) };
        match self.account_of(Some(customer)).await? {
            Some(owner) if owner == *account => Ok(true),
            Some(owner) => {
                let why = format!("its customer is that of {owner}, and it is for {account}");
                Err(PaymentError::Mismatch { payment: payment.to_owned(), why })
            }
            None if is_named => {
                // The look-up may have been lost with a table.
                tracing::error!(
                    alarm = "customer_unknown", %account, %customer, payment,
                    "a payment with our metadata, by no customer of ours"
                );
                Err(PaymentError::UnknownCustomer {
                    account: account.clone(),
                    customer: customer.clone(),
                })
            }
            None => Ok(false),
        }
    }

    async fn payment_of_invoice(
        &self,
        paid: &PaidPayment,
        purchase: &Purchase,
    ) -> Result<Result<IdentifiedPayment, PaymentOutcome>, PaymentError> {
        let nameless = || PaymentError::Mismatch {
            payment: format!("{:?}", paid.ids.invoice),
            why: "the invoice is not named".to_owned(),
        };
        let invoice = paid.ids.invoice.as_ref().ok_or_else(nameless)?;
        let invoice = self.stripe.invoice(invoice).await?;
        if invoice.settled_cents() == Some(0) {
            return Ok(Err(PaymentOutcome::Noted { account: purchase.account.clone() }));
        }
        let identified = of_paid_invoice(&invoice, paid, purchase);
        identified.map(Ok).ok_or_else(|| PaymentError::Mismatch {
            payment: invoice.id.clone(),
            why: format!("the invoice has the status {:?}", invoice.status),
        })
    }

    async fn invoice_of_payment(
        &self,
        account: &AccountId,
        paid: &PaidPayment,
        payment: &PaymentId,
    ) -> Result<Result<IdentifiedPayment, PaymentOutcome>, PaymentError> {
        let leads = self.stripe.invoice_payments_of(payment).await?;
        let Some(invoice) = leads.data.into_iter().find_map(|lead| lead.invoice) else {
            return Ok(Err(PaymentOutcome::Foreign));
        };
        let invoice = self.stripe.invoice(&invoice.id).await?;
        let mismatch = |why| PaymentError::Mismatch { payment: payment.to_string(), why };
        let Some(purchase) = Purchase::read(&invoice.metadata).map_err(mismatch)? else {
            return Ok(Err(PaymentOutcome::Foreign));
        };
        let installation = metadata::installation(&invoice.metadata);
        let origin = PaymentOrigin {
            payment: payment.as_str(),
            account: &purchase.account,
            customer: paid.customer.as_ref(),
            installation: installation.as_deref(),
        };
        if !self.is_ours(origin).await? {
            return Ok(Err(PaymentOutcome::Foreign));
        }
        let purchase = purchase.lowered_by_notes(&invoice);
        if let Some(identified) = of_paid_invoice(&invoice, paid, &purchase) {
            return Ok(Ok(identified));
        }
        let credit_cents = purchase.credit.to_cents().unwrap_or(i64::MAX);
        let due_cents = invoice.amount_due.unwrap_or_default();
        if paid.received_cents < credit_cents.max(due_cents) || invoice.is_lowered() {
            // A part. The invoice is credited once it is paid, which has an event of its own.
            return Ok(Err(PaymentOutcome::Noted { account: account.clone() }));
        }
        let also = invoice.further_ids(payment);
        let ids = StripeIds { invoice: Some(invoice.id), ..paid.ids.clone() };
        let (payment, received_cents) = (payment.clone(), paid.received_cents);
        Ok(Ok(IdentifiedPayment { payment, also, purchase, ids, received_cents }))
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

    async fn note(
        &self,
        account: &AccountId,
        seq: u64,
        payment: &PaymentId,
        also: &[PaymentId],
        ids: &StripeIds,
    ) -> Result<(), StoreError> {
        let others = [&ids.session, &ids.charge, &ids.invoice];
        let others = others.into_iter().flatten().map(String::as_str);
        let mut all = vec![payment.as_str()];
        for id in also.iter().map(PaymentId::as_str).chain(others) {
            if !all.contains(&id) {
                all.push(id);
            }
        }
        self.billing.store.note_look_ups(account, seq, &all).await?;
        self.billing.store.note_payment(account, payment, &payment_ids(ids)).await
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
        let agreed_at = paid.created_at().unwrap_or(credited_at);
        if self.now - agreed_at > TERMS_SECONDS || self.decided_since(account, agreed_at).await? {
            return Ok(());
        }
        let key = format!("{AGREEMENT_KEY}{payment}").parse();
        let Ok(key) = key else { return Ok(()) };
        let cause = Cause::Request(KeyedRequest { key, digest: payment.to_string() });
        if let Some(customer) = customer {
            self.look_at_cards(account, customer).await?;
        }
        let profile = self.billing.store.customer_profile(account).await?;
        let paid_with: Option<CardId> =
            paid.payment_method.and_then(|method| method.id.parse().ok());
        let change = |state: &AccountState| {
            let terms = match agreement {
                AgreedTerms::Off => None,
                AgreedTerms::On { threshold, amount } => {
                    Some(RefillTerms::multiple(threshold, amount))
                }
            };
            let (card, card_choice) = match agreement {
                // Without refills no card is agreed to.
                AgreedTerms::Off => (state.refill.card.clone(), state.refill.card_choice),
                AgreedTerms::On { .. } => {
                    cards::agreed(&state.refill, &profile, paid_with.as_ref())
                }
            };
            Ok(Command::ChangeRefill(RefillSettings {
                terms,
                words: agreement.words(),
                card_ends_at: cards::ends_at(&profile, card.as_ref()),
                card,
                card_choice,
                monthly_cap: state.refill.monthly_cap,
                // The words name no other maximum.
                max_charge: None,
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

    /// Whether refills were set since by the customer, on a newer page, or with the account that was
    /// closed: then these terms are outdated, however late Stripe tells of them.
    async fn decided_since(
        &self,
        account: &AccountId,
        since: Timestamp,
    ) -> Result<bool, PaymentError> {
        let mut rest = Some(0..u64::MAX);
        for _ in 0..READS_MAX {
            let Some(numbers) = rest.take() else { return Ok(false) };
            let newest = RowOrder::NewestFirst;
            let page = self.billing.store.rows(account, numbers, newest, ROWS_READ).await?;
            for Row { event, .. } in &page.rows {
                if event.at < since {
                    return Ok(false);
                }
                if self.is_decision(event, since).await? {
                    return Ok(true);
                }
            }
            rest = page.rest;
        }
        // Rows that were not read may hold a decision, and no card is charged on a guess.
        Ok(true)
    }

    async fn is_decision(&self, event: &Event, since: Timestamp) -> Result<bool, PaymentError> {
        match &event.change {
            Change::Refill(RefillChange::RefillChanged { .. }) => {}
            // Refills end with the account.
            Change::Standing(
                StandingChange::Closed { .. }
                | StandingChange::ClosedByCustomer
                | StandingChange::Reopened { .. },
            ) => return Ok(true),
            Change::Payment(_)
            | Change::Grant(_)
            | Change::Resource(_)
            | Change::Billing(_)
            | Change::Standing(_)
            | Change::Refill(_)
            | Change::Staff(_)
            | Change::Hold(_)
            | Change::Budget(_) => return Ok(false),
        }
        match &event.cause {
            Cause::Command => Ok(true),
            Cause::Request(KeyedRequest { key, .. }) => {
                match key.as_str().strip_prefix(AGREEMENT_KEY) {
                    Some(payment) => self.is_newer(payment, since).await,
                    None => Ok(true),
                }
            }
            // Another card is charged from now on, or none.
            Cause::Stripe | Cause::Time | Cause::Staff { .. } => Ok(false),
        }
    }

    /// Whether the page of a payment is newer. Its row may have been written earlier or later. Of
    /// pages of the same second the one counts that is told last.
    async fn is_newer(&self, payment: &str, since: Timestamp) -> Result<bool, PaymentError> {
        let Ok(payment) = payment.parse() else { return Ok(false) };
        let created_at = self.stripe.payment_intent(&payment).await?.created_at();
        Ok(created_at.is_none_or(|created_at| created_at > since))
    }
}

/// What a payment says of the account that it is for.
#[derive(Clone, Copy)]
pub(super) struct PaymentOrigin<'a> {
    /// `pi_…`, or `in_…` if no payment paid the invoice. `cs_…` of a page without a payment.
    pub(super) payment: &'a str,
    /// The account in the metadata.
    pub(super) account: &'a AccountId,
    pub(super) customer: Option<&'a CustomerId>,
    /// The installation in the metadata. `None` if the metadata name none.
    pub(super) installation: Option<&'a str>,
}

/// A payment to be credited.
#[derive(Clone, Debug, PartialEq, Eq)]
struct IdentifiedPayment {
    /// The payment, or the invoice if no payment paid it.
    payment: PaymentId,
    /// The invoice that was paid, and its further payments.
    also: Vec<PaymentId>,
    purchase: Purchase,
    ids: StripeIds,
    /// The cents with which it was paid, tax included.
    received_cents: i64,
}

/// The payment of a paid invoice. The same whichever event or answer reports it, because a paid
/// invoice does not change, so that the claim on the payment makes it count once. The customer's
/// credit balance at Stripe, or money outside of Stripe, may have paid a part or all of it. `None`
/// if it is not paid yet.
fn of_paid_invoice(
    invoice: &StripeInvoice,
    paid: &PaidPayment,
    purchase: &Purchase,
) -> Option<IdentifiedPayment> {
    let settled_cents = invoice.settled_cents()?;
    let intent = invoice.paying_intent();
    let payment: PaymentId = intent.map_or(&invoice.id, |intent| &intent.id).parse().ok()?;
    let also = invoice.further_ids(&payment);
    let charge = intent.and_then(|intent| intent.object.as_ref()?.latest_charge.as_ref());
    let charge = paid.ids.charge.clone().or_else(|| charge.map(|charge| charge.id.clone()));
    let ids = StripeIds { charge, invoice: Some(invoice.id.clone()), ..paid.ids.clone() };
    Some(IdentifiedPayment {
        payment,
        also,
        purchase: purchase.clone(),
        ids,
        received_cents: settled_cents,
    })
}

fn payment_ids(ids: &StripeIds) -> PaymentIds {
    PaymentIds {
        session: ids.session.clone(),
        charge: ids.charge.clone(),
        invoice: ids.invoice.clone(),
    }
}
