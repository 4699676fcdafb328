//! Wires and runs `account`.

use account::{AccountClients, handle};
use lambda_http::Error;
use tollgate::http::function::answer_requests;
use tollgate::runtime::aws;
use tollgate::runtime::billing;
use tollgate::runtime::logs;
use tollgate::stripe::OnDemand;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let aws = aws::config()?;
    let clients = AccountClients {
        billing: billing::billing(&aws)?,
        stripe: OnDemand::from_environment(&aws)?,
    };
    let clients = &clients;
    answer_requests(|request| handle(clients, request)).await
}
