//! An account's customer at Stripe, and its saved cards.
//!
//! Events about cards are taken for a reason to look, whatever they say: the list is read at Stripe
//! and written as a whole. So events may be repeated, late, missing or out of order, and every
//! version of them will do.

use crate::domain::account::{AccountState, RefillPause, RefillState};
use crate::domain::command::{Command, RefillSettings};
use crate::domain::event::Cause;
use crate::domain::ids::{AccountId, CardId, CustomerId};
use crate::domain::profile::{CompanyDetails, EmailAddress};
use crate::domain::refusal::Refusal;
use crate::domain::row::RowDigest;
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::store::{CustomerProfile, Plan, RecordOutcome, SavedCard, StoreError};
use crate::stripe::StripeError;
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::objects::{NamedObject, PaymentMethod};

/// How often the cards are looked at again because somebody else wrote them meanwhile.
const LOOKS_MAX: u32 = 5;

impl Payments<'_> {
    /// The account's customer at Stripe, made if there is none.
    ///
    /// Two at once use the same idempotency key and get the same customer; if they ever got two,
    /// the first to write it to the profile decides, and the other is left unused.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn customer(
        &self,
        account: &AccountId,
        email: &EmailAddress,
    ) -> Result<CustomerId, PaymentError> {
        let store = &self.billing.store;
        let profile = store.customer_profile(account).await?;
        if let Some(customer) = profile.customer {
            return Ok(customer);
        }
        let company = store.profile(account).await?.company;
        let (made, told) = match self.make_customer(account, email, &company, profile.former).await
        {
            // Better a customer without an address than no credit.
            Err(StripeError::Rejected(rejection)) if company.address.is_some() => {
                tracing::error!(alarm = "company_refused", %account, %rejection, "a customer is made without its address");
                let told = CompanyDetails { address: None, ..company.clone() };
                (self.make_customer(account, email, &told, profile.former).await?, told)
            }
            made => (made?, company.clone()),
        };
        let call = || "POST /customers".to_owned();
        let customer: CustomerId = made.id.parse().map_err(|_| StripeError::Unresolved {
            call: call(),
            why: "no usable id".to_owned(),
        })?;
        // First of all, so that nothing that customer ever does is taken for somebody else's. No
        // row will tell of the customer, so a look-up can do it: where earlier releases, which run
        // beside this one during a deployment, look too.
        store.note_look_ups(account, 0, &[customer.as_str()]).await?;
        if told.tax_id.is_some() {
            self.tell_company(account, &customer, &told).await?;
        }
        let customer = store.set_customer(account, &customer).await?;
        // Who set it in between found no customer to tell.
        let company_now = store.profile(account).await?.company;
        if company_now != company {
            self.tell_company(account, &customer, &company_now).await?;
        }
        Ok(customer)
    }

    async fn make_customer(
        &self,
        account: &AccountId,
        email: &EmailAddress,
        company: &CompanyDetails,
        former: u32,
    ) -> Result<NamedObject, StripeError> {
        let key = match former {
            0 => IdempotencyKey::customer(account),
            former => IdempotencyKey::customer_again(account, &former.to_string()),
        };
        match self.stripe.create_customer(account, email, company, &key).await {
            // The e-mail address or the company changed since somebody first tried; or Stripe
            // failed, and gives the same answer under this key for a day. One customer too many is
            // left unused, and costs nothing.
            Err(StripeError::KeyMisused { .. } | StripeError::Unresolved { .. }) => {
                let company_written = format!("{company:?}");
                let difference =
                    RowDigest::of(&[&former.to_string(), email.as_str(), &company_written]);
                let key = IdempotencyKey::customer_again(account, difference.as_str());
                self.stripe.create_customer(account, email, company, &key).await
            }
            made => made,
        }
    }

    /// Something happened to a customer's cards.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn cards_changed(
        &self,
        customer: &CustomerId,
    ) -> Result<PaymentOutcome, PaymentError> {
        let Some(account) = self.account_of(Some(customer)).await? else {
            return Ok(PaymentOutcome::Foreign);
        };
        self.look_at_cards(&account, customer).await?;
        Ok(PaymentOutcome::Noted { account })
    }

    /// A customer was deleted at Stripe, and its cards with it.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn customer_gone(
        &self,
        customer: &CustomerId,
    ) -> Result<PaymentOutcome, PaymentError> {
        let Some(account) = self.account_of(Some(customer)).await? else {
            return Ok(PaymentOutcome::Foreign);
        };
        self.forget(&account, customer).await?;
        Ok(PaymentOutcome::Noted { account })
    }

    /// Reads a customer's cards at Stripe, and does what follows from them: the first saved card
    /// becomes the default; a refill card that is gone pauses refills; a new card ends a pause; a
    /// default that was changed elsewhere (in the portal) wins.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn look_at_cards(
        &self,
        account: &AccountId,
        customer: &CustomerId,
    ) -> Result<(), PaymentError> {
        for _ in 0..LOOKS_MAX {
            let before = self.billing.store.customer_profile(account).await?;
            if before.customer.as_ref() != Some(customer) {
                // A customer that was made and never used, or that is gone.
                return Ok(());
            }
            let known = match self.stripe.customer(customer).await {
                Ok(known) if known.deleted => return self.forget(account, customer).await,
                Err(StripeError::NotFound { .. }) => return self.forget(account, customer).await,
                known => known?,
            };
            let cards: Vec<SavedCard> =
                self.stripe.cards_of(customer).await?.iter().filter_map(saved).collect();
            let default =
                known.invoice_settings.and_then(|settings| settings.default_payment_method);
            let default: Option<CardId> = default.and_then(|card| card.id.parse().ok());
            let default = match (default.filter(|card| is_among(&cards, card)), cards.last()) {
                (Some(default), _) => Some(default),
                (None, Some(first)) => {
                    // The first one saved, unless refills charge another: nobody has asked for that
                    // to change.
                    let charged = self
                        .billing
                        .store
                        .head(account)
                        .await?
                        .and_then(|head| head.state.refill.card);
                    let default = charged
                        .filter(|card| is_among(&cards, card))
                        .unwrap_or_else(|| first.id.clone());
                    self.stripe.set_default_card(customer, &default).await?;
                    Some(default)
                }
                (None, None) => None,
            };
            let after = CustomerProfile { cards, default_card: default, ..before.clone() };
            // The consequences first: what is written down at the end counts as dealt with.
            self.apply_cards(account, &before, &after).await?;
            if before.cards == after.cards && before.default_card == after.default_card {
                return Ok(());
            }
            let default = after.default_card.as_ref();
            let written = self
                .billing
                .store
                .put_cards(account, &after.cards, default, before.cards_version)
                .await?;
            if written == RecordOutcome::New {
                return Ok(());
            }
        }
        Err(StoreError::Contended { attempts: LOOKS_MAX }.into())
    }

    async fn apply_cards(
        &self,
        account: &AccountId,
        before: &CustomerProfile,
        after: &CustomerProfile,
    ) -> Result<(), PaymentError> {
        let Some(head) = self.billing.store.head(account).await? else { return Ok(()) };
        let charged = head.state.refill.card.clone();
        if let Some(card) = charged.filter(|card| !is_among(&after.cards, card))
            && self.is_gone(&card, after).await?
        {
            let remove = |_: &AccountState| Ok(Command::RemoveCard { card: card.clone() });
            self.unless_refused(
                self.append(account, Cause::Stripe, Plan::on_state(&remove)).await,
            )?;
        }
        let Some(head) = self.billing.store.head(account).await? else { return Ok(()) };
        if next_card(&head.state.refill, before, after).is_none() {
            return Ok(());
        }
        let change = |state: &AccountState| {
            let RefillState { agreement, monthly_cap, .. } = &state.refill;
            let card = next_card(&state.refill, before, after).ok_or(Refusal::RefillNotWanted)?;
            let terms = agreement.map(|agreed| (agreed.threshold, agreed.amount));
            Ok(Command::ChangeRefill(RefillSettings {
                terms,
                card: Some(card),
                monthly_cap: *monthly_cap,
            }))
        };
        self.unless_refused(self.append(account, Cause::Stripe, Plan::on_state(&change)).await)
    }

    /// Whether a card that is not on the list was really removed: a list that was read before it
    /// was saved lacks it too.
    async fn is_gone(
        &self,
        card: &CardId,
        profile: &CustomerProfile,
    ) -> Result<bool, PaymentError> {
        let method = match self.stripe.payment_method(card).await {
            Ok(method) => method,
            Err(StripeError::NotFound { .. }) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let owner = method.customer.as_ref().map(|customer| customer.id.as_str());
        Ok(owner.is_none() || owner != profile.customer.as_ref().map(CustomerId::as_str))
    }

    async fn forget(&self, account: &AccountId, customer: &CustomerId) -> Result<(), PaymentError> {
        if let Some(card) =
            self.billing.store.head(account).await?.and_then(|head| head.state.refill.card)
        {
            let profile = self.billing.store.customer_profile(account).await?;
            if profile.customer.as_ref() == Some(customer) {
                let remove = |_: &AccountState| Ok(Command::RemoveCard { card: card.clone() });
                self.unless_refused(
                    self.append(account, Cause::Stripe, Plan::on_state(&remove)).await,
                )?;
            }
        }
        self.billing.store.forget_customer(account, customer).await?;
        Ok(())
    }

    /// What the domain refuses here is no longer needed: somebody else changed it in between.
    fn unless_refused<T>(&self, done: Result<T, PaymentError>) -> Result<(), PaymentError> {
        match done {
            Ok(_) => Ok(()),
            Err(PaymentError::Refused(refusal)) => {
                tracing::debug!(%refusal, "nothing to be done about a card");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}

/// The card that refills charge when the customer agrees to them: the one that was charged so far,
/// else the default, else the newest; never one whose issuer said never again.
#[must_use]
pub fn chosen(refill: &RefillState, profile: &CustomerProfile) -> Option<CardId> {
    let usable = |card: &&CardId| is_usable(refill, &[profile], card);
    let newest = || profile.cards.iter().map(|card| &card.id).find(usable);
    let kept = refill.card.as_ref().filter(usable);
    kept.or_else(|| profile.default_card.as_ref().filter(usable)).or_else(newest).cloned()
}

/// The card that was agreed to with a payment: "this card", with which it was paid, unless another
/// one was agreed to before.
#[must_use]
pub fn agreed(
    refill: &RefillState,
    profile: &CustomerProfile,
    paid_with: Option<&CardId>,
) -> Option<CardId> {
    let usable = |card: &&CardId| is_usable(refill, &[profile], card);
    let kept = refill.card.as_ref().filter(|_| refill.agreement.is_some()).filter(usable);
    kept.or_else(|| paid_with.filter(usable)).cloned().or_else(|| chosen(refill, profile))
}

/// The card that refills should charge instead of the present one, if any.
fn next_card(
    refill: &RefillState,
    before: &CustomerProfile,
    after: &CustomerProfile,
) -> Option<CardId> {
    refill.agreement?;
    let usable =
        |card: &&CardId| is_among(&after.cards, card) && is_usable(refill, &[after, before], card);
    let other = |card: &&CardId| refill.card.as_ref() != Some(*card);
    let is_new = |card: &&CardId| !is_among(&before.cards, card);
    let added = after
        .cards
        .iter()
        .map(|card| &card.id)
        .find(|card| usable(card) && is_new(card) && other(card));
    let default = after.default_card.as_ref().filter(usable).filter(other);
    let next = match (&refill.paused, &refill.card) {
        // Who removed the card that was charged has not agreed to another one being charged: only a
        // new one is.
        (Some(RefillPause::CardRefused | RefillPause::Failures | RefillPause::CardGone), _) => {
            added
        }
        (None, None) => default.or(added),
        (None, Some(_)) => default
            .filter(|_| before.default_card.is_some() && before.default_card != after.default_card),
    };
    next.cloned()
}

/// Whether a saved card may be charged: its issuer never said never again, of this entry or of
/// another one of the same number.
fn is_usable(refill: &RefillState, profiles: &[&CustomerProfile], card: &CardId) -> bool {
    let print = |id: &CardId| {
        let mut known =
            profiles.iter().flat_map(|profile| &profile.cards).filter(|card| card.id == *id);
        known.find_map(|card| card.fingerprint.clone())
    };
    let own = print(card);
    let is_same = |refused: &CardId| refused == card || (own.is_some() && print(refused) == own);
    profiles.iter().any(|profile| is_among(&profile.cards, card))
        && !refill.never.iter().any(is_same)
}

fn is_among(cards: &[SavedCard], id: &CardId) -> bool {
    cards.iter().any(|card| card.id == *id)
}

fn saved(method: &PaymentMethod) -> Option<SavedCard> {
    let card = method.card.clone()?;
    Some(SavedCard {
        id: method.id.parse().ok()?,
        wallet: card.wallet_name().map(str::to_owned),
        brand: card.brand,
        last4: card.last4,
        exp_month: card.exp_month,
        exp_year: card.exp_year,
        fingerprint: card.fingerprint,
        funding: card.funding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::RefillAgreement;
    use crate::domain::money::Usd;
    use crate::domain::timestamp::Timestamp;

    fn profile(cards: &[&str], default: Option<&str>) -> CustomerProfile {
        let card = |id: &&str| SavedCard {
            id: id.parse().unwrap(),
            brand: None,
            last4: None,
            exp_month: None,
            exp_year: None,
            fingerprint: Some(id.trim_end_matches('x').to_owned()),
            funding: None,
            wallet: None,
        };
        CustomerProfile {
            cards: cards.iter().map(card).collect(),
            default_card: default.map(|id| id.parse().unwrap()),
            ..CustomerProfile::default()
        }
    }

    fn refill(card: Option<&str>, paused: Option<RefillPause>, never: &[&str]) -> RefillState {
        let agreement = RefillAgreement {
            at: Timestamp::default(),
            threshold: Usd::dollars(5),
            amount: Usd::dollars(25),
        };
        RefillState {
            agreement: Some(agreement),
            card: card.map(|id| id.parse().unwrap()),
            paused,
            never: never.iter().map(|id| id.parse().unwrap()).collect(),
            ..RefillState::default()
        }
    }

    #[track_caller]
    fn check(
        refill: &RefillState,
        before: &CustomerProfile,
        after: &CustomerProfile,
        expected: Option<&str>,
    ) {
        assert_eq!(next_card(refill, before, after).as_ref().map(CardId::as_str), expected);
    }

    #[test]
    fn only_a_new_card_ends_a_pause_and_only_a_changed_default_replaces_a_card() {
        let (one, two) =
            (profile(&["pm_1"], Some("pm_1")), profile(&["pm_2", "pm_1"], Some("pm_1")));
        let gone = refill(None, Some(RefillPause::CardGone), &[]);
        check(&gone, &one, &one, None);
        check(&gone, &one, &two, Some("pm_2"));
        check(&refill(Some("pm_1"), Some(RefillPause::Failures), &[]), &one, &two, Some("pm_2"));
        check(
            &refill(Some("pm_1"), Some(RefillPause::CardRefused), &["pm_1", "pm_2"]),
            &one,
            &two,
            None,
        );
        check(&refill(None, None, &[]), &profile(&[], None), &one, Some("pm_1"));
        check(&refill(Some("pm_1"), None, &[]), &one, &two, None);
        check(
            &refill(Some("pm_1"), None, &[]),
            &two,
            &profile(&["pm_2", "pm_1"], Some("pm_2")),
            Some("pm_2"),
        );
        check(&RefillState::default(), &one, &two, None);
        // The number that was refused, saved once more.
        let again = profile(&["pm_1x", "pm_1"], Some("pm_1"));
        check(&refill(Some("pm_1"), Some(RefillPause::CardRefused), &["pm_1"]), &one, &again, None);
    }

    #[test]
    fn the_card_kept_the_default_or_the_newest_is_charged_but_never_a_refused_one() {
        let two = profile(&["pm_2", "pm_1"], Some("pm_1"));
        let chosen = |refill: &RefillState| chosen(refill, &two).map(String::from);
        assert_eq!(chosen(&refill(Some("pm_2"), None, &[])).as_deref(), Some("pm_2"));
        assert_eq!(chosen(&refill(None, None, &[])).as_deref(), Some("pm_1"));
        assert_eq!(chosen(&refill(Some("pm_1"), None, &["pm_1"])).as_deref(), Some("pm_2"));
        assert_eq!(chosen(&refill(Some("pm_9"), None, &["pm_1", "pm_2"])), None);
        let agreed = |refill: &RefillState, paid: &str| {
            agreed(refill, &two, paid.parse().ok().as_ref()).map(String::from)
        };
        let never_agreed = RefillState { agreement: None, ..refill(None, None, &[]) };
        assert_eq!(agreed(&never_agreed, "pm_2").as_deref(), Some("pm_2"), "this card");
        assert_eq!(
            agreed(&refill(Some("pm_1"), None, &[]), "pm_2").as_deref(),
            Some("pm_1"),
            "the one agreed to before"
        );
        assert_eq!(agreed(&never_agreed, "pm_9").as_deref(), Some("pm_1"), "it was not saved");
    }

    #[test]
    fn the_same_number_saved_twice_is_shown_once() {
        let twice = profile(&["pm_1xx", "pm_1x", "pm_2"], Some("pm_1x"));
        let shown: Vec<&str> = twice.shown_cards().iter().map(|card| card.id.as_str()).collect();
        assert_eq!(shown, ["pm_1x", "pm_2"]);
    }
}
