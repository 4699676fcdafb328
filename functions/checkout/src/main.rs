//! Wires and runs `checkout`.

use checkout::{CheckoutClients, handle};
use lambda_http::{Error, Request, run, service_fn};
use tollgate::runtime::aws;
use tollgate::runtime::billing;
use tollgate::runtime::logs;
use tollgate::stripe::OnDemand;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let aws = aws::config()?;
    let clients = CheckoutClients {
        billing: billing::billing(&aws)?,
        stripe: OnDemand::from_environment(&aws)?,
    };
    let clients = &clients;
    run(service_fn(
        |request: Request| async move { Ok::<_, Error>(handle(clients, request).await) },
    ))
    .await
}
