//! The story on a screen, or as JSON for a program.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use crate::control::demo::outcome::{Outcome, StoryOutcome};

/// The form in which the story is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// Text for people, printed as the story progresses.
    Text,
    /// For a program, at the end.
    Json,
    /// No output. The caller uses the outcome.
    Silent,
}

/// Whether something is as it was worked out by hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    AsExpected,
    Otherwise,
}

impl Found {
    pub(super) fn of<T: PartialEq + ?Sized>(found: &T, expected: &T) -> Self {
        if found == expected { Self::AsExpected } else { Self::Otherwise }
    }
}

#[derive(Debug)]
pub(super) struct Screen {
    form: Form,
    colours: Colours,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Colours {
    Yes,
    No,
}

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

impl Screen {
    pub(super) fn new(form: Form) -> Self {
        // no-color.org
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colours =
            if wanted && std::io::stdout().is_terminal() { Colours::Yes } else { Colours::No };
        Self { form, colours }
    }

    pub(super) fn chapter(&self, title: &str) {
        self.line(&format!("\n{}", self.in_colour(BOLD, title)));
    }

    pub(super) fn note(&self, text: &str) {
        self.line(&self.in_colour(DIM, &format!("    {text}")));
    }

    pub(super) fn checked(&self, text: &str, found: Found) {
        self.line(&format!("    {text}  {}", self.mark(found)));
    }

    pub(super) fn clock(&self, now: &str) {
        // Only where the line can be written over by the next one.
        if self.form == Form::Text && self.colours == Colours::Yes {
            self.write(&format!("    {DIM}{now}{PLAIN}\r"));
        }
    }

    /// Prints a row, and whether it is the expected one.
    pub(super) fn row(&self, row: &Value, found: Found) {
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let at = text("at").replace('T', " ").replace('Z', "");
        let (amount, description) = (text("amount"), text("description"));
        let amount = if amount == "0.00" { String::new() } else { amount };
        let line = format!(
            "    {at}  {:<17} {amount:>10} {:>10}  {description}",
            text("type"),
            text("balance_after")
        );
        self.line(&format!("{line}  {}", self.mark(found)));
    }

    /// The sums of a story.
    pub(super) fn story(&self, outcome: &StoryOutcome) {
        let StoryOutcome { account, rows, events, mails, totals, mistakes } = outcome;
        let text = |field: &str| totals[field].as_str().unwrap_or_default().to_owned();
        self.line(&format!(
            "\n    {account}: {} rows, {} events, {} mails. Paid ${}, used ${}, left ${}",
            rows.len(),
            events.len(),
            mails.len(),
            text("paid"),
            text("used").trim_start_matches('-'),
            text("balance"),
        ));
        for mistake in mistakes {
            self.line(&self.in_colour(RED, &format!("    {mistake}")));
        }
    }

    pub(super) fn end(&self, outcome: &Outcome) {
        if self.form == Form::Json {
            self.write(&format!("{:#}\n", outcome.shown()));
            return;
        }
        let verdict = if outcome.is_right() {
            self.in_colour(GREEN, "All figures are correct.")
        } else {
            self.in_colour(RED, "Some figures are wrong.")
        };
        self.line(&format!("    {verdict}\n"));
    }

    fn mark(&self, found: Found) -> String {
        match found {
            Found::AsExpected => self.in_colour(GREEN, "✓"),
            Found::Otherwise => self.in_colour(RED, "✗ unexpected"),
        }
    }

    fn in_colour(&self, colour: &str, text: &str) -> String {
        if self.colours == Colours::Yes {
            format!("{colour}{text}{PLAIN}")
        } else {
            text.to_owned()
        }
    }

    fn line(&self, text: &str) {
        if self.form == Form::Text {
            // Over the clock, if it was shown there.
            let clear = if self.colours == Colours::Yes { "\x1b[K" } else { "" };
            self.write(&format!("{clear}{text}\n"));
        }
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stdout();
        // The reader may have closed the output. The outcome still has the result.
        let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
