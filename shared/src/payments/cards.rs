//! Saved cards: what follows from a change of them at Stripe, and what their owner does with them.
//!
//! Events about cards are taken for a reason to look, whatever they say: the list is read at Stripe
//! and written as a whole. So events may be repeated, late, missing or out of order, and every
//! version of them will do.

use crate::domain::account::{AccountState, CardChoice, RefillPause, RefillState};
use crate::domain::command::Command;
use crate::domain::event::Cause;
use crate::domain::ids::{AccountId, CardId, CustomerId};
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::Timestamp;
use crate::payments::refill::Age;
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::store::{CustomerProfile, Plan, RecordOutcome, SavedCard, StoreError};
use crate::stripe::StripeError;
use crate::stripe::objects::PaymentMethod;

/// How often the cards are looked at again because somebody else wrote them meanwhile.
const LOOKS_MAX: u32 = 5;

/// What became of a wish about a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardAsked {
    /// It is so, by this request or before.
    Done,
    /// There is no such card of this account.
    NotOurs,
    /// A refill attempt is open, which may be charging it.
    AttemptOpen { attempt: u32 },
}

/// Whose a card is.
enum Owner {
    /// The account's, saved with this customer.
    Ours(CustomerId, Box<PaymentMethod>),
    /// It was the account's, and was removed.
    WasOurs,
    /// Somebody else's, or there is no such card.
    NotOurs,
}

