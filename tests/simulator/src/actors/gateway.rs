//! A gateway in front of metered calls: it holds credit, serves calls from it, and captures what they
//! cost. It forgets, and dies.

use std::time::Duration;

use serde_json::{Value, json};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use crate::actors::customer::SimulatedCustomer;
use crate::actors::requests::{Caller, Requester, SENT_MAX, SendingManner};
use crate::captures::SentCapture;
use crate::chance::Chance;

/// The metered SKUs, and how many units a cent buys.
static METERED: [(&str, u64); 2] = [("tokens", 500), ("calls", 20)];
/// What is held, in cents.
const HELD_CENTS: [u64; 7] = [1, 25, 100, 100, 500, 2_000, 10_000];
/// For how long, in seconds.
const HELD_SECONDS: [Option<u64>; 7] =
    [None, None, Some(20), Some(300), Some(3_600), Some(40_000), Some(86_400)];
/// How many holds are made at once at most.
const HOLDS_AT_ONCE_MAX: u32 = 13;
/// Accounts that have a gateway, in a thousand.
const GATEWAYS: u32 = 700;

const HOLDS: &str = "/v1/holds";
const HOLD: &str = "/v1/holds/{hold}";
const CAPTURE: &str = "/v1/holds/{hold}/capture";
const EXTEND: &str = "/v1/holds/{hold}/extend";
const RELEASE: &str = "/v1/holds/{hold}/release";
const ALLOWANCE: &str = "/v1/allowance";

/// How work under a hold ends.
#[derive(Clone, Copy, Debug)]
enum WorkEnd {
    Captured,
    /// With more than was held.
    CapturedBeyond,
    /// Nothing more was used.
    CapturedWithNothing,
    /// Again under another key, soon or late.
    CapturedTwice,
    /// By two processes, each with its own figures.
    CapturedAtOnce,
    Released,
    /// Some calls were still under way.
    ReleasedTooEarly,
    ReleasedWhileCaptured,
    Forgotten,
    /// After the hold has expired.
    CapturedLate,
}

const WORK_ENDS: [(u32, WorkEnd); 10] = [
    (8, WorkEnd::Captured),
    (3, WorkEnd::CapturedBeyond),
    (2, WorkEnd::CapturedWithNothing),
    (2, WorkEnd::CapturedTwice),
    (2, WorkEnd::CapturedAtOnce),
    (3, WorkEnd::Released),
    (2, WorkEnd::ReleasedTooEarly),
    (1, WorkEnd::ReleasedWhileCaptured),
    (3, WorkEnd::Forgotten),
    (4, WorkEnd::CapturedLate),
];

/// The gateway of an account. Clones are the same one.
#[derive(Clone)]
struct Gateway {
    account: String,
    requester: Requester,
    until: UtcDateTime,
}

/// A hold, and for what it is.
#[derive(Clone, Debug)]
struct OpenHold {
    id: String,
    skus: Vec<&'static str>,
    cents: u64,
    expires_at: UtcDateTime,
}

/// What a capture bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CapturedPart {
    /// The hold stays open.
    Part,
    Last,
}

/// How sure a process is to hear of a request's end.
#[derive(Clone, Copy, Debug)]
enum Patience {
    UntilAnswered,
    /// The process dies before.
    Once,
}

impl SimulatedCustomer {
    /// Serves metered calls of this customer until the end, if there is a gateway.
    pub async fn serve_calls(self, chance: Chance, until: UtcDateTime) {
        let Some(pause_minutes) = self.habits.hold_minutes else { return };
        if !chance.happens(GATEWAYS) {
            return;
        }
        let requester = Requester { cloud: self.requester.cloud.clone(), chance };
        let gateway = Gateway { account: self.account.clone(), requester, until };
        while !gateway.is_over() {
            gateway.pause(pause_minutes * 60).await;
            if gateway.is_over() {
                return;
            }
            let Some(project) = self.project().await else { continue };
            let chance = &gateway.requester.chance;
            if chance.happens(300) && !gateway.is_allowed(&project).await && chance.happens(800) {
                continue;
            }
            if chance.happens(100) {
                gateway.make_mistake(&project).await;
            }
            let mut holds = *chance.pick(&[1, 1, 1, 1, 2, 2, 4]);
            if chance.happens(30) {
                // More than may be open.
                holds = HOLDS_AT_ONCE_MAX;
            }
            for _ in 0..holds {
                let (gateway, project) = (gateway.clone(), project.clone());
                tokio::task::spawn_local(async move { gateway.serve(&project).await });
            }
        }
    }
}

