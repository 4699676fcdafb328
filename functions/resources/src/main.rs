//! Wires and runs `resources`.

use lambda_http::{Error, Request, run, service_fn};
use tollgate::runtime::aws;
use tollgate::runtime::billing;
use tollgate::runtime::logs;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let billing = billing::billing(&aws::config()?)?;
    let billing = &billing;
    run(service_fn(|request: Request| async move {
        Ok::<_, Error>(resources::handle(billing, request).await)
    }))
    .await
}
