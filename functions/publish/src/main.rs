//! Wires and runs `publish`.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use publish::{Clients, StreamEvent, handle};
use tollgate::metrics::Metrics;
use tollgate::{aws, logs, shell};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::begin();
    let aws = aws::config()?;
    let clients = Clients { billing: shell::billing(&aws)?, bus: shell::bus(&aws)? };
    let (clients, metrics) = (&clients, &Metrics::from_environment(env!("CARGO_PKG_NAME")));
    run(service_fn(|event: LambdaEvent<StreamEvent>| async move {
        let response = handle(clients, event.payload).await;
        metrics.write(&response.summary());
        Ok::<_, Error>(response)
    }))
    .await
}
