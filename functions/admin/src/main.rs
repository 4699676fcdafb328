//! Wires and runs `admin`.

use admin::{AdminClients, handle};
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
    let (billing, stripe) = (billing::billing(&aws)?, OnDemand::from_environment(&aws)?);
    let clients = AdminClients { billing, stripe, bus: std::env::var("EVENT_BUS").ok() };
    let clients = &clients;
    answer_requests(|request| handle(clients, request)).await
}
