//! Wires and runs `lifecycle`.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lifecycle::{Clients, Trigger, handle};
use tollgate::{aws, logs, shell};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::begin();
    let aws = aws::config()?;
    let clients = Clients { billing: shell::billing(&aws)?, bus: shell::bus(&aws)? };
    let clients = &clients;
    run(service_fn(|event: LambdaEvent<Trigger>| async move { Ok::<_, Error>(handle(clients, &event.payload).await?) }))
        .await
}
