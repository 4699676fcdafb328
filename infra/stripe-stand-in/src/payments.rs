//! PaymentIntents and charges: a bank's answer and its consequences.

use serde_json::{Value, json};

use super::account::{Account, Later};
use super::cards::{self, Behavior};
use super::control::{DebitEnd, DisputeKind};
use super::failure::{Decline, Failure};
use super::objects::{billing_details, merge};
use super::requests::Request;

/// Whether the customer can confirm the payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// On the page, and not asked for 3-D Secure yet.
    AtPage,
    /// At the page, and it passed 3-D Secure.
    Authenticated,
    /// Away: a saved card is charged.
    Away,
}

/// The outcome of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Charged {
    /// The money has arrived.
    Succeeded,
    /// The bank answers later.
    Processing,
    /// The customer has to pass 3-D Secure first.
    NeedsAuthentication,
    /// It was declined.
    Declined(Decline),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Yes,
    Later,
    Authenticate,
    No(Decline),
}

/// The purpose of a new PaymentIntent.
#[derive(Clone, Debug)]
pub(super) struct NewIntent {
    pub(super) amount: i64,
    pub(super) customer: Value,
    pub(super) description: Value,
    pub(super) metadata: Value,
    pub(super) payment_method_types: Value,
    pub(super) receipt_email: Value,
    pub(super) setup_future_usage: Value,
    pub(super) statement_descriptor: Value,
    pub(super) statement_descriptor_suffix: Value,
}

impl Account {
    pub(super) fn new_payment_intent(&mut self, new: &NewIntent) -> String {
        let id = self.id("pi_3", 23);
        let intent = json!({
            "id": id,
            "object": "payment_intent",
            "amount": new.amount,
            "amount_capturable": 0,
            "amount_details": { "tip": {} },
            "amount_received": 0,
            "application": null,
            "application_fee_amount": null,
            "automatic_payment_methods": null,
            "canceled_at": null,
            "cancellation_reason": null,
            "capture_method": "automatic_async",
            "client_secret": format!("{id}_secret_{}", self.letters(&format!("secret#{id}"), 25)),
            "confirmation_method": "automatic",
            "created": self.now,
            "currency": "usd",
            "customer": new.customer,
            "customer_account": null,
            "description": new.description,
            "excluded_payment_method_types": null,
            "last_payment_error": null,
            "latest_charge": null,
            "livemode": false,
            "metadata": new.metadata,
            "next_action": null,
            "on_behalf_of": null,
            "payment_method": null,
            "payment_method_configuration_details": null,
            "payment_method_options": {},
            "payment_method_types": new.payment_method_types,
            "processing": null,
            "receipt_email": new.receipt_email,
            "review": null,
            "setup_future_usage": new.setup_future_usage,
            "shipping": null,
            "statement_descriptor": new.statement_descriptor,
            "statement_descriptor_suffix": new.statement_descriptor_suffix,
            "status": "requires_payment_method",
            "transfer_data": null,
            "transfer_group": null,
        });
        self.add(intent, Some("payment_intent.created"));
        id
    }

    /// The bank's answer to a charge of this payment method.
    pub(super) fn verdict(&self, method: &str, presence: Presence) -> Verdict {
        if self.text(method, "/type") == "us_bank_account" {
            return Verdict::Later;
        }
        let number = self.known_text(method, "number");
        if let Some(rule) = self.card_rules.get(method).or_else(|| self.card_rules.get(&number)) {
            let mut decline = Decline::of(&rule.decline_code);
            decline.network_advice_code.clone_from(&rule.network_advice_code);
            if rule.network_advice_code.is_some() {
                decline.advice_code = Some("do_not_try_again".to_owned());
            }
            return Verdict::No(decline);
        }
        let behavior = cards::by_number(&number).map_or(Behavior::Succeeds, |card| card.behavior);
        let set_up = self.known(method, "set_up").as_bool().unwrap_or_default();
        match (behavior, presence) {
            (Behavior::Declines(code), _) => Verdict::No(Decline::of(code)),
            (Behavior::DeclinesOffSession, Presence::Away) => {
                Verdict::No(Decline::of("generic_decline"))
            }
            (Behavior::AuthenticatesUnlessSetUp, Presence::Away) if set_up => Verdict::Yes,
            (
                Behavior::AuthenticatesUnlessSetUp
                | Behavior::AlwaysAuthenticates
                | Behavior::AuthenticatesThenDeclines,
                Presence::Away,
            ) => Verdict::No(Decline::of("authentication_required")),
            (
                Behavior::AuthenticatesUnlessSetUp
                | Behavior::AlwaysAuthenticates
                | Behavior::AuthenticatesThenDeclines,
                Presence::AtPage,
            ) => Verdict::Authenticate,
            (Behavior::AuthenticatesThenDeclines, Presence::Authenticated) => {
                Verdict::No(Decline::of("insufficient_funds"))
            }
            (
                Behavior::Succeeds
                | Behavior::DeclinesOffSession
                | Behavior::AuthenticatesUnlessSetUp
                | Behavior::AlwaysAuthenticates
                | Behavior::Disputed(_)
                | Behavior::Inquired
                | Behavior::RefundSucceedsLater
                | Behavior::RefundFailsLater,
                _,
            ) => Verdict::Yes,
        }
    }

