//! The stored form of a row, its hash, and the checks that make a chain of rows.
//!
//! A row's body is a JSON string that holds the event and the state after it. The hash is taken
//! over the row's key and the *stored bytes* of the body, so that neither DynamoDB's re-encoding of
//! numbers nor a newer type can break it; each body carries the hash of the row before it. A
//! changed, missing or reordered row shows.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::account::AccountState;
use crate::domain::apply::apply;
use crate::domain::event::{BilledLines, ChunkedLines, Event, ResourceLine};
use crate::domain::ids::AccountId;
use crate::domain::money::Usd;
use crate::domain::settle::period::sum;
use crate::domain::timestamp::Timestamp;

/// The version of the stored form this binary writes. It reads this and every older one, and never
/// appends after a row of a newer one.
///
/// 2: a suspension says when its deletion is announced, which has a row; refills that failed or
/// wait for their customer say of what amount and where. Releases before would drop the first from
/// the state. What rows of format 1 do not say is left out: who was suspended under it was told the
/// deadline then, and is not warned again.
pub const FORMAT: u16 = 2;

/// The most bytes of lines a row holds itself, and the most one chunk holds. A DynamoDB item may
/// have 409,600 bytes; the rest of a row is far below 100 KB.
const LINES_BYTES_MAX: usize = 300_000;

/// SHA-256, in base64url without padding: 43 characters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowDigest(String);

impl RowDigest {
    /// What the first row of a chain carries.
    #[must_use]
    pub fn none() -> RowDigest {
        RowDigest(String::new())
    }

    /// The digest of some parts; a zero byte stands between them, so that no two lists of parts are
    /// alike.
    #[must_use]
    pub fn of(parts: &[&str]) -> RowDigest {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        RowDigest(URL_SAFE_NO_PAD.encode(hasher.finalize()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A row exactly as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// Partition key: the account.
    pub account: AccountId,
    /// Sort key: the number.
    pub seq: u64,
    /// Seconds since 1970 (UTC).
    pub at: Timestamp,
    /// [`Change::name`](crate::domain::event::Change::name).
    pub kind: String,
    /// What the row does to the balance, in USD.
    pub amount: Usd,
    /// The balance after it, in USD.
    pub balance: Usd,
    /// The JSON that the hash covers.
    pub body: String,
}

impl StoredRow {
    /// The hash of the row: over its key and the stored bytes of its body.
    #[must_use]
    pub fn digest(&self) -> RowDigest {
        RowDigest::of(&[self.account.as_str(), &self.seq.to_string(), &self.body])
    }
}

/// A row as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub seq: u64,
    /// What happened.
    pub event: Event,
    /// The account after it.
    pub state: AccountState,
    /// The hash of the row before it.
    pub previous: RowDigest,
    /// Its own hash.
    pub digest: RowDigest,
}

/// What the next row is appended after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The account after its last row.
    pub state: AccountState,
    /// The hash of that row.
    pub digest: RowDigest,
}

impl ChainHead {
    /// Before the first row.
    #[must_use]
    pub fn none() -> ChainHead {
        ChainHead { state: AccountState::default(), digest: RowDigest::none() }
    }
}

impl From<Row> for ChainHead {
    fn from(row: Row) -> ChainHead {
        ChainHead { state: row.state, digest: row.digest }
    }
}

/// A row to be appended, with the chunks that must be there before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRow {
    /// The row.
    pub stored: StoredRow,
    /// Lines that do not fit it, as JSON, in order.
    pub chunks: Vec<String>,
    /// What the row after it is appended after.
    pub head: ChainHead,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named by the message")]
pub enum RowError {
    /// Written by a newer release: read-only for this one.
    #[error("row {seq} has format {found}. This release reads formats up to {FORMAT}")]
    NewerFormat { seq: u64, found: u16 },
    /// Not a row at all.
    #[error("row {seq} cannot be read: {why}")]
    Unreadable { seq: u64, why: String },
    /// A row is missing, or there twice.
    #[error("row {expected} is missing. The next row is {found}")]
    Missing { expected: u64, found: u64 },
    /// It does not carry the hash of the row before it: one of the two was changed.
    #[error("row {seq} does not follow the previous row. Its hash differs")]
    Hash { seq: u64 },
    /// Its attributes are not those of its body.
    #[error("row {seq} has an attribute {attribute} that differs from its body")]
    Attribute { seq: u64, attribute: &'static str },
    /// Its time lies before the row before it.
    #[error("row {seq} is earlier than the previous row")]
    Time { seq: u64 },
    /// Its state is not what its event makes of the state before.
    #[error("row {seq} has a state that does not follow from its event and the previous state")]
    State { seq: u64 },
    /// Its lines do not add up to its amount, or are not those it committed to.
    #[error("row {seq} has lines that do not add up to its amount")]
    Lines { seq: u64 },
}

/// Makes the next row of an account's chain.
///
/// # Errors
/// [`RowError::Unreadable`] if it cannot be written as JSON (a bug).
pub fn encode(account: &AccountId, head: &ChainHead, event: &Event) -> Result<NewRow, RowError> {
    let seq = head.state.next_seq;
    let unwritable =
        |error: serde_json::Error| RowError::Unreadable { seq, why: error.to_string() };
    let state = apply(&head.state, event);
    let (event, chunks) = split_lines(event).map_err(unwritable)?;
    let body = RowBody {
        version: FORMAT,
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
    let head = ChainHead { state, digest: stored.digest() };
    Ok(NewRow { stored, chunks, head })
}

/// Reads a row and checks that its attributes are those of its body.
///
/// # Errors
/// [`RowError::NewerFormat`], [`RowError::Unreadable`], [`RowError::Attribute`].
pub fn read(stored: &StoredRow) -> Result<Row, RowError> {
    let seq = stored.seq;
    let unreadable =
        |error: serde_json::Error| RowError::Unreadable { seq, why: error.to_string() };
    let RowVersion { version } = serde_json::from_str(&stored.body).map_err(unreadable)?;
    if version > FORMAT {
        return Err(RowError::NewerFormat { seq, found: version });
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
    Ok(Row { seq, event, state, previous: body.previous, digest: stored.digest() })
}

/// Checks that a row follows the one before it: number, hash, time, and that its state is what its
/// event makes of the state before. Lines in chunks are checked where they are read.
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

/// Puts chunks together again.
///
/// # Errors
/// [`RowError::Lines`] if they are not those the row committed to.
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

/// What a row commits to when its lines stand in chunks.
pub(crate) fn chunks_digest(chunks: &[String]) -> RowDigest {
    RowDigest::of(&chunks.iter().map(String::as_str).collect::<Vec<_>>())
}

#[derive(Serialize)]
struct RowBody<'a> {
    #[serde(rename = "v")]
    version: u16,
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
    version: u16,
}
