//! Each function's handler, called with the real JSON of its trigger, on the embedded DynamoDB and
//! the Stripe stand-in.
//!
//! A file is named after its function. Some functions have several files.
//!
//! - `account`: `account_history` covers answers from the ledger alone. `account_cards`,
//!   `account_card_faults`, `account_invoices` and `account_company` cover calls to Stripe, and
//!   `account_stripe_routes` the rules that all of those share. `account_restart` covers what
//!   happens after a suspension.
//! - `admin`: `admin_health` covers the health check.
//! - `auto-refill`: `auto_refill` covers one attempt. `auto_refill_by_hand` covers customers who pay
//!   by hand meanwhile, `auto_refill_confirmation` attempts that wait for their customer or are
//!   called off, and `auto_refill_invoices` invoices that the card alone does not pay.
//! - `resources`: `project_billing` covers the cost of a project, and `project_budgets` what it may
//!   cost.
//!
//! `stripe_setup` is the operator's command, and `stripe_contract` the behavior of Stripe that all
//! of them rely on, call by call.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "clippy knows tests, but not what only tests call"
)]

mod account;
mod account_card_faults;
mod account_cards;
mod account_closing;
mod account_company;
mod account_history;
mod account_invoices;
mod account_restart;
mod account_stripe_routes;
mod account_stripe_support;
mod account_support;
mod admin;
mod admin_health;
mod admin_imports;
mod admin_recovery;
mod admin_refunds;
mod admin_search;
mod admin_support;
mod agreed_at_payment;
mod auto_refill;
mod auto_refill_by_hand;
mod auto_refill_confirmation;
mod auto_refill_invoices;
mod auto_refill_support;
mod bus_world;
mod checkout;
mod commit_plans;
mod confirm_deletion;
mod console;
mod deployment_check;
mod holds;
mod hourly_debit;
mod limits;
mod mistyped_account;
mod personal_data;
mod project_billing;
mod project_budgets;
mod publish;
mod quotas;
mod resources;
mod settle_due;
mod staff_invoices;
mod staff_support;
mod stripe_contract;
mod stripe_setup;
mod stripe_webhook;
mod trial;
mod usage;
