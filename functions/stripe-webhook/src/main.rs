//! Wires and runs `stripe-webhook`.

use lambda_http::Error;
use stripe_webhook::{WebhookClients, handle};
use tollgate::http::function::answer_requests;
use tollgate::runtime::aws;
use tollgate::runtime::billing;
use tollgate::runtime::logs;
use tollgate::runtime::metrics::Metrics;
use tollgate::stripe::OnDemand;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let aws = aws::config()?;
    let clients = WebhookClients {
        billing: billing::billing(&aws)?,
        stripe: OnDemand::from_environment(&aws)?,
    };
    let (clients, metrics) = (&clients, &Metrics::from_environment(env!("CARGO_PKG_NAME")));
    answer_requests(|request| async move {
        let delivered = handle(clients, request).await;
        metrics.write(&delivered.summary);
        delivered.answer
    })
    .await
}
