//! The parts that a function is built from at start: AWS clients, settings, the ledger, logs,
//! metrics.

#[cfg(feature = "shell")]
pub mod account_event;
#[cfg(feature = "shell")]
pub mod aws;
#[cfg(feature = "shell")]
pub mod billing;
#[cfg(feature = "bus")]
pub mod bus;
#[cfg(feature = "shell")]
pub mod delivery;
#[cfg(feature = "shell")]
pub mod logs;
#[cfg(feature = "shell")]
pub mod metrics;
#[cfg(feature = "shell")]
mod panics;
#[cfg(feature = "shell")]
pub mod run_budget;
pub mod settings;
#[cfg(feature = "shell")]
pub mod settle_tally;
