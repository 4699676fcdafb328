//! Customers, their tax ids and their payment methods.

use serde_json::{Value, json};

use super::account::Account;
use super::cards::{self, Behavior, TestCard};
use super::failure::{Decline, Failure};
use super::objects::{billing_details, merge, merge_metadata, no_address};
use super::requests::Request;

/// A payment instrument of a customer.
#[derive(Clone, Debug)]
pub(super) enum Instrument {
    /// A test card, with its expiry.
    Card { card: &'static TestCard, exp_month: i64, exp_year: i64 },
    /// A bank account in the United States, by its number.
    BankAccount(String),
    /// Money that arrives on a bank account of Stripe's, and pays from the customer's cash balance.
    BankTransfer,
}

impl Account {
    pub(super) fn create_customer(&mut self, request: &Request) -> Result<Value, Failure> {
        check_customer(request)?;
        let id = self.id("cus_", 14);
        let mut customer = json!({
            "id": id,
            "object": "customer",
            "address": null,
            "balance": 0,
            "created": self.now,
            "currency": null,
            "customer_account": null,
            "default_source": null,
            "delinquent": false,
            "description": null,
            "discount": null,
            "email": null,
            "invoice_prefix": self.letters(&format!("invoice_prefix#{id}"), 8).to_uppercase(),
            "invoice_settings": {
                "custom_fields": null,
                "default_payment_method": null,
                "footer": null,
                "rendering_options": null,
            },
            "livemode": false,
            "metadata": request.map("/metadata"),
            "name": null,
            "next_invoice_sequence": 1,
            "phone": null,
            "preferred_locales": [],
            "shipping": null,
            "tax_exempt": "none",
            "test_clock": null,
        });
        set_customer(&mut customer, request);
        self.check_location(request, &customer)?;
        self.add(customer, Some("customer.created"));
        for tax_id in request.at("/tax_id_data").as_array().into_iter().flatten() {
            self.add_tax_id(&id, &tax_id["type"], &tax_id["value"])?;
        }
        if let Some(method) = request.text("/payment_method") {
            self.attach(method, &id)?;
        }
        self.of_kind("customer", &id).cloned()
    }

    pub(super) fn update_customer(&mut self, request: &Request) -> Result<Value, Failure> {
        check_customer(request)?;
        let id = request.id().to_owned();
        let mut customer = self.of_kind("customer", &id)?.clone();
        if customer.get("deleted").is_some() {
            return Err(Failure::missing("customer", &id));
        }
        if let Some(method) = request.text("/invoice_settings/default_payment_method") {
            let owner = self.text(method, "/customer");
            if owner != id {
                return Err(Failure::missing_in(
                    "invoice_settings[default_payment_method]",
                    "payment_method",
                    method,
                ));
            }
        }
        set_customer(&mut customer, request);
        merge_metadata(&mut customer, &request.at("/metadata"));
        if request.params.get("metadata").is_some_and(Value::is_null) {
            customer["metadata"] = json!({});
        }
        self.check_location(request, &customer)?;
        let changed = self.get(&id) != Some(&customer);
        let events: &[&str] = if changed { &["customer.updated"] } else { &[] };
        Ok(self.change(&id, events, |object| *object = customer))
    }

    pub(super) fn delete_customer(&mut self, request: &Request) -> Result<Value, Failure> {
        let id = request.id().to_owned();
        let customer = self.of_kind("customer", &id)?.clone();
        if customer.get("deleted").is_some() {
            return Err(Failure::missing("customer", &id));
        }
        for method in self.ids("payment_method", |method| method["customer"] == id.as_str()) {
            self.detach_payment_method(&method)?;
        }
        self.emit("customer.deleted", customer, None);
        let deleted = json!({ "id": id, "object": "customer", "deleted": true });
        Ok(self.change(&id, &[], |customer| *customer = deleted))
    }

    pub(super) fn list_customers(&mut self, request: &Request) -> Result<Value, Failure> {
        self.list("customer", request, &["email"])
    }

    /// `tax[validate_location]=immediately` refuses an address that no tax can be worked out for.
    fn check_location(&self, request: &Request, customer: &Value) -> Result<(), Failure> {
        let validates = matches!(request.text("/tax/validate_location"), Some("immediately"));
        if validates && !has_location(customer) {
            return Err(location_invalid());
        }
        Ok(())
    }

    /// The customer's `tax`, which is shown only when expanded.
    pub(super) fn tax_of_customer(&self, customer: &Value) -> Value {
        let known = has_location(customer);
        let location = json!({
            "country": customer["address"]["country"],
            "source": "billing_address",
            "state": customer["address"]["state"],
        });
        json!({
            "automatic_tax": if known { "supported" } else { "unrecognized_location" },
            "ip_address": null,
            "location": if known { location } else { Value::Null },
            "provider": "stripe",
        })
    }