impl Gateway {
    fn is_over(&self) -> bool {
        self.requester.cloud.parts().network.parts().clock.now() >= self.until
    }

    async fn pause(&self, most: u64) {
        let seconds = self.requester.chance.number(1..=most);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    async fn ask(&self, route: (&str, &str), hold: &str, body: &Value) -> Option<Value> {
        let platform = Caller::Platform(&self.account);
        let at = [("hold", hold)];
        let at = if hold.is_empty() { &at[1..] } else { &at };
        let answered = self.requester.send(platform, route, at, body).await?;
        Some(answered.body)
    }

    fn violate(&self, rule: String) {
        self.requester.cloud.parts().network.parts().journal.violate(rule);
    }

    /// Notes a hold that an answer shows.
    fn note(&self, shown: &Value) {
        let log = &self.requester.cloud.parts().captured;
        log.borrow_mut().shown(&self.account, shown.clone());
    }

    async fn is_allowed(&self, project: &str) -> bool {
        let chance = &self.requester.chance;
        let (sku, _) = chance.pick(&METERED);
        let amount = *chance.pick(&["0.01", "1.00", "50.00"]);
        let at = [("?project", project), ("?sku", sku), ("?amount", amount)];
        let platform = Caller::Platform(&self.account);
        let shown = self.requester.send(platform, ("GET", ALLOWANCE), &at, &Value::Null).await;
        let Some(shown) = shown.map(|shown| shown.body) else { return false };
        let is_allowed = shown["allowed"] == true;
        if is_allowed != shown["reason"].is_null() {
            self.violate(format!("{}: an allowance is {shown}", self.account));
        }
        is_allowed
    }

    /// A hold, some work, and its end.
    async fn serve(&self, project: &str) {
        let chance = &self.requester.chance;
        let Some(mut hold) = self.hold(project).await else { return };
        for _ in 0..*chance.pick(&[0, 0, 1, 2, 5]) {
            self.pause(*chance.pick(&[2, 60, 400, 2_000])).await;
            if self.is_over() {
                return;
            }
            match chance.number(..10) {
                0 => self.look(&hold).await,
                1 => self.extend(&mut hold).await,
                2 => self.capture_and_die(&hold, CapturedPart::Part).await,
                _ => {
                    let most = *chance.pick(&[20, 50, 120]);
                    let body = self.usage(&hold, most, CapturedPart::Part);
                    self.capture_keyed(&hold, &body, Patience::UntilAnswered).await;
                }
            }
        }
        self.pause(*chance.pick(&[2, 60, 400])).await;
        if !self.is_over() {
            self.end(&hold).await;
        }
    }

    async fn hold(&self, project: &str) -> Option<OpenHold> {
        let chance = &self.requester.chance;
        let cents = *chance.pick(&HELD_CENTS);
        let skus = *chance.pick(&[&METERED[..], &METERED[..1], &METERED[1..]]);
        let skus: Vec<&str> = skus.iter().map(|(sku, _)| *sku).collect();
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        let mut wish = json!({"project": project, "skus": skus, "amount": amount});
        if let Some(seconds) = chance.pick(&HELD_SECONDS) {
            wish["expires_in"] = json!(seconds);
        }
        if chance.happens(50) {
            // The process dies, and nobody knows of the hold.
            self.send((HOLDS, ""), &wish, Some(self.requester.new_key()), Patience::Once).await;
            return None;
        }
        let made = self.ask(("POST", HOLDS), "", &wish).await?;
        self.note(&made);
        if made["amount"] != amount.as_str() || made["status"] != "open" {
            self.violate(format!("{}: {wish} is held as {made}", self.account));
        }
        let expires_at = made["expires_at"].as_str()?;
        let expires_at = UtcDateTime::parse(expires_at, &Rfc3339).ok()?;
        Some(OpenHold { id: made["id"].as_str()?.to_owned(), skus, cents, expires_at })
    }

    async fn look(&self, hold: &OpenHold) {
        if let Some(shown) = self.ask(("GET", HOLD), &hold.id, &Value::Null).await {
            self.note(&shown);
        }
    }

    async fn extend(&self, hold: &mut OpenHold) {
        let seconds = self.requester.chance.pick(&HELD_SECONDS).unwrap_or(600);
        let wish = json!({"expires_in": seconds});
        if let Some(shown) = self.ask(("POST", EXTEND), &hold.id, &wish).await {
            self.note(&shown);
            let expires_at = shown["expires_at"].as_str().unwrap_or_default();
            hold.expires_at = UtcDateTime::parse(expires_at, &Rfc3339).unwrap_or(hold.expires_at);
        }
    }

    async fn release(&self, hold: &OpenHold) {
        if let Some(shown) = self.ask(("POST", RELEASE), &hold.id, &Value::Null).await {
            self.note(&shown);
            if shown["status"] == "open" || shown["held"] != "0.00" {
                self.violate(format!("{}: released, and shown as {shown}", self.account));
            }
        }
    }

    /// What was used, up to so much in a hundred of what was held.
    fn usage(&self, hold: &OpenHold, most: u64, part: CapturedPart) -> Value {
        let chance = &self.requester.chance;
        let lines = chance.number(1..=3);
        let lines = (0..lines).map(|_| {
            let sku = *chance.pick(&hold.skus);
            let a_cent = METERED.iter().find(|(metered, _)| *metered == sku);
            let held = a_cent.map_or(1, |(_, units)| units * hold.cents);
            let units = chance.number(0..=(held * most / 100 / lines).max(1));
            let fraction = *chance.pick(&["", "", ".5", ".000001"]);
            let mut line = json!({"sku": sku, "quantity": format!("{units}{fraction}")});
            if chance.happens(300) {
                line["labels"] = json!({"api_key": chance.pick(&["k1", "k2"])});
            }
            line
        });
        let lines: Vec<Value> = lines.collect();
        match part {
            CapturedPart::Part => json!({"usage": lines, "final": false}),
            CapturedPart::Last => json!({"usage": lines}),
        }
    }

    async fn capture(&self, hold: &OpenHold, most: u64) {
        let body = self.usage(hold, most, CapturedPart::Last);
        // The last capture is known by its hold, and needs no key.
        let key = self.requester.chance.happens(500).then(|| self.requester.new_key());
        self.send_capture(hold, &body, key, Patience::UntilAnswered).await;
    }

    async fn capture_keyed(&self, hold: &OpenHold, body: &Value, patience: Patience) {
        self.send_capture(hold, body, Some(self.requester.new_key()), patience).await;
    }

    /// The process dies with the request. Another one may know of it, and repeat it.
    async fn capture_and_die(&self, hold: &OpenHold, part: CapturedPart) {
        let chance = &self.requester.chance;
        let (body, key) = (self.usage(hold, 60, part), Some(self.requester.new_key()));
        self.send_capture(hold, &body, key.clone(), Patience::Once).await;
        if chance.happens(600) {
            self.pause(*chance.pick(&[2, 600, 4_000])).await;
            if !self.is_over() {
                self.send_capture(hold, &body, key, Patience::UntilAnswered).await;
            }
        }
    }

    async fn send_capture(
        &self,
        hold: &OpenHold,
        body: &Value,
        key: Option<String>,
        patience: Patience,
    ) {
        let log = &self.requester.cloud.parts().captured;
        let capture = SentCapture {
            hold: hold.id.clone(),
            key: key.clone(),
            body: body.clone(),
            answer: None,
        };
        let place = log.borrow_mut().sent(&self.account, capture);
        let answer = self.send((CAPTURE, &hold.id), body, key, patience).await;
        if let Some(answer) = answer {
            log.borrow_mut().answered(&self.account, place, answer);
        }
    }

    async fn send(
        &self,
        (path, hold): (&str, &str),
        body: &Value,
        key: Option<String>,
        patience: Patience,
    ) -> Option<Value> {
        let sent_max = match patience {
            Patience::UntilAnswered => SENT_MAX,
            Patience::Once => 1,
        };
        let manner = SendingManner { key, sent_max };
        let platform = Caller::Platform(&self.account);
        let at = [("hold", hold)];
        let at = if hold.is_empty() { &at[1..] } else { &at };
        let answered = self.requester.send_in(&manner, platform, ("POST", path), at, body).await;
        answered.map(|answered| answered.body)
    }

    async fn end(&self, hold: &OpenHold) {
        let chance = &self.requester.chance;
        let end = *chance.weighted(&WORK_ENDS);
        self.requester.cloud.parts().network.parts().journal.reach(format!("hold {end:?}"));
        match end {
            WorkEnd::Captured if chance.happens(200) => {
                self.capture_and_die(hold, CapturedPart::Last).await;
            }
            WorkEnd::Captured => self.capture(hold, 100).await,
            WorkEnd::CapturedBeyond => self.capture(hold, 400).await,
            WorkEnd::CapturedWithNothing => {
                let nothing = json!({"usage": []});
                self.send_capture(hold, &nothing, None, Patience::UntilAnswered).await;
            }
            WorkEnd::CapturedTwice => {
                self.capture(hold, 100).await;
                self.pause(*chance.pick(&[2, 4_000])).await;
                if !self.is_over() {
                    self.capture(hold, 100).await;
                }
            }
            WorkEnd::CapturedAtOnce => {
                tokio::join!(self.capture(hold, 80), self.capture(hold, 80));
            }
            WorkEnd::Released => self.release(hold).await,
            WorkEnd::ReleasedTooEarly => {
                self.release(hold).await;
                self.pause(300).await;
                if !self.is_over() {
                    self.capture(hold, 30).await;
                }
            }
            WorkEnd::ReleasedWhileCaptured => {
                tokio::join!(self.release(hold), self.capture(hold, 80));
            }
            WorkEnd::Forgotten => {}
            WorkEnd::CapturedLate => self.capture_late(hold).await,
        }
        if chance.happens(300) && !self.is_over() {
            self.look(hold).await;
        }
    }

    /// Captures about when the hold expires, or long after, and perhaps twice.
    async fn capture_late(&self, hold: &OpenHold) {
        let chance = &self.requester.chance;
        let clock = self.requester.cloud.parts().network.parts().clock;
        clock.sleep_until(hold.expires_at).await;
        self.pause(*chance.pick(&[2, 60, 10_000])).await;
        for _ in 0..*chance.pick(&[1, 1, 2]) {
            if !self.is_over() {
                self.capture(hold, 120).await;
            }
        }
        if chance.happens(200) && !self.is_over() {
            let part = self.usage(hold, 20, CapturedPart::Part);
            self.capture_keyed(hold, &part, Patience::UntilAnswered).await;
        }
    }

    /// Asks for what makes no sense. It must be refused.
    async fn make_mistake(&self, project: &str) {
        let chance = &self.requester.chance;
        let wish = |skus: Value, amount: &str, seconds: i64| json!({"project": project, "skus": skus, "amount": amount, "expires_in": seconds});
        let used =
            |last: bool| json!({"usage": [{"sku": "tokens", "quantity": "1"}], "final": last});
        let (path, hold, body) = match chance.number(..9) {
            0 => (HOLDS, "", wish(json!(["tokens"]), "0.00", 60)),
            1 => (HOLDS, "", wish(json!([]), "1.00", 60)),
            2 => (HOLDS, "", wish(json!(["vm"]), "1.00", 60)),
            3 => (HOLDS, "", wish(json!(["tokens"]), "1.00", 86_401)),
            4 => (HOLDS, "", wish(json!(["tokens"]), "1000000.00", 60)),
            5 => (CAPTURE, "hold-0", used(true)),
            6 => (CAPTURE, "hold-999999", used(true)),
            7 => (RELEASE, "hold-0", Value::Null),
            // A part without a key.
            _ => (CAPTURE, "hold-1", used(false)),
        };
        let key = (body["final"] != false).then(|| self.requester.new_key());
        let answer = self.send((path, hold), &body, key, Patience::UntilAnswered).await;
        if let Some(answer) = answer {
            self.violate(format!("{}: {path} {hold} {body} is answered {answer}", self.account));
        }
    }
}
