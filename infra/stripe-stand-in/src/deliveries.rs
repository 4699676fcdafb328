//! Webhooks: the endpoints of each event, the times of its attempts, and the signature.
//!
//! The stand-in sends nothing itself. Its caller asks for due deliveries, sends them and reports
//! the results. Retries, duplicates and disorder are therefore under the caller's control and
//! reproducible.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;

use super::account::Account;
use super::control::{DeliveryPlan, Order};
use super::failure::Failure;
use super::requests::Request;

/// The pause after each failed attempt, in seconds. The last one applies to all later attempts.
/// Stripe retries "for up to three days with an exponential back off"
/// (<https://docs.stripe.com/webhooks>).
const RETRY_SECONDS: [i64; 6] = [5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 12 * 3600];

/// How long an event is tried, in seconds: three days.
const GIVE_UP_SECONDS: i64 = 72 * 3600;

/// A webhook request that is due: to be sent as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Names it in [`StripeStandIn::delivered`](super::StripeStandIn::delivered).
    pub id: u64,
    pub event: String,
    pub event_type: String,
    /// How often this was sent before.
    pub attempt: u32,
    /// Where to send it, by `POST`.
    pub url: String,
    pub body: String,
    /// The headers, with `Stripe-Signature`.
    pub headers: Vec<(String, String)>,
}

/// A delivery that is kept until it succeeded or was given up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outgoing {
    id: u64,
    event: String,
    endpoint: String,
    due: i64,
    first_due: i64,
    attempt: u32,
    state: DeliveryState,
    last_status: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum DeliveryState {
    Waiting,
    Sent,
    Succeeded,
    GivenUp,
}

impl Account {
    /// Queues an event for every endpoint that subscribes to its type. Returns their number.
    pub(super) fn hand_out(&mut self, event: &str, kind: &str) -> usize {
        let endpoints = self.ids("webhook_endpoint", |endpoint| {
            let wants = |wanted: &Value| wanted == "*" || wanted == kind;
            endpoint["status"] == "enabled"
                && endpoint["enabled_events"]
                    .as_array()
                    .is_some_and(|events| events.iter().any(wants))
        });
        let plan = self
            .plan
            .clone()
            .filter(|plan| plan.only.is_empty() || plan.only.iter().any(|only| only == kind));
        let (copies, delay) = plan.map_or((1, 0), |plan| (plan.copies, plan.delay_seconds));
        for endpoint in &endpoints {
            for _ in 0..copies {
                self.send(event, endpoint, delay);
            }
        }
        endpoints.len()
    }

    fn send(&mut self, event: &str, endpoint: &str, delay: i64) {
        let id = u64::try_from(self.deliveries.len()).unwrap_or(u64::MAX);
        let due = self.now + delay;
        self.deliveries.push(Outgoing {
            id,
            event: event.to_owned(),
            endpoint: endpoint.to_owned(),
            due,
            first_due: due,
            attempt: 0,
            state: DeliveryState::Waiting,
            last_status: None,
        });
    }

    /// Sends every event so far again to every endpoint that wants it; how many that are.
    pub(super) fn redeliver(&mut self, wanted: impl Fn(&str) -> bool) -> usize {
        let events: Vec<(String, String)> = self
            .objects
            .iter()
            .filter(|object| object["object"] == "event")
            .filter_map(|event| {
                Some((event["id"].as_str()?.to_owned(), event["type"].as_str()?.to_owned()))
            })
            .filter(|(id, _)| wanted(id))
            .collect();
        let before = self.deliveries.len();
        for (event, kind) in events {
            self.hand_out(&event, &kind);
        }
        self.deliveries.len() - before
    }

    /// The deliveries that are due and were not handed out yet.
    pub(super) fn due(&mut self) -> Vec<Delivery> {
        let now = self.now;
        let mut due: Vec<Outgoing> = self
            .deliveries
            .iter()
            .filter(|delivery| delivery.state == DeliveryState::Waiting && delivery.due <= now)
            .cloned()
            .collect();
        due.sort_by_key(|delivery| (delivery.due, delivery.id));
        match self.plan.as_ref().map_or(Order::AsHappened, |plan| plan.order) {
            Order::AsHappened => {}
            Order::Reversed => due.reverse(),
            Order::Shuffled(seed) => {
                due.sort_by_cached_key(|delivery| {
                    self.letters(&format!("order#{seed}#{}", delivery.id), 12)
                });
            }
        }
        let deliveries: Vec<Delivery> =
            due.iter().filter_map(|delivery| self.delivery(delivery)).collect();
        for delivery in &mut self.deliveries {
            if delivery.state == DeliveryState::Waiting && delivery.due <= now {
                delivery.state = DeliveryState::Sent;
            }
        }
        deliveries
    }

