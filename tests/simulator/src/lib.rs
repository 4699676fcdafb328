//! A deterministic simulation of Tollgate's cloud: the functions that move money, in one thread and
//! from one seed.
//!
//! - [`run`] is a run: a cloud, its actors, its weather and its books.
//! - [`actors`] are customers, the platform, staff and banks. [`usage`] notes what was reported,
//!   and [`captures`] what was captured.
//! - [`oracle`] has the books that rows are checked against.
//! - [`cloud`] calls the functions: schedules, bus, queue, stream and webhooks.
//! - [`functions`] are the handlers, in processes that may die.
//! - [`network`] is below the SDKs: every call takes virtual time and may go wrong.
//! - [`faults`] decides what goes wrong.
//! - [`dynamodb`] is a DynamoDB in memory. It decides nothing by itself: clock, delays and stale
//!   reads come from its caller. [`connector`] puts it under an SDK client without faults.
//! - [`coverage`] adds up what many runs reached, and names what none did.
//! - [`chance`], [`clock`] and [`journal`] are what all share.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm,
    clippy::missing_panics_doc,
    reason = "it is part of the tests"
)]

pub mod actors;
pub mod captures;
pub mod chance;
pub mod clock;
pub mod cloud;
pub mod connector;
pub mod coverage;
pub mod dynamodb;
pub mod faults;
pub mod functions;
pub mod journal;
pub mod network;
pub mod oracle;
pub mod run;
pub mod usage;
