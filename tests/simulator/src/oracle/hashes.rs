//! The chain of hashes, made again from what is stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::ensure;
use super::row::BookedRow;

/// The hashes of an account's rows so far.
#[derive(Debug, Default)]
pub struct HashChain {
    hashes: Vec<String>,
}

impl HashChain {
    /// Each row names the hash of the row before. The first names none.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(&mut self, row: &BookedRow) -> Result<(), String> {
        let before = self.hashes.last().map_or("", String::as_str);
        ensure!(row.previous == before, "the row follows the hash {before:?} and names another");
        self.hashes.push(hash(row));
        Ok(())
    }

    /// The rows are still as they were when they were added.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_unchanged(&self, rows: &[BookedRow]) -> Result<(), String> {
        ensure!(
            rows.len() == self.hashes.len(),
            "there were {} rows, and there are {}",
            self.hashes.len(),
            rows.len()
        );
        for (row, known) in rows.iter().zip(&self.hashes) {
            ensure!(hash(row) == *known, "row {} was changed after it was written", row.seq);
        }
        Ok(())
    }
}

fn hash(row: &BookedRow) -> String {
    hash_of(&row.account, row.seq, &row.body)
}

/// SHA-256 over account, number and body, each followed by a zero byte.
#[must_use]
pub fn hash_of(account: &str, seq: u64, body: &str) -> String {
    let mut hasher = Sha256::new();
    for part in [account, &seq.to_string(), body] {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    URL_SAFE_NO_PAD.encode(hasher.finalize())
}
