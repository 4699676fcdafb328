//! When an account must be looked at, from its state alone, and what its schedule item says.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::amounts::{DOLLAR, Micros, cost, hourly_rate, micros, seconds_paid};
use super::ensure;
use super::holds::{available_in, held_in};
use super::row::{FundNumber, PAID, array, fund, number};
use super::time::HOUR;

const DAY: i64 = 24 * HOUR;
/// How long deleted resources can be restored, as the policy says.
const RESTORE_SECONDS: i64 = 14 * DAY;
/// How long the card of a suspended account is charged, as the policy says.
const CHARGED_SECONDS: i64 = 14 * DAY;
/// How long an attempt may be open before it is driven on, as the policy says.
const ATTEMPT_SECONDS: i64 = 120;
/// How long Stripe has to answer whoever began a refund.
const REFUND_SECONDS: i64 = 120;
/// The parts of an index.
const SHARDS: u8 = 64;

/// What the schedule item of an account must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemandedSchedule {
    /// Whether the hourly run looks at the account.
    pub is_billable: bool,
    pub due_at: Option<i64>,
}

/// The state of an account after its last row.
#[derive(Clone, Copy, Debug)]
struct StateView<'a> {
    state: &'a Value,
    at: i64,
}

impl DemandedSchedule {
    /// What a state demands, after a row of this time.
    ///
    /// # Errors
    /// What of the state cannot be read.
    pub fn of(state: &Value, at: i64) -> Result<Self, String> {
        let view = StateView { state, at };
        let is_billable = view.is_billed() || state["m"].as_u64() > Some(0);
        let due_at = [
            view.money_ends()?,
            view.trial_is_told()?,
            view.returns()?,
            view.stops_at_zero(),
            view.deletions()?,
            view.refills()?,
            view.refunds(),
        ];
        Ok(Self { is_billable, due_at: due_at.into_iter().flatten().min() })
    }

    /// The item says the same, in the shard of its account.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check(&self, account: &str, item: &Value) -> Result<(), String> {
        let due_at = item["due_at"].is_object().then(|| number::<i64>(&item["due_at"]));
        let stored =
            Self { is_billable: item["billable_shard"].is_object(), due_at: due_at.transpose()? };
        ensure!(stored == *self, "the state demands {self:?}, and the schedule has {stored:?}");
        let shard = Sha256::digest(account.as_bytes())[0] % SHARDS;
        for (is_there, name) in
            [(stored.is_billable, "billable_shard"), (stored.due_at.is_some(), "due_shard")]
        {
            let shard = shard.to_string();
            let expected = is_there.then_some(shard.as_str());
            ensure!(item[name]["S"].as_str() == expected, "the item has {name} {}", item[name]);
        }
        Ok(())
    }
}

