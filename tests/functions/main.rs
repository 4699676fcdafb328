//! Each function's handler, called with the real JSON of its trigger, on the embedded DynamoDB and
//! the Stripe stand-in.
//!
//! A file is named after its function. `account` and `admin` have several: `account_history` covers
//! answers from the ledger alone, `account_at_stripe` calls to Stripe, `admin_health` the health
//! check. `project_billing` belongs to `resources`. `stripe_setup` is the operator's command, and
//! `stripe_contract` the behavior of Stripe that all of them rely on, call by call.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "clippy knows tests, but not what only tests call"
)]

mod account;
mod account_at_stripe;
mod account_history;
mod account_support;
mod admin;
mod admin_health;
mod auto_refill;
mod auto_refill_resumed;
mod bus_world;
mod checkout;
mod console;
mod deployment_check;
mod hourly_debit;
mod limits;
mod mistyped_account;
mod project_billing;
mod publish;
mod quotas;
mod resources;
mod settle_due;
mod stripe_contract;
mod stripe_setup;
mod stripe_webhook;
