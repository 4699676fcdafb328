//! DynamoDB in memory, for a simulation that decides everything DynamoDB leaves open.
//!
//! [`MemoryDynamoDb::call`] takes the JSON of a request and returns the JSON of its answer. It
//! carries out exactly what the product uses, with DynamoDB's semantics, and refuses everything
//! else with a `ValidationException` that begins with "not imitated".
//!
//! A call's effect is complete when it returns. What other callers see of it is another question,
//! which a [`Staleness`] answers for each read:
//!
//! - An eventually consistent read may miss the newest writes to its partition.
//! - An index may miss the newest versions of each of its items.
//! - Until a transaction is acknowledged, any read may see some of its items as they were before.
//!   With [`ConflictPolicy::Refused`] other writes to its items are then refused, too.
//!
//! A write always meets the newest version.

mod database;
mod error;
mod expression;
mod history;
mod locks;
mod number;
mod read;
mod request;
mod schema;
mod stream;
mod table;
mod transaction;
mod value;
mod write;

pub use database::{ConflictPolicy, DynamoAnswer, MemoryDynamoDb};
pub use error::{DynamoError, DynamoErrorKind};
pub use history::{CurrentReads, Staleness, Visibility, WriteNumber};
pub use schema::TableSchema;
