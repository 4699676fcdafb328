//! Tests of the simulator's parts.
#![allow(
    clippy::expect_used,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "clippy knows tests, but not what only tests call"
)]

mod books;
mod comparison;
mod generator;
mod memory;
mod product;
mod refusals;
mod sdk;
mod seeds;
mod visibility;
