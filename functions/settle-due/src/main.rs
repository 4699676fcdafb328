//! Wires and runs `settle-due`.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use settle_due::{BUDGET, MinuteTrigger, SettleDueClients, TIMEOUT, handle, report_of};
use tollgate::runtime::aws;
use tollgate::runtime::billing;
use tollgate::runtime::delivery::DeliveryTime;
use tollgate::runtime::logs;
use tollgate::runtime::metrics::Metrics;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let aws = aws::config()?;
    let (billing, bus) = (billing::billing(&aws)?, billing::bus(&aws)?);
    let clients = SettleDueClients { billing, bus, budget: BUDGET };
    let (clients, metrics) = (&clients, &Metrics::from_environment(env!("CARGO_PKG_NAME")));
    run(service_fn(|event: LambdaEvent<MinuteTrigger>| async move {
        let delivered = DeliveryTime::before_deadline(event.context.deadline, TIMEOUT);
        // Boxed: it is many futures deep.
        let run = Box::pin(handle(clients, &event.payload, delivered)).await;
        if let Some(report) = report_of(&run) {
            metrics.write(&report.summary(&event.payload));
        }
        Ok::<_, Error>(run?)
    }))
    .await
}
