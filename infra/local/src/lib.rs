//! The whole cloud in one process, for trying, developing and testing.
//!
//! It reads `infra/template.yaml`, the deployed file, and runs the deployed binaries. They find all
//! services through the standard variables. No function contains code for the local cloud. A
//! template with an unsupported feature is refused at the start.
//!
//! Four modules. Each imports only from the ones above it:
//!
//! | module | content |
//! |---|---|
//! | [`runtime`] | the clock, the agenda, the log, recorded calls, faults, HTTP |
//! | [`template`] | reads the template; [`wiring`] is what it connects |
//! | [`aws`] | Lambda, HTTP API, EventBridge and its schedules, SQS, DynamoDB and its streams, Secrets Manager |
//! | [`control`] | [`Cloud`] starts and stops it all; `/local/…`, the seed, the demonstration, Stripe's webhooks |
//!
//! The Stripe stand-in is a separate crate, [`stripe`].
//!
//! Deliberately absent: permissions (every function may do everything, and `cfn-lint` and a
//! deployment check the roles), signatures of AWS requests, cold-start and network times, more than
//! one shard.

pub mod aws;
pub mod control;
pub mod runtime;
pub mod template;

pub use aws::engine;
pub use control::cloud::{Cloud, CloudConfig, CloudStartError, Urls, WhichStripe, format_time};
pub use control::{api, build, demo, seed};
pub use runtime::{calls, clock, faults, log, names};
pub use stripe_stand_in as stripe;
pub use template::wiring;
