//! The setup command with the stand-in.

use serde_json::{Value, json};
use stripe_setup::{SetupArguments, set_up};
use stripe_stand_in::{StandInConfig, StripeFault, StripeFaultKind, StripeStandIn};
use tollgate::stripe::webhook_event::EVENTS;
use tollgate::stripe::{API_VERSION, Stripe, StripeSettings};
use tollgate_local::api::ApiClient;
use tollgate_tests::stand_in::serve;

const URL: &str = "https://api.example.test/v1/stripe/webhook";

async fn world() -> (StripeStandIn, Stripe, String) {
    let (stand_in, address) = serve(StandInConfig::default(), || 1_795_341_600).await;
    let settings = StripeSettings::read(|variable| match variable {
        "STRIPE_SECRET_KEY" => Some("sk_test_local".to_owned()),
        "STRIPE_API_BASE" => Some(address.clone()),
        _ => None,
    });
    (stand_in, Stripe::new(settings.unwrap()).unwrap(), address)
}

fn arguments(more: &[&str]) -> SetupArguments {
    let words = ["--webhook-url", URL].iter().chain(more).map(|word| (*word).to_owned());
    SetupArguments::read(words).unwrap().unwrap()
}

/// The changes made at Stripe: all successful POST requests.
fn changes(stand_in: &StripeStandIn) -> Vec<String> {
    let calls = stand_in.calls();
    let made = calls.iter().filter(|call| call.method == "POST" && call.status == Some(200));
    made.map(|call| call.path.clone()).collect()
}

#[tokio::test]
async fn setup_creates_everything_once_and_shows_the_secret_once() {
    let (stand_in, stripe, _) = world().await;
    let dry = set_up(&stripe, &arguments(&["--dry-run"])).await.unwrap();
    assert!(dry.contains("would create a webhook endpoint with 23 events"), "{dry}");
    assert_eq!(changes(&stand_in), [""; 0]);

    let first =
        set_up(&stripe, &arguments(&["--return-url", "https://page.example.test"])).await.unwrap();
    assert_eq!(changes(&stand_in), ["/v1/webhook_endpoints", "/v1/billing_portal/configurations"]);
    assert!(
        first.contains("whsec_") && first.contains("StripePortalConfiguration to bpc_"),
        "{first}"
    );
    let endpoint = &stripe.webhook_endpoints().await.unwrap()[0];
    let at_stripe = stand_in.object(&endpoint.id).unwrap();
    assert_eq!((&at_stripe["url"], &at_stripe["api_version"]), (&json!(URL), &json!(API_VERSION)));
    assert_eq!(at_stripe["enabled_events"], json!(EVENTS));
    let portal = &stripe.portal_configurations().await.unwrap()[0];
    assert_eq!(portal.default_return_url.as_deref(), Some("https://page.example.test"));
    assert!(portal.is_ours() && portal.faults().is_empty(), "{portal:?}");

    let second =
        set_up(&stripe, &arguments(&["--return-url", "https://page.example.test"])).await.unwrap();
    assert!(second.contains("Nothing was changed") && !second.contains("whsec_u"), "{second}");
    assert_eq!(changes(&stand_in).len(), 2);
    assert_eq!(stand_in.calls_outside(), []);
}

#[tokio::test]
async fn manual_changes_are_repaired_and_old_versions_replaced() {
    let (stand_in, stripe, address) = world().await;
    let old = stand_in.add_endpoint(URL, "whsec_old", &["*"]);
    set_up(&stripe, &arguments(&[])).await.unwrap();
    assert_eq!(stand_in.object(&old).unwrap()["status"], "disabled");
    let made =
        stripe.webhook_endpoints().await.unwrap().into_iter().find(|one| one.id != old).unwrap();

    // By hand, as in the dashboard.
    let dashboard = ApiClient::new(&address).with_token("sk_test_local");
    let change = async |path: String, form: &str| {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(
            dashboard.send("POST", &path, &headers, form.to_owned()).await.unwrap().status,
            200,
            "{path}"
        );
    };
    change(
        format!("/v1/webhook_endpoints/{}", made.id),
        "enabled_events[0]=charge.failed&disabled=true",
    )
    .await;
    let portal = stripe.portal_configurations().await.unwrap().remove(0);
    change(format!("/v1/billing_portal/configurations/{}", portal.id), "active=false").await;
    let text = set_up(&stripe, &arguments(&[])).await.unwrap();
    assert!(
        text.contains(&format!("done: enable {}", made.id)) && text.contains(&portal.id),
        "{text}"
    );
    let again = stand_in.object(&made.id).unwrap();
    assert_eq!((&again["status"], &again["enabled_events"]), (&json!("enabled"), &json!(EVENTS)));
    assert_eq!(stand_in.object(&portal.id).unwrap()["active"], Value::Bool(true));
    assert!(set_up(&stripe, &arguments(&[])).await.unwrap().contains("Nothing was changed"));
}

#[tokio::test]
async fn key_without_permissions_is_refused_before_any_change() {
    let (stand_in, stripe, _) = world().await;
    let endpoint = "POST /v1/invoices/{invoice}/void".to_owned();
    stand_in.fail(StripeFault { endpoint, after: 0, times: 1, kind: StripeFaultKind::Forbidden });
    let refused = set_up(&stripe, &arguments(&[])).await.unwrap_err();
    assert!(
        refused.contains("Nothing was changed") && refused.contains("Invoices: write"),
        "{refused}"
    );
    assert_eq!(changes(&stand_in), [""; 0]);
}

#[test]
fn arguments_are_checked() {
    let refused = |words: &[&str]| {
        SetupArguments::read(words.iter().map(|word| (*word).to_owned())).unwrap_err()
    };
    assert_eq!(refused(&[]), "--webhook-url is required");
    assert!(refused(&["--webhook-url", "https://x.test/other"]).contains("/v1/stripe/webhook"));
    assert_eq!(refused(&["--webhook-url"]), "--webhook-url requires a value");
    assert_eq!(refused(&["--all"]), "unknown argument --all");
}
