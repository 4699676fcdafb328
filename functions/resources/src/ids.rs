//! Ids of new things. With an `Idempotency-Key` they follow from it, so that a repeated request
//! meets the thing it made.

use std::iter::repeat_with;
use std::str::FromStr;

use tollgate::domain::ids::{AccountId, IdError};
use tollgate::domain::row::RowDigest;
use tollgate::http::call::ApiCall;
use tollgate::http::problem::{Problem, ProblemCode};

/// Characters after the prefix: five bits each, so two of one account never meet.
const CHARACTERS: usize = 20;
/// Digits and lower-case letters but `i`, `l`, `o` and `u`, which are misread.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A new id with this prefix.
///
/// # Errors
/// [`ProblemCode::Internal`] if the prefix makes no id (a bug).
pub(crate) fn new_id<T: FromStr<Err = IdError>>(
    prefix: &str,
    account: &AccountId,
    call: &ApiCall,
) -> Result<T, Problem> {
    let characters: String = match call.request_key() {
        Some(key) => {
            let digest = RowDigest::of(&[prefix, account.as_str(), key.as_str()]);
            digest.as_str().bytes().take(CHARACTERS).map(letter).collect()
        }
        None => repeat_with(|| letter(fastrand::u8(..))).take(CHARACTERS).collect(),
    };
    let id = format!("{prefix}{characters}").parse();
    id.map_err(|error| Problem::new(ProblemCode::Internal, format!("{error}.")))
}

fn letter(byte: u8) -> char {
    ALPHABET.get(usize::from(byte % 32)).copied().map_or('0', char::from)
}
