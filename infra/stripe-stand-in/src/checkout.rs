//! Checkout Sessions: made by the API, paid at the page, completed or expired.

use serde_json::{Value, json};

use super::account::{Account, Later};
use super::control::DebitEnd;
use super::customers::has_location;
use super::failure::{Decline, Failure};
use super::objects::{merge, no_address, share_of};
use super::payments::{Charged, NewIntent, Presence, Verdict};
use super::requests::Request;

/// A session's least and greatest life, in seconds (Stripe: 30 minutes to 24 hours).
const LIFE_SECONDS: std::ops::RangeInclusive<i64> = 30 * 60..=24 * 60 * 60;

/// Fields of a session that are the request's parameters of the same name, `null` if not sent.
const COPIED_FIELDS: [&str; 10] = [
    "allow_promotion_codes",
    "billing_address_collection",
    "cancel_url",
    "client_reference_id",
    "customer",
    "locale",
    "mode",
    "submit_type",
    "success_url",
    "wallet_options",
];

/// Stripe's least amount in USD, in cents.
const AMOUNT_MIN: i64 = 50;

/// The customer's decision on its bank's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    Given,
    Refused,
}

/// A line item as it was sent, with its inline price in cents.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LineItem {
    name: String,
    amount: i64,
    quantity: i64,
    tax_behavior: String,
}

/// The next page after the customer submitted this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Back to the caller's success page.
    Done(String),
    /// To its bank's page, for this intent.
    Authenticate(String),
    /// Nowhere: the page shows why and stays open.
    Declined(String),
    /// Nowhere: the session is not open any more.
    Closed,
}

impl Account {
    pub(super) fn create_session(&mut self, request: &Request) -> Result<Value, Failure> {
        let pays = request.text("/mode") == Some("payment");
        check_session(request)?;
        let customer = request.at("/customer");
        let customer_object = match customer.as_str() {
            Some(id) => self.customer_of("customer", id)?.clone(),
            None => Value::Null,
        };
        check_for_customer(request, &customer_object)?;
        let expires_at = self.expiry(request)?;
        let items = self.line_items(request)?;
        let subtotal: i64 = items.iter().filter_map(|item| item["amount_subtotal"].as_i64()).sum();
        if pays && subtotal < AMOUNT_MIN {
            return Err(Failure::invalid_as(
                "amount_too_small",
                "The Checkout Session's total amount must convert to at least 50 cents.",
            ));
        }
        let id = self.id("cs_test_a1", 56);
        let types =
            request.params.get("payment_method_types").cloned().unwrap_or_else(|| json!(["card"]));
        let mut session = self.session_object(&id, request, &customer_object, expires_at);
        session["payment_method_types"] = types;
        if pays {
            session["amount_subtotal"] = json!(subtotal);
            session["currency"] = json!("usd");
        }
        for (name, value) in [
            ("line_items", json!(items)),
            ("payment_intent_data", request.at("/payment_intent_data")),
            ("setup_intent_data", request.at("/setup_intent_data")),
            ("customer_update", request.at("/customer_update")),
        ] {
            self.remember(&id, name, value);
        }
        self.add(session, None);
        self.work_out_tax(&id, &customer_object["address"]);
        if !pays {
            let intent = self.new_setup_intent(&id);
            self.change(&id, &[], |session| session["setup_intent"] = json!(intent));
        }
        self.later(expires_at, Later::SessionExpires(id.clone()));
        self.of_kind("checkout.session", &id).cloned()
    }

    fn session_object(
        &self,
        id: &str,
        request: &Request,
        customer: &Value,
        expires_at: i64,
    ) -> Value {
        let pays = request.text("/mode") == Some("payment");
        let own = json!({
            "id": id,
            "created": self.now,
            "customer_creation": if customer.is_null() && pays { json!("if_required") } else { Value::Null },
            "customer_details": if customer.is_null() { Value::Null } else { details_of(customer) },
            "discounts": if pays { json!([]) } else { Value::Null },
            "expires_at": expires_at,
            "payment_method_collection": if pays { "if_required" } else { "always" },
            "payment_status": if pays { "unpaid" } else { "no_payment_required" },
            "url": format!("{}/c/pay/{id}", self.settings.public_url),
        });
        let mut session = common_session_fields();
        merge(&mut session, &own);
        merge(&mut session, &requested_session_fields(request));
        if pays {
            merge(&mut session, &payment_session_fields(request));
        }
        session
    }

