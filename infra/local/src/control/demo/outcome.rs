//! The outcome of the stories.

use serde_json::{Value, json};

/// The outcome of the demonstration.
#[derive(Debug)]
pub struct Outcome {
    pub stories: Vec<StoryOutcome>,
}

/// The outcome of one story.
#[derive(Debug)]
pub struct StoryOutcome {
    pub account: &'static str,
    /// The account's rows, oldest first, as `GET /v1/transactions?include=all` shows them.
    pub rows: Vec<Value>,
    /// The events of its rows, by their numbers.
    pub events: Vec<Value>,
    /// The mails that the customer gets, in order: `at`, `what`, `amount`, `deadline`.
    pub mails: Vec<Value>,
    /// Sums of payments and usage, and the balance.
    pub totals: Value,
    /// The differences from the figures calculated by hand, as text.
    pub mistakes: Vec<String>,
}

impl Outcome {
    /// Whether everything is as it was calculated.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.stories.iter().all(|story| story.mistakes.is_empty())
    }

    pub(super) fn shown(&self) -> Value {
        let shown = |story: &StoryOutcome| {
            let StoryOutcome { account, rows, events, mails, totals, mistakes } = story;
            json!({"account": account, "rows": rows, "events": events, "mails": mails, "totals": totals, "mistakes": mistakes})
        };
        let stories: Vec<Value> = self.stories.iter().map(shown).collect();
        json!({"ok": self.is_right(), "stories": stories})
    }
}
