//! The whole world: the functions' own binaries, in the cloud of `infra/template.yaml` on this
//! machine, used as its customers, its operator, Stripe and the clock use it.
//!
//! - [`support`] is such a world, and the people in it.
//! - [`invariants`] looks at all of it from outside and checks what must hold whatever happened.
//! - `races` lets things happen at once.
//! - `described` holds the description of the HTTP API, `infra/openapi.yaml`, against what is
//!   answered.
//! - `documented` holds the documents against the template and the code.
//! - `integration` runs the consumer of `infra/INTEGRATE.md`, which is `consumer`.
//! - `story` is one customer's, from the first payment on.
//! - `bad_input` and `bad_webhooks` are what nobody should send.
//! - `killed` kills a function before and after each of its calls, flow by flow; `killed_on_time`
//!   those that the clock sets in motion.
//! - `hours` is a benchmark: what an hour costs with few accounts and with many.
//! - `time_travel` lets a month pass.
//! - `metrics` compares what alarms and dashboard look at with what functions count.
//! - `answers` compares the answer of every route with the recorded one; [`recorded`] holds the
//!   recordings.
//! - `permissions` compares the policies in the template with what functions do.
//! - `twice` is a day on which everything comes twice, late, out of order or not at all.
#![allow(
    clippy::unwrap_used,
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
mod hours;
mod integration;
mod invariants;
mod killed;
mod killed_on_time;
mod metrics;
mod permissions;
mod races;
mod recorded;
mod secrets;
mod story;
mod support;
mod time_travel;
mod twice;
