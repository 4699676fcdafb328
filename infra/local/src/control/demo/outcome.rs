//! What the story came to.

use serde_json::Value;

/// What it came to.
#[derive(Debug)]
pub struct Outcome {
    /// The account's rows, oldest first, as `GET /v1/transactions?include=all` shows them.
    pub rows: Vec<Value>,
    /// The events of its rows, by their numbers.
    pub events: Vec<Value>,
    /// What was paid and used in all, and what is left.
    pub totals: Value,
    /// What is not as it was worked out by hand, in words.
    pub mistakes: Vec<String>,
}
