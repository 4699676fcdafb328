//! Controls for tests and demonstrations: faults, the bank's answers, webhooks out of order.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::StripeStandIn;
use super::account::Account;
use super::failure::Failure;
use super::requests::StripeCall;

/// Lets calls go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripeFault {
    /// The endpoint as in the list, `POST /v1/invoices/{invoice}/pay`, or `*` for any.
    pub endpoint: String,
    /// How many calls to let through before.
    #[serde(default)]
    pub after: u32,
    /// How many calls then go wrong.
    pub times: u32,
    pub kind: StripeFaultKind,
}

/// The fault of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StripeFaultKind {
    /// 500, nothing done; an idempotency key keeps this answer.
    ServerError,
    /// 429, nothing done and nothing kept.
    RateLimited,
    /// 403: a restricted key that may not, nothing done and nothing kept.
    Forbidden,
    /// 400: the request makes no sense to Stripe, nothing done and nothing kept.
    Refused,
    /// The connection ends before anything is done.
    ConnectionDropped,
    /// Everything is done and the connection ends before the answer.
    AnswerLost,
    /// Everything is done and the answer waits for [`StripeStandIn::release_held`]; until then its
    /// idempotency key is in use.
    Held,
}

/// How webhooks travel from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryPlan {
    /// How often each event is sent: 1, or 2 for duplicates.
    pub copies: u32,
    /// How much later, in seconds.
    pub delay_seconds: i64,
    /// Only these types of events are copied and delayed; empty for all.
    pub only: Vec<String>,
    /// The order of events that are due together.
    pub order: Order,
}

impl Default for DeliveryPlan {
    fn default() -> Self {
        Self { copies: 1, delay_seconds: 0, only: Vec::new(), order: Order::AsHappened }
    }
}

/// The order of events that are due together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As it happened.
    #[default]
    AsHappened,
    /// The latest first.
    Reversed,
    /// In an order that follows from this number.
    Shuffled(u64),
}

/// Lets a card be declined that its number would not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardRule {
    /// Stripe's decline code: `insufficient_funds`, `lost_card`, …
    pub decline_code: String,
    /// The network's advice: `03` and `21` mean never again.
    pub network_advice_code: Option<String>,
}

/// How a dispute begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDispute {
    /// The charge (`ch_`) or PaymentIntent (`pi_`).
    pub payment: String,
    /// In cents. The whole charge if it is not given. Exchange rates may make it more than that.
    pub amount: Option<i64>,
    /// `fraudulent`, `product_not_received`, …
    pub reason: String,
    /// Whether money moves at once.
    pub kind: DisputeKind,
}

/// Whether a dispute moves money at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeKind {
    /// The money is taken.
    Chargeback,
    /// The bank only asks; no money moves.
    Inquiry,
}

/// How a dispute ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeEnd {
    /// The money is returned.
    Won,
    /// The money is lost.
    Lost,
    /// The status is `lost`, and so many cents are returned.
    LostInPart(i64),
    /// The network resolved it before a decision. The status is `prevented`, and what was withdrawn
    /// stays withdrawn.
    Prevented,
}

/// How a bank debit ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebitEnd {
    /// The money arrived.
    Succeeded,
    /// The bank sent it back.
    Failed,
}

/// A control was used on something that is not there or not in a state for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPossible(String);

impl From<Failure> for NotPossible {
    fn from(failure: Failure) -> Self {
        Self(
            failure
                .error
                .get("message")
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        )
    }
}

impl StripeStandIn {
    /// Lets coming calls go wrong.
    pub fn fail(&self, fault: StripeFault) {
        self.with(|account| account.faults.push(fault));
    }

    /// Lets the next calls of an endpoint go wrong.
    pub fn fail_next(&self, endpoint: &str, times: u32, kind: StripeFaultKind) {
        self.fail(StripeFault { endpoint: endpoint.to_owned(), after: 0, times, kind });
    }

    /// Takes back every fault that did not happen yet.
    pub fn clear_faults(&self) {
        self.with(|account| account.faults.clear());
    }

    /// Sends the answers that a [`StripeFaultKind::Held`] held.
    pub fn release_held(&self) {
        self.release.send_modify(|round| *round += 1);
    }