    /// When the next delivery is due, if any waits.
    pub(super) fn next_delivery(&self) -> Option<i64> {
        let waiting =
            self.deliveries.iter().filter(|delivery| delivery.state == DeliveryState::Waiting);
        waiting.map(|delivery| delivery.due).min()
    }

    /// The request for a delivery. `None` if the endpoint was deleted.
    fn delivery(&self, outgoing: &Outgoing) -> Option<Delivery> {
        let endpoint = self.get(&outgoing.endpoint)?;
        let mut event = self.get(&outgoing.event)?.clone();
        if let Some(version) = endpoint["api_version"].as_str() {
            event["api_version"] = json!(version);
        }
        let body = serde_json::to_string_pretty(&event).ok()?;
        let secrets =
            self.known(&outgoing.endpoint, "secrets").as_array().cloned().unwrap_or_default();
        let secrets: Vec<&str> = secrets.iter().filter_map(Value::as_str).collect();
        let headers = [
            ("Content-Type", "application/json; charset=utf-8".to_owned()),
            ("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)".to_owned()),
            ("Stripe-Signature", signature(self.now, &body, &secrets)),
        ];
        Some(Delivery {
            id: outgoing.id,
            event: outgoing.event.clone(),
            event_type: event["type"].as_str()?.to_owned(),
            attempt: outgoing.attempt,
            url: endpoint["url"].as_str()?.to_owned(),
            body,
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        })
    }

    /// Records the outcome of a delivery: a status, or `None` without an answer.
    pub(super) fn delivered(&mut self, id: u64, status: Option<u16>) {
        let now = self.now;
        let Some(delivery) = usize::try_from(id).ok().and_then(|id| self.deliveries.get_mut(id))
        else {
            return;
        };
        delivery.last_status = status;
        if status.is_some_and(|status| (200..300).contains(&status)) {
            delivery.state = DeliveryState::Succeeded;
        } else {
            let attempt = usize::try_from(delivery.attempt).unwrap_or(usize::MAX);
            let wait =
                RETRY_SECONDS.get(attempt).or(RETRY_SECONDS.last()).copied().unwrap_or_default();
            delivery.attempt += 1;
            delivery.due = now + wait;
            let over = delivery.due > delivery.first_due + GIVE_UP_SECONDS;
            delivery.state = if over { DeliveryState::GivenUp } else { DeliveryState::Waiting };
        }
        let event = delivery.event.clone();
        self.count_pending(&event);
    }

    fn count_pending(&mut self, event: &str) {
        let open = |state| matches!(state, DeliveryState::Waiting | DeliveryState::Sent);
        let endpoints: std::collections::BTreeSet<&str> = self
            .deliveries
            .iter()
            .filter(|delivery| delivery.event == event && open(delivery.state))
            .map(|delivery| delivery.endpoint.as_str())
            .collect();
        let pending = endpoints.len();
        self.change(event, &[], |event| event["pending_webhooks"] = json!(pending));
    }

    /// Deliveries that were handed out and not answered when the process ended are sent again.
    pub(super) fn forget_sent(&mut self) {
        for delivery in
            self.deliveries.iter_mut().filter(|delivery| delivery.state == DeliveryState::Sent)
        {
            delivery.state = DeliveryState::Waiting;
        }
    }

    /// Delays or copies the waiting deliveries.
    pub(super) fn apply_plan_to_waiting(&mut self, plan: &DeliveryPlan) {
        let waiting: Vec<(usize, String, String)> = self
            .deliveries
            .iter()
            .enumerate()
            .filter(|(_, delivery)| delivery.state == DeliveryState::Waiting)
            .map(|(place, delivery)| (place, delivery.event.clone(), delivery.endpoint.clone()))
            .collect();
        for (place, event, endpoint) in waiting {
            let kind = self.text(&event, "/type");
            if !plan.only.is_empty() && !plan.only.contains(&kind) {
                continue;
            }
            if let Some(delivery) = self.deliveries.get_mut(place) {
                delivery.due += plan.delay_seconds;
            }
            for _ in 1..plan.copies {
                self.send(&event, &endpoint, plan.delay_seconds);
            }
        }
    }

