//! One refill: begun in the ledger, then driven at Stripe step by step, each with its own
//! idempotency key.
//!
//! 1. `invoice`: a draft that never advances by itself; the look-up `in_` → account before anything
//!    is paid
//! 2. `item`: the credit
//! 3. `finalize`
//! 4. `pay`: the saved card, off session
//! 5. the credit, by the answer or by the webhook, whichever comes first
//!
//! Whoever finds an attempt open first looks for its invoice (a trigger that comes late may take an
//! old attempt for a young one, whose keys Stripe no longer knows), and then walks the steps that
//! are left, with the same keys. After twenty hours (Stripe keeps keys for 24), or when Stripe
//! failed under a key, nothing is sent that could charge: the invoice is looked for and judged by
//! what it is.
//!
//! An attempt only ever fails when its invoice can no longer be paid: it is made void *first*. If
//! it cannot be, because it was paid, it is credited.
//!
//! Here an attempt begins and walks its steps; `judge` finds out how far another run came, and
//! `end` ends it.

mod end;
mod judge;

use crate::domain::account::{AccountState, RefillAttempt};
use crate::domain::command::Command;
use crate::domain::event::{Cause, Change, RefillChange, RefillDecline};
use crate::domain::ids::{AccountId, CustomerId};
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};
use crate::payments::hand_payments::{HandPayments, PAGE_OPEN, holds_until};
use crate::payments::refill::judge::Reached;
use crate::payments::{PaymentError, Payments};
use crate::runtime::billing::Visit;
use crate::store::{CommandError, CommandOutcome, Plan};
use crate::stripe::calls::{InvoiceCollection, NewInvoice};
use crate::stripe::error::ErrorDetail;
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::metadata::{Purchase, PurchaseKind};
use crate::stripe::objects::{PaymentIntent, StripeInvoice};
use crate::stripe::{DeclinedCharge, StripeError};

/// From this age on an attempt is settled by looking: Stripe keeps idempotency keys for at least 24
/// hours, and four are kept clear for clocks and queues.
const KEYS_SECONDS: i64 = 20 * HOUR;
/// Payments of the last day are looked at before a charge. A payment page is open for half an hour,
/// and Stripe repeats the events of older payments.
const LOOKED_BACK_SECONDS: i64 = DAY;
/// The most attempts of one run. After a success the next may follow at once, at most ten a day.
const ROUNDS_MAX: u32 = 10;

/// What one look at an account came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefillStep {
    /// A refill is wanted, but there is no customer at Stripe: somebody must look.
    NoCustomer,
    /// The card was charged, and the credit is in the ledger.
    Charged { attempt: u32 },
    /// The card was declined, or the attempt was given up; its invoice is void.
    Failed {
        attempt: u32,
        /// Stripe's decline code, or our own word.
        code: String,
    },
    /// The customer has to confirm the payment.
    NeedsCustomer { attempt: u32 },
    /// None began: the customer is paying by hand, or Stripe cannot tell. Later again.
    Waits { why: String },
    /// Still open: later again.
    Open { attempt: u32, why: String },
    /// Still open, and somebody must look.
    Stuck { attempt: u32, why: String },
}

/// Whether there can be anything of an attempt at Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// It was begun by this run a moment ago: there is nothing.
    New,
    /// Somebody may have driven it before.
    Known,
}

/// What came of beginning an attempt.
enum Begun {
    NotWanted,
    /// It has its row, which this run wrote.
    ByUs(u32),
    /// Another worker was first, or it is no longer wanted.
    LookAgain,
    /// It cannot begin.
    Nothing(RefillStep),
}

/// Whether the saved card may be charged, as far as its customer's own payments go.
enum RefillWay {
    Free,
    /// A payment was credited. The balance must be looked at again.
    LookAgain,
    /// The customer may be paying, or Stripe cannot tell.
    Held {
        why: String,
    },
}

