//! The state of the one Stripe account: its objects, its events and its scheduled work.
//!
//! Objects are kept as the JSON that Stripe answers with. Facts that Stripe knows and never shows
//! (the number of a card, the request of a session) are kept separately in `hidden`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::control::{CardRule, DeliveryPlan, StripeFault};
use super::deliveries::Outgoing;
use super::failure::Failure;
use super::requests::{SavedAnswer, StripeCall};

/// Everything that is kept between runs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    pub(super) seed: u64,
    counter: u64,
    /// Where the pages were when the account was saved.
    served_from: String,
    /// The time of the latest call, Unix seconds.
    pub(super) now: i64,
    /// All objects in the order they were made.
    pub(super) objects: Vec<Value>,
    #[serde(skip)]
    index: BTreeMap<String, usize>,
    /// Facts about an object that Stripe does not show.
    pub(super) hidden: BTreeMap<String, Map<String, Value>>,
    pub(super) agenda: BTreeSet<(i64, u64, Later)>,
    pub(super) deliveries: Vec<Outgoing>,
    pub(super) answers: BTreeMap<String, SavedAnswer>,
    pub(super) calls: Vec<StripeCall>,
    pub(super) faults: Vec<StripeFault>,
    pub(super) card_rules: BTreeMap<String, CardRule>,
    pub(super) plan: Option<DeliveryPlan>,
    /// The request being answered, which its events name.
    #[serde(skip)]
    pub(super) request: Option<(String, Option<String>)>,
    #[serde(skip)]
    pub(super) settings: Settings,
}

/// The part of the configuration that the account needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) public_url: String,
    pub(super) api_version: String,
    pub(super) tax_basis_points: i64,
    pub(super) bank_debit_seconds: Option<i64>,
    pub(super) refund_seconds: i64,
}

/// Work that time brings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Later {
    /// An open Checkout Session expires.
    SessionExpires(String),
    /// The bank answers a debit.
    BankDebitEnds(String),
    /// A pending refund succeeds.
    RefundSucceeds(String),
    /// A refund that looked succeeded fails.
    RefundFails(String),
}

impl Account {
    /// Makes the look-up from id to object again, after loading.
    pub(super) fn reindex(&mut self) {
        self.index = self
            .objects
            .iter()
            .enumerate()
            .filter_map(|(place, object)| Some((object.get("id")?.as_str()?.to_owned(), place)))
            .collect();
    }

    /// The pages of kept objects are where the pages are now: the port may be another one.
    pub(super) fn serve_from(&mut self, url: &str) {
        let before = std::mem::replace(&mut self.served_from, url.to_owned());
        if !before.is_empty() && before != url {
            self.objects.iter_mut().for_each(|object| move_pages(object, &before, url));
        }
    }

    /// Whether no object was made yet.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Brings the account up to `now`. Scheduled work runs at its own time and in order.
    pub(super) fn settle(&mut self, now: i64) {
        while let Some((at, _, _)) = self.agenda.first() {
            if *at > now {
                break;
            }
            let Some((at, _, later)) = self.agenda.pop_first() else { break };
            self.now = self.now.max(at);
            self.happens(&later);
        }
        self.now = now;
    }

    fn happens(&mut self, later: &Later) {
        match later {
            Later::SessionExpires(session) => self.session_expires(session),
            Later::BankDebitEnds(intent) => {
                let end = self.end_of_bank_debit(intent);
                self.bank_debit_ends(intent, end);
            }
            Later::RefundSucceeds(refund) => self.refund_succeeds(refund),
            Later::RefundFails(refund) => self.refund_fails(refund),
        }
    }

    /// Puts something on the agenda.
    pub(super) fn later(&mut self, at: i64, later: Later) {
        self.counter += 1;
        self.agenda.insert((at, self.counter, later));
    }

    /// A new id: prefix and `length` letters and digits, the same for the same seed and order of
    /// calls.
    pub(super) fn id(&mut self, prefix: &str, length: usize) -> String {
        self.counter += 1;
        let letters = self.letters(&format!("{prefix}#{}", self.counter), length);
        format!("{prefix}{letters}")
    }