    fn expiry(&self, request: &Request) -> Result<i64, Failure> {
        let Some(expires_at) = request.integer("/expires_at") else {
            return Ok(self.now + LIFE_SECONDS.end());
        };
        let life = expires_at - self.now;
        let message = if life < *LIFE_SECONDS.start() {
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation."
        } else if life > *LIFE_SECONDS.end() {
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation."
        } else {
            return Ok(expires_at);
        };
        Err(Failure::invalid(message).param("expires_at"))
    }

    /// The line items with their inline prices.
    fn line_items(&mut self, request: &Request) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        for (place, sent) in request.at("/line_items").as_array().into_iter().flatten().enumerate()
        {
            let item = LineItem::read(place, sent)?;
            items.push(self.line_item_object(&item));
        }
        Ok(items)
    }

    fn line_item_object(&mut self, item: &LineItem) -> Value {
        let (price_id, product) = (self.id("price_1", 23), self.id("prod_", 14));
        let subtotal = item.amount * item.quantity;
        json!({
            "id": self.id("li_1", 23),
            "object": "item",
            "adjustable_quantity": null,
            "amount_discount": 0,
            "amount_subtotal": subtotal,
            "amount_tax": 0,
            "amount_total": subtotal,
            "currency": "usd",
            "description": item.name,
            "metadata": {},
            "price": {
                "id": price_id,
                "object": "price",
                "active": false,
                "billing_scheme": "per_unit",
                "created": self.now,
                "currency": "usd",
                "custom_unit_amount": null,
                "livemode": false,
                "lookup_key": null,
                "metadata": {},
                "nickname": null,
                "product": product,
                "recurring": null,
                "tax_behavior": item.tax_behavior,
                "tiers_mode": null,
                "transform_quantity": null,
                "type": "one_time",
                "unit_amount": item.amount,
                "unit_amount_decimal": item.amount.to_string(),
            },
            "quantity": item.quantity,
        })
    }

    /// Writes subtotal, tax and total, as far as the address allows.
    fn work_out_tax(&mut self, session: &str, address: &Value) {
        if self.text(session, "/mode") != "payment" {
            return;
        }
        let enabled =
            self.get(session).is_some_and(|session| session["automatic_tax"]["enabled"] == true);
        let known = has_location(&json!({ "address": address }));
        let basis_points = if enabled && known { self.settings.tax_basis_points } else { 0 };
        let mut items = self.known(session, "line_items").as_array().cloned().unwrap_or_default();
        let mut total_tax = 0;
        for item in &mut items {
            let subtotal = item["amount_subtotal"].as_i64().unwrap_or_default();
            let inclusive = item["price"]["tax_behavior"] == "inclusive";
            let tax = if inclusive { 0 } else { share_of(subtotal, basis_points) };
            item["amount_tax"] = json!(tax);
            item["amount_total"] = json!(subtotal + tax);
            total_tax += tax;
        }
        self.remember(session, "line_items", json!(items));
        let status = match (enabled, known) {
            (false, _) => Value::Null,
            (true, true) => json!("complete"),
            (true, false) => json!("requires_location_inputs"),
        };
        self.change(session, &[], |session| {
            let subtotal = session["amount_subtotal"].as_i64().unwrap_or_default();
            session["amount_total"] = json!(subtotal + total_tax);
            session["automatic_tax"]["status"] = status;
            session["total_details"] =
                json!({ "amount_discount": 0, "amount_shipping": 0, "amount_tax": total_tax });
        });
    }

    fn new_setup_intent(&mut self, session: &str) -> String {
        let id = self.id("seti_1", 23);
        let data = self.known(session, "setup_intent_data").clone();
        let object = self.get(session).cloned().unwrap_or_default();
        let intent = json!({
            "id": id,
            "object": "setup_intent",
            "application": null,
            "automatic_payment_methods": null,
            "cancellation_reason": null,
            "client_secret": format!("{id}_secret_{}", self.letters(&format!("secret#{id}"), 31)),
            "created": self.now,
            "customer": object["customer"],
            "customer_account": null,
            "description": data["description"],
            "excluded_payment_method_types": null,
            "flow_directions": null,
            "last_setup_error": null,
            "latest_attempt": null,
            "livemode": false,
            "mandate": null,
            "metadata": if data["metadata"].is_object() { data["metadata"].clone() } else { json!({}) },
            "next_action": null,
            "on_behalf_of": null,
            "payment_method": null,
            "payment_method_configuration_details": null,
            "payment_method_options": {},
            "payment_method_types": object["payment_method_types"],
            "single_use_mandate": null,
            "status": "requires_payment_method",
            "usage": "off_session",
        });
        self.add(intent, Some("setup_intent.created"));
        self.remember(&id, "session", json!(session));
        id
    }

    pub(super) fn list_line_items(&mut self, request: &Request) -> Result<Value, Failure> {
        self.of_kind("checkout.session", request.id())?;
        let items = self.known(request.id(), "line_items").as_array().cloned().unwrap_or_default();
        let items: Vec<&Value> = items.iter().collect();
        self.page("item", request, &items)
    }

    pub(super) fn expire_session(&mut self, id: &str) -> Result<Value, Failure> {
        let status =
            self.of_kind("checkout.session", id)?["status"].as_str().unwrap_or_default().to_owned();
        if status != "open" {
            return Err(Failure::invalid(format!(
                "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status \
                 of `{status}`."
            )));
        }
        self.session_expires(id);
        self.of_kind("checkout.session", id).cloned()
    }

    /// An open session ends without having been paid.
    pub(super) fn session_expires(&mut self, id: &str) {
        if self.text(id, "/status") != "open" {
            return;
        }
        self.agenda.retain(|(_, _, later)| *later != Later::SessionExpires(id.to_owned()));
        self.change(id, &["checkout.session.expired"], |session| {
            session["status"] = json!("expired");
            session["url"] = Value::Null;
        });
        let intent = self.text(id, "/payment_intent");
        if !intent.is_empty() {
            self.cancel_intent(&intent, "expired");
        }
        let intent = self.text(id, "/setup_intent");
        if !intent.is_empty() {
            self.change(&intent, &["setup_intent.canceled"], |intent| {
                intent["status"] = json!("canceled");
                intent["next_action"] = Value::Null;
                intent["cancellation_reason"] = json!("abandoned");
            });
        }
    }

    /// The saved cards that the page offers.
    pub(super) fn offered_methods(&self, session: &str) -> Vec<Value> {
        let Some(object) = self.get(session) else { return Vec::new() };
        if object["customer"].is_null() || object["mode"] != "payment" {
            return Vec::new();
        }
        let filters = object["saved_payment_method_options"]["allow_redisplay_filters"].as_array();
        let filters = filters.cloned().unwrap_or_default();
        self.objects
            .iter()
            .rev()
            .filter(|method| {
                method["object"] == "payment_method" && method["customer"] == object["customer"]
            })
            .filter(|method| {
                method["type"] == "card" && filters.contains(&method["allow_redisplay"])
            })
            .cloned()
            .collect()
    }

    /// The customer submitted the page with this payment method.
    pub(super) fn submit_session(&mut self, session: &str, method: &str, buyer: Value) -> Step {
        if self.text(session, "/status") != "open" {
            return Step::Closed;
        }
        self.remember(session, "buyer", buyer);
        if self.text(session, "/mode") == "setup" {
            return self.submit_setup(session, method, Presence::AtPage);
        }
        let address = self.address_of_buyer(session);
        let collects = self.text(session, "/billing_address_collection") == "required";
        let taxed =
            self.get(session).is_some_and(|session| session["automatic_tax"]["enabled"] == true);
        if (collects || taxed) && !has_location(&json!({ "address": address })) {
            return Step::Declined(
                "Enter your billing address: country and postal code.".to_owned(),
            );
        }
        self.work_out_tax(session, &address);
        let intent = self.intent_of_session(session);
        let charged = self.charge(&intent, method, Presence::AtPage);
        self.after_charge(session, &intent, charged)
    }

    fn after_charge(&mut self, session: &str, intent: &str, charged: Charged) -> Step {
        match charged {
            Charged::Succeeded => Step::Done(self.complete_session(session, "paid")),
            Charged::Processing => Step::Done(self.complete_session(session, "unpaid")),
            Charged::NeedsAuthentication => Step::Authenticate(intent.to_owned()),
            Charged::Declined(decline) => Step::Declined(decline.message),
        }
    }

    /// The customer answered its bank's page.
    pub(super) fn authenticated(&mut self, intent: &str, consent: Consent) -> Step {
        let session = self.known_text(intent, "session");
        let waits = self.text(intent, "/status") == "requires_action";
        if !waits || self.text(&session, "/status") != "open" {
            return Step::Closed;
        }
        let method = self.text(intent, "/payment_method");
        if intent.starts_with("seti_") {
            if consent == Consent::Given {
                return self.submit_setup(&session, &method, Presence::Authenticated);
            }
            return self.setup_fails(
                intent,
                &method,
                &Decline::of("setup_intent_authentication_failure"),
            );
        }
        if consent == Consent::Refused {
            return Step::Declined(self.authentication_fails(intent).message);
        }
        let charged = self.charge(intent, &method, Presence::Authenticated);
        self.after_charge(&session, intent, charged)
    }

    /// The billing address that was typed, else the customer's.
    fn address_of_buyer(&self, session: &str) -> Value {
        let typed = &self.known(session, "buyer")["address"];
        if has_location(&json!({ "address": typed })) {
            return typed.clone();
        }
        let customer = self.text(session, "/customer");
        self.get(&customer).map_or(Value::Null, |customer| customer["address"].clone())
    }

    /// The session's PaymentIntent, made when the page is submitted first.
    fn intent_of_session(&mut self, session: &str) -> String {
        let amount = self.number(session, "/amount_total");
        let intent = self.text(session, "/payment_intent");
        if !intent.is_empty() {
            self.change(&intent, &[], |intent| intent["amount"] = json!(amount));
            return intent;
        }
        let data = self.known(session, "payment_intent_data").clone();
        let object = self.get(session).cloned().unwrap_or_default();
        let new = NewIntent {
            amount,
            customer: object["customer"].clone(),
            description: data["description"].clone(),
            // Only `payment_intent_data[metadata]` reaches the PaymentIntent, never the session's.
            metadata: if data["metadata"].is_object() {
                data["metadata"].clone()
            } else {
                json!({})
            },
            payment_method_types: object["payment_method_types"].clone(),
            receipt_email: data["receipt_email"].clone(),
            setup_future_usage: data["setup_future_usage"].clone(),
            statement_descriptor: data["statement_descriptor"].clone(),
            statement_descriptor_suffix: data["statement_descriptor_suffix"].clone(),
        };
        let intent = self.new_payment_intent(&new);
        self.remember(&intent, "session", json!(session));
        self.change(session, &[], |session| session["payment_intent"] = json!(intent));
        intent
    }

    /// Ends the session and reports it. Returns the URL for the redirect.
    fn complete_session(&mut self, session: &str, payment_status: &str) -> String {
        self.agenda.retain(|(_, _, later)| *later != Later::SessionExpires(session.to_owned()));
        self.write_back_customer(session);
        let intent = self.text(session, "/payment_intent");
        if payment_status == "paid" {
            self.invoice_if_wanted(session, &intent);
        }
        let buyer = self.known(session, "buyer").clone();
        let address = self.address_of_buyer(session);
        let customer = self.get(&self.text(session, "/customer")).cloned().unwrap_or_default();
        self.change(session, &["checkout.session.completed"], |session| {
            session["status"] = json!("complete");
            session["payment_status"] = json!(payment_status);
            session["url"] = Value::Null;
            let email = if customer["email"].is_null() { &buyer["email"] } else { &customer["email"] };
            let name = if buyer["name"].is_null() { &customer["name"] } else { &buyer["name"] };
            session["customer_details"] = json!({
                "address": if address.is_object() { address } else { no_address() },
                "business_name": null,
                "email": email,
                "individual_name": null,
                "name": name,
                "phone": null,
                "tax_exempt": customer["tax_exempt"].as_str().unwrap_or("none"),
                "tax_ids": if buyer["tax_id"].is_object() { json!([buyer["tax_id"]]) } else { json!([]) },
            });
        });
        let url = self.text(session, "/success_url");
        url.replace("{CHECKOUT_SESSION_ID}", session)
    }

    fn invoice_if_wanted(&mut self, session: &str, intent: &str) {
        let wanted =
            self.get(session).is_some_and(|session| session["invoice_creation"]["enabled"] == true);
        if wanted && !self.text(session, "/customer").is_empty() {
            self.invoice_of_session(session, intent);
        }
    }

    /// `customer_update` and the tax id write through to the customer.
    fn write_back_customer(&mut self, session: &str) {
        let id = self.text(session, "/customer");
        let Some(before) = self.get(&id).cloned() else { return };
        let update = self.known(session, "customer_update").clone();
        let buyer = self.known(session, "buyer").clone();
        let mut after = before.clone();
        if update["name"] == "auto" && buyer["name"].is_string() {
            after["name"] = buyer["name"].clone();
        }
        if update["address"] == "auto" && has_location(&buyer) {
            after["address"] = buyer["address"].clone();
        }
        if after != before {
            self.change(&id, &["customer.updated"], |customer| *customer = after);
        }
        let collects = self
            .get(session)
            .is_some_and(|session| session["tax_id_collection"]["enabled"] == true);
        if collects && buyer["tax_id"].is_object() {
            let _ = self.add_tax_id(&id, &buyer["tax_id"]["type"], &buyer["tax_id"]["value"]);
        }
    }

    /// The bank answered the debit of a session that completed unpaid.
    pub(super) fn session_of_debit_ends(&mut self, intent: &str, end: DebitEnd) {
        let session = self.known_text(intent, "session");
        if self.text(&session, "/status") != "complete" {
            return;
        }
        if end == DebitEnd::Succeeded {
            self.invoice_if_wanted(&session, intent);
            self.change(&session, &["checkout.session.async_payment_succeeded"], |session| {
                session["payment_status"] = json!("paid");
            });
        } else {
            self.change(&session, &["checkout.session.async_payment_failed"], |_| {});
        }
    }

    /// Saves a payment method without charging it.
    fn submit_setup(&mut self, session: &str, method: &str, presence: Presence) -> Step {
        let intent = self.text(session, "/setup_intent");
        self.remember(method, "used", json!(true));
        // An account that will not let itself be charged at once can still be saved.
        match self.verdict(method, presence) {
            Verdict::Authenticate => {
                let url = format!("{}/authenticate/{intent}", self.settings.public_url);
                self.change(&intent, &["setup_intent.requires_action"], |intent| {
                    intent["status"] = json!("requires_action");
                    intent["payment_method"] = json!(method);
                    intent["next_action"] = json!({
                        "type": "redirect_to_url",
                        "redirect_to_url": { "return_url": null, "url": url },
                    });
                });
                return Step::Authenticate(intent);
            }
            Verdict::No(decline) if presence == Presence::AtPage => {
                return self.setup_fails(&intent, method, &decline);
            }
            Verdict::No(_) | Verdict::Yes | Verdict::Later => {}
        }
        self.remember(method, "set_up", json!(true));
        let customer = self.text(session, "/customer");
        if !customer.is_empty() {
            self.change(method, &["payment_method.attached"], |method| {
                method["customer"] = json!(customer);
                method["allow_redisplay"] = json!("limited");
            });
        }
        self.change(&intent, &["setup_intent.succeeded"], |intent| {
            intent["status"] = json!("succeeded");
            intent["payment_method"] = json!(method);
            intent["next_action"] = Value::Null;
            intent["last_setup_error"] = Value::Null;
        });
        Step::Done(self.complete_session(session, "no_payment_required"))
    }

    fn setup_fails(&mut self, intent: &str, method: &str, decline: &Decline) -> Step {
        let error = decline.as_last_error(None, self.get(method));
        self.change(intent, &["setup_intent.setup_failed"], |intent| {
            intent["status"] = json!("requires_payment_method");
            intent["payment_method"] = Value::Null;
            intent["next_action"] = Value::Null;
            intent["last_setup_error"] = error;
        });
        Step::Declined(decline.message.clone())
    }
}