    /// Charges a payment method for a PaymentIntent. Events report the outcome.
    pub(super) fn charge(&mut self, intent: &str, method: &str, presence: Presence) -> Charged {
        self.remember(method, "used", json!(true));
        match self.verdict(method, presence) {
            Verdict::Yes => {
                let charge = self.new_charge(intent, method, "succeeded", None);
                self.add_balance(&charge);
                self.change(&charge, &["charge.succeeded"], |_| {});
                self.intent_succeeds(intent, method, &charge);
                Charged::Succeeded
            }
            Verdict::Later => {
                let charge = self.new_charge(intent, method, "pending", None);
                self.change(&charge, &["charge.pending"], |_| {});
                self.keep_if_wanted(intent, method);
                self.change(intent, &["payment_intent.processing"], |intent| {
                    intent["status"] = json!("processing");
                    intent["payment_method"] = json!(method);
                    intent["latest_charge"] = json!(charge);
                    intent["last_payment_error"] = Value::Null;
                    intent["next_action"] = Value::Null;
                });
                if let Some(seconds) = self.settings.bank_debit_seconds {
                    self.later(self.now + seconds, Later::BankDebitEnds(intent.to_owned()));
                }
                Charged::Processing
            }
            Verdict::Authenticate => {
                let url = format!("{}/authenticate/{intent}", self.settings.public_url);
                self.change(intent, &["payment_intent.requires_action"], |intent| {
                    intent["status"] = json!("requires_action");
                    intent["payment_method"] = json!(method);
                    intent["last_payment_error"] = Value::Null;
                    intent["next_action"] = json!({
                        "type": "redirect_to_url",
                        "redirect_to_url": { "return_url": null, "url": url },
                    });
                });
                Charged::NeedsAuthentication
            }
            Verdict::No(decline) => {
                let charge = self.new_charge(intent, method, "failed", Some(&decline));
                self.change(&charge, &["charge.failed"], |_| {});
                self.intent_fails(intent, method, Some(&charge), &decline);
                Charged::Declined(decline)
            }
        }
    }

    /// The customer did not pass 3-D Secure.
    pub(super) fn authentication_fails(&mut self, intent: &str) -> Decline {
        let decline = Decline::of("payment_intent_authentication_failure");
        let method = self.text(intent, "/payment_method");
        self.intent_fails(intent, &method, None, &decline);
        decline
    }

    fn intent_fails(
        &mut self,
        intent: &str,
        method: &str,
        charge: Option<&str>,
        decline: &Decline,
    ) {
        let error = decline.as_last_error(charge, self.get(method));
        self.change(intent, &["payment_intent.payment_failed"], |intent| {
            intent["status"] = json!("requires_payment_method");
            intent["payment_method"] = Value::Null;
            intent["next_action"] = Value::Null;
            intent["last_payment_error"] = error;
            if let Some(charge) = charge {
                intent["latest_charge"] = json!(charge);
            }
        });
    }

    fn intent_succeeds(&mut self, intent: &str, method: &str, charge: &str) {
        self.keep_if_wanted(intent, method);
        self.change(intent, &["payment_intent.succeeded"], |intent| {
            intent["status"] = json!("succeeded");
            intent["amount_received"] = intent["amount"].clone();
            intent["payment_method"] = json!(method);
            intent["latest_charge"] = json!(charge);
            intent["last_payment_error"] = Value::Null;
            intent["next_action"] = Value::Null;
        });
        let number = self.known_text(method, "number");
        match cards::by_number(&number).map(|card| card.behavior) {
            Some(Behavior::Disputed(reason)) => {
                let _ = self.open_dispute(charge, None, reason, DisputeKind::Chargeback);
            }
            Some(Behavior::Inquired) => {
                let _ = self.open_dispute(charge, None, "general", DisputeKind::Inquiry);
            }
            _ => {}
        }
    }

    /// `setup_future_usage` saves the payment method for the customer.
    fn keep_if_wanted(&mut self, intent: &str, method: &str) {
        let (usage, customer) =
            (self.text(intent, "/setup_future_usage"), self.text(intent, "/customer"));
        if usage == "off_session" {
            self.remember(method, "set_up", json!(true));
        }
        if !usage.is_empty() && !customer.is_empty() && self.text(method, "/customer").is_empty() {
            self.change(method, &["payment_method.attached"], |method| {
                method["customer"] = json!(customer);
                method["allow_redisplay"] = json!("limited");
            });
        }
    }

