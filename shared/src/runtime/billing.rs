//! The parts that a function is built from at start. A handler takes them as arguments and does not
//! depend on their source, so the same handler runs behind a Runtime API and in a simulation.

use std::sync::{Arc, Mutex, PoisonError};

use aws_types::SdkConfig;

use crate::domain::command::Command;
use crate::domain::event::Cause;
use crate::domain::ids::AccountId;
use crate::domain::prices::PriceList;
use crate::domain::profile::EmailAddress;
use crate::domain::quotas::AccountQuotas;
use crate::domain::refusal::Refusal;
use crate::domain::settle::TriggerDelivery;
use crate::domain::snapshot::AccountSnapshot;
use crate::domain::timestamp::{MINUTE, Timestamp};
use crate::runtime::panics::caught;
use crate::runtime::settings::{Settings, SettingsError};
use crate::store::{
    CommandError, CommandOutcome, Plan, SettledAccount, Store, StoreError, Trigger,
};

/// How long a price list is cached. Prices are announced ten times as long before they apply.
const PRICES_SECONDS: i64 = MINUTE;

/// The account and time of a trigger.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    pub account: &'a AccountId,
    /// The time of the trigger (UTC).
    pub now: Timestamp,
    pub delivery: TriggerDelivery,
    pub opening: Opening<'a>,
}

/// Whether a trigger may open the account. Only a customer's own token, a confirmed payment and an
/// import by staff may. Other callers could have mistyped the account's name.
#[derive(Clone, Copy, Debug)]
pub enum Opening<'a> {
    Never,
    /// The e-mail address for an account that has none.
    Allowed {
        email: Option<&'a EmailAddress>,
    },
}

impl<'a> Visit<'a> {
    /// For a trigger that may have waited in a queue. It does not open the account.
    #[must_use]
    pub fn of(account: &'a AccountId, now: Timestamp) -> Visit<'a> {
        Visit { account, now, delivery: TriggerDelivery::Queued, opening: Opening::Never }
    }
}

/// The shared parts of every function: ledger, price list and settings.
#[derive(Debug)]
pub struct Billing {
    /// The ledger and the accounts.
    pub store: Store,
    /// What the operator set.
    pub settings: Settings,
    prices: Mutex<Option<(Timestamp, Arc<PriceList>)>>,
}

impl Billing {
    /// Combines the parts.
    #[must_use]
    pub fn new(store: Store, settings: Settings) -> Billing {
        Billing { store, settings, prices: Mutex::new(None) }
    }

    /// The price list, at most one minute old by the triggers' time.
    ///
    /// # Errors
    /// [`StoreError`] if the price list cannot be read.
    pub async fn prices(&self, now: Timestamp) -> Result<Arc<PriceList>, StoreError> {
        if let Some((read_at, prices)) = self.cached()
            && (read_at..read_at.plus(PRICES_SECONDS)).contains(&now)
        {
            return Ok(prices);
        }
        self.fresh_prices(now).await
    }

    /// The current price list, for a SKU that the cached list lacks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn fresh_prices(&self, now: Timestamp) -> Result<Arc<PriceList>, StoreError> {
        let prices = Arc::new(self.store.prices().await?);
        *self.prices.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((now, Arc::clone(&prices)));
        Ok(prices)
    }

    /// Executes the command that follows from `plan`: see [`Store::execute`]. Opens the account if
    /// allowed, and reads the price list again if it lacks a requested SKU.
    ///
    /// # Errors
    /// As [`Store::execute`].
    pub async fn execute(
        &self,
        visit: Visit<'_>,
        cause: Cause,
        plan: Plan<'_>,
    ) -> Result<CommandOutcome, CommandError> {
        let mut preconditions = Preconditions::new(self, visit).await?;
        loop {
            let trigger = preconditions.trigger();
            // Boxed to keep the handler's future small.
            match unwound(self.store.execute(trigger, cause.clone(), plan)).await {
                Err(error) => preconditions.resolve(error).await?,
                done => return done,
            }
        }
    }

