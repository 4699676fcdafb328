//! Invoices: drafted, given lines, finalized, paid, voided; and the ones Checkout makes after a
//! payment.

use serde_json::{Value, json};

use super::account::Account;
use super::control::DebitEnd;
use super::customers::{Instrument, has_location, location_invalid};
use super::failure::{Decline, Failure};
use super::objects::{billing_details, merge, share_of};
use super::payments::{Charged, NewIntent, Presence};
use super::requests::Request;

const DAY_SECONDS: i64 = 86_400;

/// The content of a new invoice.
#[derive(Clone, Debug, Default)]
struct Draft {
    customer: String,
    metadata: Value,
    description: Value,
    footer: Value,
    statement_descriptor: Value,
    default_payment_method: Value,
    payment_method_types: Value,
    payment_method_options: Value,
    automatic_tax: bool,
    discounts: Value,
    /// Of an invoice that is sent: when it is due after it was made.
    due_days: Option<i64>,
}

/// A line of an invoice.
#[derive(Clone, Debug)]
struct Line {
    amount: i64,
    description: Value,
    metadata: Value,
    tax_behavior: Value,
}

impl Account {
    pub(super) fn create_invoice(&mut self, request: &Request) -> Result<Value, Failure> {
        let customer = request.text("/customer").unwrap_or_default().to_owned();
        let automatic_tax = request.is("/automatic_tax/enabled");
        if automatic_tax && !has_location(self.customer_of("customer", &customer)?) {
            return Err(location_invalid());
        }
        self.customer_of("customer", &customer)?;
        if request.is("/auto_advance") {
            return Err(Failure::not_imitated(
                "An invoice that advances on its own",
                "auto_advance",
            ));
        }
        if let Some(currency) = request.text("/currency").filter(|currency| *currency != "usd") {
            return Err(Failure::not_imitated(&format!("The currency {currency}"), "currency"));
        }
        if let Some(method) = request.text("/default_payment_method")
            && self.text(method, "/customer") != customer
        {
            return Err(Failure::missing_in("default_payment_method", "payment_method", method));
        }
        let is_sent = request.text("/collection_method") == Some("send_invoice");
        let due_days = request.at("/days_until_due").as_i64();
        match (is_sent, due_days) {
            (true, None) => {
                return Err(Failure::invalid(
                    "You must specify either `due_date` or `days_until_due` when `collection_method` is \
                     `send_invoice`.",
                )
                .param("days_until_due"));
            }
            (false, Some(_)) => {
                return Err(Failure::invalid(
                    "You can only specify `days_until_due` when `collection_method` is `send_invoice`.",
                )
                .param("days_until_due"));
            }
            (true, Some(_)) | (false, None) => {}
        }
        let draft = Draft {
            customer,
            due_days,
            payment_method_options: request.at("/payment_settings/payment_method_options"),
            metadata: request.map("/metadata"),
            description: request.at("/description"),
            footer: request.at("/footer"),
            statement_descriptor: request.at("/statement_descriptor"),
            default_payment_method: request.at("/default_payment_method"),
            payment_method_types: request.at("/payment_settings/payment_method_types"),
            automatic_tax,
            // Without the parameter the customer's coupon is inherited.
            discounts: match request.text("/discounts") {
                Some(_) => json!([]),
                None => self.discounts_of(request.text("/customer").unwrap_or_default()),
            },
        };
        let id = self.draft_invoice(&draft);
        self.of_kind("invoice", &id).cloned()
    }

