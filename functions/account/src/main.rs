//! Wires and runs `account`.

use account::{Clients, handle};
use lambda_http::{Error, Request, run, service_fn, tracing::init_default_subscriber};
use tollgate::stripe::OnDemand;
use tollgate::{aws, shell};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_default_subscriber();
    let aws = aws::config()?;
    let clients = Clients { billing: shell::billing(&aws)?, stripe: OnDemand::from_environment(&aws)? };
    let clients = &clients;
    run(service_fn(|request: Request| async move { Ok::<_, Error>(handle(clients, request).await) })).await
}
