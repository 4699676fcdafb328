//! Requests to the HTTP API, each repeated with its key until it is answered.

use std::time::Duration;

use serde_json::Value;
use tollgate_tests::api::{Answered, ApiEvent};

use crate::chance::Chance;
use crate::clock::ClockOwner;
use crate::cloud::SimulatedCloud;
use crate::oracle::causes::STAFF;

/// A request is sent this often at most.
pub const SENT_MAX: u32 = 6;

/// Whose token a request has.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'a> {
    Customer(&'a str),
    /// The platform, for an account.
    Platform(&'a str),
    Staff,
}

/// How a request is sent.
#[derive(Clone, Debug)]
pub struct SendingManner {
    /// The `Idempotency-Key`.
    pub key: Option<String>,
    /// How often it is sent at most.
    pub sent_max: u32,
}

/// Sends requests. Clones draw from the same chance.
#[derive(Clone)]
pub struct Requester {
    pub cloud: SimulatedCloud,
    pub chance: Chance,
}

impl Requester {
    /// Sends a request with a new key until it is answered. `None` if it was refused or never
    /// answered.
    ///
    /// # Panics
    /// If the request cannot be made.
    pub async fn send(
        &self,
        caller: Caller<'_>,
        route: (&str, &str),
        at: &[(&str, &str)],
        body: &Value,
    ) -> Option<Answered> {
        let manner = SendingManner { key: Some(self.new_key()), sent_max: SENT_MAX };
        self.send_in(&manner, caller, route, at, body).await
    }

    /// A key that no other request has.
    #[must_use]
    pub fn new_key(&self) -> String {
        format!("k-{:016x}", self.chance.number(..))
    }

    /// The same in another manner.
    ///
    /// # Panics
    /// If the request cannot be made.
    pub async fn send_in(
        &self,
        manner: &SendingManner,
        caller: Caller<'_>,
        (method, path): (&str, &str),
        at: &[(&str, &str)],
        body: &Value,
    ) -> Option<Answered> {
        let parts = self.cloud.parts();
        let (net, route) = (parts.network.parts(), format!("{method} {path}"));
        for sent in 0..manner.sent_max {
            let event = event_of(caller, &route, &net.clocks.text_at(ClockOwner::Gateway));
            // A name that begins with a question mark is a parameter of the query.
            let mut event =
                at.iter().fold(event, |event, (name, value)| match name.strip_prefix('?') {
                    Some(name) => event.with(name, value),
                    None => event.at(name, value),
                });
            if let Some(key) = manner.key.as_ref().filter(|_| method != "GET") {
                event = event.key(key);
            }
            if !body.is_null() {
                event = event.json(body);
            }
            let answered = parts.functions.api(&route, &event).await;
            let shown = match &answered {
                Ok(answered) => format!("{} {}", answered.status, answered.code()),
                Err(died) => format!("{died:?}"),
            };
            net.journal.note(format!("{caller:?} {route} {at:?} {body}: {shown}"));
            match answered {
                Ok(answered) if answered.status < 400 => {
                    net.journal.reach(format!("answer {route}"));
                    return Some(answered);
                }
                Ok(answered) if answered.status < 500 && answered.status != 429 => {
                    net.journal.reach(format!("refusal {}", answered.code()));
                    return None;
                }
                Ok(answered) => net.journal.reach(format!("refusal {}", answered.code())),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_secs(1 << sent)).await;
        }
        None
    }
}

fn event_of(caller: Caller<'_>, route: &str, now: &str) -> ApiEvent {
    match caller {
        Caller::Customer(account) => ApiEvent::by(account, route, now),
        Caller::Platform(account) => ApiEvent::by("platform", route, now)
            .claim("sub", "platform")
            .scope("tollgate/platform")
            .header("tollgate-account", account),
        Caller::Staff => {
            ApiEvent::by(STAFF, route, now).claim("sub", STAFF).scope("tollgate/admin")
        }
    }
}