    fn draft_invoice(&mut self, draft: &Draft) -> String {
        let id = self.id("in_1", 23);
        let customer = self.get(&draft.customer).cloned().unwrap_or_default();
        let own = json!({
            "id": id,
            "automatic_tax": {
                "disabled_reason": null,
                "enabled": draft.automatic_tax,
                "liability": if draft.automatic_tax { json!({ "type": "self" }) } else { Value::Null },
                "provider": if draft.automatic_tax { json!("stripe") } else { Value::Null },
                "status": if draft.automatic_tax { json!("complete") } else { Value::Null },
            },
            "collection_method": match draft.due_days {
                Some(_) => "send_invoice",
                None => "charge_automatically",
            },
            "created": self.now,
            "customer": draft.customer,
            "due_date": draft.due_days.map(|days| self.now + days * DAY_SECONDS),
            "customer_address": customer["address"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "customer_phone": customer["phone"],
            "customer_tax_exempt": customer["tax_exempt"],
            "customer_tax_ids": self.tax_ids_of(&draft.customer),
            "default_payment_method": draft.default_payment_method,
            "description": draft.description,
            "discounts": draft.discounts,
            "footer": draft.footer,
            "lines": {
                "object": "list",
                "data": [],
                "has_more": false,
                "url": format!("/v1/invoices/{id}/lines"),
            },
            "metadata": draft.metadata,
            "payment_settings": {
                "default_mandate": null,
                "payment_method_options": draft.payment_method_options,
                "payment_method_types": draft.payment_method_types,
            },
            "period_end": self.now,
            "period_start": self.now,
            "statement_descriptor": draft.statement_descriptor,
            "webhooks_delivered_at": self.now,
        });
        let mut invoice = common_draft_fields();
        merge(&mut invoice, &own);
        merge(&mut invoice, &zero_amounts());
        self.add(invoice, Some("invoice.created"));
        id
    }

    fn discounts_of(&self, customer: &str) -> Value {
        let discount = self.get(customer).map(|customer| customer["discount"].clone());
        discount.filter(|discount| !discount.is_null()).into_iter().collect()
    }

    fn tax_ids_of(&self, customer: &str) -> Value {
        let of_customer =
            |object: &&Value| object["object"] == "tax_id" && object["customer"] == customer;
        let ids = self.objects.iter().filter(of_customer);
        ids.map(|tax_id| json!({ "type": tax_id["type"], "value": tax_id["value"] })).collect()
    }

    pub(super) fn create_invoice_item(&mut self, request: &Request) -> Result<Value, Failure> {
        let customer = request.text("/customer").unwrap_or_default().to_owned();
        self.customer_of("customer", &customer)?;
        let invoice = request.text("/invoice").unwrap_or_default().to_owned();
        let object = self
            .of_kind("invoice", &invoice)
            .map_err(|_| Failure::missing_in("invoice", "invoice", &invoice))?;
        if object["customer"] != customer.as_str() {
            return Err(
                Failure::invalid("The invoice belongs to another customer.").param("invoice")
            );
        }
        if object["status"] != "draft" {
            return Err(Failure::invalid_as(
                "invoice_not_editable",
                "This invoice is no longer editable",
            ));
        }
        if let Some(currency) = request.text("/currency").filter(|currency| *currency != "usd") {
            return Err(Failure::not_imitated(&format!("The currency {currency}"), "currency"));
        }
        let line = Line {
            amount: request.integer("/amount").unwrap_or_default(),
            description: request.at("/description"),
            metadata: request.map("/metadata"),
            tax_behavior: request.at("/tax_behavior"),
        };
        let item = self.add_line(&invoice, &line);
        self.change(&invoice, &["invoice.updated"], |_| {});
        Ok(item)
    }

    /// Adds an item and its line, and sums up.
    fn add_line(&mut self, invoice: &str, line: &Line) -> Value {
        let (item, line_id) = (self.id("ii_1", 23), self.id("il_1", 23));
        let (price, product) = (self.id("price_1", 23), self.id("prod_", 14));
        let shared = json!({
            "amount": line.amount,
            "currency": "usd",
            "description": line.description,
            "discountable": true,
            "discounts": [],
            "invoice": invoice,
            "livemode": false,
            "metadata": line.metadata,
            "period": { "end": self.now, "start": self.now },
            "pricing": {
                "price_details": { "price": price, "product": product },
                "type": "price_details",
                "unit_amount_decimal": line.amount.to_string(),
            },
            "quantity": 1,
            "quantity_decimal": "1",
        });
        let item_object = self.invoice_item_object(&item, invoice, line.amount, &shared);
        let item_object = self.add(item_object, Some("invoiceitem.created"));
        let line_object = line_object(&line_id, &item, &self.taxes_on(invoice, line), &shared);
        self.change(invoice, &[], |invoice| {
            if let Some(lines) = invoice["lines"]["data"].as_array_mut() {
                lines.push(line_object);
            }
            sum_up(invoice);
        });
        item_object
    }

    /// The item of a line, with the fields that both share.
    fn invoice_item_object(&self, id: &str, invoice: &str, amount: i64, shared: &Value) -> Value {
        let mut item = json!({
            "id": id,
            "object": "invoiceitem",
            "customer": self.text(invoice, "/customer"),
            "customer_account": null,
            "date": self.now,
            "net_amount": amount,
            "parent": null,
            "proration": false,
            "tax_rates": [],
            "test_clock": null,
        });
        merge(&mut item, shared);
        item
    }

    fn taxes_on(&self, invoice: &str, line: &Line) -> Value {
        let taxed =
            self.get(invoice).is_some_and(|invoice| invoice["automatic_tax"]["enabled"] == true);
        if taxed && line.tax_behavior != "inclusive" {
            json!([self.tax_on(line.amount)])
        } else {
            json!([])
        }
    }

    fn tax_on(&self, amount: i64) -> Value {
        json!({
            "amount": share_of(amount, self.settings.tax_basis_points),
            "tax_behavior": "exclusive",
            "tax_rate_details": { "tax_rate": format!("txr_1{}", self.letters("tax_rate", 23)) },
            "taxability_reason": "standard_rated",
            "taxable_amount": amount,
            "type": "tax_rate_details",
        })
    }

    pub(super) fn finalize_invoice(&mut self, request: &Request) -> Result<Value, Failure> {
        let id = request.id().to_owned();
        let status = self.of_kind("invoice", &id)?["status"].clone();
        if status != "draft" {
            return Err(Failure::invalid_as(
                "invoice_not_editable",
                "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            ));
        }
        if request.is("/auto_advance") {
            return Err(Failure::not_imitated(
                "An invoice that advances on its own",
                "auto_advance",
            ));
        }
        Ok(self.finalize(&id))
    }

    /// Gives the invoice its number and pages and, if something is due, its PaymentIntent.
    fn finalize(&mut self, id: &str) -> Value {
        self.open_invoice(id);
        self.apply_credit_balance(id);
        let due = self.number(id, "/amount_due");
        if due > 0 {
            let new = NewIntent {
                amount: due,
                customer: json!(self.text(id, "/customer")),
                description: json!("Payment for Invoice"),
                // An invoice's metadata does not reach its PaymentIntent.
                metadata: json!({}),
                payment_method_types: self.methods_of_invoice(id),
                receipt_email: Value::Null,
                setup_future_usage: Value::Null,
                statement_descriptor: Value::Null,
                statement_descriptor_suffix: Value::Null,
            };
            let intent = self.new_payment_intent(&new);
            self.link_payment(id, &intent);
        }
        let events: &[&str] = &["invoice.finalized", "invoice.updated"];
        let invoice = self.change(id, events, |_| {});
        if due > 0 { invoice } else { self.invoice_is_paid(id, None) }
    }

    /// How the invoice can be paid. Stripe's default depends on the Dashboard, and is a card here.
    pub(super) fn methods_of_invoice(&self, id: &str) -> Value {
        let types =
            self.get(id).map(|invoice| &invoice["payment_settings"]["payment_method_types"]);
        match types.filter(|types| types.is_array()) {
            Some(types) => types.clone(),
            None => json!(["card"]),
        }
    }

    /// Sends an open invoice to its customer, by a mail that goes nowhere here.
    pub(super) fn send_invoice(&mut self, id: &str) -> Result<Value, Failure> {
        let invoice = self.of_kind("invoice", id)?;
        if invoice["collection_method"] != "send_invoice" {
            return Err(Failure::invalid(
                "You can only manually send an invoice if its collection method is 'send_invoice'.",
            ));
        }
        match invoice["status"].as_str() {
            Some("open" | "paid") => Ok(self.change(id, &["invoice.sent"], |_| {})),
            Some("draft") => Err(Failure::not_imitated("Sending a draft", "invoice")),
            _ => Err(Failure::invalid("This invoice cannot be sent: it is void.")),
        }
    }

    /// Money arrives by bank transfer for an invoice. When it is enough, the invoice is paid. What is
    /// more stays in the customer's cash balance (docs.stripe.com/payments/bank-transfers).
    pub(super) fn bank_transfer(&mut self, id: &str, cents: i64) -> Result<(), Failure> {
        self.check_payable(id)?;
        let is_offered = self
            .methods_of_invoice(id)
            .as_array()
            .is_some_and(|types| types.iter().any(|kind| kind == "customer_balance"));
        if !is_offered || self.text(id, "/status") != "open" {
            return Err(Failure::invalid("This invoice cannot be paid by bank transfer."));
        }
        let intent = self.known_text(id, "payment_intent");
        let received = self.known(&intent, "transferred").as_i64().unwrap_or_default() + cents;
        self.remember(&intent, "transferred", json!(received));
        if received < self.number(&intent, "/amount") {
            let missing = self.number(&intent, "/amount") - received;
            self.change(&intent, &["payment_intent.partially_funded"], |intent| {
                intent["status"] = json!("requires_action");
                intent["next_action"] = json!({
                    "type": "display_bank_transfer_instructions",
                    "display_bank_transfer_instructions": { "amount_remaining": missing },
                });
            });
            return Ok(());
        }
        let nobody = billing_details(&Value::Null, &Value::Null, &Value::Null);
        let method = self.new_payment_method(&Instrument::BankTransfer, &nobody);
        self.charge_invoice(id, &method, Presence::AtPage);
        Ok(())
    }

    /// A credit note for an open invoice lowers what is to be paid. One for all of it makes the invoice
    /// paid, and nobody paid (docs.stripe.com/invoicing/dashboard/credit-notes).
    pub(super) fn credit_note(&mut self, id: &str, cents: i64) -> Result<(), Failure> {
        self.check_payable(id)?;
        let due = self.number(id, "/amount_due");
        if self.text(id, "/status") != "open" || cents > due {
            return Err(Failure::invalid("The credit note is larger than the invoice."));
        }
        self.change(id, &["invoice.updated"], |invoice| {
            let noted = invoice["pre_payment_credit_notes_amount"].as_i64().unwrap_or_default();
            invoice["pre_payment_credit_notes_amount"] = json!(noted + cents);
            invoice["amount_due"] = json!(due - cents);
            invoice["amount_remaining"] = json!(due - cents);
        });
        let intent = self.known_text(id, "payment_intent");
        self.change(&intent, &[], |intent| intent["amount"] = json!(due - cents));
        if cents == due {
            self.cancel_intent(&intent, "automatic");
            self.cancel_invoice_payment(id);
            self.invoice_is_paid(id, None);
        }
        Ok(())
    }

    /// The customer's credit balance pays what it can (docs.stripe.com/billing/customer/balance).
    fn apply_credit_balance(&mut self, id: &str) {
        let customer = self.text(id, "/customer");
        let balance = self.number(&customer, "/balance");
        let total = self.number(id, "/total");
        let applied = total.min(-balance).max(0);
        self.change(id, &[], |invoice| {
            invoice["starting_balance"] = json!(balance);
            invoice["ending_balance"] = json!(balance + applied);
            invoice["amount_due"] = json!(total - applied);
            invoice["amount_remaining"] = json!(total - applied);
        });
        self.move_balance(&customer, applied);
    }

    /// Changes a customer's balance. Below zero it is credit.
    pub(super) fn move_balance(&mut self, customer: &str, cents: i64) {
        if cents == 0 {
            return;
        }
        self.change(customer, &["customer.updated"], |customer| {
            let before = customer["balance"].as_i64().unwrap_or_default();
            customer["balance"] = json!(before + cents);
        });
    }

    fn open_invoice(&mut self, id: &str) {
        let customer = self.text(id, "/customer");
        let sequence = self.number(&customer, "/next_invoice_sequence");
        let number = format!("{}-{sequence:04}", self.text(&customer, "/invoice_prefix"));
        self.change(&customer, &[], |customer| {
            customer["next_invoice_sequence"] = json!(sequence + 1);
        });
        let (url, now) = (format!("{}/i/{id}", self.settings.public_url), self.now);
        self.change(id, &[], |invoice| {
            invoice["status"] = json!("open");
            invoice["number"] = json!(number);
            invoice["hosted_invoice_url"] = json!(url);
            invoice["invoice_pdf"] = json!(format!("{url}/pdf"));
            invoice["effective_at"] = json!(now);
            invoice["status_transitions"]["finalized_at"] = json!(now);
        });
    }

    /// Writes the `invoice_payment` that joins an invoice and its PaymentIntent.
    fn link_payment(&mut self, invoice: &str, intent: &str) {
        let payment = json!({
            "id": self.id("inpay_1", 23),
            "object": "invoice_payment",
            "amount_paid": null,
            "amount_requested": self.number(invoice, "/amount_due"),
            "created": self.now,
            "currency": "usd",
            "invoice": invoice,
            "is_default": true,
            "livemode": false,
            "payment": { "payment_intent": intent, "type": "payment_intent" },
            "status": "open",
            "status_transitions": { "canceled_at": null, "paid_at": null },
        });
        let id = payment["id"].clone();
        self.add(payment, None);
        self.remember(invoice, "payment_intent", json!(intent));
        self.remember(invoice, "invoice_payment", id);
        self.remember(intent, "invoice", json!(invoice));
    }

    pub(super) fn pay_invoice(&mut self, request: &Request) -> Result<Value, Failure> {
        let id = request.id().to_owned();
        self.check_payable(&id)?;
        if request.is("/paid_out_of_band") {
            self.pay_out_of_band(&id)?;
            return self.of_kind("invoice", &id).cloned();
        }
        let method = self.method_for(&id, request.text("/payment_method"))?;
        if self.text(&id, "/status") == "draft" {
            self.finalize(&id);
        }
        // `off_session` is on unless it is switched off.
        let away = request.at("/off_session").as_bool().unwrap_or(true);
        let presence = if away { Presence::Away } else { Presence::AtPage };
        let charged = self.charge_invoice(&id, &method, presence);
        let intent = self.known_text(&id, "payment_intent");
        match charged {
            Charged::Succeeded | Charged::Processing => self.of_kind("invoice", &id).cloned(),
            Charged::Declined(decline) => {
                let mut failure = Failure::card(&decline)
                    .with("charge", json!(self.text(&intent, "/latest_charge")))
                    .with("payment_intent", self.get(&intent).cloned().unwrap_or_default());
                if let Some(method) = self.get(&method) {
                    failure = failure.with("payment_method", method.clone());
                }
                Err(failure)
            }
            Charged::NeedsAuthentication => {
                let decline = Decline {
                    code: "invoice_payment_intent_requires_action".to_owned(),
                    decline_code: None,
                    message: "This payment requires additional user action before it can be completed successfully. \
                              Payment can be completed using the PaymentIntent associated with the invoice."
                        .to_owned(),
                    advice_code: None,
                    network_advice_code: None,
                };
                Err(Failure::card(&decline)
                    .with("payment_intent", self.get(&intent).cloned().unwrap_or_default()))
            }
        }
    }

    pub(super) fn check_payable(&self, id: &str) -> Result<(), Failure> {
        let invoice = self.of_kind("invoice", id)?;
        match invoice["status"].as_str().unwrap_or_default() {
            "paid" => return Err(Failure::invalid("Invoice is already paid")),
            "void" => {
                return Err(Failure::invalid("This invoice can no longer be paid: it is void"));
            }
            _ => {}
        }
        if self.text(&self.known_text(id, "payment_intent"), "/status") == "processing" {
            return Err(Failure::invalid("This invoice has a payment that is still processing"));
        }
        Ok(())
    }

    /// The payment method to charge: the one named, else the invoice's, else the customer's.
    fn method_for(&self, invoice: &str, named: Option<&str>) -> Result<String, Failure> {
        let customer = self.text(invoice, "/customer");
        if let Some(method) = named {
            let object = self
                .of_kind("payment_method", method)
                .map_err(|_| Failure::missing_in("payment_method", "payment_method", method))?;
            if object["customer"] != customer.as_str() {
                return Err(Failure::invalid(format!(
                    "The PaymentMethod {method} does not belong to the Customer {customer}. Please attach it to that \
                     Customer before using it here."
                ))
                .param("payment_method"));
            }
            return Ok(method.to_owned());
        }
        let of_invoice = self.text(invoice, "/default_payment_method");
        let of_customer = self.text(&customer, "/invoice_settings/default_payment_method");
        let candidates = [of_invoice, of_customer].into_iter();
        let mut attached = candidates.filter(|method| self.text(method, "/customer") == customer);
        attached.find(|method| !method.is_empty()).ok_or_else(|| {
            Failure::invalid_as(
                "resource_missing",
                "There is no `default_payment_method` set on this Customer or Invoice. Please set a default payment \
                 method.",
            )
        })
    }

    /// Charges for an open invoice and writes the outcome on it.
    pub(super) fn charge_invoice(&mut self, id: &str, method: &str, presence: Presence) -> Charged {
        let intent = self.known_text(id, "payment_intent");
        let charged = self.charge(&intent, method, presence);
        self.change(id, &[], |invoice| {
            invoice["attempted"] = json!(true);
            invoice["attempt_count"] =
                json!(invoice["attempt_count"].as_i64().unwrap_or_default() + 1);
        });
        match &charged {
            Charged::Succeeded => {
                self.invoice_is_paid(id, Some(&intent));
            }
            Charged::Processing => {
                self.change(id, &["invoice.updated"], |_| {});
            }
            Charged::NeedsAuthentication => {
                self.change(id, &["invoice.updated", "invoice.payment_action_required"], |_| {});
            }
            Charged::Declined(_) => {
                self.change(id, &["invoice.updated", "invoice.payment_failed"], |_| {});
            }
        }
        charged
    }

    /// The bank answered the debit for an invoice.
    pub(super) fn invoice_of_debit_ends(&mut self, intent: &str, end: DebitEnd) {
        let invoice = self.known_text(intent, "invoice");
        if self.text(&invoice, "/status") != "open" {
            return;
        }
        if end == DebitEnd::Succeeded {
            self.invoice_is_paid(&invoice, Some(intent));
        } else {
            self.change(&invoice, &["invoice.updated", "invoice.payment_failed"], |_| {});
        }
    }

    /// Staff received the money outside of Stripe. The invoice's payment is canceled.
    pub(super) fn pay_out_of_band(&mut self, id: &str) -> Result<(), Failure> {
        self.check_payable(id)?;
        if self.text(id, "/status") == "draft" {
            self.finalize(id);
        }
        let intent = self.known_text(id, "payment_intent");
        if !intent.is_empty() {
            self.cancel_intent(&intent, "automatic");
            self.cancel_invoice_payment(id);
        }
        self.invoice_is_paid(id, None);
        let off_stripe = self.number(id, "/amount_due");
        self.change(id, &[], |invoice| {
            invoice["amount_paid_off_stripe"] = json!(off_stripe);
        });
        Ok(())
    }

    fn cancel_invoice_payment(&mut self, invoice: &str) {
        let (payment, now) = (self.known_text(invoice, "invoice_payment"), self.now);
        self.change(&payment, &[], |payment| {
            payment["status"] = json!("canceled");
            payment["status_transitions"]["canceled_at"] = json!(now);
        });
    }

    fn invoice_is_paid(&mut self, id: &str, intent: Option<&str>) -> Value {
        let now = self.now;
        let paid = |invoice: &mut Value| {
            invoice["status"] = json!("paid");
            invoice["amount_paid"] = invoice["amount_due"].clone();
            invoice["amount_remaining"] = json!(0);
            invoice["attempted"] = json!(true);
            invoice["status_transitions"]["paid_at"] = json!(now);
        };
        self.change(id, &["invoice.updated", "invoice.paid", "invoice.payment_succeeded"], paid);
        if intent.is_some() {
            let payment = self.known_text(id, "invoice_payment");
            self.change(&payment, &["invoice_payment.paid"], |payment| {
                payment["status"] = json!("paid");
                payment["amount_paid"] = payment["amount_requested"].clone();
                payment["status_transitions"]["paid_at"] = json!(now);
            });
        }
        self.get(id).cloned().unwrap_or_default()
    }

    pub(super) fn void_invoice(&mut self, id: &str) -> Result<Value, Failure> {
        let invoice = self.of_kind("invoice", id)?;
        if invoice["status"] != "open" {
            let status = invoice["status"].as_str().unwrap_or_default();
            return Err(Failure::invalid(format!(
                "You can only pass in open invoices. This invoice isn't open: it is {status}."
            )));
        }
        let intent = self.known_text(id, "payment_intent");
        if self.text(&intent, "/status") == "processing" {
            return Err(Failure::invalid(
                "You cannot void this invoice: it has a payment that is still processing.",
            ));
        }
        let now = self.now;
        let voided = self.change(id, &["invoice.voided", "invoice.updated"], |invoice| {
            invoice["status"] = json!("void");
            invoice["status_transitions"]["voided_at"] = json!(now);
        });
        if !intent.is_empty() {
            self.cancel_intent(&intent, "void_invoice");
            self.cancel_invoice_payment(id);
        }
        let applied = self.number(id, "/total") - self.number(id, "/amount_due");
        let customer = self.text(id, "/customer");
        self.move_balance(&customer, -applied);
        Ok(voided)
    }

    /// Only a draft can be deleted. Its items are deleted with it.
    pub(super) fn delete_invoice(&mut self, id: &str) -> Result<Value, Failure> {
        let invoice = self.of_kind("invoice", id)?.clone();
        if invoice["status"] != "draft" {
            return Err(Failure::invalid(
                "You can only delete draft invoices. To cancel a finalized invoice, void it.",
            ));
        }
        for item in self.ids("invoiceitem", |item| item["invoice"] == id) {
            self.change(&item, &[], |item| {
                *item = json!({ "id": item["id"], "object": "deleted_invoiceitem" });
            });
        }
        self.emit("invoice.deleted", invoice, None);
        self.change(id, &[], |invoice| *invoice = json!({ "id": id, "object": "deleted_invoice" }));
        Ok(json!({ "id": id, "object": "invoice", "deleted": true }))
    }

    pub(super) fn list_invoice_payments(&mut self, request: &Request) -> Result<Value, Failure> {
        let intent = request.at("/payment/payment_intent");
        let kind = request.at("/payment/type");
        if kind.is_null() != intent.is_null() {
            return Err(Failure::parameter_missing(if kind.is_null() {
                "payment[type]"
            } else {
                "payment[payment_intent]"
            }));
        }
        let (invoice, status) = (request.at("/invoice"), request.at("/status"));
        self.list_where("invoice_payment", request, |payment| {
            (intent.is_null() || payment["payment"]["payment_intent"] == intent)
                && (invoice.is_null() || payment["invoice"] == invoice)
                && (status.is_null() || payment["status"] == status)
        })
    }

    /// The invoice that Checkout makes once a session is paid; its id.
    pub(super) fn invoice_of_session(&mut self, session: &str, intent: &str) -> String {
        let object = self.get(session).cloned().unwrap_or_default();
        let data = &object["invoice_creation"]["invoice_data"];
        let draft = Draft {
            customer: object["customer"].as_str().unwrap_or_default().to_owned(),
            metadata: if data["metadata"].is_object() {
                data["metadata"].clone()
            } else {
                json!({})
            },
            description: data["description"].clone(),
            footer: data["footer"].clone(),
            automatic_tax: object["automatic_tax"]["enabled"] == true,
            ..Draft::default()
        };
        let id = self.draft_invoice(&draft);
        let items = self.known(session, "line_items").as_array().cloned().unwrap_or_default();
        for item in items {
            let line = Line {
                amount: item["amount_subtotal"].as_i64().unwrap_or_default(),
                description: item["description"].clone(),
                metadata: json!({}),
                tax_behavior: item["price"]["tax_behavior"].clone(),
            };
            self.add_line(&id, &line);
        }
        self.open_invoice(&id);
        self.link_payment(&id, intent);
        self.change(&id, &["invoice.finalized"], |_| {});
        self.change(session, &[], |session| session["invoice"] = json!(id));
        self.invoice_is_paid(&id, Some(intent));
        id
    }
}

/// Fields that are the same in every draft.
fn common_draft_fields() -> Value {
    json!({
        "object": "invoice",
        "account_country": "US",
        "account_name": "Tollgate",
        "account_tax_ids": null,
        "application": null,
        "attempt_count": 0,
        "attempted": false,
        "auto_advance": false,
        "automatically_finalizes_at": null,
        "billing_reason": "manual",
        "currency": "usd",
        "custom_fields": null,
        "customer_account": null,
        "customer_shipping": null,
        "default_source": null,
        "default_tax_rates": [],
        "effective_at": null,
        "from_invoice": null,
        "hosted_invoice_url": null,
        "invoice_pdf": null,
        "issuer": { "type": "self" },
        "last_finalization_error": null,
        "latest_revision": null,
        "livemode": false,
        "next_payment_attempt": null,
        "number": null,
        "on_behalf_of": null,
        "parent": null,
        "receipt_number": null,
        "rendering": null,
        "shipping_cost": null,
        "shipping_details": null,
        "status": "draft",
        "status_transitions": {
            "finalized_at": null,
            "marked_uncollectible_at": null,
            "paid_at": null,
            "voided_at": null,
        },
        "test_clock": null,
    })
}

/// The amounts of an invoice without lines.
fn zero_amounts() -> Value {
    json!({
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "ending_balance": null,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "subtotal": 0,
        "subtotal_excluding_tax": 0,
        "total": 0,
        "total_discount_amounts": [],
        "total_excluding_tax": 0,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    })
}

/// The line of an item, with the fields that both share.
fn line_object(id: &str, item: &str, taxes: &Value, shared: &Value) -> Value {
    let mut line = json!({
        "id": id,
        "object": "line_item",
        "discount_amounts": [],
        "parent": {
            "invoice_item_details": {
                "invoice_item": item,
                "proration": false,
                "proration_details": { "credited_items": null },
                "subscription": null,
            },
            "subscription_item_details": null,
            "type": "invoice_item_details",
        },
        "pretax_credit_amounts": [],
        "subscription": null,
        "subtotal": shared["amount"],
        "taxes": taxes,
    });
    merge(&mut line, shared);
    line
}

/// The invoice's sums from its lines.
fn sum_up(invoice: &mut Value) {
    let lines = invoice["lines"]["data"].as_array().cloned().unwrap_or_default();
    let subtotal: i64 = lines.iter().filter_map(|line| line["amount"].as_i64()).sum();
    let taxes: Vec<Value> =
        lines.iter().filter_map(|line| line["taxes"].as_array()).flatten().cloned().collect();
    let tax: i64 = taxes.iter().filter_map(|tax| tax["amount"].as_i64()).sum();
    let percent: i64 = invoice["discounts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|discount| discount["coupon"]["percent_off"].as_i64())
        .sum();
    let total = subtotal + tax - subtotal * percent / 100;
    for (field, amount) in [
        ("subtotal", subtotal),
        ("subtotal_excluding_tax", subtotal),
        ("total_excluding_tax", subtotal),
        ("total", total),
        ("amount_due", total),
        ("amount_remaining", total),
    ] {
        invoice[field] = json!(amount);
    }
    let sums = json!([{
        "amount": tax,
        "tax_behavior": "exclusive",
        "tax_rate_details": taxes.first().map_or(Value::Null, |tax| tax["tax_rate_details"].clone()),
        "taxability_reason": "standard_rated",
        "taxable_amount": subtotal,
        "type": "tax_rate_details",
    }]);
    invoice["total_taxes"] = if taxes.is_empty() { json!([]) } else { sums };
}
