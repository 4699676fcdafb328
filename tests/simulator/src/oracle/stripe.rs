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

    pub fn charges_of(&self, account: &str) -> impl Iterator<Item = &'a Value> {
        let customers: BTreeSet<&str> = self
            .of_kind("customer")
            .filter(|customer| customer["metadata"]["tollgate_account"] == account)
            .filter_map(|customer| customer["id"].as_str())
            .collect();
        self.of_kind("charge").filter(|charge| charge["status"] == "succeeded").filter(
            move |charge| charge["customer"].as_str().is_some_and(|id| customers.contains(id)),
        )
    }

    /// What is left of a charge, in millionths of a dollar.
    fn kept(charge: &Value) -> Micros {
        let cents = |name: &str| charge[name].as_i64().unwrap_or_default();
        of_cents(cents("amount") - cents("amount_refunded"))
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
        let kept_of = |charge: &Value| {
            let disputes =
                self.of_kind("dispute").filter(|dispute| dispute["charge"] == charge["id"]);
            let moved = disputes.flat_map(|dispute| {
                dispute["balance_transactions"].as_array().into_iter().flatten()
            });
            let cents: i64 = moved.filter_map(|moved| moved["amount"].as_i64()).sum();
            // A payment that was disputed twice is taken once.
            (Self::kept(charge) + of_cents(cents)).max(0)
        };
        self.charges_of(account).map(kept_of).sum()
    }
}
