//! The whole world: the functions' own binaries, in the cloud of `infra/template.yaml` on this
//! machine, used by customers, the operator, Stripe and the clock.
//!
//! - [`support`] is such a world, and its users.
//! - [`invariants`] checks from outside the rules that always hold.
//! - `races` runs requests at the same time.
//! - `described` compares the description of the HTTP API, `infra/openapi.yaml`, with the answers.
//! - `documented` compares the documents with the template and the code.
//! - `integration` runs the consumer of `infra/INTEGRATE.md`, which is `consumer`.
//! - `money_faults` has the faults of money that attacks found, with their right values.
//! - `story` follows one customer from the first payment on.
//! - `bad_input` and `bad_webhooks` send invalid requests.
//! - `floods` has callers who send as much as they can.
//! - `killed` kills a function before and after each of its calls, flow by flow. `killed_on_time`
//!   does so for flows that the clock starts.
//! - `hours` is a benchmark: the cost of an hour with few and with many accounts.
//! - `time_travel` lets a month pass.
//! - `metrics` compares the metrics of alarms and dashboard with those that functions write.
//! - `permissions` compares the policies in the template with the calls of the functions.
//! - `staff` has an issuer of its own for staff.
//! - `twice` is a day on which everything arrives twice, late, out of order or not at all.
//! - `answers` compares the answer of every route with the recorded answer. The recordings are in
//!   `recorded`.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    clippy::panic,
    clippy::expect_used,
    reason = "clippy knows tests, but not what only tests call"
)]

mod answers;
mod bad_input;
mod bad_webhooks;
mod consumer;
mod demo;
mod deployed;
mod described;
mod documented;
mod examples;
mod floods;
mod hours;
mod integration;
mod invariants;
mod killed;
mod killed_on_time;
mod metrics;
mod money_faults;
mod permissions;
mod races;
mod recorded;
mod reports;
mod secrets;
mod staff;
mod story;
mod support;
mod time_travel;
mod twice;
