//! Stub.
use tollgate::api::{Answer, Failed};
use tollgate::http::Call;

use crate::Clients;

pub(crate) async fn get(_clients: &Clients, call: &Call) -> Result<Answer, Failed> {
    Err(tollgate::api::no_such_route(call))
}
