//! Wires and runs `publish`.

use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing::init_default_subscriber};
use publish::{StreamEvent, handle};
use tollgate::shell;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_default_subscriber();
    let bus = shell::bus(&shell::aws().await)?;
    run(service_fn(|event: LambdaEvent<StreamEvent>| async { Ok::<_, Error>(handle(&bus, event.payload).await) })).await
}
