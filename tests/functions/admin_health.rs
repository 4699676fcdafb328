//! `GET /v1/admin/health` with the stand-in: a complete setup, and each possible fault.

use admin::AdminClients;
use serde_json::{Value, json};
use stripe_stand_in::{StandInConfig, StripeFault, StripeFaultKind, StripeStandIn};
use tollgate::runtime::billing::Billing;
use tollgate::store::{Store, TableNames};
use tollgate::stripe::setup::{WantedSetup, plan};
use tollgate::stripe::{Stripe, StripeSettings};
use tollgate_local::api::ApiClient as Http;
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::stand_in;

const URL: &str = "https://api.example.test/v1/stripe/webhook";

struct HealthWorld {
    api: Api,
    stand_in: StripeStandIn,
    address: String,
}

impl HealthWorld {
    /// Everything is set up, as `stripe-setup` does it.
    async fn new(config: StandInConfig) -> HealthWorld {
        let (stand_in, address) = stand_in::serve(config, || 1_795_341_600).await;
        let world = HealthWorld { api: Api::new().await, stand_in, address };
        let (stripe, wanted) =
            (world.stripe(&[]), WantedSetup { webhook_url: URL.to_owned(), return_url: None });
        for step in plan(&wanted, &[], &[]) {
            stripe.carry_out(&step, &wanted).await.unwrap();
        }
        world
    }

    fn stripe(&self, more: &[(&str, &str)]) -> Stripe {
        let settings = StripeSettings::read(|variable| {
            let set = more
                .iter()
                .find(|(name, _)| *name == variable)
                .map(|(_, value)| (*value).to_owned());
            set.or_else(|| match variable {
                "STRIPE_SECRET_KEY" => Some("sk_test_local".to_owned()),
                "STRIPE_API_BASE" => Some(self.address.clone()),
                _ => None,
            })
        });
        Stripe::new(settings.unwrap()).unwrap()
    }

    /// The only portal configuration.
    async fn portal(&self) -> String {
        self.stripe(&[]).portal_configurations().await.unwrap().remove(0).id
    }

    async fn endpoint(&self) -> String {
        self.stripe(&[]).webhook_endpoints().await.unwrap().remove(0).id
    }

    /// Changes an object at Stripe.
    async fn change(&self, path: &str, form: &str) {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let dashboard = Http::new(&self.address).with_token("sk_test_local");
        assert_eq!(
            dashboard.send("POST", path, &headers, form.to_owned()).await.unwrap().status,
            200,
            "{path}"
        );
    }

    fn clients(&self, more: &[(&str, &str)]) -> AdminClients {
        let billing =
            Billing::new(self.api.billing.store.clone(), self.api.billing.settings.clone());
        AdminClients {
            billing,
            stripe: self.stripe(more).into(),
            bus: Some("tollgate-test".to_owned()),
        }
    }

    /// The health check with these variables. The portal variable defaults to the created
    /// configuration.
    async fn with(&self, more: &[(&str, &str)]) -> Value {
        let portal = self.portal().await;
        let named = [more, &[("STRIPE_PORTAL_CONFIGURATION", portal.as_str())]].concat();
        health(&self.clients(&named)).await
    }

    /// The name and detail of each failed check.
    async fn wrong(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        wrong(&self.with(more).await)
    }
}

async fn health(clients: &AdminClients) -> Value {
    let event = ApiEvent::by("staff", "GET /v1/admin/health", "10:30:00").scope("tollgate/admin");
    let answered: Answered = admin::handle(clients, event.request()).await.into();
    assert_eq!(answered.status, 200, "{}", answered.shown());
    answered.body
}

fn wrong(health: &Value) -> Vec<(String, String)> {
    let all = health["checks"].as_array().unwrap();
    let text = |check: &Value, field: &str| check[field].as_str().unwrap().to_owned();
    let wrong: Vec<_> = all
        .iter()
        .filter(|check| check["ok"] == false)
        .map(|check| (text(check, "name"), text(check, "detail")))
        .collect();
    assert_eq!(health["ok"], json!(wrong.is_empty()));
    wrong
}

/// Asserts that only this check failed, and that its detail contains the words.
#[track_caller]
fn only(wrong: &[(String, String)], name: &str, words: &str) {
    let [(found, detail)] = wrong else { panic!("{wrong:?}") };
    assert!(found == name && detail.contains(words), "{wrong:?}");
}

