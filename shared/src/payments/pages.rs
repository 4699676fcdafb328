//! Limits on payment pages. A page takes its place before Stripe is asked to make it, and gives it
//! back if Stripe makes none or the page is paid.

use crate::domain::account::AccountState;
use crate::domain::ids::AccountId;
use crate::domain::payment_pages::{MadePage, check_another, forget_old};
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::HOUR;
use crate::payments::{PaymentError, Payments};
use crate::store::{Counted, RecordOutcome, RequestCounter, StoreError, UnpaidPages};
use crate::stripe::StripeError;

/// How often another request may change the account's pages first. Of many requests at once, the
/// first few take all places, and the others read that and write nothing.
const CHANGES_MAX: u32 = 100;

/// Whose place for a payment page it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagePlace {
    /// This request took it, and gives it back if it makes no page.
    Taken,
    /// The same request took it before, or at the same time.
    OfAnotherRequest,
}

impl Payments<'_> {
    /// Takes a place for a payment page. `key` tells this request for a page from others: the same
    /// request again has its place already. The place among those of new accounts is taken last, so
    /// that an account counts there no more pages than it holds.
    ///
    /// # Errors
    /// [`PaymentError::Refused`] with [`Refusal::TooManyPages`] or [`Refusal::TooManyNewPages`];
    /// [`PaymentError::Fault`].
    pub async fn reserve_page(
        &self,
        account: &AccountId,
        state: &AccountState,
        key: &str,
    ) -> Result<PagePlace, PaymentError> {
        let policy = &self.billing.settings.policy.pages;
        for _ in 0..CHANGES_MAX {
            let mut unpaid = self.billing.store.unpaid_pages(account).await?;
            forget_old(&mut unpaid.pages, self.now);
            if unpaid.pages.iter().any(|page| page.key == key) {
                return Ok(PagePlace::OfAnotherRequest);
            }
            if check_another(&unpaid.pages, self.now, policy).is_err() {
                self.forget_paid(&mut unpaid).await?;
                check_another(&unpaid.pages, self.now, policy).map_err(PaymentError::Refused)?;
            }
            let page = MadePage { key: key.to_owned(), made_at: self.now, session: None };
            unpaid.pages.push(page);
            if self.put_pages(account, &unpaid).await? == RecordOutcome::Existing {
                continue;
            }
            if !state.ever_paid
                && let Err(refused) = self.count_new_page(policy.new_accounts_per_hour).await
            {
                self.remove_page(account, key).await?;
                return Err(refused);
            }
            return Ok(PagePlace::Taken);
        }
        Err(StoreError::Contended { attempts: CHANGES_MAX }.into())
    }

    /// Notes the page that Stripe made, so that its payment is found. It counts even if its place is
    /// gone.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn note_page(
        &self,
        account: &AccountId,
        key: &str,
        session: &str,
    ) -> Result<(), StoreError> {
        self.change_pages(account, |pages| {
            let session = Some(session.to_owned());
            match pages.iter_mut().find(|page| page.key == key) {
                Some(page) => page.session = session,
                None => pages.push(MadePage { key: key.to_owned(), made_at: self.now, session }),
            }
        })
        .await
    }

    /// Ends a payment page at which nobody has paid. One that is paid or expired stays as it is.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn end_page(&self, session: &str) -> Result<(), StripeError> {
        match self.stripe.expire_session(session).await {
            Ok(_) | Err(StripeError::Rejected(_) | StripeError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives a place back that this request took: there is no page.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn release_page(
        &self,
        account: &AccountId,
        state: &AccountState,
        key: &str,
    ) -> Result<(), StoreError> {
        self.remove_page(account, key).await?;
        if state.ever_paid {
            return Ok(());
        }
        self.billing.store.uncount(RequestCounter::NewAccountPages, HOUR, 1, self.now).await
    }

    /// Removes a page that was not made. One that another request made under the same key stays.
    async fn remove_page(&self, account: &AccountId, key: &str) -> Result<(), StoreError> {
        let is_kept = |page: &MadePage| page.key != key || page.session.is_some();
        self.change_pages(account, |pages| pages.retain(is_kept)).await
    }

    async fn change_pages(
        &self,
        account: &AccountId,
        change: impl Fn(&mut Vec<MadePage>),
    ) -> Result<(), StoreError> {
        for _ in 0..CHANGES_MAX {
            let mut unpaid = self.billing.store.unpaid_pages(account).await?;
            let before = unpaid.pages.clone();
            change(&mut unpaid.pages);
            if unpaid.pages == before
                || self.put_pages(account, &unpaid).await? == RecordOutcome::New
            {
                return Ok(());
            }
        }
        Err(StoreError::Contended { attempts: CHANGES_MAX })
    }

    async fn put_pages(
        &self,
        account: &AccountId,
        unpaid: &UnpaidPages,
    ) -> Result<RecordOutcome, StoreError> {
        self.billing.store.put_unpaid_pages(account, unpaid, self.now).await
    }

    /// Removes the pages whose payment was credited. Looked up only once a limit is reached: most
    /// accounts never reach one.
    async fn forget_paid(&self, unpaid: &mut UnpaidPages) -> Result<(), StoreError> {
        let mut rest = Vec::with_capacity(unpaid.pages.len());
        for page in std::mem::take(&mut unpaid.pages) {
            let is_paid = match &page.session {
                Some(session) => self.billing.store.look_up(session).await?.is_some(),
                None => false,
            };
            if !is_paid {
                rest.push(page);
            }
        }
        unpaid.pages = rest;
        Ok(())
    }

    async fn count_new_page(&self, max: u32) -> Result<(), PaymentError> {
        let counter = RequestCounter::NewAccountPages;
        match self.billing.store.count(counter, HOUR, max, self.now).await? {
            Counted::Within => Ok(()),
            Counted::Full { until } => {
                tracing::error!(alarm = "new_pages_limited", max, %until, "pages for new accounts are limited");
                let wait_seconds = until - self.now;
                Err(PaymentError::Refused(Refusal::TooManyNewPages { wait_seconds }))
            }
        }
    }
}
