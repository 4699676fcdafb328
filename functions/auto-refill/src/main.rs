//! Wires and runs `auto-refill`.

use auto_refill::{Clients, handle};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use tollgate::stripe::Stripe;
use tollgate::{aws, logs, shell};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::begin();
    let aws = aws::config()?;
    let clients = Clients { billing: shell::billing(&aws)?, stripe: Stripe::start(&aws).await? };
    let clients = &clients;
    run(service_fn(|event: LambdaEvent<_>| async move { Ok::<_, Error>(handle(clients, &event.payload).await?) })).await
}
