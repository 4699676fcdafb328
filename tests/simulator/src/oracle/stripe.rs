//! What Stripe has, as its stand-in saves it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::amounts::{Micros, of_cents};

/// The objects at Stripe.
pub struct StripeBooks<'a> {
    objects: &'a [Value],
}

impl<'a> StripeBooks<'a> {
    pub fn of(saved: &'a Value) -> Self {
        Self { objects: saved["objects"].as_array().map(Vec::as_slice).unwrap_or_default() }
    }

    pub fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["object"] == kind)
    }

    /// The object with this ID.
    pub fn object(&self, kind: &'static str, id: &str) -> Option<&'a Value> {
        self.of_kind(kind).find(|object| object["id"] == id)
    }

    /// Whether a bank's dispute of a payment of this account waits for its decision. An inquiry is no
    /// dispute yet.
    pub fn has_open_dispute(&self, account: &str) -> bool {
        let is_open = |dispute: &&Value| {
            ["needs_response", "under_review"].iter().any(|open| dispute["status"] == *open)
        };
        let mut open = self.of_kind("dispute").filter(is_open);
        open.any(|dispute| self.charges_of(account).any(|charge| charge["id"] == dispute["charge"]))
    }

    pub fn charges_of(&self, account: &str) -> impl Iterator<Item = &'a Value> {
        // Of a customer that is deleted, only the pages and invoices tell whose it was.
        let is_of_account = |object: &&Value| object["metadata"]["tollgate_account"] == account;
        let made = self.of_kind("customer").filter(is_of_account).map(|made| &made["id"]);
        let used = self.of_kind("checkout.session").chain(self.of_kind("invoice"));
        let used = used.filter(is_of_account).map(|used| &used["customer"]);
        let customers: BTreeSet<&str> = made.chain(used).filter_map(Value::as_str).collect();
        self.of_kind("charge").filter(|charge| charge["status"] == "succeeded").filter(
            move |charge| charge["customer"].as_str().is_some_and(|id| customers.contains(id)),
        )
    }

    /// When its money came. A bank debit takes days.
    pub fn received_at(&self, charge: &Value) -> Option<i64> {
        let mut moved = self.of_kind("balance_transaction");
        moved.find(|moved| moved["id"] == charge["balance_transaction"])?["created"].as_i64()
    }

    /// What was left of a charge at a time, in millionths of a dollar.
    pub fn kept_until(&self, charge: &Value, until: i64) -> Micros {
        let refunds = self
            .of_kind("refund")
            .filter(|refund| refund["payment_intent"] == charge["payment_intent"])
            .filter(|refund| refund["created"].as_i64().is_some_and(|created| created <= until));
        let refunded: i64 = refunds.filter_map(|refund| refund["amount"].as_i64()).sum();
        of_cents((charge["amount"].as_i64().unwrap_or_default() - refunded).max(0))
    }

    /// What Stripe received of an account and has not given back, in millionths of a dollar.
    pub fn received(&self, account: &str) -> Micros {
        let by_card = self.charges_of(account).map(|charge| self.kept(charge));
        let is_of_account = |invoice: &&Value| invoice["metadata"]["tollgate_account"] == account;
        let otherwise = self.paid_invoices().filter(is_of_account).map(|invoice| {
            let is_charged = self.charges_of(account).any(|charge| self.pays(charge, invoice));
            if is_charged { 0 } else { cents(invoice, "total") }
        });
        of_cents(by_card.chain(otherwise).sum())
    }

    /// What is left of a charge, in cents. The charge of such an invoice counts as the whole invoice, which
    /// may be paid in part by credit that the customer has at Stripe.
    fn kept(&self, charge: &Value) -> i64 {
        let invoice = self.paid_invoices().find(|invoice| self.pays(charge, invoice));
        let received = invoice.map_or(cents(charge, "amount"), |invoice| cents(invoice, "total"));
        let disputes = self.of_kind("dispute").filter(|dispute| dispute["charge"] == charge["id"]);
        let disputed: i64 = disputes.map(|dispute| disputed_cents(dispute, charge)).sum();
        // What was refunded and disputed is taken once.
        received - received.min(cents(charge, "amount_refunded") + disputed)
    }

    /// What a payment says that it buys, or else its invoice.
    pub fn terms_of(&self, payment: &str) -> Option<&'a Value> {
        let paid = self.object("payment_intent", payment)?;
        if !paid["metadata"]["tollgate_kind"].is_null() {
            return Some(&paid["metadata"]);
        }
        let mut leads = self.of_kind("invoice_payment");
        let lead = leads.find(|lead| lead["payment"]["payment_intent"] == payment)?;
        Some(&self.object("invoice", lead["invoice"].as_str()?)?["metadata"])
    }

    /// Invoices of refills and of staff that are paid.
    fn paid_invoices(&self) -> impl Iterator<Item = &'a Value> {
        let buys = |invoice: &&Value| {
            let is_refill = !invoice["metadata"]["tollgate_attempt"].is_null();
            is_refill || invoice["collection_method"] == "send_invoice"
        };
        self.of_kind("invoice").filter(|invoice| invoice["status"] == "paid").filter(buys)
    }

    fn pays(&self, charge: &Value, invoice: &Value) -> bool {
        self.of_kind("invoice_payment").any(|payment| {
            payment["invoice"] == invoice["id"]
                && payment["payment"]["payment_intent"] == charge["payment_intent"]
        })
    }
}

/// What a dispute took of its charge and did not give back, in cents of the charge. Its moves may be
/// in another currency, so only their share counts, and no more than the charge.
fn disputed_cents(dispute: &Value, charge: &Value) -> i64 {
    let moves = dispute["balance_transactions"].as_array().into_iter().flatten();
    let moved: Vec<i64> = moves.filter_map(|moved| moved["amount"].as_i64()).collect();
    let Some(withdrawn) = moved.iter().find(|amount| **amount < 0).map(|amount| -amount) else {
        return 0;
    };
    let kept = (-moved.iter().sum::<i64>()).clamp(0, withdrawn);
    let disputed = cents(dispute, "amount").min(cents(charge, "amount"));
    (2 * disputed * kept + withdrawn) / (2 * withdrawn)
}

fn cents(object: &Value, name: &str) -> i64 {
    object[name].as_i64().unwrap_or_default()
}
