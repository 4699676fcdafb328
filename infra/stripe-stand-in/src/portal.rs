//! The customer portal, and the answers about the Stripe account itself.

use serde_json::{Value, json};

use super::account::Account;
use super::failure::Failure;
use super::objects::{merge, merge_metadata};
use super::requests::Request;

impl Account {
    pub(super) fn create_portal_configuration(
        &mut self,
        request: &Request,
    ) -> Result<Value, Failure> {
        let configuration = self.new_portal_configuration(request)?;
        Ok(self.add(configuration, Some("billing_portal.configuration.created")))
    }

    fn new_portal_configuration(&mut self, request: &Request) -> Result<Value, Failure> {
        if !request.at("/features").is_object() {
            return Err(Failure::parameter_missing("features"));
        }
        let id = self.id("bpc_1", 23);
        let mut configuration = json!({
            "id": id,
            "object": "billing_portal.configuration",
            "active": true,
            "application": null,
            "business_profile": { "headline": null, "privacy_policy_url": null, "terms_of_service_url": null },
            "created": self.now,
            "default_return_url": null,
            "features": {
                "customer_update": { "allowed_updates": [], "enabled": false },
                "invoice_history": { "enabled": false },
                "payment_method_update": { "enabled": false, "payment_method_configuration": null },
                "subscription_cancel": {
                    "cancellation_reason": { "enabled": false, "options": [] },
                    "enabled": false,
                    "mode": "at_period_end",
                    "proration_behavior": "none",
                },
                "subscription_update": {
                    "billing_cycle_anchor": null,
                    "default_allowed_updates": [],
                    "enabled": false,
                    "proration_behavior": "none",
                    "schedule_at_period_end": { "conditions": [] },
                    "trial_update_behavior": "end_trial",
                },
            },
            "is_default": false,
            "livemode": false,
            "login_page": { "enabled": false, "url": null },
            "metadata": request.map("/metadata"),
            "name": null,
            "updated": self.now,
        });
        configure(&mut configuration, request);
        Ok(configuration)
    }

    /// Saves the portal's settings as in Stripe's dashboard, without an event. Returns the ID of
    /// the default configuration.
    pub(super) fn save_portal_settings(&mut self) -> Result<String, Failure> {
        let features = json!({
            "customer_update": { "allowed_updates": ["address", "email", "name", "tax_id"], "enabled": true },
            "invoice_history": { "enabled": true },
            "payment_method_update": { "enabled": true },
        });
        let request = Request {
            ids: Vec::new(),
            params: json!({ "features": features }),
            url: String::new(),
        };
        let mut configuration = self.new_portal_configuration(&request)?;
        configuration["is_default"] = json!(true);
        let added = self.add(configuration, None);
        Ok(added["id"].as_str().unwrap_or_default().to_owned())
    }

    pub(super) fn update_portal_configuration(
        &mut self,
        request: &Request,
    ) -> Result<Value, Failure> {
        self.of_kind("billing_portal.configuration", request.id())?;
        let now = self.now;
        Ok(self.change(request.id(), &["billing_portal.configuration.updated"], |configuration| {
            configure(configuration, request);
            merge_metadata(configuration, &request.at("/metadata"));
            if let Some(active) = request.at("/active").as_bool() {
                configuration["active"] = json!(active);
            }
            configuration["updated"] = json!(now);
        }))
    }

    pub(super) fn create_portal_session(&mut self, request: &Request) -> Result<Value, Failure> {
        let customer = request.text("/customer").unwrap_or_default().to_owned();
        self.customer_of("customer", &customer)?;
        let default = || {
            let is_default = |known: &Value| known["is_default"] == true;
            self.ids("billing_portal.configuration", is_default).into_iter().next()
        };
        let Some(configuration) =
            request.text("/configuration").map(str::to_owned).or_else(default)
        else {
            return Err(Failure::invalid(
                "No configuration provided and your test mode default configuration has not been created. Provide a \
                 configuration or create your default by saving your customer portal settings in test mode at \
                 https://dashboard.stripe.com/test/settings/billing/portal.",
            ));
        };
        let object =
            self.of_kind("billing_portal.configuration", &configuration).map_err(|_| {
                Failure::missing_in("configuration", "billing_portal.configuration", &configuration)
            })?;
        let sent = request.params.get("return_url").filter(|url| !url.is_null());
        let return_url = sent.unwrap_or(&object["default_return_url"]).clone();
        let id = self.id("bps_1", 23);
        let session = json!({
            "id": id,
            "object": "billing_portal.session",
            "configuration": configuration,
            "created": self.now,
            "customer": customer,
            "customer_account": null,
            "flow": flow_of(request),
            "livemode": false,
            "locale": request.at("/locale"),
            "on_behalf_of": null,
            "return_url": return_url,
            "url": format!("{}/p/session/{id}", self.settings.public_url),
        });
        Ok(self.add(session, Some("billing_portal.session.created")))
    }

    /// `GET /v1/tax/settings`: active if a tax rate is configured.
    pub(super) fn tax_settings(&self) -> Value {
        let active = self.settings.tax_basis_points > 0;
        let head_office = json!({
            "address": {
                "city": null,
                "country": "US",
                "line1": null,
                "line2": null,
                "postal_code": "94103",
                "state": "CA",
            },
        });
        let missing =
            json!({ "pending": { "missing_fields": ["head_office", "defaults.tax_code"] } });
        json!({
            "object": "tax.settings",
            "defaults": {
                "provider": "stripe",
                "tax_behavior": if active { json!("exclusive") } else { Value::Null },
                "tax_code": if active { json!("txcd_10000000") } else { Value::Null },
            },
            "head_office": if active { head_office } else { Value::Null },
            "livemode": false,
            "status": if active { "active" } else { "pending" },
            "status_details": if active { json!({ "active": {} }) } else { missing },
        })
    }

    /// Handles `GET /v1/account`.
    pub(super) fn own_account(&self) -> Value {
        let id = format!("acct_1{}", self.letters("account", 15));
        json!({
            "id": id,
            "object": "account",
            "business_profile": null,
            "business_type": null,
            "capabilities": { "card_payments": "active", "transfers": "active" },
            "charges_enabled": true,
            "controller": { "type": "account" },
            "country": "US",
            "created": 1_700_000_000,
            "default_currency": "usd",
            "details_submitted": true,
            "email": "billing@tollgate.test",
            "metadata": {},
            "payouts_enabled": true,
            "settings": null,
            "type": "standard",
        })
    }
}

/// The flow that a portal session starts with, `null` if none was sent.
fn flow_of(request: &Request) -> Value {
    let Some(kind) = request.text("/flow_data/type") else { return Value::Null };
    let after = request.text("/flow_data/after_completion/type").unwrap_or("portal_homepage");
    let redirect = request.at("/flow_data/after_completion/redirect");
    json!({
        "after_completion": { "hosted_confirmation": null, "redirect": redirect, "type": after },
        "subscription_cancel": null,
        "subscription_update": null,
        "subscription_update_confirm": null,
        "type": kind,
    })
}

fn configure(configuration: &mut Value, request: &Request) {
    for field in ["business_profile", "features", "default_return_url", "name", "login_page"] {
        if let Some(sent) = request.params.get(field) {
            merge(&mut configuration[field], sent);
        }
    }
}
