//! What a customer does with its own saved cards: makes one the default, removes one. A card that
//! is not its own does not exist for it.

use crate::domain::ids::{AccountId, CardId, CustomerId};
use crate::payments::{PaymentError, Payments};
use crate::stripe::StripeError;
use crate::stripe::objects::PaymentMethod;

/// What became of a wish about a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardAsked {
    /// It is so, by this request or before.
    Done,
    /// There is no such card of this account.
    NotOurs,
    /// A refill attempt is open, which may be charging it.
    AttemptOpen {
        /// Which.
        attempt: u32,
    },
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
        let head = self.billing.store.head(account).await?;
        if let Some(open) = head.and_then(|head| head.state.refill.attempt) {
            return Ok(CardAsked::AttemptOpen { attempt: open.number });
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
