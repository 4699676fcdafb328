//! Scenarios: the chain of an account after a story, row by row.
//!
//! Each row reads `time type amount = balance, paid through`, with other changes at its end. Only
//! the steps of the story run, so a late or missing trigger is simply a missing step.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::string_slice,
    clippy::needless_pass_by_value,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and shows some kinds of rows"
)]

mod architecture;
mod budgets;
mod commit_plans;
mod deletion;
mod disputes;
mod holds;
mod imports;
mod metered;
mod money;
mod notices;
mod paying_ahead;
mod refill;
mod refunds;
mod refusals;
mod resources;
mod runway;
mod stored_rows;
mod trial;
mod world;
