//! An account's customer at Stripe.

use crate::domain::account::AccountState;
use crate::domain::command::Command;
use crate::domain::event::Cause;
use crate::domain::ids::{AccountId, CustomerId};
use crate::domain::profile::{CompanyDetails, EmailAddress};
use crate::domain::row::RowDigest;
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::store::{CommandError, Plan};
use crate::stripe::StripeError;
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::objects::NamedObject;

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
        let customer = match store.set_customer(account, &customer).await {
            Err(CommandError::Refused(refusal)) => {
                // It was erased while this one was made.
                self.delete_customer(&customer).await?;
                return Err(PaymentError::Refused(refusal));
            }
            set => set?,
        };
        // Who set it in between found no customer to tell.
        let company_now = store.profile(account).await?.company;
        if company_now != company {
            self.tell_company(account, &customer, &company_now).await?;
        }
        Ok(customer)
    }

    /// Deletes a customer with its cards at Stripe, for ever, if it is not deleted.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn delete_customer(&self, customer: &CustomerId) -> Result<(), StripeError> {
        match self.stripe.delete_customer(customer).await {
            Ok(_) | Err(StripeError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
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

    pub(super) async fn forget(
        &self,
        account: &AccountId,
        customer: &CustomerId,
    ) -> Result<(), PaymentError> {
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
}
