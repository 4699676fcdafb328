//! The stored form of a row, its hash, and the checks that make a chain of rows.
//!
//! A row's body is a JSON string with the event and the state after it. The hash covers the row's
//! key and the *stored bytes* of the body. DynamoDB's re-encoding of numbers and newer types
//! therefore cannot break it. Each body carries the hash of the previous row, so a changed, missing
//! or reordered row is detected.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::account::AccountState;
use crate::domain::apply::apply;
use crate::domain::event::{BilledLines, ChunkedLines, Event, ResourceLine};
use crate::domain::ids::AccountId;
use crate::domain::money::Usd;
use crate::domain::row_format::RowFormat;
use crate::domain::settle::period::sum;
use crate::domain::timestamp::Timestamp;

/// The most bytes of lines a row holds itself, and the most one chunk holds. A DynamoDB item may
/// have 409,600 bytes; the rest of a row is far below 100 KB.
const LINES_BYTES_MAX: usize = 300_000;

/// The first format whose rows have no names that customers chose.
const NAMES_IN_ITEMS_ONLY: RowFormat = RowFormat::new(6);

/// SHA-256, in base64url without padding: 43 characters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowDigest(String);

impl RowDigest {
    /// The digest that the first row of a chain carries.
    #[must_use]
    pub fn none() -> RowDigest {
        RowDigest(String::new())
    }

    /// The digest of several parts. A zero byte separates them, so that no two lists of parts
    /// collide.
    #[must_use]
    pub fn of(parts: &[&str]) -> RowDigest {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        RowDigest(URL_SAFE_NO_PAD.encode(hasher.finalize()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A row exactly as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The partition key.
    pub account: AccountId,
    /// The sort key.
    pub seq: u64,
    /// Stored as seconds since 1970 (UTC).
    pub at: Timestamp,
    /// The change's [`name`](crate::domain::event::Change::name).
    pub kind: String,
    /// The change of the balance, in USD.
    pub amount: Usd,
    /// The balance after the row, in USD.
    pub balance: Usd,
    /// The JSON covered by the hash.
    pub body: String,
}

impl StoredRow {
    /// The hash of the row, over its key and the stored bytes of its body.
    #[must_use]
    pub fn digest(&self) -> RowDigest {
        RowDigest::of(&[self.account.as_str(), &self.seq.to_string(), &self.body])
    }
}

/// A row as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub seq: u64,
    pub event: Event,
    /// The account after the row.
    pub state: AccountState,
    /// The hash of the previous row.
    pub previous: RowDigest,
    pub digest: RowDigest,
    /// The format it is stored in.
    pub format: RowFormat,
}

/// The end of a chain. The next row is appended to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The account after the last row.
    pub state: AccountState,
    /// The hash of the last row.
    pub digest: RowDigest,
    /// The format of that row.
    pub format: RowFormat,
}

impl ChainHead {
    /// The head of an empty chain.
    #[must_use]
    pub fn none() -> ChainHead {
        ChainHead {
            state: AccountState::default(),
            digest: RowDigest::none(),
            format: RowFormat::NONE,
        }
    }
}

impl Row {
    /// A row that was appended after the one with the digest `previous`: its event as it was decided,
    /// and the head of the chain after it.
    #[must_use]
    pub fn appended(event: Event, head: ChainHead, previous: RowDigest) -> Row {
        let ChainHead { state, digest, format } = head;
        Row { seq: state.next_seq - 1, event, state, previous, digest, format }
    }
}

impl From<Row> for ChainHead {
    fn from(row: Row) -> ChainHead {
        ChainHead { state: row.state, digest: row.digest, format: row.format }
    }
}

/// A row to append, with the chunks that must exist before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRow {
    pub stored: StoredRow,
    /// Lines that do not fit the row, as JSON, in order.
    pub chunks: Vec<String>,
    /// The head of the chain after this row.
    pub head: ChainHead,
}

