//! What the whole-system tests of Tollgate stand on.
//!
//! - [`template`] reads `infra/template.yaml`, the file that is deployed, so that no test describes
//!   a table of its own.
//! - [`dynamodb`] is a DynamoDB in this process, behind HTTP as on AWS, and the tables of the
//!   template in it. With `AWS_ENDPOINT_URL_DYNAMODB` set, it is that endpoint instead.
//! - [`faults`] sits between the real SDK and the network and does what networks, DynamoDB under
//!   load and dying processes do: on demand at a chosen call, or by a seeded plan.
//! - [`api`] is a function of the HTTP API on such a DynamoDB, called as API Gateway calls it.
//! - [`binaries`] are the functions as they are deployed, for the whole.
//! - [`bus`] is an EventBridge that remembers what it took.
//! - [`capacity`] tells what a store's writes cost.
//! - [`cloudformation`] is where CloudFormation waits for a custom resource's answer.
//! - [`ledger`] is the store on such a DynamoDB, with prices and short ways to say what happens.
//! - [`newer_format`] is a row of a release to come.
//! - [`stand_in`] is the Stripe stand-in on a port.
//! - [`payments`] is checkout, webhook and refill on one ledger and one Stripe stand-in.
//! - [`invariants`] looks at an account afterwards and checks all that must hold of it.
//!
//! Nothing is mocked: a store under test speaks the real protocol, through the real SDK, to a real
//! engine, and cannot tell an injected fault from one that happened.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "only tests call this; a panic with its reason is how a test fails"
)]

pub mod api;
pub mod binaries;
pub mod bus;
pub mod capacity;
pub mod cloudformation;
pub mod dynamodb;
pub mod faults;
pub mod invariants;
pub mod ledger;
pub mod newer_format;
pub mod payments;
pub mod stand_in;
pub mod template;
