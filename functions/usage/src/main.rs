//! Wires and runs `usage`.

use lambda_http::Error;
use tollgate::http::function::answer_requests;
use tollgate::runtime::aws;
use tollgate::runtime::billing;
use tollgate::runtime::logs;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let billing = billing::billing(&aws::config()?)?;
    let billing = &billing;
    answer_requests(|request| usage::handle(billing, request)).await
}