    pub(super) fn create_tax_id(&mut self, request: &Request) -> Result<Value, Failure> {
        self.of_kind("customer", request.id())?;
        self.customer_of("customer", request.id())?;
        self.add_tax_id(request.id(), &request.at("/type"), &request.at("/value"))
    }

    pub(super) fn add_tax_id(
        &mut self,
        customer: &str,
        kind: &Value,
        value: &Value,
    ) -> Result<Value, Failure> {
        let (kind, value) = (kind.as_str().unwrap_or_default(), value.as_str().unwrap_or_default());
        let plain = value.chars().filter(char::is_ascii_alphanumeric).count();
        if plain < 5 || (kind == "eu_vat" && !value.chars().take(2).all(|c| c.is_ascii_uppercase()))
        {
            return Err(Failure::invalid_as(
                "tax_id_invalid",
                format!("Invalid value for {kind}."),
            )
            .param("value"));
        }
        let country = match kind {
            "eu_vat" => value.chars().take(2).collect(),
            other => other.split('_').next().unwrap_or_default().to_uppercase(),
        };
        let tax_id = json!({
            "id": self.id("txi_1", 23),
            "object": "tax_id",
            "country": country,
            "created": self.now,
            "customer": customer,
            "customer_account": null,
            "livemode": false,
            "owner": { "customer": customer, "customer_account": null, "type": "customer" },
            "type": kind,
            "value": value,
            "verification": { "status": "pending", "verified_address": null, "verified_name": null },
        });
        Ok(self.add(tax_id, Some("customer.tax_id.created")))
    }

    pub(super) fn list_tax_ids(&mut self, request: &Request) -> Result<Value, Failure> {
        self.of_kind("customer", request.id())?;
        self.list_where("tax_id", request, |tax_id| tax_id["customer"] == request.id())
    }

    pub(super) fn delete_tax_id(&mut self, request: &Request) -> Result<Value, Failure> {
        let id = request.ids.get(1).cloned().unwrap_or_default();
        let tax_id = self.of_kind("tax_id", &id)?.clone();
        if tax_id["customer"] != request.id() {
            return Err(Failure::missing("tax_id", &id));
        }
        self.emit("customer.tax_id.deleted", tax_id, None);
        self.change(&id, &[], |tax_id| *tax_id = json!({ "id": id, "object": "deleted_tax_id" }));
        Ok(json!({ "id": id, "object": "tax_id", "deleted": true }))
    }

    /// A new payment method, attached to no customer.
    pub(super) fn new_payment_method(
        &mut self,
        instrument: &Instrument,
        billing: &Value,
    ) -> String {
        let id = self.id("pm_1", 23);
        let mut method = json!({
            "id": id,
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": billing,
            "created": self.now,
            "customer": null,
            "customer_account": null,
            "livemode": false,
            "metadata": {},
        });
        match instrument {
            Instrument::Card { card, exp_month, exp_year } => {
                method["type"] = json!("card");
                method["card"] = self.card_details(card, *exp_month, *exp_year);
                self.remember(&id, "number", json!(card.number));
            }
            Instrument::BankAccount(number) => {
                method["type"] = json!("us_bank_account");
                method["us_bank_account"] = json!({
                    "account_holder_type": "individual",
                    "account_type": "checking",
                    "bank_name": "STRIPE TEST BANK",
                    "financial_connections_account": null,
                    "fingerprint": self.letters(&format!("account#{number}"), 16),
                    "last4": last4(number),
                    "networks": { "preferred": "ach", "supported": ["ach"] },
                    "routing_number": "110000000",
                    "status_details": {},
                });
                self.remember(&id, "account", json!(number));
            }
            Instrument::BankTransfer => {
                method["type"] = json!("customer_balance");
                method["customer_balance"] = json!({});
            }
        }
        self.add(method, None);
        id
    }

    fn card_details(&self, card: &TestCard, exp_month: i64, exp_year: i64) -> Value {
        json!({
            "brand": card.brand,
            "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
            "country": "US",
            "display_brand": card.brand,
            "exp_month": exp_month,
            "exp_year": exp_year,
            "fingerprint": self.letters(&format!("card#{}", card.number), 16),
            "funding": card.funding,
            "generated_from": null,
            "last4": last4(card.number),
            "networks": { "available": [card.brand], "preferred": null },
            "regulated_status": "unregulated",
            "three_d_secure_usage": { "supported": true },
            "wallet": null,
        })
    }

    pub(super) fn list_payment_methods(
        &mut self,
        request: &Request,
        customer: Option<&str>,
    ) -> Result<Value, Failure> {
        if let Some(customer) = customer {
            self.customer_of("customer", customer)?;
        }
        let (kind, redisplay) = (request.at("/type"), request.at("/allow_redisplay"));
        self.list_where("payment_method", request, |method| {
            // A list without a customer has only methods created separately, which the stand-in
            // never does.
            customer.is_some_and(|customer| method["customer"] == customer)
                && (kind.is_null() || method["type"] == kind)
                && (redisplay.is_null() || method["allow_redisplay"] == redisplay)
        })
    }

