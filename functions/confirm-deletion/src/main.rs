//! Wires and runs `confirm-deletion`.

use confirm_deletion::{DeletionClients, TIMEOUT, handle};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use tollgate::runtime::account_event::AccountEvent;
use tollgate::runtime::aws;
use tollgate::runtime::billing;
use tollgate::runtime::delivery::DeliveryTime;
use tollgate::runtime::logs;
use tollgate::runtime::metrics::Metrics;
use tollgate::stripe::OnDemand;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let aws = aws::config()?;
    let clients = DeletionClients {
        billing: billing::billing(&aws)?,
        stripe: OnDemand::from_environment(&aws)?,
    };
    let (clients, metrics) = (&clients, &Metrics::from_environment(env!("CARGO_PKG_NAME")));
    run(service_fn(|event: LambdaEvent<AccountEvent>| async move {
        let delivered = DeliveryTime::before_deadline(event.context.deadline, TIMEOUT);
        let report = handle(clients, &event.payload, delivered).await?;
        metrics.write(&report.summary(&event.payload));
        Ok::<_, Error>(report)
    }))
    .await
}
