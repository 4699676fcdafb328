//! The start of a trial, once a page has saved the card that secures it.

use crate::domain::account::AccountState;
use crate::domain::command::{
    CardFunding, CardWallet, Command, RefillSettings, RefillTerms, TrialCard,
};
use crate::domain::event::Cause;
use crate::domain::ids::{AccountId, CardId, CustomerId};
use crate::domain::refusal::Refusal;
use crate::payments::cards;
use crate::payments::credit::PaymentOrigin;
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::store::{CustomerProfile, Plan, SavedCard};
use crate::stripe::metadata::{self, AgreedTerms, TrialOffer};
use crate::stripe::objects::CheckoutSession;

impl Payments<'_> {
    /// Starts the trial of a page that has saved a card, once. Nothing is to be done about a page that
    /// is still open, or that was made for something else.
    ///
    /// # Errors
    /// [`PaymentError::Refused`] with the reason why the account or the card can have no trial; the
    /// others of [`PaymentError`].
    pub async fn start_trial(
        &self,
        session: &CheckoutSession,
    ) -> Result<PaymentOutcome, PaymentError> {
        let mismatch = |why: String| PaymentError::Mismatch { payment: session.id.clone(), why };
        let Some(offer) = TrialOffer::read(&session.metadata).map_err(mismatch)? else {
            return Ok(PaymentOutcome::Ignored);
        };
        if session.status.as_deref() != Some("complete") {
            return Ok(PaymentOutcome::Ignored);
        }
        let customer = session.customer.as_ref().and_then(|customer| customer.id.parse().ok());
        let installation = metadata::installation(&session.metadata);
        let origin = PaymentOrigin {
            payment: &session.id,
            account: &offer.account,
            customer: customer.as_ref(),
            installation: installation.as_deref(),
        };
        if !self.is_ours(origin).await? {
            return Ok(PaymentOutcome::Foreign);
        }
        if self.has_trial(&offer.account).await? {
            return Ok(PaymentOutcome::Noted { account: offer.account });
        }
        let card = self.card_saved_at(session).await?.ok_or_else(|| mismatch("no card".into()))?;
        let customer = customer.ok_or_else(|| mismatch("no customer".into()))?;
        let outcome = self.start_trial_with(&offer, &customer, &card).await?;
        // The page is no longer an unpaid one, and support finds the trial by it.
        if let PaymentOutcome::Recorded { account, seq } = &outcome {
            self.billing.store.note_look_ups(account, *seq, &[&session.id]).await?;
        }
        Ok(outcome)
    }

    async fn card_saved_at(
        &self,
        session: &CheckoutSession,
    ) -> Result<Option<CardId>, PaymentError> {
        let Some(intent) = &session.setup_intent else { return Ok(None) };
        let intent = self.stripe.setup_intent(&intent.id).await?;
        Ok(intent.payment_method.and_then(|method| method.id.parse().ok()))
    }

    async fn start_trial_with(
        &self,
        offer: &TrialOffer,
        customer: &CustomerId,
        card: &CardId,
    ) -> Result<PaymentOutcome, PaymentError> {
        let account = &offer.account;
        self.look_at_cards(account, customer).await?;
        let profile = self.billing.store.customer_profile(account).await?;
        let start = |state: &AccountState| {
            // A card that was removed since secures nothing.
            let saved = profile.cards.iter().find(|saved| saved.id == *card);
            Ok(Command::StartTrial {
                card: saved.and_then(trial_card).ok_or(Refusal::TrialCard)?,
                refill: offer
                    .agreement
                    .map(|agreed| accepted(agreed, offer, state, card, &profile)),
            })
        };
        match self.append(account, Cause::Stripe, Plan::on_state(&start)).await {
            Ok(done) => Ok(self.outcome(account, done)),
            // Another request was faster.
            Err(PaymentError::Refused(_)) if self.has_trial(account).await? => {
                Ok(PaymentOutcome::Noted { account: account.clone() })
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether the account has a trial: this page's, if its news is repeated.
    async fn has_trial(&self, account: &AccountId) -> Result<bool, PaymentError> {
        let head = self.billing.store.head(account).await?;
        Ok(head.is_some_and(|head| head.state.trial.is_some()))
    }
}

/// `None` if Stripe does not tell which card it is.
fn trial_card(saved: &SavedCard) -> Option<TrialCard> {
    let funding = match saved.funding.as_deref() {
        Some("credit") => CardFunding::Credit,
        Some("debit") => CardFunding::Debit,
        Some("prepaid") => CardFunding::Prepaid,
        Some(_) | None => CardFunding::Unknown,
    };
    let wallet = if saved.wallet.is_some() { CardWallet::Some } else { CardWallet::None };
    let fingerprint = saved.fingerprint.as_ref()?.parse().ok()?;
    Some(TrialCard { fingerprint, funding, wallet })
}

/// The settings that the customer accepts with the trial. The card that secures it is the one that is
/// charged, unless another one was agreed to before, as with a payment.
fn accepted(
    agreed: AgreedTerms,
    offer: &TrialOffer,
    state: &AccountState,
    card: &CardId,
    profile: &CustomerProfile,
) -> RefillSettings {
    let (terms, (card, card_choice)) = match agreed {
        AgreedTerms::Off => (None, (state.refill.card.clone(), state.refill.card_choice)),
        AgreedTerms::On { threshold, amount } => (
            Some(RefillTerms::multiple(threshold, amount)),
            cards::agreed(&state.refill, profile, Some(card)),
        ),
    };
    RefillSettings {
        terms,
        words: offer.words.clone(),
        card_ends_at: cards::ends_at(profile, card.as_ref()),
        card,
        card_choice,
        monthly_cap: state.refill.monthly_cap,
        max_charge: None,
    }
}
