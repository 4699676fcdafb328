//! Scenarios: what an account's chain looks like after a story, row by row.
//!
//! Each row reads `time type amount = balance, paid through`, and what else is new about it.
//! Between the steps of a story nothing runs but what the story says, so a late or missing trigger
//! is simply a step that is not there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::string_slice,
    clippy::needless_pass_by_value,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and shows some kinds of rows"
)]

mod deletion;
mod money;
mod notices;
mod paying_ahead;
mod refill;
mod refusals;
mod resources;
mod runway;
mod stored_rows;
mod trial;
mod world;
