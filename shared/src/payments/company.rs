//! What invoices say of a customer, written through to Stripe. What Stripe refuses leaves
//! everything as it was.

use crate::domain::ids::{AccountId, CustomerId};
use crate::domain::profile::{CompanyDetails, TaxNumber};
use crate::domain::row::RowDigest;
use crate::payments::{PaymentError, Payments};
use crate::stripe::calls::WriteResult;
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::objects::TaxId;
use crate::stripe::{StripeError, StripeRejection};

/// Why company facts are not Stripe's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompanyError {
    /// Stripe does not take the tax id for one; in its words.
    #[error("the tax ID was rejected: {0}")]
    TaxId(String),
    /// Stripe does not know the address; in its words.
    #[error("the address was rejected: {0}")]
    Address(String),
    #[error(transparent)]
    Failure(#[from] PaymentError),
}

impl From<StripeError> for CompanyError {
    fn from(error: StripeError) -> CompanyError {
        CompanyError::Failure(error.into())
    }
}

impl Payments<'_> {
    /// Makes name, address and tax id at Stripe what they are here. It may be done any number of
    /// times: what is there is not added again. `request` tells one request to add a tax id from a
    /// later one, after it was removed in between.
    ///
    /// The tax id is added first and the others are removed last, so that a refusal of either half
    /// undoes the other.
    ///
    /// # Errors
    /// [`CompanyError`]
    pub async fn write_company(
        &self,
        account: &AccountId,
        customer: &CustomerId,
        before: &CompanyDetails,
        company: &CompanyDetails,
        request: &str,
    ) -> Result<(), CompanyError> {
        let known = self.stripe.tax_ids(customer).await?;
        let is_wanted = |known: &TaxId| {
            company.tax_id.as_ref().is_some_and(|wanted| {
                known.kind.as_deref() == Some(wanted.kind.as_str())
                    && known.value.as_deref().is_some_and(|value| same_number(value, wanted))
            })
        };
        let is_there = known.iter().any(is_wanted);
        let added = match company.tax_id.as_ref().filter(|_| !is_there) {
            Some(number) => Some(self.add_tax_id(account, customer, number, request).await?),
            None => None,
        };
        let address = if company.address.is_some() || before.address.is_some() {
            WriteResult::AsItIs
        } else {
            WriteResult::Nothing
        };
        if let Err(error) = self.stripe.write_company(customer, company, address).await {
            let why = refused(error, as_address_refusal);
            if let (CompanyError::Address(_), Some(added)) = (&why, &added) {
                self.stripe.delete_tax_id(customer, &added.id).await?;
            }
            return Err(why);
        }
        // What was never set here was typed at the payment page, and stays.
        let is_ours = company.tax_id.is_some() || before.tax_id.is_some();
        let others = known.iter().filter(|known| !is_wanted(known));
        for other in others.filter(|_| is_ours) {
            match self.stripe.delete_tax_id(customer, &other.id).await {
                Ok(_) | Err(StripeError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn add_tax_id(
        &self,
        account: &AccountId,
        customer: &CustomerId,
        number: &TaxNumber,
        request: &str,
    ) -> Result<TaxId, CompanyError> {
        // With the number: another one under the same key would be refused for a day.
        let written = format!("{number:?}");
        let digest = RowDigest::of(&[&written]);
        let key =
            IdempotencyKey::tax_id(account, &format!("{customer}/{request}/{}", digest.as_str()));
        let made = self.stripe.create_tax_id(customer, number, &key).await;
        made.map_err(|error| {
            refused(error, |refusal| Some(CompanyError::TaxId(refusal.message.clone())))
        })
    }

    /// The same for a customer that was just made: nobody waits for the company's sake, so a
    /// refusal is an alarm.
    pub(super) async fn tell_company(
        &self,
        account: &AccountId,
        customer: &CustomerId,
        company: &CompanyDetails,
    ) -> Result<(), PaymentError> {
        match self
            .write_company(account, customer, &CompanyDetails::default(), company, "first")
            .await
        {
            Ok(()) => Ok(()),
            Err(CompanyError::Failure(failure)) => Err(failure),
            Err(why @ (CompanyError::TaxId(_) | CompanyError::Address(_))) => {
                tracing::error!(alarm = "company_refused", %account, %why, "an invoice lacks what the customer set");
                Ok(())
            }
        }
    }
}

fn refused(
    error: StripeError,
    as_refusal: impl Fn(&StripeRejection) -> Option<CompanyError>,
) -> CompanyError {
    if let StripeError::Rejected(rejection) = &error
        && let Some(refusal) = as_refusal(rejection)
    {
        return refusal;
    }
    error.into()
}

/// A refusal of the address. None if Stripe refused something else.
fn as_address_refusal(refusal: &StripeRejection) -> Option<CompanyError> {
    let param = refusal.param.as_deref().unwrap_or_default();
    let is_address =
        refusal.code == "customer_tax_location_invalid" || param.starts_with("address");
    is_address.then(|| CompanyError::Address(refusal.message.clone()))
}

/// Spaces, dots and dashes are how people write numbers, and Stripe may keep them or not.
fn same_number(value: &str, wanted: &TaxNumber) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
    };
    plain(value) == plain(wanted.value.as_str())
}
