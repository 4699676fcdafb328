//! What the whole-system tests of Tollgate stand on.
//!
//! - [`template`] reads `infra/template.yaml`, the file that is deployed, so that no test describes
//!   a table of its own.
//! - [`dynamodb`] is a DynamoDB in this process, behind HTTP as on AWS, and the tables of the
//!   template in it. With `AWS_ENDPOINT_URL_DYNAMODB` set, it is that endpoint instead.
//! - [`faults`] sits between the real SDK and the network and does what networks, DynamoDB under
//!   load and dying processes do: on demand at a chosen call, or by a seeded plan.
//!
//! Nothing is mocked: a store under test speaks the real protocol, through the real SDK, to a real
//! engine, and cannot tell an injected fault from one that happened.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "only tests call this; a panic with its reason is how a test fails"
)]

pub mod dynamodb;
pub mod faults;
pub mod template;
