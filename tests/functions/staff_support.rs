//! Requests of staff in a world of payments.

use tollgate::runtime::billing::Billing;
use tollgate::stripe::{OnDemand, Stripe, StripeSettings};
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::payments::PaymentWorld;

pub(crate) const ADMIN: &str = "tollgate/admin";

/// A request to `admin`, with the scopes that the event has.
pub(crate) async fn ask_admin(world: &PaymentWorld, event: ApiEvent) -> Answered {
    let billing = &world.webhook.billing;
    let clients = admin::AdminClients {
        billing: Billing::new(billing.store.clone(), billing.settings.clone()),
        stripe: world.stripe.clone().into(),
        bus: None,
    };
    admin::handle(&clients, event.request()).await.into()
}

/// For what asks Stripe nothing: nobody listens there.
pub(crate) fn unused_stripe() -> OnDemand {
    let settings = StripeSettings::read(|variable| match variable {
        "STRIPE_SECRET_KEY" => Some("sk_test_local".to_owned()),
        "STRIPE_API_BASE" => Some("http://127.0.0.1:9".to_owned()),
        _ => None,
    });
    Stripe::new(settings.unwrap()).unwrap().into()
}
