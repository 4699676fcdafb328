//! Wires and runs `stripe-webhook`.

use lambda_http::{Error, Request, run, service_fn};
use stripe_webhook::{Clients, handle};
use tollgate::stripe::Stripe;
use tollgate::{aws, logs, shell};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::begin();
    let aws = aws::config()?;
    let clients = Clients { billing: shell::billing(&aws)?, stripe: Stripe::start(&aws).await? };
    let clients = &clients;
    run(service_fn(|request: Request| async move { Ok::<_, Error>(handle(clients, request).await) })).await
}