impl Payments<'_> {
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
                    Some(self.choose_default(account, customer, &cards, first).await?)
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

    /// Makes the first saved card the default, unless refills charge another: nobody has asked for
    /// that to change.
    async fn choose_default(
        &self,
        account: &AccountId,
        customer: &CustomerId,
        cards: &[SavedCard],
        first: &SavedCard,
    ) -> Result<CardId, PaymentError> {
        let head = self.billing.store.head(account).await?;
        let charged = head.and_then(|head| head.state.refill.card);
        let default =
            charged.filter(|card| is_among(cards, card)).unwrap_or_else(|| first.id.clone());
        self.stripe.set_default_card(customer, &default).await?;
        Ok(default)
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
            let next = next_card(&state.refill, before, after).ok_or(Refusal::RefillNotWanted)?;
            Ok(Command::FollowCards {
                card_ends_at: ends_at(after, Some(&next.card)),
                card: next.card,
                card_choice: next.choice,
            })
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

    /// What the domain refuses here is no longer needed: somebody else changed it in between.
    pub(super) fn unless_refused<T>(
        &self,
        done: Result<T, PaymentError>,
    ) -> Result<(), PaymentError> {
        match done {
            Ok(_) => Ok(()),
            Err(PaymentError::Refused(refusal)) => {
                tracing::debug!(%refusal, "nothing to be done about a card");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Makes a saved card the default; refills follow it.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn make_default(
        &self,
        account: &AccountId,
        card: &CardId,
    ) -> Result<CardAsked, PaymentError> {
        let Owner::Ours(customer, _) = self.owner(account, card).await? else {
            return Ok(CardAsked::NotOurs);
        };
        // Looked at first, so that what is changed now is seen to be a change: refills follow a
        // default that changes.
        Box::pin(self.look_at_cards(account, &customer)).await?;
        self.stripe.set_default_card(&customer, card).await?;
        Box::pin(self.look_at_cards(account, &customer)).await?;
        Ok(CardAsked::Done)
    }

    /// Removes a saved card, and every other entry of the same number: whoever removes a card does
    /// not want it charged. It cannot be undone. If refills charged it, they pause.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn remove_card(
        &self,
        account: &AccountId,
        card: &CardId,
    ) -> Result<CardAsked, PaymentError> {
        let (customer, method) = match self.owner(account, card).await? {
            Owner::Ours(customer, method) => (customer, method),
            Owner::WasOurs => {
                // Whoever removed it may have died before it did what follows.
                if let Some(customer) = self.billing.store.customer_profile(account).await?.customer
                {
                    Box::pin(self.look_at_cards(account, &customer)).await?;
                }
                return Ok(CardAsked::Done);
            }
            Owner::NotOurs => return Ok(CardAsked::NotOurs),
        };
        if let Some(attempt) = Box::pin(self.open_attempt(account)).await? {
            return Ok(CardAsked::AttemptOpen { attempt });
        }
        let print =
            |method: &PaymentMethod| method.card.as_ref().and_then(|card| card.fingerprint.clone());
        let removed = print(&method);
        let all = self.stripe.cards_of(&customer).await?;
        let same = all.iter().filter(|other| removed.is_some() && print(other) == removed);
        // The named one last: as long as it is there, the request can simply be made again.
        let same =
            same.filter_map(|other| other.id.parse().ok()).filter(|other: &CardId| other != card);
        let mut refused = None;
        for gone in same.chain([card.clone()]) {
            // Once it is detached, nothing at Stripe tells whose it was.
            self.billing.store.note_owner(account, gone.as_str()).await?;
            match self.stripe.detach(&gone).await {
                // Detached already, by somebody else or by ourselves before an answer was lost.
                Ok(_) | Err(StripeError::NotFound { .. }) => {}
                Err(error @ StripeError::Rejected(_)) => refused = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Box::pin(self.look_at_cards(account, &customer)).await?;
        // What Stripe refused for another reason than that it is done is not done.
        let profile = self.billing.store.customer_profile(account).await?;
        match refused {
            Some(error) if profile.cards.iter().any(|known| known.id == *card) => Err(error.into()),
            Some(_) | None => Ok(CardAsked::Done),
        }
    }

    /// The open attempt, which may be charging a card. One that waits for its customer and is no
    /// longer agreed is called off here, so that nobody waits a minute for that.
    async fn open_attempt(&self, account: &AccountId) -> Result<Option<u32>, PaymentError> {
        let Some(head) = self.billing.store.head(account).await? else { return Ok(None) };
        let Some(attempt) = &head.state.refill.attempt else { return Ok(None) };
        if !head.state.is_asked_in_vain() {
            return Ok(Some(attempt.number));
        }
        self.drive(account, attempt, Age::Known).await?;
        let head = self.billing.store.head(account).await?;
        Ok(head.and_then(|head| head.state.refill.attempt).map(|open| open.number))
    }

    async fn owner(&self, account: &AccountId, card: &CardId) -> Result<Owner, PaymentError> {
        let profile = self.billing.store.customer_profile(account).await?;
        let method = match &profile.customer {
            Some(_) => match self.stripe.payment_method(card).await {
                Ok(method) => Some(method),
                Err(StripeError::NotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            },
            None => None,
        };
        let owner = method
            .as_ref()
            .and_then(|method| method.customer.as_ref())
            .map(|customer| customer.id.clone());
        match (profile.customer, method, owner) {
            (Some(customer), Some(method), Some(owner))
                if owner == customer.as_str() && method.card.is_some() =>
            {
                Ok(Owner::Ours(customer, Box::new(method)))
            }
            (_, _, Some(_)) => Ok(Owner::NotOurs),
            (_, _, None) => {
                let was_shown = profile.cards.iter().any(|known| known.id == *card);
                let removed_by = self.billing.store.owner(card.as_str()).await?;
                let was_ours = was_shown || removed_by.is_some_and(|owner| owner == *account);
                Ok(if was_ours { Owner::WasOurs } else { Owner::NotOurs })
            }
        }
    }
}

/// The card that refills charge when a customer with this profile agrees to charge its default
/// card. Never a card that its issuer refused permanently.
#[must_use]
pub fn default_card(refill: &RefillState, profile: &CustomerProfile) -> Option<CardId> {
    profile.default_card.as_ref().filter(|card| is_usable(refill, &[profile], card)).cloned()
}

/// The card that was agreed to with a payment: the card that paid, unless another one was agreed to
/// before. If the card that paid was not saved, refills charge the default card.
#[must_use]
pub fn agreed(
    refill: &RefillState,
    profile: &CustomerProfile,
    paid_with: Option<&CardId>,
) -> (Option<CardId>, CardChoice) {
    let is_agreed = refill.agreement.is_some();
    let usable = |card: &&CardId| is_usable(refill, &[profile], card);
    let named = match refill.card_choice {
        CardChoice::Default if is_agreed => None,
        CardChoice::Default | CardChoice::Named => {
            let kept = refill.card.as_ref().filter(|_| is_agreed).filter(usable);
            kept.or_else(|| paid_with.filter(usable))
        }
    };
    match named {
        Some(card) => (Some(card.clone()), CardChoice::Named),
        None => (default_card(refill, profile), CardChoice::Default),
    }
}

/// The first instant after the last month of a saved card (UTC). `None` if the month is not known.
#[must_use]
pub fn ends_at(profile: &CustomerProfile, card: Option<&CardId>) -> Option<Timestamp> {
    let saved = profile.cards.iter().find(|known| Some(&known.id) == card)?;
    let (year, month) = saved.exp_year.zip(saved.exp_month)?;
    let first: Timestamp = format!("{year:04}-{month:02}-01T00:00:00Z").parse().ok()?;
    Some(first.next_month())
}

/// A card that refills should charge from now on.
#[derive(Debug, PartialEq, Eq)]
struct NextCard {
    card: CardId,
    choice: CardChoice,
}

/// The card that refills should charge instead of the present one, or the present one if its expiry
/// is new. `None` if nothing changes.
fn next_card(
    refill: &RefillState,
    before: &CustomerProfile,
    after: &CustomerProfile,
) -> Option<NextCard> {
    refill.agreement?;
    let usable =
        |card: &&CardId| is_among(&after.cards, card) && is_usable(refill, &[after, before], card);
    let other = |card: &&CardId| refill.card.as_ref() != Some(*card);
    let is_new = |card: &&CardId| !is_among(&before.cards, card);
    let mut ids = after.cards.iter().map(|card| &card.id);
    let added = ids.find(|card| usable(card) && is_new(card) && other(card));
    let default = after.default_card.as_ref().filter(usable).filter(other);
    let is_moved = before.default_card != after.default_card;
    let renewed = || {
        let charged = refill.card.as_ref()?;
        let known = refill.card_expiry.map(|expiry| expiry.ends_at);
        ends_at(after, Some(charged))
            .filter(|ends_at| Some(*ends_at) != known)
            .map(|_| NextCard::new(charged, refill.card_choice))
    };
    let next = match (refill.card_choice, &refill.paused) {
        // A saved card does not answer the issuer's warning.
        (_, Some(RefillPause::FraudWarning)) => return None,
        (CardChoice::Default, None | Some(RefillPause::CardExpired | RefillPause::Unconfirmed)) => {
            let is_followed = refill.paused.is_none() || is_moved;
            return default
                .filter(|_| is_followed)
                .map(|card| NextCard::new(card, CardChoice::Default))
                .or_else(|| {
                    let added = added.filter(|_| refill.paused.is_some());
                    added.map(|card| NextCard::new(card, CardChoice::Named))
                })
                .or_else(renewed);
        }
        // The default card was refused. Another default or a new card replaces it.
        (
            CardChoice::Default,
            Some(RefillPause::CardRefused | RefillPause::Failures | RefillPause::CardGone),
        ) => {
            let moved = default.filter(|_| is_moved);
            return moved
                .map(|card| NextCard::new(card, CardChoice::Default))
                .or_else(|| added.map(|card| NextCard::new(card, CardChoice::Named)));
        }
        // The customer removed the card that was charged and has not agreed to another saved card
        // being charged. Only a new card is.
        (
            CardChoice::Named,
            Some(
                RefillPause::CardRefused
                | RefillPause::Failures
                | RefillPause::CardGone
                | RefillPause::CardExpired
                | RefillPause::Unconfirmed,
            ),
        ) => added,
        // Rows of format 2 named no card. The customer must agree again.
        (CardChoice::Named, None) => {
            default.filter(|_| refill.card.is_some() && before.default_card.is_some() && is_moved)
        }
    };
    next.map(|card| NextCard::new(card, CardChoice::Named)).or_else(renewed)
}

impl NextCard {
    fn new(card: &CardId, choice: CardChoice) -> NextCard {
        NextCard { card: card.clone(), choice }
    }
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
            max_charge: None,
            target: None,
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
        let next = next_card(refill, before, after);
        assert_eq!(next.as_ref().map(|next| next.card.as_str()), expected);
    }

    #[test]
    fn new_card_ends_a_pause_and_changed_default_replaces_it() {
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
        check(&refill(None, None, &[]), &profile(&[], None), &one, None);
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
    fn refills_of_the_default_card_follow_it() {
        let (none, one) = (profile(&[], None), profile(&["pm_1"], Some("pm_1")));
        let added = profile(&["pm_2", "pm_1"], Some("pm_1"));
        let moved = profile(&["pm_2", "pm_1"], Some("pm_2"));
        let of_default = |card, paused, never: &[&str]| RefillState {
            card_choice: CardChoice::Default,
            ..refill(card, paused, never)
        };
        check(&of_default(None, None, &[]), &none, &one, Some("pm_1"));
        check(&of_default(Some("pm_1"), None, &[]), &one, &added, None);
        check(&of_default(Some("pm_1"), None, &[]), &added, &moved, Some("pm_2"));
        let refused = of_default(Some("pm_1"), Some(RefillPause::CardRefused), &["pm_1"]);
        check(&refused, &one, &one, None);
        check(&refused, &one, &added, Some("pm_2"));
        let named = NextCard::new(&"pm_2".parse().unwrap(), CardChoice::Named);
        assert_eq!(next_card(&refused, &one, &added), Some(named));
        let failing = of_default(Some("pm_2"), Some(RefillPause::Failures), &[]);
        check(&failing, &added, &added, None);
        let warned = of_default(Some("pm_1"), Some(RefillPause::FraudWarning), &[]);
        check(&warned, &added, &moved, None);
    }

    #[test]
    fn agreed_card_is_the_kept_then_the_paying_then_the_default() {
        let two = profile(&["pm_2", "pm_1"], Some("pm_1"));
        #[track_caller]
        fn check(found: &(Option<CardId>, CardChoice), card: Option<&str>, choice: CardChoice) {
            assert_eq!((found.0.as_ref().map(CardId::as_str), found.1), (card, choice));
        }
        let agreed =
            |refill: &RefillState, paid: &str| agreed(refill, &two, paid.parse().ok().as_ref());
        let never_agreed = RefillState { agreement: None, ..refill(None, None, &[]) };
        check(&agreed(&never_agreed, "pm_2"), Some("pm_2"), CardChoice::Named);
        check(&agreed(&refill(Some("pm_1"), None, &[]), "pm_2"), Some("pm_1"), CardChoice::Named);
        check(&agreed(&never_agreed, "pm_9"), Some("pm_1"), CardChoice::Default);
        let refused = RefillState { never: refill(None, None, &["pm_1"]).never, ..never_agreed };
        check(&agreed(&refused, "pm_9"), None, CardChoice::Default);
        let of_default =
            RefillState { card_choice: CardChoice::Default, ..refill(Some("pm_2"), None, &[]) };
        check(&agreed(&of_default, "pm_2"), Some("pm_1"), CardChoice::Default);
    }

    #[test]
    fn the_same_number_saved_twice_is_shown_once() {
        let twice = profile(&["pm_1xx", "pm_1x", "pm_2"], Some("pm_1x"));
        let shown: Vec<&str> = twice.shown_cards().iter().map(|card| card.id.as_str()).collect();
        assert_eq!(shown, ["pm_1x", "pm_2"]);
    }
}