    fn new_charge(
        &mut self,
        intent: &str,
        method: &str,
        status: &str,
        decline: Option<&Decline>,
    ) -> String {
        let id = self.id("ch_3", 23);
        let intent_object = self.get(intent).cloned().unwrap_or_default();
        let method_object = self.get(method).cloned().unwrap_or_default();
        let succeeded = status == "succeeded";
        let amount = intent_object["amount"].clone();
        let billing = match &method_object["billing_details"] {
            details if details.is_object() => details.clone(),
            _ => billing_details(&Value::Null, &Value::Null, &Value::Null),
        };
        let mut charge = common_charge_fields();
        let own = json!({
            "id": id,
            "amount": amount,
            "amount_captured": if succeeded { amount.clone() } else { json!(0) },
            "billing_details": billing,
            "calculated_statement_descriptor": if succeeded { json!("TOLLGATE") } else { Value::Null },
            "captured": succeeded,
            "created": self.now,
            "customer": intent_object["customer"],
            "description": intent_object["description"],
            "failure_code": decline.map(|decline| decline.code.clone()),
            "failure_message": decline.map(|decline| decline.message.clone()),
            "metadata": intent_object["metadata"],
            "outcome": outcome(decline),
            "paid": succeeded,
            "payment_intent": intent,
            "payment_method": method,
            "payment_method_details": details_of(&method_object),
            "receipt_email": intent_object["receipt_email"],
            "receipt_url": if status == "failed" { Value::Null } else { json!(format!("{}/receipts/{id}", self.settings.public_url)) },
            "status": status,
        });
        merge(&mut charge, &own);
        self.add(charge, None);
        id
    }

    /// The movement on our balance at Stripe, with Stripe's fee of 2.9 % and 30 cents.
    fn add_balance(&mut self, charge: &str) {
        let amount = self.number(charge, "/amount");
        let transaction =
            self.new_balance_transaction(charge, "charge", amount, amount * 29 / 1000 + 30);
        self.change(charge, &[], |charge| charge["balance_transaction"] = json!(transaction));
    }

    pub(super) fn new_balance_transaction(
        &mut self,
        source: &str,
        kind: &str,
        amount: i64,
        fee: i64,
    ) -> String {
        let id = self.id("txn_3", 23);
        let details = json!([{
            "amount": fee,
            "application": null,
            "currency": "usd",
            "description": if kind == "adjustment" { "Dispute fee" } else { "Stripe processing fees" },
            "type": "stripe_fee",
        }]);
        let category = match kind {
            "adjustment" if amount < 0 => "dispute",
            "adjustment" => "dispute_reversal",
            "refund_failure" => "refund_failure",
            other => other,
        };
        let transaction = json!({
            "id": id,
            "object": "balance_transaction",
            "amount": amount,
            "available_on": self.now + 2 * 24 * 3600,
            "balance_type": "payments",
            "created": self.now,
            "currency": "usd",
            "description": null,
            "exchange_rate": null,
            "fee": fee,
            "fee_details": if fee == 0 { json!([]) } else { details },
            "net": amount - fee,
            "reporting_category": category,
            "source": source,
            "status": "pending",
            "type": kind,
        });
        self.add(transaction, None);
        id
    }

    /// How a debit from this bank account ends: Stripe's published numbers of accounts that fail,
    /// else well.
    pub(super) fn end_of_bank_debit(&self, intent: &str) -> DebitEnd {
        let account = self.known_text(&self.text(intent, "/payment_method"), "account");
        match account.as_str() {
            "000111111113" | "000111111116" | "000222222227" | "000333333335" => DebitEnd::Failed,
            _ => DebitEnd::Succeeded,
        }
    }

    /// The bank answered a debit. Whether there was one open.
    pub(super) fn bank_debit_ends(&mut self, intent: &str, end: DebitEnd) -> bool {
        if self.text(intent, "/status") != "processing" {
            return false;
        }
        self.agenda.retain(|(_, _, later)| *later != Later::BankDebitEnds(intent.to_owned()));
        let charge = self.text(intent, "/latest_charge");
        let method = self.text(intent, "/payment_method");
        if end == DebitEnd::Succeeded {
            self.add_balance(&charge);
            self.change(&charge, &["charge.succeeded"], |charge| {
                charge["status"] = json!("succeeded");
                charge["paid"] = json!(true);
                charge["captured"] = json!(true);
                charge["amount_captured"] = charge["amount"].clone();
            });
            self.intent_succeeds(intent, &method, &charge);
        } else {
            let decline = Decline::of_bank_debit();
            let outcome = outcome(Some(&decline));
            self.change(&charge, &["charge.failed"], |charge| {
                charge["status"] = json!("failed");
                charge["failure_code"] = json!(decline.code);
                charge["failure_message"] = json!(decline.message);
                charge["outcome"] = outcome;
            });
            self.intent_fails(intent, &method, Some(&charge), &decline);
        }
        self.session_of_debit_ends(intent, end);
        self.invoice_of_debit_ends(intent, end);
        true
    }