    pub(super) fn attach_payment_method(&mut self, request: &Request) -> Result<Value, Failure> {
        let customer = request.text("/customer").unwrap_or_default().to_owned();
        self.customer_of("customer", &customer)?;
        self.attach(request.id(), &customer)
    }

    /// Attaches a payment method, or one of Stripe's well-known test ids, to a customer.
    pub(super) fn attach(&mut self, method: &str, customer: &str) -> Result<Value, Failure> {
        let id = match cards::by_token(method) {
            Some(card) => {
                if let Behavior::Declines(code) = card.behavior {
                    return Err(Failure::card(&Decline::of(code)));
                }
                let instrument = Instrument::Card { card, exp_month: 12, exp_year: 2034 };
                self.new_payment_method(
                    &instrument,
                    &billing_details(&Value::Null, &Value::Null, &no_address()),
                )
            }
            None => method.to_owned(),
        };
        let owner = self.of_kind("payment_method", &id)?["customer"].clone();
        if owner == customer {
            return self.of_kind("payment_method", &id).cloned();
        }
        if !owner.is_null() {
            return Err(Failure::invalid(
                "This payment method has already been attached to a customer.",
            ));
        }
        if self.known(&id, "used").as_bool() == Some(true) {
            return Err(Failure::invalid(
                "This PaymentMethod was previously used without being attached to a Customer or was detached from a \
                 Customer, and may not be used again.",
            ));
        }
        self.remember(&id, "used", json!(true));
        Ok(self.change(&id, &["payment_method.attached"], |method| {
            method["customer"] = json!(customer);
        }))
    }

    /// Detaching cannot be undone.
    pub(super) fn detach_payment_method(&mut self, id: &str) -> Result<Value, Failure> {
        let customer = self.of_kind("payment_method", id)?["customer"].clone();
        let Some(customer) = customer.as_str().map(str::to_owned) else {
            return Err(Failure::invalid(
                "The payment method you provided is not attached to a customer so detachment is impossible.",
            ));
        };
        let detached = self
            .change(id, &["payment_method.detached"], |method| method["customer"] = Value::Null);
        if self.text(&customer, "/invoice_settings/default_payment_method") == id {
            self.change(&customer, &["customer.updated"], |customer| {
                customer["invoice_settings"]["default_payment_method"] = Value::Null;
            });
        }
        Ok(detached)
    }
}

/// The last four digits.
fn last4(number: &str) -> String {
    let digits: Vec<char> = number.chars().collect();
    digits.get(digits.len().saturating_sub(4)..).unwrap_or_default().iter().collect()
}

/// Whether tax can be worked out for where the customer is.
pub(super) fn has_location(customer: &Value) -> bool {
    let address = &customer["address"];
    let given = |field: &str| address[field].as_str().is_some_and(|text| !text.is_empty());
    given("country") && (address["country"] != "US" || given("postal_code"))
}

/// The refusal where it cannot.
pub(super) fn location_invalid() -> Failure {
    Failure::invalid_as(
        "customer_tax_location_invalid",
        "The customer's location isn't recognized. Set a valid customer address in order to automatically calculate tax.",
    )
}

fn check_customer(request: &Request) -> Result<(), Failure> {
    if let Some(email) = request.text("/email").filter(|email| !email.contains('@')) {
        return Err(Failure::invalid_as(
            "email_invalid",
            format!("Invalid email address: {email}"),
        )
        .param("email"));
    }
    if let Some(country) = request.text("/address/country")
        && (country.len() != 2 || !country.chars().all(|c| c.is_ascii_uppercase()))
    {
        let message = format!(
            "Country '{country}' is unknown. Try using a 2-character alphanumeric country code instead."
        );
        return Err(Failure::invalid(message).param("address[country]"));
    }
    Ok(())
}

fn set_customer(customer: &mut Value, request: &Request) {
    let plain = ["email", "name", "phone", "description", "tax_exempt"];
    // Stripe shows these two only once they are set.
    let shown_once_set = ["business_name", "individual_name"];
    for field in plain.into_iter().chain(shown_once_set) {
        match request.params.get(field) {
            Some(value) if value.is_null() && shown_once_set.contains(&field) => {
                if let Some(fields) = customer.as_object_mut() {
                    fields.remove(field);
                }
            }
            Some(value) => customer[field] = value.clone(),
            None => {}
        }
    }
    if let Some(address) = request.params.get("address") {
        if !customer["address"].is_object() {
            customer["address"] = no_address();
        }
        merge(&mut customer["address"], address);
    }
    if let Some(method) = request.params.pointer("/invoice_settings/default_payment_method") {
        customer["invoice_settings"]["default_payment_method"] = method.clone();
    }
}