    /// Settles the account and reads a value from the result.
    ///
    /// # Errors
    /// [`Refusal::AccountNotOpen`], [`StoreError`].
    pub async fn settle<T>(
        &self,
        visit: Visit<'_>,
        look: impl Fn(&SettledAccount<'_>) -> T,
    ) -> Result<T, CommandError> {
        let mut preconditions = Preconditions::new(self, visit).await?;
        loop {
            let error = match unwound(self.store.settled(preconditions.trigger())).await {
                Ok(settled) if settled.view.state().is_open() => return Ok(look(&settled)),
                Ok(_) => Refusal::AccountNotOpen.into(),
                Err(fault) => fault.into(),
            };
            preconditions.resolve(error).await?;
        }
    }

    /// Looks at the account as it stands, without settling it.
    ///
    /// # Errors
    /// [`Refusal::AccountNotOpen`]; [`StoreError`].
    pub async fn look<T>(
        &self,
        visit: Visit<'_>,
        see: impl Fn(&AccountSnapshot<'_>) -> T,
    ) -> Result<T, CommandError> {
        let mut preconditions = Preconditions::new(self, visit).await?;
        loop {
            let Trigger { account, prices, policy, .. } = preconditions.trigger();
            let error = match unwound(self.store.snapshot(account, prices, policy)).await {
                Ok(view) if view.state().is_open() => return Ok(see(&view)),
                Ok(_) => Refusal::AccountNotOpen.into(),
                Err(fault) => fault.into(),
            };
            preconditions.resolve(error).await?;
        }
    }

    /// Opens the account if it is not open.
    ///
    /// # Errors
    /// [`Refusal::AccountNotOpen`] if the trigger may not open it. [`StoreError`].
    pub async fn ensure_open(&self, visit: Visit<'_>) -> Result<(), CommandError> {
        match self.store.head(visit.account).await? {
            Some(_) => Ok(()),
            None => self.open(visit).await,
        }
    }

    /// The account's quotas: as staff decided, else the installation's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn quotas(&self, account: &AccountId) -> Result<AccountQuotas, StoreError> {
        let decided = self.store.quota_decision(account).await?;
        Ok(decided.map_or(self.settings.policy.quotas, |decision| decision.quotas))
    }

    async fn open(&self, visit: Visit<'_>) -> Result<(), CommandError> {
        let Opening::Allowed { email } = visit.opening else {
            return Err(Refusal::AccountNotOpen.into());
        };
        let no_prices = PriceList::default();
        let trigger = self.trigger(visit, &no_prices);
        let open = |_: &AccountSnapshot<'_>| Ok(Command::Open);
        match Box::pin(self.store.execute(trigger, Cause::Command, Plan::on_snapshot(&open))).await
        {
            Ok(_) | Err(CommandError::Refused(Refusal::AccountAlreadyOpen)) => {}
            Err(error) => return Err(error),
        }
        if let Some(email) = email {
            self.store.fill_email(visit.account, email).await?;
        }
        Ok(())
    }

    fn trigger<'t>(&'t self, visit: Visit<'t>, prices: &'t PriceList) -> Trigger<'t> {
        let Visit { account, now, delivery, .. } = visit;
        Trigger { account, prices, policy: &self.settings.policy, now, delivery }
    }

    fn cached(&self) -> Option<(Timestamp, Arc<PriceList>)> {
        self.prices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Work on an account whose panic is a fault of this account alone.
async fn unwound<T, E: From<StoreError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    caught(work).await.unwrap_or_else(|why| Err(StoreError::Panicked { why }.into()))
}

/// The preconditions that a command may lack, each supplied once: an open account and a recent
/// price list.
struct Preconditions<'a> {
    billing: &'a Billing,
    visit: Visit<'a>,
    prices: Arc<PriceList>,
    opened: Attempted,
    refreshed: Attempted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempted {
    No,
    Yes,
}

impl<'a> Preconditions<'a> {
    async fn new(billing: &'a Billing, visit: Visit<'a>) -> Result<Preconditions<'a>, StoreError> {
        let prices = billing.prices(visit.now).await?;
        Ok(Preconditions {
            billing,
            visit,
            prices,
            opened: Attempted::No,
            refreshed: Attempted::No,
        })
    }

    fn trigger(&self) -> Trigger<'_> {
        self.billing.trigger(self.visit, &self.prices)
    }

    /// Supplies the missing precondition. Returns the error if it was supplied before or does not
    /// help.
    async fn resolve(&mut self, error: CommandError) -> Result<(), CommandError> {
        match &error {
            CommandError::Refused(Refusal::AccountNotOpen) if self.opened == Attempted::No => {
                self.opened = Attempted::Yes;
                self.billing.open(self.visit).await
            }
            CommandError::Refused(Refusal::UnknownSku { .. })
            | CommandError::Fault(StoreError::Unpriced(_))
                if self.refreshed == Attempted::No =>
            {
                self.refreshed = Attempted::Yes;
                self.prices = self.billing.fresh_prices(self.visit.now).await?;
                Ok(())
            }
            CommandError::Refused(_) | CommandError::Fault(_) => Err(error),
        }
    }
}

/// The shared parts of every function, from its environment.
///
/// # Errors
/// A [`SettingsError`] with the variable.
pub fn billing(aws: &SdkConfig) -> Result<Billing, SettingsError> {
    let settings = Settings::from_environment()?;
    let store = Store::new(aws_sdk_dynamodb::Client::new(aws), settings.tables.clone());
    Ok(Billing::new(store, settings))
}

/// The bus named by the variable `EVENT_BUS`.
///
/// # Errors
/// [`SettingsError::Missing`] if it is not set.
#[cfg(feature = "bus")]
pub fn bus(aws: &SdkConfig) -> Result<crate::runtime::bus::Bus, SettingsError> {
    let name = std::env::var("EVENT_BUS").map_err(|_| SettingsError::Missing("EVENT_BUS"))?;
    Ok(crate::runtime::bus::Bus::new(aws_sdk_eventbridge::Client::new(aws), name))
}
