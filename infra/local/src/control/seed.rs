//! The content of a new local cloud, so that there is something to try: a price list, two commit
//! plans, and a project of one account.
//!
//! It is made through the API, as an operator and a customer would. Existing content stays.

use serde_json::{Value, json};

use crate::control::api::ApiClient;
use crate::control::cloud::Cloud;
use crate::control::routes::TokenRequest;

/// The account that is seeded.
pub const ACCOUNT: &str = "acme";

/// The prices of a new local cloud: SKU, kind and USD per hour; a volume costs as much while its
/// machine is off.
pub const PRICES: [(&str, &str, &str); 5] = [
    ("vm-small", "instance", "0.04"),
    ("vm-large", "instance", "0.25"),
    ("vm-gpu", "instance", "2.50"),
    ("postgres", "service", "0.35"),
    ("volume-100gb", "volume", "0.012"),
];

/// The seed, of this or an earlier run.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The project of [`ACCOUNT`].
    pub project: String,
}

/// Creates the missing prices, plans and project.
///
/// # Errors
///
/// If the API refuses a request, as text.
pub async fn plant(cloud: &Cloud) -> Result<Seed, String> {
    let api = ApiClient::new(&cloud.urls().api);
    let token = |account: &str, scope: Option<&str>| {
        let scope = scope.map(str::to_owned);
        cloud.token(&TokenRequest { account: account.to_owned(), scope, ..TokenRequest::default() })
    };
    let operator = api.with_token(token("operator", Some("tollgate/admin"))?);
    let listed = operator.get("/v1/admin/prices").await?.success()?;
    if listed["prices"].as_array().is_none_or(Vec::is_empty) {
        operator.write("PUT", "/v1/admin/prices", &json!({"prices": prices()})).await?.success()?;
    }
    let path = "/v1/admin/commit-offers";
    if operator.get(path).await?.success()?["version"] == 0 {
        operator.write("PUT", path, &commit_offers()).await?.success()?;
    }
    let customer = api.with_token(token(ACCOUNT, None)?);
    let listed = customer.get("/v1/projects?limit=1").await?.success()?;
    let project = match listed["items"].get(0) {
        Some(project) => project.clone(),
        None => {
            customer.write("POST", "/v1/projects", &json!({"name": "first"})).await?.success()?
        }
    };
    Ok(Seed { project: project["id"].as_str().unwrap_or_default().to_owned() })
}

/// As `PUT /v1/admin/commit-offers` takes them.
fn commit_offers() -> Value {
    let half = json!({"id": "half", "months": 6, "price": "600.00", "bonus_percent": 10});
    let year = json!({
        "id": "year", "months": 12, "price": "1200.00", "bonus_percent": 20, "excludes": ["vm-gpu"],
    });
    json!({"version": 0, "offers": [half, year], "reason": "to try"})
}

/// [`PRICES`], as `PUT /v1/admin/prices` takes them.
#[must_use]
pub fn prices() -> Vec<Value> {
    let price = |(sku, kind, rate): (&str, &str, &str)| {
        let mut price = json!({"sku": sku, "unit": "hour", "kind": kind, "rate": rate});
        if kind == "volume" {
            price["idle_rate"] = json!(rate);
        }
        price
    };
    PRICES.map(price).into()
}
