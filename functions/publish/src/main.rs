//! Wires and runs `publish`.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use publish::{StreamEvent, handle};
use tollgate::{aws, logs, shell};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::begin();
    let bus = shell::bus(&aws::config()?)?;
    run(service_fn(|event: LambdaEvent<StreamEvent>| async { Ok::<_, Error>(handle(&bus, event.payload).await) })).await
}
