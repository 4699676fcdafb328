//! Wires and runs `publish`.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use publish::{PublishClients, StreamEvent, handle};
use tollgate::runtime::aws;
use tollgate::runtime::billing;
use tollgate::runtime::logs;
use tollgate::runtime::metrics::Metrics;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let aws = aws::config()?;
    let clients = PublishClients { billing: billing::billing(&aws)?, bus: billing::bus(&aws)? };
    let (clients, metrics) = (&clients, &Metrics::from_environment(env!("CARGO_PKG_NAME")));
    run(service_fn(|event: LambdaEvent<StreamEvent>| async move {
        let response = handle(clients, event.payload).await;
        metrics.write(&response.summary());
        Ok::<_, Error>(response)
    }))
    .await
}
