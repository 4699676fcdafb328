//! Wires and runs `publish`.

use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing::init_default_subscriber};
use publish::{Clients, StreamEvent, handle};
use tollgate::{aws, shell};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_default_subscriber();
    let aws = aws::config()?;
    let clients = Clients { billing: shell::billing(&aws)?, bus: shell::bus(&aws)? };
    run(service_fn(|event: LambdaEvent<StreamEvent>| async { Ok::<_, Error>(handle(&clients, event.payload).await) }))
        .await
}
