//! Small pieces that several of Stripe's objects share.

use serde_json::{Value, json};

/// An address of which nothing is known.
pub(super) fn no_address() -> Value {
    json!({ "city": null, "country": null, "line1": null, "line2": null, "postal_code": null, "state": null })
}

/// `billing_details` with nothing but a name, an e-mail and an address.
pub(super) fn billing_details(name: &Value, email: &Value, address: &Value) -> Value {
    json!({
        "address": if address.is_object() { address.clone() } else { no_address() },
        "email": email,
        "name": name,
        "phone": null,
        "tax_id": null,
    })
}

/// Adds keys to an object's metadata; a key with an empty value is removed, an empty map removes
/// all.
pub(super) fn merge_metadata(object: &mut Value, sent: &Value) {
    match sent {
        Value::Object(sent) => {
            if !object["metadata"].is_object() {
                object["metadata"] = json!({});
            }
            let Some(metadata) = object["metadata"].as_object_mut() else { return };
            for (key, value) in sent {
                if value.is_null() {
                    metadata.remove(key);
                } else {
                    metadata.insert(key.clone(), value.clone());
                }
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
    }
}

/// Sets the fields of `sent` in `object`, nested objects field by field.
pub(super) fn merge(object: &mut Value, sent: &Value) {
    let Value::Object(sent) = sent else {
        *object = sent.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in sent {
        merge(&mut object[name.as_str()], value);
    }
}

/// A percentage in basis points of an amount in cents, half up.
pub(super) fn share_of(amount: i64, basis_points: i64) -> i64 {
    (amount * basis_points + 5_000) / 10_000
}

/// Cents as a customer reads them: `$25.00`.
pub(super) fn dollars(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.abs();
    format!("{sign}${}.{:02}", cents / 100, cents % 100)
}