impl LineItem {
    /// Reads `line_items[place]`.
    fn read(place: usize, sent: &Value) -> Result<LineItem, Failure> {
        let missing =
            |field: &str| Failure::parameter_missing(&format!("line_items[{place}]{field}"));
        let price = &sent["price_data"];
        let amount =
            price["unit_amount"].as_i64().ok_or_else(|| missing("[price_data][unit_amount]"))?;
        let currency =
            price["currency"].as_str().ok_or_else(|| missing("[price_data][currency]"))?;
        let name = price["product_data"]["name"].as_str();
        let name = name.ok_or_else(|| missing("[price_data][product_data][name]"))?.to_owned();
        let quantity = sent["quantity"].as_i64().ok_or_else(|| missing("[quantity]"))?;
        if !currency.eq_ignore_ascii_case("usd") {
            return Err(Failure::not_imitated(&format!("The currency {currency}"), "currency"));
        }
        if amount < 0 || quantity < 1 {
            return Err(Failure::invalid("Invalid amount or quantity")
                .param(&format!("line_items[{place}]")));
        }
        let tax_behavior = price["tax_behavior"].as_str().unwrap_or("unspecified").to_owned();
        Ok(LineItem { name, amount, quantity, tax_behavior })
    }
}

/// Fields that are the same in every new session.
fn common_session_fields() -> Value {
    json!({
        "object": "checkout.session",
        "after_expiration": null,
        "amount_subtotal": null,
        "amount_total": null,
        "client_secret": null,
        "collected_information": null,
        "consent": null,
        "consent_collection": null,
        "currency": null,
        "currency_conversion": null,
        "custom_fields": [],
        "customer_account": null,
        "customer_email": null,
        "integration_identifier": null,
        "invoice": null,
        "invoice_creation": null,
        "livemode": false,
        "managed_payments": { "enabled": false },
        "origin_context": null,
        "payment_intent": null,
        "payment_link": null,
        "payment_method_configuration_details": null,
        "payment_method_options": { "card": { "request_three_d_secure": "automatic" } },
        "payment_method_types": ["card"],
        "permissions": null,
        "phone_number_collection": { "enabled": false },
        "recovered_from": null,
        "saved_payment_method_options": null,
        "setup_intent": null,
        "shipping_address_collection": null,
        "shipping_cost": null,
        "shipping_options": [],
        "status": "open",
        "subscription": null,
        "total_details": null,
        "ui_mode": "hosted_page",
    })
}

