//! The store on the embedded DynamoDB, through the real SDK.
//!
//! - `engine` checks the embedded engine itself: the tables of the template, and DynamoDB's checks.
//! - `fault_injector` checks that every injected fault has its documented effect.
//! - `ledger` covers rows, conflicts, claims, pages and the indexes.
//! - `door` settles and opens accounts before commands, and records what confirms money in any case.
//! - `meters_and_prices` covers usage reports and the price list.
//! - `never_answered` lets no call be answered.
//! - `request_keys` covers idempotency keys, in both places where they can stand.
//! - `head_and_list` commits a start or stop between the reads of an account's head and list.
//! - `verify` tampers with a chain, and reads rows of older formats.
//! - `two_releases` runs functions of two releases on one account, with two formats of rows.
//! - `ten_thousand_resources` bills and suspends an account of that size.
//! - `concurrency` runs 64 tasks at once on a few accounts.
//! - `every_fault` repeats one scenario with every fault at every call.
#![allow(
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::needless_range_loop,
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows tests, but not what only tests call"
)]

mod concurrency;
mod door;
mod engine;
mod every_fault;
mod fault_injector;
mod head_and_list;
mod ledger;
mod meters_and_prices;
mod never_answered;
mod request_keys;
mod ten_thousand_resources;
mod two_releases;
mod verify;