impl StateView<'_> {
    fn seconds(&self, path: &str) -> Option<i64> {
        self.state.pointer(path).and_then(Value::as_i64)
    }

    fn amount(&self, path: &str) -> Result<Micros, String> {
        self.state.pointer(path).map_or(Ok(0), micros)
    }

    fn is_good(&self) -> bool {
        self.state["s"].is_null()
    }

    fn is_frozen(&self) -> bool {
        self.state["f"].is_object()
    }

    fn is_billed(&self) -> bool {
        let running = self.state["b"]["k"].as_object().is_some_and(|kinds| !kinds.is_empty());
        running || self.seconds("/b/i") > Some(0)
    }

    fn is_suspended_for_credit(&self) -> bool {
        self.state["s"]["suspended"].is_object() && self.state["s"]["suspended"]["y"] != "staff"
    }

    fn runs_trial(&self) -> bool {
        let trial = &self.state["t"];
        trial.is_object() && (trial["s"].is_null() || trial["s"] == "active")
    }

    /// What no hold keeps of paid credit, and of the grants with their ends.
    fn free(&self) -> Result<(Micros, Vec<(i64, Micros)>), String> {
        let held = held_in(self.state)?;
        let free = |fund: FundNumber, left| left - held.get(&fund).copied().unwrap_or_default();
        let mut grants = Vec::new();
        for grant in array(&self.state["g"]) {
            let expires_at = grant["x"].as_i64().ok_or("a grant without end")?;
            grants.push((expires_at, free(fund(&grant["n"])?, micros(&grant["r"])?)));
        }
        Ok((free(PAID, self.amount("/c")?), grants))
    }

    fn floor(&self) -> Result<Micros, String> {
        let floors = ["suspended", "deleting", "deleted"];
        floors.map(|name| self.amount(&format!("/s/{name}/l"))).into_iter().sum()
    }

    fn is_above_floor(&self) -> Result<bool, String> {
        Ok(available_in(self.state)? > self.floor()?)
    }

    /// What is owed, with what was kept up to the row.
    fn owed(&self) -> Result<Micros, String> {
        let recorded = self.amount("/o")?;
        let kept = "/s/suspended/k";
        let from = self.seconds(&format!("{kept}/f"));
        let (Some(from), Some(until)) = (from, self.seconds(&format!("{kept}/t"))) else {
            return Ok(recorded);
        };
        let rate = hourly_rate(self.state.pointer(&format!("{kept}/r")).unwrap_or(&Value::Null))?;
        Ok(recorded + cost(rate, (self.at.min(until) - from).max(0)))
    }

    /// Whether any credit is left that has not expired and is not held, and no debt comes before it.
    fn has_credit(&self) -> Result<bool, String> {
        let (paid, grants) = self.free()?;
        let lasting = grants.iter().filter(|(expires_at, _)| *expires_at > self.at);
        Ok(paid + lasting.map(|(_, free)| free).sum::<Micros>() > 0)
    }

    /// The end of a payment that is expected, of a hold, of a trial, of a grant, and of an hour that
    /// was only paid in part. The hourly run looks at full hours.
    fn money_ends(&self) -> Result<Option<i64>, String> {
        let holds = array(&self.state["h"]).iter().filter_map(|hold| hold["x"].as_i64());
        let pending = array(&self.state["pp"]).iter().filter_map(|pending| pending["x"].as_i64());
        let (_, grants) = self.free()?;
        let grants = array(&self.state["g"]).iter().zip(grants).filter(|(grant, (_, free))| {
            let is_of_trial = grant["k"] == "trial" && self.runs_trial();
            *free > 0 && !is_of_trial
        });
        let grants = grants.map(|(_, (expires_at, _))| expires_at);
        let paid = self.seconds("/p/t").filter(|_| self.is_good() && self.is_billed());
        // The hourly run leaves the hour to a respite that lasts longer.
        let paid = paid.and_then(|through| match through.rem_euclid(HOUR) {
            0 => self.respite_until().filter(|until| *until > through),
            _ => Some(through),
        });
        Ok(pending.chain(holds).chain(self.trial_ends()?).chain(grants).chain(paid).min())
    }

    /// A trial ends at its time, or as soon as its credit is used while everything is off.
    fn trial_ends(&self) -> Result<Option<i64>, String> {
        let Some(planned) = self.seconds("/t/t").filter(|_| self.runs_trial()) else {
            return Ok(None);
        };
        let is_off = self.is_suspended_for_credit()
            || self.state["s"]["deleting"].is_object()
            || self.state["s"]["deleted"].is_object();
        let grants = array(&self.state["g"]).iter().filter(|grant| grant["k"] == "trial");
        let left = grants.map(|grant| micros(&grant["r"])).sum::<Result<Micros, String>>()?;
        let is_used = is_off && self.state["pe"].is_null() && left <= self.floor()?;
        Ok(Some(if is_used { planned.min(self.at) } else { planned }))
    }

    /// The end of a trial is told a day and an hour before, if something is charged or deleted then, and
    /// again if it moves away.
    fn trial_is_told(&self) -> Result<Option<i64>, String> {
        let runs = self.runs_trial() && self.state["pe"].is_null();
        let Some(planned) = self.seconds("/t/t").filter(|_| runs) else { return Ok(None) };
        let spent_at = self.spent_at()?;
        let is_short = spent_at.is_some_and(|spent_at| spent_at <= planned);
        if !is_short && !self.is_renewed()? {
            return Ok(None);
        }
        let ends_at = spent_at.map_or(planned, |spent_at| spent_at.min(planned));
        let told = &self.state["t"]["n"];
        let moved = told["t"].as_i64().map(|told_end| ends_at - told_end);
        Ok(match moved {
            None => Some(ends_at - DAY),
            Some(moved) if moved > DAY => Some(ends_at - DAY),
            Some(moved) if told["n"] == "day" || moved > HOUR => Some(ends_at - HOUR),
            Some(_) => None,
        })
    }

    /// Whether a renewal was agreed to with the trial, a service is running, and a card can be charged.
    fn is_renewed(&self) -> Result<bool, String> {
        let cap = &self.state["r"]["m"];
        let is_within = cap.is_null() || micros(cap)? >= DOLLAR;
        let services = self.seconds("/b/k/service").unwrap_or_default();
        let is_agreed = self.state["t"]["rt"] == "yes";
        Ok(is_agreed && services > 0 && is_within && self.is_refill_possible())
    }

    /// When the credit is spent at the present rate, what is held with it. Each grant lasts until it
    /// expires.
    fn spent_at(&self) -> Result<Option<i64>, String> {
        let rate = hourly_rate(self.state.pointer("/b/r").unwrap_or(&Value::Null))?;
        let Some(paid_through) = self.seconds("/p/t").filter(|_| rate > 0) else { return Ok(None) };
        let paid = self.amount("/c")?;
        let mut grants = Vec::new();
        for grant in array(&self.state["g"]) {
            let expires_at = grant["x"].as_i64().ok_or("a grant without end")?;
            grants.push((expires_at, micros(&grant["r"])?));
        }
        grants.retain(|(_, left)| *left > 0);
        grants.sort_unstable();
        let spent_at = grants.iter().fold(paid_through, |until, (expires_at, left)| {
            until + seconds_paid(*left, rate).min((expires_at - until).max(0))
        });
        Ok(Some((spent_at + seconds_paid(paid, rate)).max(paid_through)))
    }

    /// New credit pays what is owed, then ends a suspension; then what ran runs again.
    fn returns(&self) -> Result<Option<i64>, String> {
        let is_closed = self.state["s"] == "closed";
        let is_above_floor = self.is_above_floor()?;
        let paid_through = self.seconds("/p/t");
        let owed = self.owed()?;
        let pays = owed > 0 && self.has_credit()? && !is_closed;
        let pays = pays && (self.is_good() || is_above_floor);
        let pays_at = pays.then(|| paid_through.map_or(self.at, |paid| paid.min(self.at)));
        let is_by_staff = self.state["s"]["suspended"]["y"] == "staff";
        let may_resume = !self.is_good() && !is_closed && !is_by_staff && !self.is_frozen();
        let resumes_at = (may_resume && owed == 0 && is_above_floor).then_some(self.at);
        let restarts = self.state["ri"] == "yes" && self.is_good() && !self.is_frozen();
        let restarts_at = paid_through.map_or(self.at, |paid| paid.max(self.at));
        let all = [pays_at, resumes_at, restarts.then_some(restarts_at)];
        Ok(all.into_iter().flatten().min())
    }

    /// An account without anything that is billed by time is suspended when its credit is used up, or
    /// at the end of a respite.
    fn stops_at_zero(&self) -> Option<i64> {
        let respite = self.respite_until();
        (self.state["z"] == "yes").then(|| respite.map_or(self.at, |until| until.max(self.at)))
    }

    /// The end of the respite of a refill that is under way.
    fn respite_until(&self) -> Option<i64> {
        let refill = &self.state["r"];
        let is_under_way = if refill["o"].is_object() {
            refill["o"]["v"].is_null()
        } else {
            refill["w"].is_object()
        };
        self.seconds("/r/ru/t").filter(|_| is_under_way)
    }

    /// The announcement of a deletion and the deletion, while no money may come and none is held; and
    /// the end of what can be restored.
    fn deletions(&self) -> Result<Option<i64>, String> {
        let refill = &self.state["r"];
        let may_money_come = refill["o"].is_object()
            || refill["w"].is_object()
            || !array(&self.state["pp"]).is_empty();
        let held: Micros = held_in(self.state)?.values().sum();
        let waits = may_money_come || held > 0 || self.is_above_floor()?;
        let warn_at = self.seconds("/s/suspended/w");
        let next = warn_at.or(self.seconds("/s/suspended/x")).filter(|_| !waits);
        // Stripe is asked unless a row of its own must come first.
        let asks = !refill["o"].is_object()
            && array(&self.state["pp"]).is_empty()
            && !self.is_above_floor()?;
        let deleting = self.state["s"]["deleting"].is_object() && asks;
        let deleting = deleting.then_some(self.at);
        let deleted = array(&self.state["d"]).iter().filter_map(|deletion| deletion["a"].as_i64());
        let purged = deleted.map(|at| at + RESTORE_SECONDS);
        Ok(next.into_iter().chain(deleting).chain(purged).chain(self.seconds("/pd")).min())
    }

    /// Whether the saved card may be charged at all, now or later.
    fn is_refill_possible(&self) -> bool {
        let refill = &self.state["r"];
        let card = &refill["c"];
        let is_refused = array(&refill["nc"]).contains(card);
        (self.is_good() || self.is_suspended_for_credit())
            && card.is_string()
            && !is_refused
            && refill["a"].is_object()
            && refill["p"].is_null()
            && !self.is_frozen()
    }

    /// A refill that is wanted, open or blocked, and the end of the card.
    fn refills(&self) -> Result<Option<i64>, String> {
        let refill = &self.state["r"];
        let is_possible = self.is_refill_possible();
        let wanted = self.seconds("/r/w/s");
        let mut all = vec![wanted, self.attempt_due()?];
        if is_possible {
            all.extend([self.seconds("/r/ce/w"), self.seconds("/r/ce/t")]);
        }
        if is_possible && refill["o"].is_null() {
            let charged_until = self.seconds("/s/suspended/o").map(|as_of| as_of + CHARGED_SECONDS);
            // Not before the owner of a new card had the time to pay.
            let again = self.seconds("/r/ra").map(|at| at.max(self.seconds("/r/l").unwrap_or(at)));
            all.push(if wanted.is_some() { charged_until } else { again });
        }
        Ok(all.into_iter().flatten().min())
    }

    /// When Stripe is asked again about the oldest refund of staff.
    fn refunds(&self) -> Option<i64> {
        self.seconds("/rf/0/t").map(|begun_at| begun_at + REFUND_SECONDS)
    }

    /// When an open attempt is driven on. One that the customer is asked to confirm ends at once if
    /// it is no longer needed or agreed.
    fn attempt_due(&self) -> Result<Option<i64>, String> {
        let refill = &self.state["r"];
        let Some(begun_at) = self.seconds("/r/o/b") else { return Ok(None) };
        let Some(void_at) = self.seconds("/r/o/v") else {
            return Ok(Some(begun_at + ATTEMPT_SECONDS));
        };
        let is_renewal = refill["o"]["y"] == "trial_renewal";
        let amount = self.amount("/r/o/a")?;
        let agreed = &refill["a"];
        let most = if agreed["x"].is_null() { &agreed["a"] } else { &agreed["x"] };
        let is_agreed = is_renewal || amount <= micros(most)?;
        let is_needed = is_renewal || available_in(self.state)? < self.amount("/r/a/t")?;
        let is_same_card = refill["o"]["c"] == refill["c"];
        let is_capped = refill["m"].is_string() && self.is_over_cap(amount)?;
        let holds =
            self.is_refill_possible() && is_agreed && is_needed && is_same_card && !is_capped;
        Ok(Some(if holds { void_at } else { self.at }))
    }

    /// Whether a charge exceeds the cap of the month of the row.
    fn is_over_cap(&self, amount: Micros) -> Result<bool, String> {
        let date = time::UtcDateTime::from_unix_timestamp(self.at).map_err(|_| "no time")?.date();
        let month = i64::from(date.year()) * 12 + i64::from(u8::from(date.month())) - 1;
        let charged = &self.state["r"]["mo"];
        let charged = if charged[0] == month { micros(&charged[1])? } else { 0 };
        Ok(charged + amount > self.amount("/r/m")?)
    }
}
