//! DynamoDB's expressions: words, placeholders, conditions, updates and projections.
//!
//! Placeholders are resolved while an expression is parsed, so a parsed expression holds names and
//! values only, and it is known afterwards which placeholders nothing used.

pub(super) mod condition;
mod condition_parser;
pub(super) mod key_condition;
pub(super) mod placeholders;
pub(super) mod projection;
mod token;
pub(super) mod update;

pub(super) use condition_parser::parse_condition;
