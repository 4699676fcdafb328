//! The whole cloud in one process, for trying, developing and testing.
//!
//! It reads `infra/template.yaml`, the file that is deployed, and runs the same binaries that are
//! deployed. They find everything by the standard variables. No function contains a line that knows
//! about it. A template with something that the local cloud cannot do is refused at the start.
//!
//! Four rooms. Each imports only from the ones above it:
//!
//! | room | what is in it |
//! |---|---|
//! | [`runtime`] | the clock, the agenda, the log, recorded calls, faults, HTTP |
//! | [`template`] | reads the template; [`wiring`] is what it connects |
//! | [`aws`] | Lambda, HTTP API, EventBridge and its schedules, SQS, DynamoDB and its streams, Secrets Manager |
//! | [`control`] | [`Cloud`] starts and stops it all; `/local/…`, the seed, the demonstration, Stripe's webhooks |
//!
//! The stand-in for Stripe is a crate of its own, [`stripe`].
//!
//! Deliberately absent: permissions (every function may do everything; `cfn-lint` and a deployment
//! see to roles), signatures of AWS requests, cold-start and network times, more than one shard.

pub mod aws;
pub mod control;
pub mod runtime;
pub mod template;

pub use aws::engine;
pub use control::cloud::{Cloud, Config, StartError, Urls, WhichStripe, format_time};
pub use control::{api, build, demo, seed};
pub use runtime::{calls, clock, faults, log, names};
pub use stripe_stand_in as stripe;
pub use template::wiring;