    pub(super) fn cancel_payment_intent(&mut self, request: &Request) -> Result<Value, Failure> {
        let id = request.id().to_owned();
        let status =
            self.of_kind("payment_intent", &id)?["status"].as_str().unwrap_or_default().to_owned();
        let session = self.known_text(&id, "session");
        if self.text(&session, "/status") == "open" {
            return Err(Failure::invalid_as(
                "payment_intent_unexpected_state",
                "You cannot cancel this PaymentIntent because it was created by Checkout. You can expire the Checkout \
                 Session instead.",
            ));
        }
        let invoice = self.known_text(&id, "invoice");
        if self.text(&invoice, "/status") == "open" {
            return Err(Failure::invalid_as(
                "payment_intent_unexpected_state",
                "You cannot cancel a PaymentIntent of an invoice. You can void the invoice instead.",
            ));
        }
        if !matches!(
            status.as_str(),
            "requires_payment_method" | "requires_action" | "requires_confirmation"
        ) {
            let object = self.of_kind("payment_intent", &id)?.clone();
            let message = format!(
                "You cannot cancel this PaymentIntent because it has a status of {status}. Only a PaymentIntent with \
                 one of the following statuses may be canceled: requires_payment_method, requires_capture, \
                 requires_confirmation, requires_action, processing."
            );
            return Err(Failure::invalid_as("payment_intent_unexpected_state", message)
                .with("payment_intent", object));
        }
        let reason =
            request.text("/cancellation_reason").unwrap_or("requested_by_customer").to_owned();
        Ok(self.cancel_intent(&id, &reason))
    }

    pub(super) fn cancel_intent(&mut self, intent: &str, reason: &str) -> Value {
        let now = self.now;
        self.change(intent, &["payment_intent.canceled"], |intent| {
            intent["status"] = json!("canceled");
            intent["canceled_at"] = json!(now);
            intent["cancellation_reason"] = json!(reason);
            intent["next_action"] = Value::Null;
        })
    }
}

/// Fields that are the same in every new charge.
fn common_charge_fields() -> Value {
    json!({
        "object": "charge",
        "amount_refunded": 0,
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": null,
        "currency": "usd",
        "disputed": false,
        "failure_balance_transaction": null,
        "fraud_details": {},
        "livemode": false,
        "on_behalf_of": null,
        "receipt_number": null,
        "refunded": false,
        "review": null,
        "shipping": null,
        "source_transfer": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "transfer_data": null,
        "transfer_group": null,
    })
}

/// The charge's `outcome`.
fn outcome(decline: Option<&Decline>) -> Value {
    match decline {
        None => json!({
            "advice_code": null,
            "network_advice_code": null,
            "network_decline_code": null,
            "network_status": "approved_by_network",
            "reason": null,
            "risk_level": "normal",
            "seller_message": "Payment complete.",
            "type": "authorized",
        }),
        Some(decline) => json!({
            "advice_code": decline.advice_code,
            "network_advice_code": decline.network_advice_code,
            "network_decline_code": null,
            "network_status": "declined_by_network",
            "reason": decline.decline_code.as_ref().unwrap_or(&decline.code),
            "risk_level": "normal",
            "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        }),
    }
}

/// `payment_method_details` of a charge.
fn details_of(method: &Value) -> Value {
    if method["type"] == "us_bank_account" {
        let account = &method["us_bank_account"];
        return json!({
            "type": "us_bank_account",
            "us_bank_account": {
                "account_holder_type": account["account_holder_type"],
                "account_type": account["account_type"],
                "bank_name": account["bank_name"],
                "fingerprint": account["fingerprint"],
                "last4": account["last4"],
                "payment_reference": null,
                "routing_number": account["routing_number"],
            },
        });
    }
    if method["type"] == "customer_balance" {
        return json!({ "type": "customer_balance", "customer_balance": {} });
    }
    let card = &method["card"];
    json!({
        "type": "card",
        "card": {
            "amount_authorized": null,
            "authorization_code": null,
            "brand": card["brand"],
            "checks": card["checks"],
            "country": card["country"],
            "exp_month": card["exp_month"],
            "exp_year": card["exp_year"],
            "fingerprint": card["fingerprint"],
            "funding": card["funding"],
            "installments": null,
            "last4": card["last4"],
            "mandate": null,
            "network": card["brand"],
            "network_token": { "used": false },
            "network_transaction_id": null,
            "regulated_status": card["regulated_status"],
            "three_d_secure": null,
            "transaction_link_id": null,
            "wallet": null,
        },
    })
}