    /// All calls so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<StripeCall> {
        self.with(|account| account.calls.clone())
    }

    /// The calls outside the list of endpoints. A test fails if there are any.
    #[must_use]
    pub fn calls_outside(&self) -> Vec<StripeCall> {
        self.with(|account| {
            account.calls.iter().filter(|call| call.outside.is_some()).cloned().collect()
        })
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.with(|account| account.calls.clear());
    }

    /// Declines a card from now on, named by its number or by a payment method's id; `None` takes
    /// it back.
    pub fn decline_card(&self, card: &str, rule: Option<CardRule>) {
        self.with(|account| match rule {
            Some(rule) => {
                account.card_rules.insert(card.to_owned(), rule);
            }
            None => {
                account.card_rules.remove(card);
            }
        });
    }

    /// Lets the bank answer the debit of a PaymentIntent (`pi_`) or of a session's (`cs_`).
    ///
    /// # Errors
    /// If no debit is open there.
    pub fn resolve_debit(&self, payment: &str, end: DebitEnd) -> Result<(), NotPossible> {
        self.with(|account| {
            let intent = if payment.starts_with("cs_") {
                account.text(payment, "/payment_intent")
            } else {
                payment.to_owned()
            };
            if account.bank_debit_ends(&intent, end) {
                Ok(())
            } else {
                Err(NotPossible(format!("no debit of {payment} is being processed")))
            }
        })
    }

    /// Lets the bank dispute a charge; the dispute's id.
    ///
    /// # Errors
    /// If there is no such charge.
    pub fn dispute(&self, new: &NewDispute) -> Result<String, NotPossible> {
        self.with(|account| {
            let charge = if new.payment.starts_with("pi_") {
                account.text(&new.payment, "/latest_charge")
            } else {
                new.payment.clone()
            };
            Ok(account.open_dispute(&charge, new.amount, &new.reason, new.kind)?)
        })
    }

    /// Lets the card's issuer report a charge as probably fraudulent. Returns the warning's ID.
    ///
    /// # Errors
    /// If there is no such charge.
    pub fn warn_of_fraud(&self, payment: &str) -> Result<String, NotPossible> {
        self.with(|account| {
            let charge = if payment.starts_with("pi_") {
                account.text(payment, "/latest_charge")
            } else {
                payment.to_owned()
            };
            Ok(account.warn_of_fraud(&charge)?)
        })
    }

    /// Decides a dispute as the bank. A lost inquiry becomes a chargeback. A closed dispute may be
    /// closed again with another outcome.
    ///
    /// # Errors
    /// If there is no such dispute, or it is closed with this outcome.
    pub fn close_dispute(&self, dispute: &str, end: DisputeEnd) -> Result<(), NotPossible> {
        self.with(|account| Ok(account.close_dispute(dispute, end)?))
    }

    /// Refunds a payment as in Stripe's dashboard. Returns the refund's ID.
    ///
    /// # Errors
    /// If there is nothing to refund.
    pub fn refund_in_dashboard(
        &self,
        payment: &str,
        amount: Option<i64>,
    ) -> Result<String, NotPossible> {
        self.with(|account| {
            let mut params = json!({});
            params[if payment.starts_with("pi_") { "payment_intent" } else { "charge" }] =
                json!(payment);
            if let Some(amount) = amount {
                params["amount"] = json!(amount);
            }
            let request = super::requests::Request { ids: Vec::new(), params, url: String::new() };
            let refund = account.create_refund(&request)?;
            Ok(refund["id"].as_str().unwrap_or_default().to_owned())
        })
    }

    /// Fails a refund, even one that had succeeded.
    ///
    /// # Errors
    /// If there is no such refund.
    pub fn fail_refund(&self, refund: &str) -> Result<(), NotPossible> {
        self.with(|account| {
            account.of_kind("refund", refund)?;
            account.refund_fails(refund);
            Ok(())
        })
    }

    /// Leaves a refund without a status, which its description allows. There is no event.
    ///
    /// # Errors
    /// If there is no such refund.
    pub fn remove_refund_status(&self, refund: &str) -> Result<(), NotPossible> {
        self.with(|account| {
            account.of_kind("refund", refund)?;
            account.change(refund, &[], |refund| refund["status"] = json!(null));
            Ok(())
        })
    }

    /// Saves the portal's settings as if it was done in Stripe's dashboard long ago. Sessions that
    /// name no configuration use them, and there is no event. Returns the configuration's ID.
    ///
    /// # Errors
    /// Never; as everything that Stripe may refuse.
    pub fn save_portal_settings(&self) -> Result<String, NotPossible> {
        self.with(|account| Ok(account.save_portal_settings()?))
    }

    /// Gives a customer credit on its balance at Stripe, as staff do in the Dashboard. Its next
    /// invoices use it.
    ///
    /// # Errors
    /// If there is no such customer.
    pub fn give_credit_balance(&self, customer: &str, cents: i64) -> Result<(), NotPossible> {
        self.with(|account| {
            account.customer_of("customer", customer)?;
            account.move_balance(customer, -cents);
            Ok(())
        })
    }

    /// Gives a customer a coupon, as staff do in the Dashboard.
    ///
    /// # Errors
    /// If there is no such customer.
    pub fn give_coupon(&self, customer: &str, percent_off: i64) -> Result<(), NotPossible> {
        self.with(|account| {
            account.customer_of("customer", customer)?;
            let coupon =
                json!({ "object": "coupon", "duration": "forever", "percent_off": percent_off });
            account.change(customer, &["customer.updated"], |customer| {
                customer["discount"] = json!({ "object": "discount", "coupon": coupon });
            });
            Ok(())
        })
    }

    /// Marks an invoice as paid outside of Stripe, as staff do in the Dashboard.
    ///
    /// # Errors
    /// If there is no such invoice, or it cannot be paid.
    pub fn pay_out_of_band(&self, invoice: &str) -> Result<(), NotPossible> {
        self.with(|account| Ok(account.pay_out_of_band(invoice)?))
    }

    /// Issues a credit note for an open invoice, as staff do in the Dashboard, in cents.
    ///
    /// # Errors
    /// If there is no such open invoice, or it is for less.
    pub fn credit_note(&self, invoice: &str, cents: i64) -> Result<(), NotPossible> {
        self.with(|account| Ok(account.credit_note(invoice, cents)?))
    }

    /// Money arrives by bank transfer for an invoice, in cents. In parts, if it is not enough.
    ///
    /// # Errors
    /// If there is no such invoice, or it cannot be paid so.
    pub fn bank_transfer(&self, invoice: &str, cents: i64) -> Result<(), NotPossible> {
        self.with(|account| Ok(account.bank_transfer(invoice, cents)?))
    }

    /// Detaches a card as its owner does in the portal.
    ///
    /// # Errors
    /// If there is no such payment method, or it is attached to no customer.
    pub fn detach_in_portal(&self, payment_method: &str) -> Result<(), NotPossible> {
        self.with(|account| {
            account.detach_payment_method(payment_method)?;
            Ok(())
        })
    }

    /// Makes a card the default as its owner does in the portal.
    ///
    /// # Errors
    /// If there is no such customer.
    pub fn set_default_in_portal(
        &self,
        customer: &str,
        payment_method: &str,
    ) -> Result<(), NotPossible> {
        self.with(|account| {
            account.customer_of("customer", customer)?;
            account.set_default_method(customer, payment_method);
            Ok(())
        })
    }

    /// Changes the expiry of a card as its network's updater does
    /// (`payment_method.automatically_updated`).
    ///
    /// # Errors
    /// If there is no such payment method.
    pub fn update_card(
        &self,
        payment_method: &str,
        exp_month: i64,
        exp_year: i64,
    ) -> Result<(), NotPossible> {
        self.with(|account| {
            account.of_kind("payment_method", payment_method)?;
            let events = ["payment_method.automatically_updated", "payment_method.updated"];
            account.change(payment_method, &events, |method| {
                method["card"]["exp_month"] = json!(exp_month);
                method["card"]["exp_year"] = json!(exp_year);
            });
            Ok(())
        })
    }

    /// Adds a webhook endpoint with a secret of the caller's own (through the API the secret is
    /// Stripe's); its id.
    pub fn add_endpoint(&self, url: &str, secret: &str, events: &[&str]) -> String {
        self.with(|account| account.add_endpoint(url, secret, &json!(events)))
    }

    /// Creates a webhook endpoint at that address for exactly these events, in
    /// [`StandInConfig::api_version`](super::StandInConfig::api_version), as in a configured account. An existing
    /// endpoint keeps its secrets. Returns its ID.
    pub fn keep_endpoint(&self, url: &str, secret: &str, events: &[&str]) -> String {
        self.with(|account| account.keep_endpoint(url, secret, events))
    }

    /// Sets the secrets an endpoint's deliveries are signed with: several while they are being
    /// rotated.
    pub fn set_secrets(&self, endpoint: &str, secrets: &[&str]) {
        self.with(|account| account.remember(endpoint, "secrets", json!(secrets)));
    }

    /// Sets how webhooks are delivered from now on. Waiting ones are copied and delayed too.
    pub fn plan_deliveries(&self, plan: DeliveryPlan) {
        self.with(|account| {
            account.apply_plan_to_waiting(&plan);
            account.plan = Some(plan);
        });
    }

    /// Sends every event so far once more to every endpoint that wants it; how many deliveries that
    /// are.
    pub fn redeliver_all(&self) -> usize {
        self.with(|account| account.redeliver(|_| true))
    }

    /// Sends one event once more; how many deliveries that are.
    pub fn redeliver(&self, event: &str) -> usize {
        self.with(|account| account.redeliver(|id| id == event))
    }
}

impl Account {
    /// The next fault for a call of this endpoint.
    pub(super) fn next_fault(&mut self, endpoint: Option<&str>) -> Option<StripeFaultKind> {
        let endpoint = endpoint?;
        let fault = self
            .faults
            .iter_mut()
            .find(|fault| fault.endpoint == "*" || fault.endpoint == endpoint)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        let kind = (fault.times > 0).then_some(fault.kind);
        fault.times = fault.times.saturating_sub(1);
        self.faults.retain(|fault| fault.times > 0);
        kind
    }

    pub(super) fn set_default_method(&mut self, customer: &str, method: &str) {
        self.change(customer, &["customer.updated"], |customer| {
            customer["invoice_settings"]["default_payment_method"] = json!(method);
        });
    }
}
