//! Wires and runs `hourly-debit`.

use hourly_debit::{BUDGET, DebitClients, DebitTrigger, TIMEOUT, handle};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use tollgate::runtime::aws;
use tollgate::runtime::billing;
use tollgate::runtime::delivery::DeliveryTime;
use tollgate::runtime::logs;
use tollgate::runtime::metrics::Metrics;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let aws = aws::config()?;
    let clients =
        DebitClients { billing: billing::billing(&aws)?, bus: billing::bus(&aws)?, budget: BUDGET };
    let (clients, metrics) = (&clients, &Metrics::from_environment(env!("CARGO_PKG_NAME")));
    run(service_fn(|event: LambdaEvent<DebitTrigger>| async move {
        let delivered = DeliveryTime::before_deadline(event.context.deadline, TIMEOUT);
        let outcome = handle(clients, event.payload, delivered).await?;
        metrics.write(&outcome.summary());
        Ok::<_, Error>(outcome)
    }))
    .await
}
