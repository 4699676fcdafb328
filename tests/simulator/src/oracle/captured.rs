//! What gateways were told of their holds, against the rows.

use serde_json::{Value, json};

use super::amounts::scaled;
use super::ensure;
use super::holds::{CaptureBook, CaptureKind, HoldBooks};
use super::row::array;
use crate::captures::{AccountCaptures, SentCapture};

fn id_of(hold: u64) -> String {
    format!("hold-{hold}")
}

/// A decimal number of an answer or a request.
fn decimal(value: &Value, places: u32) -> Result<i128, String> {
    scaled(value.as_str().unwrap_or_default(), places)
}

impl HoldBooks {
    /// Each capture in the rows was sent, and each one that was answered is billed as the answer says:
    /// by a row of its own, or by the one that was the hold's last. No request has two rows.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_answers(&self, sent: &AccountCaptures) -> Result<(), String> {
        for row in &self.captures {
            let mut is_sent = false;
            for capture in sent.captures.iter().filter(|sent| sent.hold == id_of(row.hold)) {
                is_sent |= row.is_of(capture)?;
            }
            ensure!(is_sent, "row {} captures what nobody sent: {row:?}", row.seq);
        }
        for capture in &sent.captures {
            self.check_answer(capture)?;
        }
        sent.shown.iter().try_for_each(|shown| self.check_shown(shown))
    }

    fn check_answer(&self, capture: &SentCapture) -> Result<(), String> {
        let Some(answer) = &capture.answer else { return Ok(()) };
        let of_hold = || self.captures.iter().filter(|row| id_of(row.hold) == capture.hold);
        let own = of_hold().find(|row| row.key.is_some() && row.key == capture.key);
        let ended = of_hold().filter(|row| !matches!(row.kind, CaptureKind::Part { .. }));
        for row in own.map_or_else(|| ended.collect(), |own| vec![own]) {
            if row.is_shown_by(answer)? {
                return Ok(());
            }
        }
        Err(format!("no row bills what was captured: {capture:?}"))
    }

    /// A hold in an answer is as it was made, and how it ended.
    fn check_shown(&self, shown: &Value) -> Result<(), String> {
        let seq = shown["id"].as_str().and_then(|id| id.strip_prefix("hold-")?.parse().ok());
        let made = seq.and_then(|seq| self.made(seq));
        let (made, end) = made.ok_or_else(|| format!("no row made this hold: {shown}"))?;
        let skus: Vec<&str> = array(&shown["skus"]).iter().filter_map(Value::as_str).collect();
        let is_same = decimal(&shown["amount"], 6)? == made.amount
            && shown["project"] == made.project.as_str()
            && made.skus.iter().map(String::as_str).eq(skus);
        ensure!(is_same, "{shown} was made as {made:?}");
        let status = shown["status"].as_str().unwrap_or_default();
        ensure!(end.may_be_shown_as(status), "{shown} is {end:?}");
        Ok(())
    }
}

impl CaptureBook {
    /// Whether this request about its hold was carried out by the row.
    fn is_of(&self, sent: &SentCapture) -> Result<bool, String> {
        let is_last = sent.body["final"] != false;
        let fits = match self.kind {
            CaptureKind::Part { .. } => !is_last,
            CaptureKind::Last => is_last,
            CaptureKind::Late => true,
        };
        let lines = array(&sent.body["usage"]);
        let mut is_same = fits && self.key == sent.key && lines.len() == self.lines.len();
        for (sent, line) in lines.iter().zip(&self.lines) {
            let is_of_sku = sent["sku"] == line.sku.as_str();
            is_same &= is_of_sku && decimal(&sent["quantity"], 12)? == line.units;
        }
        Ok(is_same)
    }

    /// Whether this answer says what the row says.
    fn is_shown_by(&self, answer: &Value) -> Result<bool, String> {
        let (status, left) = match self.kind {
            CaptureKind::Part { left } => ("open", left),
            CaptureKind::Last | CaptureKind::Late => ("captured", 0),
        };
        let lines = array(&answer["lines"]);
        let mut is_same = answer["id"] == json!(id_of(self.hold))
            && answer["status"] == status
            && decimal(&answer["captured"], 6)? == self.amount
            && decimal(&answer["held"], 6)? == left
            && decimal(&answer["balance"], 6)? == self.balance
            && decimal(&answer["available"], 6)? == self.available
            && lines.len() == self.lines.len();
        for (shown, line) in lines.iter().zip(&self.lines) {
            is_same &= shown["sku"] == line.sku.as_str()
                && decimal(&shown["quantity"], 12)? == line.units
                && decimal(&shown["rate"], 12)? == line.rate
                && decimal(&shown["amount"], 6)? == line.amount;
        }
        Ok(is_same)
    }
}
