//! What a function is built from when it starts. A handler takes these as arguments and knows
//! nothing of where they come from, so that the same handler runs behind a Runtime API and inside a
//! simulated world.

use std::sync::{Arc, Mutex, PoisonError};

use aws_types::SdkConfig;

use crate::domain::prices::PriceList;
use crate::domain::settle::TriggerDelivery;
use crate::domain::timestamp::{MINUTE, Timestamp};
use crate::runtime::settings::{Settings, SettingsError};
use crate::store::{Store, StoreError, Trigger};

/// How long a price list is used before it is read again. Prices are announced ten times as long
/// before they hold.
const PRICES_SECONDS: i64 = MINUTE;

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

    /// What a trigger brings along, for one account. It may have waited in a queue, unless it is
    /// said to be prompt.
    #[must_use]
    pub fn occasion<'a>(
        &'a self,
        account: &'a crate::domain::ids::AccountId,
        prices: &'a PriceList,
        now: Timestamp,
    ) -> Trigger<'a> {
        Trigger {
            account,
            prices,
            policy: &self.settings.policy,
            now,
            delivery: TriggerDelivery::Queued,
        }
    }

    fn cached(&self) -> Option<(Timestamp, Arc<PriceList>)> {
        self.prices.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
