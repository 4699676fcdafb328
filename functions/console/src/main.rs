//! Wires and runs `console`.

use console::{ConsoleSettings, handle};
use lambda_http::{Error, Request, run, service_fn, tracing::init_default_subscriber};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_default_subscriber();
    let console = &ConsoleSettings::from_environment()?;
    run(service_fn(|request: Request| async move { Ok::<_, Error>(handle(console, &request)) }))
        .await
}