/// Fields that repeat what the request set.
fn requested_session_fields(request: &Request) -> Value {
    let taxed = request.is("/automatic_tax/enabled");
    let mut fields = json!({
        "adaptive_pricing": { "enabled": request.at("/adaptive_pricing/enabled").as_bool().unwrap_or(true) },
        "automatic_tax": {
            "enabled": taxed,
            "liability": if taxed { json!({ "type": "self" }) } else { Value::Null },
            "provider": if taxed { json!("stripe") } else { Value::Null },
            "status": null,
        },
        "custom_text": {
            "after_submit": request.at("/custom_text/after_submit"),
            "shipping_address": null,
            "submit": request.at("/custom_text/submit"),
            "terms_of_service_acceptance": request.at("/custom_text/terms_of_service_acceptance"),
        },
        "metadata": request.map("/metadata"),
    });
    for name in COPIED_FIELDS {
        fields[name] = request.at(&format!("/{name}"));
    }
    if request.params.get("consent_collection").is_some() {
        fields["consent_collection"] = json!({
            "payment_method_reuse_agreement": request.at("/consent_collection/payment_method_reuse_agreement"),
            "promotions": null,
            "terms_of_service": null,
        });
    }
    if let Some(collects) = request.at("/tax_id_collection/enabled").as_bool() {
        let required = request.text("/tax_id_collection/required").unwrap_or("never");
        fields["tax_id_collection"] = json!({ "enabled": collects, "required": required });
    }
    fields
}

