//! What a function is built from when it starts. A handler takes these as arguments and knows
//! nothing of where they come from, so that the same handler runs behind a Runtime API and inside a
//! simulated world.

use std::sync::{Arc, Mutex, PoisonError};

use aws_types::SdkConfig;

use crate::domain::command::Command;
use crate::domain::event::Cause;
use crate::domain::ids::AccountId;
use crate::domain::prices::PriceList;
use crate::domain::profile::EmailAddress;
use crate::domain::refusal::Refusal;
use crate::domain::settle::TriggerDelivery;
use crate::domain::snapshot::AccountSnapshot;
use crate::domain::timestamp::{MINUTE, Timestamp};
use crate::runtime::settings::{Settings, SettingsError};
use crate::store::{
    CommandError, CommandOutcome, Plan, SettledAccount, Store, StoreError, Trigger,
};

/// How long a price list is used before it is read again. Prices are announced ten times as long
/// before they hold.
const PRICES_SECONDS: i64 = MINUTE;

/// Which account a trigger is about, and when.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    pub account: &'a AccountId,
    /// The trigger's own time (UTC).
    pub now: Timestamp,
    pub delivery: TriggerDelivery,
    pub opening: Opening<'a>,
}

/// Whether a trigger may open an account that is not open. Only a customer's own token and a
/// confirmed payment may: whoever acts for another account may have mistyped its name.
#[derive(Clone, Copy, Debug)]
pub enum Opening<'a> {
    Never,
    /// The address becomes the account's, if it has none.
    Allowed {
        email: Option<&'a EmailAddress>,
    },
}

impl<'a> Visit<'a> {
    /// By a trigger that may have waited in a queue and opens no account.
    #[must_use]
    pub fn of(account: &'a AccountId, now: Timestamp) -> Visit<'a> {
        Visit { account, now, delivery: TriggerDelivery::Queued, opening: Opening::Never }
    }
}

/// What every function has: the ledger, the price list, and what the operator set.
#[derive(Debug)]
pub struct Billing {
    /// The ledger and the accounts.
    pub store: Store,
    /// What the operator set.
    pub settings: Settings,
    prices: Mutex<Option<(Timestamp, Arc<PriceList>)>>,
}

impl Billing {
    /// Puts them together.
    #[must_use]
    pub fn new(store: Store, settings: Settings) -> Billing {
        Billing { store, settings, prices: Mutex::new(None) }
    }

    /// The price list, not older than a minute of the triggers' time.
    ///
    /// # Errors
    /// [`StoreError`] if it must be read and cannot be.
    pub async fn prices(&self, now: Timestamp) -> Result<Arc<PriceList>, StoreError> {
        if let Some((read_at, prices)) = self.cached()
            && (read_at..read_at.plus(PRICES_SECONDS)).contains(&now)
        {
            return Ok(prices);
        }
        self.fresh_prices(now).await
    }

    /// The price list as it is now: for who has just met a SKU that the cached one lacks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn fresh_prices(&self, now: Timestamp) -> Result<Arc<PriceList>, StoreError> {
        let prices = Arc::new(self.store.prices().await?);
        *self.prices.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((now, Arc::clone(&prices)));
        Ok(prices)
    }

    /// Carries out the command that follows from `plan`: see [`Store::execute`]. Opens the account
    /// if it may, and reads the price list again if it lacks what is asked for.
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
            match Box::pin(self.store.execute(trigger, cause.clone(), plan)).await {
                Err(error) => preconditions.resolve(error).await?,
                done => return done,
            }
        }
    }

    /// Settles the account and looks at it as it is then.
    ///
    /// # Errors
    /// [`Refusal::AccountNotOpen`]; [`StoreError`].
    pub async fn settle<T>(
        &self,
        visit: Visit<'_>,
        look: impl Fn(&SettledAccount<'_>) -> T,
    ) -> Result<T, CommandError> {
        let mut preconditions = Preconditions::new(self, visit).await?;
        loop {
            let error = match Box::pin(self.store.settled(preconditions.trigger())).await {
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
            let error = match Box::pin(self.store.snapshot(account, prices, policy)).await {
                Ok(view) if view.state().is_open() => return Ok(see(&view)),
                Ok(_) => Refusal::AccountNotOpen.into(),
                Err(fault) => fault.into(),
            };
            preconditions.resolve(error).await?;
        }
    }

    /// Makes sure that the account is open.
    ///
    /// # Errors
    /// [`Refusal::AccountNotOpen`] if it is not and must not be opened here; [`StoreError`].
    pub async fn ensure_open(&self, visit: Visit<'_>) -> Result<(), CommandError> {
        match self.store.head(visit.account).await? {
            Some(_) => Ok(()),
            None => self.open(visit).await,
        }
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

/// What a command may lack through no fault of its own, each supplied once: an open account, and a
/// price list that is new enough.
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

    /// Supplies what was lacking, or returns the error if that was done before or does not help.
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

/// What every function has, from its environment.
///
/// # Errors
/// A [`SettingsError`] that names the variable.
pub fn billing(aws: &SdkConfig) -> Result<Billing, SettingsError> {
    let settings = Settings::from_environment()?;
    let store = Store::new(aws_sdk_dynamodb::Client::new(aws), settings.tables.clone());
    Ok(Billing::new(store, settings))
}

/// The bus, from the variable `EVENT_BUS`.
///
/// # Errors
/// [`SettingsError::Missing`] if it is not set.
#[cfg(feature = "bus")]
pub fn bus(aws: &SdkConfig) -> Result<crate::runtime::bus::Bus, SettingsError> {
    let name = std::env::var("EVENT_BUS").map_err(|_| SettingsError::Missing("EVENT_BUS"))?;
    Ok(crate::runtime::bus::Bus::new(aws_sdk_eventbridge::Client::new(aws), name))
}
