//! A deterministic simulation of Tollgate's cloud.
//!
//! - [`dynamodb`] is a DynamoDB in memory. It decides nothing by itself: clock, delays and stale
//!   reads come from its caller.
//! - [`connector`] puts it under an SDK client.

pub mod connector;
pub mod dynamodb;