#[tokio::test]
async fn complete_setup_is_healthy() {
    let world =
        HealthWorld::new(StandInConfig { tax_basis_points: 1_900, ..StandInConfig::default() })
            .await;
    let health = world.with(&[("STRIPE_TAX", "automatic")]).await;
    assert_eq!(wrong(&health), []);
    let names: Vec<&str> = health["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    let expected = [
        "ledger",
        "accounts",
        "bus",
        "stripe",
        "stripe_webhook",
        "stripe_portal",
        "stripe_tax",
        "stripe_receipts",
    ];
    assert_eq!(names, expected);
    assert!(!health.to_string().contains("sk_test"), "{health}");
    assert_eq!(world.stand_in.calls_outside(), []);
}

#[tokio::test]
async fn health_is_for_staff_only() {
    let world = HealthWorld::new(StandInConfig::default()).await;
    let event = ApiEvent::by("alice", "GET /v1/admin/health", "10:30:00");
    let refused: Answered = admin::handle(&world.clients(&[]), event.request()).await.into();
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn health_reports_webhook_endpoint_faults() {
    let world = HealthWorld::new(StandInConfig::default()).await;
    let endpoint = world.endpoint().await;
    let path = format!("/v1/webhook_endpoints/{endpoint}");
    world.change(&path, "disabled=true").await;
    only(&world.wrong(&[]).await, "stripe_webhook", "its status is disabled");
    world
        .change(
            &path,
            "disabled=false&enabled_events[0]=invoice.paid&enabled_events[1]=charge.failed",
        )
        .await;
    let found = world.wrong(&[]).await;
    only(&found, "stripe_webhook", "it lacks the events charge.dispute.closed");
    only(&found, "stripe_webhook", "it has unexpected events charge.failed");
    world.change(&path, "url=https://elsewhere.example.test").await;
    only(
        &world.wrong(&[]).await,
        "stripe_webhook",
        "no webhook endpoint points to /v1/stripe/webhook",
    );
    world.stand_in.add_endpoint(URL, "whsec_old", &["*"]);
    only(&world.wrong(&[]).await, "stripe_webhook", "its API version is the account's default");
    let endpoint = "GET /v1/webhook_endpoints".to_owned();
    world.stand_in.fail(StripeFault {
        endpoint,
        after: 0,
        times: 1,
        kind: StripeFaultKind::Forbidden,
    });
    only(&world.wrong(&[]).await, "stripe_webhook", "the key lacks the permission");
}

#[tokio::test]
async fn health_reports_portal_and_tax_faults() {
    let world = HealthWorld::new(StandInConfig::default()).await;
    only(&world.wrong(&[("STRIPE_TAX", "automatic")]).await, "stripe_tax", "pending");
    only(
        &wrong(&health(&world.clients(&[])).await),
        "stripe_portal",
        "is not set, and Stripe has no default",
    );
    let other = [("STRIPE_PORTAL_CONFIGURATION", "bpc_other")];
    only(
        &wrong(&health(&world.clients(&other)).await),
        "stripe_portal",
        "is bpc_other, which does not exist",
    );
    world
        .change(
            &format!("/v1/billing_portal/configurations/{}", world.portal().await),
            "active=false",
        )
        .await;
    only(&world.wrong(&[]).await, "stripe_portal", "it is not active");
}

#[tokio::test]
async fn health_reports_a_rejected_key_and_an_unreachable_stripe() {
    let world = HealthWorld::new(StandInConfig::default()).await;
    only(
        &world.wrong(&[("STRIPE_SECRET_KEY", "sk_test_other")]).await,
        "stripe",
        "Stripe rejected the key (test mode)",
    );
    let endpoint = "GET /v1/account".to_owned();
    world.stand_in.fail(StripeFault {
        endpoint,
        after: 0,
        times: 9,
        kind: StripeFaultKind::ServerError,
    });
    only(&world.wrong(&[]).await, "stripe", "500");
}

#[tokio::test]
async fn health_reports_unreadable_tables_and_a_missing_bus() {
    let world = HealthWorld::new(StandInConfig::default()).await;
    let (portal, names) = (world.portal().await, world.api.billing.settings.tables.clone());
    let named = [("STRIPE_PORTAL_CONFIGURATION", portal.as_str())];
    let without_bus = AdminClients { bus: None, ..world.clients(&named) };
    only(&wrong(&health(&without_bus).await), "bus", "EVENT_BUS is not set");
    let client = world.api.ledger.client.clone();
    for (name, tables) in [
        ("ledger", TableNames { ledger: "no-such-table".to_owned(), ..names.clone() }),
        ("accounts", TableNames { accounts: "no-such-table".to_owned(), ..names }),
    ] {
        let billing =
            Billing::new(Store::new(client.clone(), tables), world.api.billing.settings.clone());
        only(&wrong(&health(&AdminClients { billing, ..world.clients(&named) }).await), name, "");
    }
}
