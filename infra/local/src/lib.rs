//! The whole cloud in one process, for trying, developing and testing.
//!
//! It reads `infra/template.yaml`, the file that is deployed, and runs the same binaries that are
//! deployed. They find everything by the standard variables: no function contains a line that knows
//! about it. What the template says and this cannot do is refused when it starts.
//!
//! In reading order:
//!
//! - [`template`] reads the template, [`wiring`] says what it connects, [`build`] builds the
//!   functions in it.
//! - [`clock`] is the one clock; `agenda` is what is to be done by it, and whether anything is
//!   being done; `world` puts the parts together.
//! - `lambda` runs functions, `services` are what they call, recorded in [`calls`] and disturbed by
//!   [`faults`].
//! - `gateway` is the HTTP API, `tokens` its issuer.
//! - [`events`] is EventBridge, [`scheduler`] its schedules, `queues` is SQS, `streams` and
//!   `dynamodb` are DynamoDB, `secrets` is Secrets Manager, [`stripe`] and `webhooks` are Stripe.
//! - `store` keeps it all between runs.
//! - [`control`] is `/local/…`, [`Cloud`] the same from a program; [`api`] asks it over HTTP,
//!   [`seed`] fills it.
//! - [`demo`] is the story that `cargo local demo` tells.
//!
//! Deliberately absent: permissions (every function may do everything; `cfn-lint` and a deployment
//! see to roles), signatures of AWS requests, cold-start and network times, more than one shard.

mod agenda;
pub mod api;
mod aws_json;
pub mod build;
pub mod calls;
pub mod clock;
mod cloud;
pub mod control;
pub mod demo;
mod dynamodb;
pub mod events;
pub mod faults;
mod gateway;
mod http;
mod lambda;
pub mod log;
pub mod names;
mod queues;
pub mod scheduler;
mod secrets;
pub mod seed;
mod services;
mod store;
mod streams;
mod sync;
pub mod template;
mod tokens;
mod webhooks;
pub mod wiring;
mod world;

/// The stand-in for Stripe, which is a crate of its own.
pub use stripe_stand_in as stripe;

pub use cloud::{Cloud, Config, StartError, Urls, WhichStripe, format_time};
