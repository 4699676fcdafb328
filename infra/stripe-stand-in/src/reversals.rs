//! Refunds and disputes.

use serde_json::{Value, json};

use super::account::{Account, Later};
use super::cards::{self, Behavior};
use super::control::{DisputeEnd, DisputeKind};
use super::failure::Failure;
use super::objects::dollars;
use super::requests::Request;

/// Stripe's fee for a dispute, in cents.
const DISPUTE_FEE: i64 = 1_500;

impl Account {
    pub(super) fn create_refund(&mut self, request: &Request) -> Result<Value, Failure> {
        let charge = self.charge_named(request)?;
        let object = self.get(&charge).cloned().unwrap_or_default();
        if object["status"] != "succeeded" {
            let message = format!("Charge {charge} is not successful and cannot be refunded.");
            return Err(Failure::invalid(message));
        }
        if object["disputed"] == true && !self.is_refundable(&charge) {
            return Err(Failure::invalid_as(
                "charge_disputed",
                format!("Charge {charge} has been charged back; cannot issue a refund."),
            ));
        }
        let left = self.number(&charge, "/amount") - self.number(&charge, "/amount_refunded");
        if left == 0 {
            return Err(Failure::invalid_as(
                "charge_already_refunded",
                format!("Charge {charge} has already been refunded."),
            ));
        }
        let amount = request.integer("/amount").unwrap_or(left);
        if amount < 1 {
            return Err(Failure::invalid_as(
                "parameter_invalid_integer",
                "Invalid positive integer",
            )
            .param("amount"));
        }
        if amount > left {
            let message = format!(
                "Refund amount ({}) is greater than unrefunded amount on charge ({})",
                dollars(amount),
                dollars(left)
            );
            return Err(Failure::invalid(message).param("amount"));
        }
        Ok(self.refund(&charge, amount, &request.at("/reason"), &request.map("/metadata")))
    }

    /// The charge that `charge` or `payment_intent` names.
    fn charge_named(&self, request: &Request) -> Result<String, Failure> {
        match (request.text("/charge"), request.text("/payment_intent")) {
            (Some(charge), _) => {
                self.of_kind("charge", charge)
                    .map_err(|_| Failure::missing_in("charge", "charge", charge))?;
                Ok(charge.to_owned())
            }
            (None, Some(intent)) => {
                self.of_kind("payment_intent", intent)
                    .map_err(|_| Failure::missing_in("payment_intent", "payment_intent", intent))?;
                if self.text(intent, "/status") != "succeeded" {
                    let message = format!(
                        "PaymentIntent {intent} does not have a successful charge to refund."
                    );
                    return Err(Failure::invalid(message));
                }
                Ok(self.text(intent, "/latest_charge"))
            }
            (None, None) => Err(Failure::parameter_missing("charge")),
        }
    }

    fn is_refundable(&self, charge: &str) -> bool {
        let of_charge =
            |object: &&Value| object["object"] == "dispute" && object["charge"] == charge;
        self.objects.iter().filter(of_charge).all(|dispute| dispute["is_charge_refundable"] == true)
    }

    /// Refunds a payment. The outcome of the refund depends on the card.
    pub(super) fn refund(
        &mut self,
        charge: &str,
        amount: i64,
        reason: &Value,
        metadata: &Value,
    ) -> Value {
        let id = self.id("re_3", 23);
        let method = self.text(charge, "/payment_method");
        let number = self.known_text(&method, "number");
        let behavior = cards::by_number(&number).map(|card| card.behavior);
        let by_bank = number.is_empty();
        let pending = by_bank || behavior == Some(Behavior::RefundSucceedsLater);
        let transaction = self.new_balance_transaction(&id, "refund", -amount, 0);
        let destination = if by_bank {
            json!({ "type": "us_bank_transfer", "us_bank_transfer": { "reference": null, "reference_status": "pending" } })
        } else {
            json!({
                "card": { "reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund" },
                "type": "card",
            })
        };
        let mut refund = json!({
            "id": id,
            "object": "refund",
            "amount": amount,
            "balance_transaction": transaction,
            "charge": charge,
            "created": self.now,
            "currency": "usd",
            "customer": self.get(charge).map_or(Value::Null, |charge| charge["customer"].clone()),
            "customer_account": null,
            "destination_details": destination,
            "metadata": metadata,
            "payment_intent": self.text(charge, "/payment_intent"),
            "payment_method": method,
            "reason": reason,
            "receipt_number": null,
            "source_transfer_reversal": null,
            "status": if pending { "pending" } else { "succeeded" },
            "transfer_reversal": null,
        });
        if pending {
            refund["pending_reason"] = json!("processing");
        }
        let due = self.now + self.settings.refund_seconds;
        if pending {
            self.later(due, Later::RefundSucceeds(id.clone()));
        } else if behavior == Some(Behavior::RefundFailsLater) {
            self.later(due, Later::RefundFails(id.clone()));
        }
        self.change(charge, &["charge.refunded"], |charge| {
            let refunded = charge["amount_refunded"].as_i64().unwrap_or_default() + amount;
            charge["amount_refunded"] = json!(refunded);
            charge["refunded"] = json!(charge["amount"] == refunded);
        });
        self.add(refund, Some("refund.created"))
    }

