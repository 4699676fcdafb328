//! Wires and runs `resources`.

use lambda_http::{Error, Request, run, service_fn, tracing::init_default_subscriber};
use tollgate::{aws, shell};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_default_subscriber();
    let billing = shell::billing(&aws::config()?)?;
    let billing = &billing;
    run(service_fn(|request: Request| async move { Ok::<_, Error>(resources::handle(billing, request).await) })).await
}
