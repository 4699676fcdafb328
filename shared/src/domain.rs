//! The business rules, as pure code.
//!
//! Nothing here imports anything outside this module: no clock, randomness, I/O, SDK or Stripe
//! client. `now` is always an argument, because it comes with the trigger. A business
//! [`refusal`](refusal::Refusal) never shares a type with a failure of the infrastructure. There is
//! no floating point.

pub mod account;
pub mod apply;
pub mod budgets;
pub mod command;
pub mod credit_low;
pub mod decide;
mod defaults;
pub mod event;
pub mod fund;
pub mod funds;
pub mod holds;
pub mod ids;
pub mod money;
pub(crate) mod names;
pub mod payment_pages;
pub mod payment_records;
pub mod plans;
pub mod policy;
pub mod prices;
pub mod profile;
pub mod quotas;
pub mod refill;
pub mod refusal;
pub mod resolve;
pub mod resources;
pub mod row;
pub mod row_format;
pub mod settle;
pub mod snapshot;
pub mod tax_ids;
pub mod timestamp;
pub mod usage;
mod yes_no;