    /// A pending refund arrived.
    pub(super) fn refund_succeeds(&mut self, id: &str) {
        if self.text(id, "/status") != "pending" {
            return;
        }
        self.change(id, &["charge.refund.updated", "refund.updated"], |refund| {
            refund["status"] = json!("succeeded");
            if let Some(fields) = refund.as_object_mut() {
                fields.remove("pending_reason");
            }
        });
    }

    /// Fails a refund, even one that had succeeded. Its money returns.
    pub(super) fn refund_fails(&mut self, id: &str) {
        if !matches!(self.text(id, "/status").as_str(), "pending" | "succeeded" | "requires_action")
        {
            return;
        }
        self.agenda.retain(|(_, _, later)| {
            *later != Later::RefundSucceeds(id.to_owned())
                && *later != Later::RefundFails(id.to_owned())
        });
        let amount = self.number(id, "/amount");
        let charge = self.text(id, "/charge");
        let transaction = self.new_balance_transaction(id, "refund_failure", amount, 0);
        self.change(&charge, &[], |charge| {
            let refunded = charge["amount_refunded"].as_i64().unwrap_or_default() - amount;
            charge["amount_refunded"] = json!(refunded);
            charge["refunded"] = json!(false);
        });
        self.change(id, &["charge.refund.updated", "refund.updated", "refund.failed"], |refund| {
            refund["status"] = json!("failed");
            refund["failure_reason"] = json!("lost_or_stolen_card");
            refund["failure_balance_transaction"] = json!(transaction);
            if let Some(fields) = refund.as_object_mut() {
                fields.remove("pending_reason");
            }
        });
    }

    /// The bank disputes a charge (or, as an inquiry, asks about it: that moves no money). The
    /// dispute's id.
    pub(super) fn open_dispute(
        &mut self,
        charge: &str,
        amount: Option<i64>,
        reason: &str,
        kind: DisputeKind,
    ) -> Result<String, Failure> {
        let inquiry = kind == DisputeKind::Inquiry;
        let object = self.of_kind("charge", charge)?.clone();
        let id = self.id("dp_1", 23);
        let amount = amount.unwrap_or_else(|| object["amount"].as_i64().unwrap_or_default());
        let card = &object["payment_method_details"]["card"];
        let dispute = json!({
            "id": id,
            "object": "dispute",
            "amount": amount,
            "balance_transactions": [],
            "charge": charge,
            "created": self.now,
            "currency": "usd",
            "enhanced_eligibility_types": [],
            "evidence": no_evidence(),
            "evidence_details": {
                "due_by": self.now + 9 * 24 * 3600,
                "enhanced_eligibility": {},
                "has_evidence": false,
                "past_due": false,
                "submission_count": 0,
            },
            "is_charge_refundable": inquiry,
            "livemode": false,
            "metadata": {},
            "payment_intent": object["payment_intent"],
            "payment_method_details": {
                "card": {
                    "brand": card["brand"].as_str().unwrap_or("visa"),
                    "case_type": if inquiry { "inquiry" } else { "chargeback" },
                    "network": card["brand"].as_str().unwrap_or("visa"),
                    "network_reason_code": "10.4",
                },
                "type": "card",
            },
            "reason": reason,
            "status": if inquiry { "warning_needs_response" } else { "needs_response" },
        });
        self.add(dispute, None);
        self.change(charge, &["charge.updated"], |charge| charge["disputed"] = json!(true));
        if !inquiry {
            self.move_disputed(&id, -amount, DISPUTE_FEE);
        }
        self.change(&id, &["charge.dispute.created"], |_| {});
        if !inquiry {
            self.change(&id, &["charge.dispute.funds_withdrawn"], |_| {});
        }
        Ok(id)
    }