    /// Letters and digits that follow from the seed and `of`.
    pub(super) fn letters(&self, of: &str, length: usize) -> String {
        const ALPHABET: &[u8; 62] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut letters = String::with_capacity(length);
        let mut round = 0_u32;
        while letters.len() < length {
            let digest = Sha256::digest(format!("{}#{of}#{round}", self.seed));
            let taken = digest.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 62)));
            letters.extend(taken.take(length - letters.len()).map(|letter| char::from(*letter)));
            round += 1;
        }
        letters
    }

    /// The object with this id.
    pub(super) fn get(&self, id: &str) -> Option<&Value> {
        self.index.get(id).and_then(|place| self.objects.get(*place))
    }

    /// The object of this kind with this id, as named by a URL.
    pub(super) fn of_kind(&self, kind: &str, id: &str) -> Result<&Value, Failure> {
        self.get(id)
            .filter(|object| object["object"] == kind)
            .ok_or_else(|| Failure::missing(kind, id))
    }

    /// A customer that a parameter names and that was not deleted.
    pub(super) fn customer_of(&self, param: &str, id: &str) -> Result<&Value, Failure> {
        let customer =
            self.of_kind("customer", id).ok().filter(|customer| customer.get("deleted").is_none());
        customer.ok_or_else(|| Failure::missing_in(param, "customer", id))
    }

    /// A text field of an object, empty if it has none.
    pub(super) fn text(&self, id: &str, field: &str) -> String {
        self.get(id)
            .and_then(|object| object.pointer(field))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// A number of an object, 0 if it has none.
    pub(super) fn number(&self, id: &str, field: &str) -> i64 {
        self.get(id)
            .and_then(|object| object.pointer(field))
            .and_then(Value::as_i64)
            .unwrap_or_default()
    }

    /// A fact about an object that Stripe does not show.
    pub(super) fn known(&self, id: &str, name: &str) -> &Value {
        self.hidden.get(id).and_then(|known| known.get(name)).unwrap_or(&Value::Null)
    }

    /// The same as text, empty if it is not known.
    pub(super) fn known_text(&self, id: &str, name: &str) -> String {
        self.known(id, name).as_str().unwrap_or_default().to_owned()
    }

    /// Remembers something about an object.
    pub(super) fn remember(&mut self, id: &str, name: &str, value: Value) {
        self.hidden.entry(id.to_owned()).or_default().insert(name.to_owned(), value);
    }

    /// Adds an object; `event` reports it.
    pub(super) fn add(&mut self, object: Value, event: Option<&str>) -> Value {
        if let Some(id) = object.get("id").and_then(Value::as_str) {
            self.index.insert(id.to_owned(), self.objects.len());
        }
        self.objects.push(object.clone());
        if let Some(event) = event {
            self.emit(event, object.clone(), None);
        }
        object
    }

    /// Changes an object; each event reports it, with `previous_attributes` where Stripe gives
    /// them.
    pub(super) fn change(
        &mut self,
        id: &str,
        events: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> Value {
        let Some(place) = self.index.get(id).copied() else { return Value::Null };
        let Some(object) = self.objects.get_mut(place) else { return Value::Null };
        let before = object.clone();
        change(object);
        let after = object.clone();
        for event in events {
            let gives_previous = event.ends_with(".updated") || event.ends_with(".detached");
            self.emit(event, after.clone(), gives_previous.then(|| previous(&before, &after)));
        }
        after
    }

    /// Creates an event and queues it for every endpoint that subscribes to its type.
    pub(super) fn emit(&mut self, kind: &str, object: Value, previous_attributes: Option<Value>) {
        let mut data = Map::new();
        data.insert("object".to_owned(), object);
        if let Some(previous_attributes) = previous_attributes {
            data.insert("previous_attributes".to_owned(), previous_attributes);
        }
        let (request, key) = self.request.clone().map_or((None, None), |(id, key)| (Some(id), key));
        let id = self.id("evt_1", 23);
        let event = json!({
            "id": id,
            "object": "event",
            "api_version": self.settings.api_version,
            "created": self.now,
            "data": data,
            "livemode": false,
            "pending_webhooks": 0,
            "request": { "id": request, "idempotency_key": key },
            "type": kind,
        });
        self.add(event, None);
        let pending = self.hand_out(&id, kind);
        self.change(&id, &[], |event| event["pending_webhooks"] = json!(pending));
    }

    /// The ids of a kind, oldest first.
    pub(super) fn ids(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
        self.objects
            .iter()
            .filter(|object| object["object"] == kind && wanted(object))
            .filter_map(|object| Some(object.get("id")?.as_str()?.to_owned()))
            .collect()
    }
}

fn move_pages(value: &mut Value, before: &str, now: &str) {
    match value {
        Value::String(text) => {
            if let Some(path) = text.strip_prefix(before).filter(|path| path.starts_with('/')) {
                *text = format!("{now}{path}");
            }
        }
        Value::Array(elements) => {
            elements.iter_mut().for_each(|element| move_pages(element, before, now));
        }
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| move_pages(field, before, now));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The fields that changed, with the values they had.
fn previous(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return json!({}) };
    let changed = before.iter().filter(|(name, value)| after.get(*name) != Some(*value));
    Value::Object(changed.map(|(name, value)| (name.clone(), value.clone())).collect())
}
