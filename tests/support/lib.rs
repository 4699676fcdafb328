//! Support for the whole-system tests of Tollgate.
//!
//! - [`template`] reads `infra/template.yaml`, the deployed file, so that no test defines a table
//!   of its own.
//! - [`dynamodb`] is a DynamoDB in this process, behind HTTP as on AWS, with the tables of the
//!   template. With `AWS_ENDPOINT_URL_DYNAMODB` set, it is that endpoint instead.
//! - [`faults`] sits between the real SDK and the network. It simulates networks, DynamoDB under
//!   load and dying processes, on demand at a chosen call or by a seeded plan.
//! - [`api`] is a function of the HTTP API on such a DynamoDB, called as API Gateway calls it.
//! - [`binaries`] are the deployed functions, for the whole world.
//! - [`bus`] is an EventBridge that records its events.
//! - [`capacity`] measures the cost of a store's writes.
//! - [`cloudformation`] receives a custom resource's answer in CloudFormation's place.
//! - [`ledger`] is the store on such a DynamoDB, with prices and shortcuts for scenarios.
//! - [`newer_format`] is a row of a future release.
//! - [`stand_in`] is the Stripe stand-in on a port.
//! - [`payments`] is checkout, webhook and refill on one ledger and one Stripe stand-in.
//! - [`invariants`] reads an account afterwards and checks all its invariants.
//!
//! Nothing is mocked. A store under test speaks the real protocol, through the real SDK, to a real
//! engine, and cannot distinguish an injected fault from a real one.
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
