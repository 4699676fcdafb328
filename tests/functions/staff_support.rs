//! Requests of staff in a world of payments.

use tollgate::runtime::billing::Billing;
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
