//! Wires and runs `deployment-check`.

use deployment_check::{CheckClients, CheckRequest, CheckTimeouts, handle, way_back};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use tollgate::runtime::aws;
use tollgate::runtime::logs;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let clients = &CheckClients {
        aws: aws::config()?,
        way_back: way_back()?,
        patience: CheckTimeouts::default(),
    };
    // The handler reads the variables. If the function failed here, CloudFormation would get no
    // reason.
    let value_of = |variable| std::env::var(variable).ok();
    run(service_fn(|event: LambdaEvent<CheckRequest>| async move {
        let answer = handle(clients, value_of, &event.payload).await?;
        Ok::<_, Error>(answer)
    }))
    .await
}