    pub(super) fn create_webhook_endpoint(&mut self, request: &Request) -> Result<Value, Failure> {
        let url = request.text("/url").unwrap_or_default();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Failure::invalid_as(
                "url_invalid",
                "Invalid URL: An explicit scheme (such as https) must be provided.",
            )
            .param("url"));
        }
        let secret = self.id("whsec_", 32);
        let id = self.add_endpoint(url, &secret, &request.at("/enabled_events"));
        let answer = self.change(&id, &[], |endpoint| {
            endpoint["api_version"] = request.at("/api_version");
            endpoint["description"] = request.at("/description");
            endpoint["metadata"] = request.map("/metadata");
        });
        // Only the answer to the creation ever shows the secret.
        let mut answer = answer;
        answer["secret"] = json!(secret);
        Ok(answer)
    }

    /// Adds an endpoint with a secret of the caller's own.
    pub(super) fn add_endpoint(&mut self, url: &str, secret: &str, events: &Value) -> String {
        let id = self.id("we_1", 23);
        let endpoint = json!({
            "id": id,
            "object": "webhook_endpoint",
            "api_version": null,
            "application": null,
            "created": self.now,
            "description": null,
            "enabled_events": events,
            "livemode": false,
            "metadata": {},
            "status": "enabled",
            "url": url,
        });
        self.add(endpoint, None);
        self.remember(&id, "secrets", json!([secret]));
        id
    }

    /// Makes an endpoint at that address, or brings the one there is to these events and the
    /// settings' version.
    pub(super) fn keep_endpoint(&mut self, url: &str, secret: &str, events: &[&str]) -> String {
        let known =
            self.ids("webhook_endpoint", |endpoint| endpoint["url"] == url).into_iter().next();
        let id = known.unwrap_or_else(|| self.add_endpoint(url, secret, &json!(events)));
        let version = self.settings.api_version.clone();
        self.change(&id, &[], |endpoint| {
            endpoint["enabled_events"] = json!(events);
            endpoint["api_version"] = json!(version);
        });
        id
    }

    pub(super) fn update_webhook_endpoint(&mut self, request: &Request) -> Result<Value, Failure> {
        self.of_kind("webhook_endpoint", request.id())?;
        Ok(self.change(request.id(), &[], |endpoint| {
            for field in ["url", "enabled_events", "description"] {
                if request.params.get(field).is_some() {
                    endpoint[field] = request.at(&format!("/{field}"));
                }
            }
            if let Some(disabled) = request.at("/disabled").as_bool() {
                endpoint["status"] = json!(if disabled { "disabled" } else { "enabled" });
            }
            super::objects::merge_metadata(endpoint, &request.at("/metadata"));
        }))
    }

    pub(super) fn delete_webhook_endpoint(&mut self, id: &str) -> Result<Value, Failure> {
        self.of_kind("webhook_endpoint", id)?;
        self.deliveries
            .iter_mut()
            .filter(|d| d.endpoint == id && d.state == DeliveryState::Waiting)
            .for_each(|d| {
                d.state = DeliveryState::GivenUp;
            });
        let deleted = json!({ "id": id, "object": "webhook_endpoint", "deleted": true });
        self.change(id, &[], |endpoint| {
            *endpoint = json!({ "id": id, "object": "deleted_webhook_endpoint" });
        });
        Ok(deleted)
    }

    pub(super) fn list_events(&mut self, request: &Request) -> Result<Value, Failure> {
        let types = request.at("/types");
        let kind = request.at("/type");
        let success = request.at("/delivery_success").as_bool();
        self.list_where("event", request, |event| {
            let of_type = kind.as_str().is_none_or(|kind| match kind.strip_suffix('*') {
                Some(start) => event["type"].as_str().is_some_and(|of| of.starts_with(start)),
                None => event["type"] == kind,
            });
            let of_types = types.as_array().is_none_or(|types| types.contains(&event["type"]));
            of_type && of_types && success.is_none_or(|success| self.all_arrived(event) == success)
        })
    }

    /// Whether no delivery of an event is still open or given up.
    fn all_arrived(&self, event: &Value) -> bool {
        let of_event = |delivery: &&Outgoing| event["id"] == delivery.event.as_str();
        self.deliveries
            .iter()
            .filter(of_event)
            .all(|delivery| delivery.state == DeliveryState::Succeeded)
    }
}

/// `Stripe-Signature`: the time and an HMAC-SHA256 over `time.body` for each secret
/// (<https://docs.stripe.com/webhooks#verify-manually>).
pub(super) fn signature(at: i64, body: &str, secrets: &[&str]) -> String {
    let mut header = format!("t={at}");
    for secret in secrets {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { continue };
        mac.update(format!("{at}.{body}").as_bytes());
        header.push_str(",v1=");
        header.push_str(&hex(&mac.finalize().into_bytes()));
    }
    header
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
