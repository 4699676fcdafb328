//! Ids of new things. With an `Idempotency-Key` they follow from it, so that a repeated request
//! meets the thing it made.

use std::iter::repeat_with;
use std::str::FromStr;

use tollgate::domain::ids::{AccountId, GENERATED_CHARACTERS, GENERATED_LETTERS, IdError};
use tollgate::domain::row::RowDigest;
use tollgate::http::call::ApiCall;
use tollgate::http::problem::{Problem, ProblemCode};

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
            digest.as_str().bytes().take(GENERATED_CHARACTERS).map(letter).collect()
        }
        None => repeat_with(|| letter(fastrand::u8(..))).take(GENERATED_CHARACTERS).collect(),
    };
    let id = format!("{prefix}{characters}").parse();
    id.map_err(|error| Problem::new(ProblemCode::Internal, format!("{error}.")))
}

fn letter(byte: u8) -> char {
    GENERATED_LETTERS.get(usize::from(byte % 32)).copied().map_or('0', char::from)
}