    /// The issuer reports a charge as probably fraudulent. The warning's ID.
    pub(super) fn warn_of_fraud(&mut self, charge: &str) -> Result<String, Failure> {
        let intent = self.of_kind("charge", charge)?["payment_intent"].clone();
        let id = self.id("issfr_1", 23);
        let warning = json!({
            "id": id,
            "object": "radar.early_fraud_warning",
            "actionable": true,
            "charge": charge,
            "created": self.now,
            "fraud_type": "made_with_stolen_card",
            "livemode": false,
            "payment_intent": intent,
        });
        self.add(warning, Some("radar.early_fraud_warning.created"));
        Ok(id)
    }

    fn move_disputed(&mut self, dispute: &str, amount: i64, fee: i64) {
        let transaction = self.new_balance_transaction(dispute, "adjustment", amount, fee);
        let transaction = self.get(&transaction).cloned().unwrap_or_default();
        self.change(dispute, &[], |dispute| {
            if let Some(transactions) = dispute["balance_transactions"].as_array_mut() {
                transactions.push(transaction);
            }
        });
    }

    /// Records the bank's decision. A won inquiry ends as `warning_closed`, and a lost one becomes
    /// a chargeback.
    pub(super) fn close_dispute(&mut self, id: &str, end: DisputeEnd) -> Result<(), Failure> {
        let status = self.of_kind("dispute", id)?["status"].as_str().unwrap_or_default().to_owned();
        let amount = self.number(id, "/amount");
        match (status.as_str(), end) {
            (
                "warning_needs_response" | "warning_under_review",
                DisputeEnd::Won | DisputeEnd::Prevented,
            ) => {
                let status = if end == DisputeEnd::Won { "warning_closed" } else { "prevented" };
                self.change(id, &["charge.dispute.closed"], |dispute| {
                    dispute["status"] = json!(status);
                });
            }
            (
                "warning_needs_response" | "warning_under_review",
                DisputeEnd::Lost | DisputeEnd::LostInPart(_),
            ) => {
                self.move_disputed(id, -amount, DISPUTE_FEE);
                self.change(
                    id,
                    &["charge.dispute.updated", "charge.dispute.funds_withdrawn"],
                    |dispute| {
                        dispute["status"] = json!("needs_response");
                        dispute["is_charge_refundable"] = json!(false);
                        dispute["payment_method_details"]["card"]["case_type"] =
                            json!("chargeback");
                    },
                );
            }
            ("warning_closed", _) => {
                return Err(Failure::invalid("the inquiry is closed already"));
            }
            (before, end) => return self.decide_dispute(id, before, end),
        }
        Ok(())
    }

    /// Closes a chargeback, for the first time or with another outcome than before.
    fn decide_dispute(&mut self, id: &str, before: &str, end: DisputeEnd) -> Result<(), Failure> {
        let amount = self.number(id, "/amount");
        let moved = self.get(id).and_then(|dispute| dispute["balance_transactions"].as_array());
        let moved = moved.into_iter().flatten();
        let kept = -moved.filter_map(|moved| moved["amount"].as_i64()).sum::<i64>();
        let (status, keeps) = match end {
            DisputeEnd::Won => ("won", 0),
            DisputeEnd::Lost => ("lost", amount),
            DisputeEnd::LostInPart(returned) => ("lost", amount - returned),
            DisputeEnd::Prevented => ("prevented", kept),
        };
        if (before, kept) == (status, keeps) {
            return Err(Failure::invalid(format!("the dispute is closed already: {status}")));
        }
        let mut events = vec!["charge.dispute.closed"];
        if kept != keeps {
            self.move_disputed(id, kept - keeps, 0);
            events.push(if kept > keeps {
                "charge.dispute.funds_reinstated"
            } else {
                "charge.dispute.funds_withdrawn"
            });
        }
        self.change(id, &events, |dispute| dispute["status"] = json!(status));
        Ok(())
    }
}

fn no_evidence() -> Value {
    let fields = [
        "access_activity_log",
        "billing_address",
        "cancellation_policy",
        "cancellation_policy_disclosure",
        "cancellation_rebuttal",
        "customer_communication",
        "customer_email_address",
        "customer_name",
        "customer_purchase_ip",
        "customer_signature",
        "duplicate_charge_documentation",
        "duplicate_charge_explanation",
        "duplicate_charge_id",
        "product_description",
        "receipt",
        "refund_policy",
        "refund_policy_disclosure",
        "refund_refusal_explanation",
        "service_date",
        "service_documentation",
        "shipping_address",
        "shipping_carrier",
        "shipping_date",
        "shipping_documentation",
        "shipping_tracking_number",
        "uncategorized_file",
        "uncategorized_text",
    ];
    let mut evidence = json!({ "enhanced_evidence": {} });
    for field in fields {
        evidence[field] = Value::Null;
    }
    evidence
}