/// Why a row is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named by the message")]
pub enum RowError {
    /// Written by a newer release: read-only for this one.
    #[error("row {seq} has format {found}. This release reads formats up to {readable}")]
    NewerFormat { seq: u64, found: RowFormat, readable: RowFormat },
    /// Not a row at all.
    #[error("row {seq} cannot be read: {why}")]
    Unreadable { seq: u64, why: String },
    /// A row is missing or duplicated.
    #[error("row {expected} is missing. The next row is {found}")]
    Missing { expected: u64, found: u64 },
    /// The hash of the previous row does not match. One of the two was changed.
    #[error("row {seq} does not follow the previous row. Its hash differs")]
    Hash { seq: u64 },
    /// The attributes do not match the body.
    #[error("row {seq} has an attribute {attribute} that differs from its body")]
    Attribute { seq: u64, attribute: &'static str },
    /// The time is before the previous row's.
    #[error("row {seq} is earlier than the previous row")]
    Time { seq: u64 },
    /// The state does not follow from the event and the previous state.
    #[error("row {seq} has a state that does not follow from its event and the previous state")]
    State { seq: u64 },
    /// The lines do not add up to the amount, or do not match the committed digest.
    #[error("row {seq} has lines that do not add up to its amount")]
    Lines { seq: u64 },
}

/// Makes the next row of an account's chain, in this format or in that of the row before it,
/// whichever is newer.
///
/// # Errors
/// [`RowError::Unreadable`] if it cannot be written as JSON (a bug).
pub fn encode(
    account: &AccountId,
    head: &ChainHead,
    event: &Event,
    written: RowFormat,
) -> Result<NewRow, RowError> {
    let seq = head.state.next_seq;
    let format = written.max(head.format);
    let unwritable =
        |error: serde_json::Error| RowError::Unreadable { seq, why: error.to_string() };
    let state = apply(&head.state, event);
    let (event, chunks) = split_lines(event).map_err(unwritable)?;
    let event = if format < NAMES_IN_ITEMS_ONLY { event } else { event.without_names() };
    let body = RowBody {
        version: format,
        previous: head.digest.clone(),
        at: event.at,
        event: &event,
        state: &state,
    };
    let stored = StoredRow {
        account: account.clone(),
        seq,
        at: event.at,
        kind: event.change.name().to_owned(),
        amount: event.amount(),
        balance: state.balance(),
        body: serde_json::to_string(&body).map_err(unwritable)?,
    };
    let head = ChainHead { state, digest: stored.digest(), format };
    Ok(NewRow { stored, chunks, head })
}

/// Reads a row of a format up to `readable` and checks that its attributes are those of its body.
///
/// # Errors
/// [`RowError::NewerFormat`], [`RowError::Unreadable`], [`RowError::Attribute`].
pub fn decode(stored: &StoredRow, readable: RowFormat) -> Result<Row, RowError> {
    let seq = stored.seq;
    let unreadable =
        |error: serde_json::Error| RowError::Unreadable { seq, why: error.to_string() };
    let RowVersion { version: format } = serde_json::from_str(&stored.body).map_err(unreadable)?;
    if format > readable {
        return Err(RowError::NewerFormat { seq, found: format, readable });
    }
    let body: OwnedBody = serde_json::from_str(&stored.body).map_err(unreadable)?;
    let event = Event { at: body.at, ..body.event };
    let state = AccountState { next_seq: seq + 1, at: body.at, ..body.state };
    let checks = [
        ("at", stored.at == event.at),
        ("type", stored.kind == event.change.name()),
        ("amount", stored.amount == event.amount()),
        ("balance", stored.balance == state.balance()),
    ];
    if let Some((attribute, _)) = checks.into_iter().find(|(_, same)| !same) {
        return Err(RowError::Attribute { seq, attribute });
    }
    Ok(Row { seq, event, state, previous: body.previous, digest: stored.digest(), format })
}

/// Checks that a row follows the previous one: number, hash, time and state. Lines in chunks are
/// checked where they are read.
///
/// # Errors
/// The first [`RowError`] that applies.
pub fn check_follows(before: &ChainHead, row: &Row) -> Result<(), RowError> {
    let seq = row.seq;
    let expected = before.state.next_seq;
    if seq != expected {
        return Err(RowError::Missing { expected, found: seq });
    }
    if row.previous != before.digest {
        return Err(RowError::Hash { seq });
    }
    if row.event.at < before.state.at {
        return Err(RowError::Time { seq });
    }
    if apply(&before.state, &row.event) != row.state {
        return Err(RowError::State { seq });
    }
    match row.event.change.lines() {
        Some(BilledLines::Here(lines)) => check_lines(row, lines),
        Some(BilledLines::Chunked(_)) | None => Ok(()),
    }
}

/// Checks that the lines of a row add up to its amount.
///
/// # Errors
/// [`RowError::Lines`].
pub fn check_lines(row: &Row, lines: &[ResourceLine]) -> Result<(), RowError> {
    if sum(lines) == row.event.amount() { Ok(()) } else { Err(RowError::Lines { seq: row.seq }) }
}

/// Joins the chunks of a row.
///
/// # Errors
/// [`RowError::Lines`] if they do not match the committed digest.
pub fn join_lines(
    seq: u64,
    committed: &ChunkedLines,
    chunks: &[String],
) -> Result<Vec<ResourceLine>, RowError> {
    if chunks_digest(chunks).as_str() != committed.digest {
        return Err(RowError::Lines { seq });
    }
    let mut lines = Vec::new();
    for chunk in chunks {
        let part: Vec<ResourceLine> = serde_json::from_str(chunk)
            .map_err(|error| RowError::Unreadable { seq, why: error.to_string() })?;
        lines.extend(part);
    }
    if u32::try_from(lines.len()) == Ok(committed.count) {
        Ok(lines)
    } else {
        Err(RowError::Lines { seq })
    }
}

/// The event with its lines moved to chunks, if they do not fit the row.
fn split_lines(event: &Event) -> Result<(Event, Vec<String>), serde_json::Error> {
    let Some(BilledLines::Here(lines)) = event.change.lines() else {
        return Ok((event.clone(), Vec::new()));
    };
    let written: Vec<String> = lines.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    if written.iter().map(|line| line.len() + 1).sum::<usize>() <= LINES_BYTES_MAX {
        return Ok((event.clone(), Vec::new()));
    }
    let mut chunks = Vec::new();
    let mut chunk = String::new();
    for line in &written {
        if !chunk.is_empty() && chunk.len() + line.len() + 2 > LINES_BYTES_MAX {
            chunk.push(']');
            chunks.push(std::mem::take(&mut chunk));
        }
        chunk.push(if chunk.is_empty() { '[' } else { ',' });
        chunk.push_str(line);
    }
    chunk.push(']');
    chunks.push(chunk);
    let committed = ChunkedLines {
        digest: chunks_digest(&chunks).0,
        chunks: u32::try_from(chunks.len()).unwrap_or(u32::MAX),
        count: u32::try_from(lines.len()).unwrap_or(u32::MAX),
    };
    let change = event.change.clone().with_lines(BilledLines::Chunked(committed));
    Ok((Event { change, ..event.clone() }, chunks))
}

/// The digest that a row stores for lines in chunks.
pub(crate) fn chunks_digest(chunks: &[String]) -> RowDigest {
    RowDigest::of(&chunks.iter().map(String::as_str).collect::<Vec<_>>())
}

#[derive(Serialize)]
struct RowBody<'a> {
    #[serde(rename = "v")]
    version: RowFormat,
    #[serde(rename = "p")]
    previous: RowDigest,
    #[serde(rename = "t")]
    at: Timestamp,
    #[serde(rename = "x")]
    event: &'a Event,
    #[serde(rename = "s")]
    state: &'a AccountState,
}

#[derive(Deserialize)]
struct OwnedBody {
    #[serde(rename = "p")]
    previous: RowDigest,
    #[serde(rename = "t")]
    at: Timestamp,
    #[serde(rename = "x")]
    event: Event,
    #[serde(rename = "s")]
    state: AccountState,
}

#[derive(Deserialize)]
struct RowVersion {
    #[serde(rename = "v")]
    version: RowFormat,
}