/// Fields that only sessions in mode `payment` have.
fn payment_session_fields(request: &Request) -> Value {
    let invoice_creation = json!({
        "enabled": request.is("/invoice_creation/enabled"),
        "invoice_data": {
            "account_tax_ids": null,
            "custom_fields": null,
            "description": request.at("/invoice_creation/invoice_data/description"),
            "footer": request.at("/invoice_creation/invoice_data/footer"),
            "issuer": null,
            "metadata": request.map("/invoice_creation/invoice_data/metadata"),
            "rendering_options": null,
        },
    });
    let mut saved = json!({
        "allow_redisplay_filters": ["always"],
        "payment_method_remove": "disabled",
        "payment_method_save": null,
    });
    if let Some(sent) = request.params.get("saved_payment_method_options") {
        merge(&mut saved, sent);
    }
    json!({ "invoice_creation": invoice_creation, "saved_payment_method_options": saved })
}

/// `customer_details` of a session that was not completed.
fn details_of(customer: &Value) -> Value {
    json!({
        "address": customer["address"],
        "business_name": null,
        "email": customer["email"],
        "individual_name": null,
        "name": customer["name"],
        "phone": customer["phone"],
        "tax_exempt": customer["tax_exempt"],
        "tax_ids": null,
    })
}

/// Refuses invalid combinations of parameters.
fn check_session(request: &Request) -> Result<(), Failure> {
    let pays = request.text("/mode") == Some("payment");
    if request.text("/success_url").is_none() {
        return Err(Failure::parameter_missing("success_url"));
    }
    let given = |field: &str| request.params.get(field).is_some_and(|value| !value.is_null());
    if pays && !given("line_items") {
        return Err(Failure::parameter_missing("line_items"));
    }
    let wrong: &[&str] = if pays {
        &["setup_intent_data"]
    } else {
        &[
            "line_items",
            "payment_intent_data",
            "invoice_creation",
            "automatic_tax",
            "saved_payment_method_options",
        ]
    };
    if let Some(field) = wrong.iter().find(|field| given(field)) {
        let mode = request.text("/mode").unwrap_or_default();
        return Err(
            Failure::invalid(format!("You can not pass `{field}` in `{mode}` mode.")).param(field)
        );
    }
    if request.text("/currency").is_some_and(|currency| !currency.eq_ignore_ascii_case("usd")) {
        return Err(Failure::not_imitated("A currency other than usd", "currency"));
    }
    Ok(())
}

/// The requirements of a session with this customer, or with none.
fn check_for_customer(request: &Request, customer: &Value) -> Result<(), Failure> {
    let updates = |what: &str| request.text(&format!("/customer_update/{what}")) == Some("auto");
    if customer.is_null() {
        if request.params.get("customer_update").is_some() {
            return Err(Failure::invalid("`customer_update` can only be used with `customer`.")
                .param("customer_update"));
        }
        return Ok(());
    }
    if request.is("/automatic_tax/enabled") && !has_location(customer) && !updates("address") {
        return Err(Failure::invalid_as(
            "customer_tax_location_invalid",
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to \
             the Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]` to 'auto' \
             to save the address entered in Checkout to the Customer.",
        ));
    }
    if request.is("/tax_id_collection/enabled") && !updates("name") {
        return Err(Failure::invalid(
            "Tax ID collection requires updating business name on the customer. To enable tax ID collection for an \
             existing customer, please set `customer_update[name]` to `auto`.",
        ));
    }
    Ok(())
}
