//! Wires and runs `admin`.

use admin::handle;
use lambda_http::{Error, Request, run, service_fn, tracing::init_default_subscriber};
use tollgate::stripe::{Stripe, StripeSettings};
use tollgate::{aws, shell};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_default_subscriber();
    let aws = aws::config()?;
    let stripe = Stripe::new(StripeSettings::from_environment()?)?;
    let (billing, stripe) = (&shell::billing(&aws)?, &stripe);
    run(service_fn(|request: Request| async move { Ok::<_, Error>(handle(billing, stripe, request).await) })).await
}
