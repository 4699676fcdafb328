//! The Stripe stand-in over real HTTP, compared with Stripe's documented behavior.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic"
)]

mod customers;
mod idempotency;
mod keeping;
mod money_back;
mod off_session;
mod openapi;
mod page;
mod protocol;
mod support;
mod webhooks;
mod without_socket;
