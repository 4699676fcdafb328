//! The outcome of the story.

use serde_json::Value;

/// The outcome of the story.
#[derive(Debug)]
pub struct Outcome {
    /// The account's rows, oldest first, as `GET /v1/transactions?include=all` shows them.
    pub rows: Vec<Value>,
    /// The events of its rows, by their numbers.
    pub events: Vec<Value>,
    /// Sums of payments and usage, and the balance.
    pub totals: Value,
    /// The differences from the figures calculated by hand, as text.
    pub mistakes: Vec<String>,
}
