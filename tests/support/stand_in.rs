//! The Stripe stand-in on a port of its own.

use stripe_stand_in::{StandInConfig, StripeStandIn};

/// A stand-in that serves until the end of the test, and its address.
pub async fn serve(
    mut config: StandInConfig,
    clock: impl Fn() -> i64 + Send + Sync + 'static,
) -> (StripeStandIn, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    config.public_url.clone_from(&address);
    let stand_in = StripeStandIn::new(config, clock);
    let serving = stand_in.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    (stand_in, address)
}