impl Payments<'_> {
    /// Does what the account asks for about refills, and nothing if it asks for nothing: begins one
    /// that is wanted, drives on one that is open. Returns what was done, in order.
    ///
    /// # Errors
    /// [`PaymentError`] if the ledger fails; that Stripe fails is a [`RefillStep`].
    pub async fn refill(&self, account: &AccountId) -> Result<Vec<RefillStep>, PaymentError> {
        let mut steps = Vec::new();
        let mut begun = None;
        for _ in 0..ROUNDS_MAX {
            let Some(state) = self.settled_state(account).await? else { break };
            let step = match &state.refill.attempt {
                // Boxed: its future is large, and types grow with it.
                Some(attempt) => {
                    let age = if begun == Some(attempt.number) { Age::New } else { Age::Known };
                    begun = None;
                    Box::pin(self.drive(account, attempt, age)).await?
                }
                None => match self.begin(account, &state).await? {
                    Begun::NotWanted => break,
                    Begun::Nothing(step) => step,
                    Begun::ByUs(number) => {
                        begun = Some(number);
                        continue;
                    }
                    Begun::LookAgain => continue,
                },
            };
            let goes_on = matches!(step, RefillStep::Charged { .. });
            steps.push(step);
            if !goes_on {
                break;
            }
        }
        Ok(steps)
    }

    async fn settled_state(
        &self,
        account: &AccountId,
    ) -> Result<Option<AccountState>, PaymentError> {
        let visit = Visit::of(account, self.now);
        match self.billing.settle(visit, |settled| settled.view.state().clone()).await {
            Ok(state) => Ok(Some(state)),
            Err(CommandError::Refused(Refusal::AccountNotOpen)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Freezes what Stripe will be asked in a row, before it is asked.
    async fn begin(
        &self,
        account: &AccountId,
        state: &AccountState,
    ) -> Result<Begun, PaymentError> {
        let Some(wanted) = state.refill.wanted else { return Ok(Begun::NotWanted) };
        let profile = self.billing.store.customer_profile(account).await?;
        let Some(customer) = profile.customer else {
            tracing::error!(alarm = "refill_without_customer", %account);
            return Ok(Begun::Nothing(RefillStep::NoCustomer));
        };
        match self.make_way(account, &customer, state, wanted.since).await? {
            RefillWay::Free => {}
            RefillWay::LookAgain => return Ok(Begun::LookAgain),
            RefillWay::Held { why } => return Ok(Begun::Nothing(RefillStep::Waits { why })),
        }
        let tax = self.stripe.settings().tax;
        let begin = |_: &AccountState| Ok(Command::BeginRefill { customer: customer.clone(), tax });
        match self.append(account, Cause::Command, Plan::on_state(&begin)).await {
            Ok(CommandOutcome::Appended(receipt)) => {
                let begun = if let Change::Refill(RefillChange::RefillBegun(attempt)) =
                    receipt.row.event.change
                {
                    Some(attempt.number)
                } else {
                    None
                };
                Ok(begun.map_or(Begun::LookAgain, Begun::ByUs))
            }
            // Another worker began it, or it is no longer wanted.
            Ok(CommandOutcome::AlreadyAppended(_)) | Err(PaymentError::Refused(_)) => {
                Ok(Begun::LookAgain)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Looks at what the customer pays by hand before their saved card is charged. What is under way
    /// holds the charge back for a while.
    async fn make_way(
        &self,
        account: &AccountId,
        customer: &CustomerId,
        state: &AccountState,
        wanted_since: Timestamp,
    ) -> Result<RefillWay, PaymentError> {
        let is_held = self.now < holds_until(state, wanted_since);
        let looked = async {
            if self.credit_promised(&state.pending).await? {
                return Ok(HandPayments::Credited);
            }
            let pages = self.billing.store.unpaid_pages(account).await?.pages;
            self.hand_payments(account, customer, &pages, LOOKED_BACK_SECONDS).await
        };
        match looked.await {
            Ok(HandPayments::None) => Ok(RefillWay::Free),
            Ok(HandPayments::Credited) => Ok(RefillWay::LookAgain),
            Ok(HandPayments::UnderWay { why, .. }) if is_held => {
                Ok(RefillWay::Held { why: why.to_owned() })
            }
            Ok(HandPayments::OpenPages(_)) if is_held => {
                Ok(RefillWay::Held { why: PAGE_OPEN.to_owned() })
            }
            Ok(HandPayments::OpenPages(open_pages) | HandPayments::UnderWay { open_pages, .. }) => {
                // Nobody pays there once the card is charged. A page that was just paid cannot
                // expire, and is credited by the next look.
                for page in open_pages {
                    if let Err(error) = self.stripe.expire_session(&page).await {
                        return Ok(RefillWay::Held { why: error.to_string() });
                    }
                }
                Ok(RefillWay::Free)
            }
            Err(PaymentError::Stripe(error)) if error.may_pass() || is_held => {
                Ok(RefillWay::Held { why: error.to_string() })
            }
            // What Stripe refuses to list for good must not suspend a customer whose card is good.
            Err(PaymentError::Stripe(error)) => {
                tracing::error!(alarm = "refill_stuck", %account, %error);
                Ok(RefillWay::Free)
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn drive(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        age: Age,
    ) -> Result<RefillStep, PaymentError> {
        let is_old = self.now - attempt.begun_at >= KEYS_SECONDS;
        let walked = match attempt.void_at {
            Some(_) => self.look(account, attempt, Reached::Asked).await,
            None if is_old => self.look(account, attempt, Reached::Nothing).await,
            None => Box::pin(self.walk(account, attempt, age)).await,
        };
        match walked {
            Err(PaymentError::Stripe(error)) if error.may_pass() => {
                Ok(open(attempt, error.to_string()))
            }
            Err(PaymentError::Stripe(error)) => Ok(stuck(account, attempt, error.to_string())),
            Err(
                failure @ (PaymentError::Mismatch { .. }
                | PaymentError::UnknownCustomer { .. }
                | PaymentError::Refused(_)),
            ) => Ok(stuck(account, attempt, failure.to_string())),
            walked => walked,
        }
    }

    async fn walk(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        age: Age,
    ) -> Result<RefillStep, PaymentError> {
        // An invoice is never made a second time, whatever the trigger's time says of the keys.
        if age == Age::Known
            && let Some(invoice) = self.find(account, attempt).await?
        {
            if invoice.status.as_deref() == Some("draft") {
                return Box::pin(self.walk_from(account, attempt, &invoice, age)).await;
            }
            if is_untried(&invoice) {
                self.billing.store.note_owner(account, &invoice.id).await?;
                return Box::pin(self.charge(account, attempt, &invoice, age)).await;
            }
            return Box::pin(self.judge(account, attempt, &invoice, Reached::Invoice)).await;
        }
        let new = new_invoice(account, attempt);
        match self.stripe.create_invoice(&new, &key(account, attempt, "invoice")).await {
            Ok(invoice) => Box::pin(self.walk_from(account, attempt, &invoice, age)).await,
            Err(error) => self.unfinished(account, attempt, Reached::Invoice, error).await,
        }
    }

    async fn walk_from(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        invoice: &StripeInvoice,
        age: Age,
    ) -> Result<RefillStep, PaymentError> {
        self.billing.store.note_owner(account, &invoice.id).await?;
        match self.finalize(account, attempt, invoice).await {
            Ok(invoice) => Box::pin(self.charge(account, attempt, &invoice, age)).await,
            Err(error) => self.unfinished(account, attempt, Reached::Draft, error).await,
        }
    }

    async fn charge(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        invoice: &StripeInvoice,
        age: Age,
    ) -> Result<RefillStep, PaymentError> {
        // The customer's credit balance at Stripe paid it when it was made final.
        if invoice.is_paid() {
            return self.paid(account, attempt, invoice).await;
        }
        // What was agreed may have changed since the attempt began: switched off, frozen, closed,
        // another card, a smaller amount, a lower cap; or another run settled it.
        let mut head = self.billing.store.head(account).await?;
        // While the attempt was interrupted, its customer may have paid by hand.
        if let Some(known) = head.as_ref().filter(|_| age == Age::Known) {
            let (customer, since) = (&attempt.customer, attempt.wanted_since);
            if let RefillWay::Held { why } =
                self.make_way(account, customer, &known.state, since).await?
            {
                return Ok(open(attempt, why));
            }
            // The look credited a payment, or found one that a webhook had credited since.
            head = self.billing.store.head(account).await?;
        }
        let state = head.as_ref().map(|head| &head.state);
        if state
            .and_then(|state| open_attempt(state, attempt))
            .is_some_and(|open| open.void_at.is_some())
        {
            return Ok(RefillStep::NeedsCustomer { attempt: attempt.number });
        }
        if !state.is_some_and(|state| state.is_refill_agreed(attempt, self.now)) {
            return self
                .give_up(account, attempt, invoice, RefillDecline::CalledOff, "called_off")
                .await;
        }
        if !is_as_meant(invoice, attempt) {
            tracing::error!(
                alarm = "refill_stuck", %account, attempt = attempt.number, invoice = invoice.id,
                "the invoice of a refill is not for its credit"
            );
            return self
                .give_up(account, attempt, invoice, RefillDecline::NotCharged, "invoice_mismatch")
                .await;
        }
        match self
            .stripe
            .pay_invoice(&invoice.id, &attempt.card, &key(account, attempt, "pay"))
            .await
        {
            Ok(paid) => self.paid(account, attempt, &paid).await,
            Err(StripeError::Declined(declined)) => {
                self.declined(account, attempt, invoice, &declined).await
            }
            Err(StripeError::AuthenticationRequired { .. }) => {
                Box::pin(self.ask(account, attempt, &invoice.id)).await
            }
            Err(error) if error.may_pass() => Err(error.into()),
            Err(error @ (StripeError::Rejected(_) | StripeError::NotFound { .. })) => {
                Box::pin(self.not_chargeable(account, attempt, invoice, &error)).await
            }
            Err(error) => self.look_after(account, attempt, Reached::Pay, &error).await,
        }
    }

    /// Stripe cannot charge the card. Its event may have been lost, so the cards are read: if
    /// another one is charged now, or none, the attempt is called off, and the next need not wait.
    async fn not_chargeable(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        invoice: &StripeInvoice,
        error: &StripeError,
    ) -> Result<RefillStep, PaymentError> {
        self.look_at_cards(account, &attempt.customer).await?;
        let head = self.billing.store.head(account).await?;
        let card = head.and_then(|head| head.state.refill.card);
        if card.as_ref() == Some(&attempt.card) {
            return self.look_after(account, attempt, Reached::Pay, error).await;
        }
        tracing::warn!(%account, attempt = attempt.number, %error, "the card is gone");
        self.give_up(account, attempt, invoice, RefillDecline::CalledOff, "called_off").await
    }

    async fn finalize(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        invoice: &StripeInvoice,
    ) -> Result<StripeInvoice, StripeError> {
        let new = new_invoice(account, attempt);
        // A draft that was found may have its item, under a key that Stripe no longer knows.
        if invoice.subtotal.is_none_or(|cents| cents == 0) {
            self.stripe
                .create_invoice_item(&invoice.id, &new, &key(account, attempt, "item"))
                .await?;
        }
        self.stripe.finalize_invoice(&invoice.id, &key(account, attempt, "finalize")).await
    }
}

fn key(account: &AccountId, attempt: &RefillAttempt, step: &str) -> IdempotencyKey {
    IdempotencyKey::refill(account, attempt.number, step)
}

fn purchase(account: &AccountId, attempt: &RefillAttempt) -> Purchase {
    let kind = PurchaseKind::Refill { attempt: attempt.number, purpose: attempt.purpose };
    let (account, credit) = (account.clone(), attempt.amount);
    Purchase { account, credit, kind, agreement: None }
}

/// Everything of it stands in the row that began the attempt: the same parameters whenever it is
/// sent.
fn new_invoice(account: &AccountId, attempt: &RefillAttempt) -> NewInvoice {
    NewInvoice {
        customer: attempt.customer.clone(),
        purchase: purchase(account, attempt),
        tax: attempt.tax,
        collection: InvoiceCollection::Charged,
    }
}

/// Whether an open invoice is for the attempt's credit and its tax, and nothing else. The
/// customer's credit balance may pay a part.
fn is_as_meant(invoice: &StripeInvoice, attempt: &RefillAttempt) -> bool {
    let Ok(credit) = attempt.amount.to_cents() else { return false };
    let total = invoice.total.unwrap_or_default();
    invoice.subtotal == Some(credit)
        && total >= credit
        && invoice.amount_due.is_some_and(|due| due <= total)
}

fn open_attempt<'a>(state: &'a AccountState, attempt: &RefillAttempt) -> Option<&'a RefillAttempt> {
    state.refill.attempt.as_ref().filter(|open| open.number == attempt.number)
}

fn intent(invoice: &StripeInvoice) -> Option<&PaymentIntent> {
    invoice.payment_intent()?.object.as_deref()
}

/// Whether an open invoice's card was never charged, as far as Stripe knows.
fn is_untried(invoice: &StripeInvoice) -> bool {
    let busy = ["processing", "requires_capture", "requires_action", "succeeded"];
    let is_new = |intent: &PaymentIntent| {
        declined_of(intent).is_none()
            && !intent.status.as_deref().is_some_and(|status| busy.contains(&status))
    };
    invoice.status.as_deref() == Some("open") && intent(invoice).is_none_or(is_new)
}

/// Why the payment's last try failed.
fn declined_of(intent: &PaymentIntent) -> Option<DeclinedCharge> {
    intent.last_payment_error.as_ref().map(ErrorDetail::declined)
}

fn open(attempt: &RefillAttempt, why: String) -> RefillStep {
    RefillStep::Open { attempt: attempt.number, why }
}

fn stuck(account: &AccountId, attempt: &RefillAttempt, why: String) -> RefillStep {
    tracing::error!(alarm = "refill_stuck", %account, attempt = attempt.number, why);
    RefillStep::Stuck { attempt: attempt.number, why }
}

/// The time from which on an attempt is settled by looking.
#[must_use]
pub fn keys_expire_at(attempt: &RefillAttempt) -> Timestamp {
    attempt.begun_at.plus(KEYS_SECONDS)
}
