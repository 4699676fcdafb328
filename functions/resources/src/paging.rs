//! Pages: `limit` and `cursor` of a list.

use serde::Serialize;
use tollgate::http::call::ApiCall;
use tollgate::http::problem::{Problem, ProblemCode};

/// Items of a page, if the caller does not say.
const LIMIT_DEFAULT: u32 = 50;
/// The most items of a page: about 50 KB.
const LIMIT_MAX: u32 = 200;

/// One page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct ListPage<T> {
    pub(crate) items: Vec<T>,
    /// The `cursor` of the next page; null if this was the last.
    pub(crate) next: Option<String>,
}

/// How many items the caller wants.
///
/// # Errors
/// [`ProblemCode::InvalidParameter`] if not between 1 and 200.
pub(crate) fn limit(call: &ApiCall) -> Result<u32, Problem> {
    let limit = call.query("limit")?.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    let why = format!("limit: must be between 1 and {LIMIT_MAX}.");
    Err(Problem::new(ProblemCode::InvalidParameter, why).with("parameter", "limit"))
}
