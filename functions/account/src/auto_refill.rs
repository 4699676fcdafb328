//! `GET` and `PUT /v1/auto-refill`: the terms of refills from the saved card, and their current
//! state.

use serde::{Deserialize, Deserializer, Serialize};
use tollgate::domain::account::{
    AccountState, CardChoice, RefillAgreement, RefillPause, Standing, SuspensionReason,
};
use tollgate::domain::command::{Command, RefillCharge, RefillSettings, RefillTerms};
use tollgate::domain::ids::CardId;
use tollgate::domain::money::Usd;
use tollgate::domain::policy::Policy;
use tollgate::domain::refill::{hours_covered, is_off_too_long};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::cards;
use tollgate::runtime::billing::Billing;
use tollgate::store::{CustomerProfile, Plan};

use crate::last_attempt::{LastAttemptView, last_attempt};

/// An amount that lasts less than this many hours gets a warning, because refills would come more
/// than once a day.
const HOURS_WARNING: i64 = 24;

/// The longest sentence of terms that is recorded, in bytes.
const SHOWN_TEXT_BYTES_MAX: usize = 500;

/// The state in which the customer must act.
const NEEDS_CUSTOMER: &str = "needs_customer";

/// A missing field keeps its value. `null` removes a cap, and chooses the default card.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoRefillRequest {
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    threshold: Option<Usd>,
    #[serde(default)]
    mode: Option<RefillMode>,
    #[serde(default)]
    amount: Option<Usd>,
    #[serde(default)]
    target: Option<Usd>,
    /// The sentence in which the customer read the terms.
    #[serde(default)]
    shown_text: Option<String>,
    #[serde(default, deserialize_with = "present")]
    payment_method: Option<Option<CardId>>,
    #[serde(default, deserialize_with = "present")]
    monthly_cap: Option<Option<Usd>>,
    #[serde(default, deserialize_with = "present")]
    max_charge: Option<Option<Usd>>,
}

/// How much one refill buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RefillMode {
    /// The smallest multiple of the amount that brings the balance to the threshold.
    Fixed,
    /// What brings the balance to the target.
    ToTarget,
}

impl RefillMode {
    fn of(agreed: &RefillAgreement) -> RefillMode {
        if agreed.target.is_some() { RefillMode::ToTarget } else { RefillMode::Fixed }
    }
}

#[derive(Debug, Serialize)]
struct AutoRefillView {
    enabled: bool,
    /// `fixed` or `to_target`. Null while refills are off.
    mode: Option<RefillMode>,
    threshold: Option<String>,
    /// Null in the mode `to_target`.
    amount: Option<String>,
    /// Null in the mode `fixed`.
    target: Option<String>,
    /// The card that the customer named. Null: the default card at the time of the charge.
    payment_method: Option<String>,
    /// The card that would be charged now. Null if there is none.
    charged_card: Option<String>,
    monthly_cap: Option<String>,
    /// The maximum of one charge.
    max_charge: Option<String>,
    /// `idle`, `wanted`, `charging`, `needs_customer` or `paused`.
    state: &'static str,
    /// What it waits for, if anything.
    why: Option<&'static str>,
    /// The next check, or the end of the time to confirm.
    until: Option<String>,
    /// The page where the customer confirms the payment, if needed.
    confirm_url: Option<String>,
    agreed_at: Option<String>,
    /// The end of the last month of the charged card, exclusive. Null if it is not known.
    card_ends_at: Option<String>,
    /// How many whole hours the smallest refill lasts at the current rate. Null if nothing runs.
    hours_covered: Option<i64>,
    warning: Option<String>,
    last_attempt: Option<LastAttemptView>,
}

/// Handles `GET /v1/auto-refill`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(billing, call)?;
    let state = on.look(|view| view.state().clone()).await?;
    let mut shown = shown(&state, &billing.settings.policy, call.now);
    if shown.state == NEEDS_CUSTOMER {
        let attempt = state.refill.attempt.as_ref().map(|attempt| attempt.number);
        let confirmation = billing.store.customer_profile(on.account()).await?.confirmation;
        shown.confirm_url =
            confirmation.filter(|asked| Some(asked.attempt) == attempt).map(|asked| asked.url);
    }
    shown.last_attempt =
        last_attempt(billing, on.account(), &state, shown.confirm_url.clone()).await?;
    ApiAnswer::ok(&shown)
}

/// Handles `PUT /v1/auto-refill`. Terms that charge a card are agreed to by its owner alone.
pub(crate) async fn put(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller()?.require_in_person("change auto-refill")?;
    let body: AutoRefillRequest = call.json()?;
    body.check()?;
    let on = OnAccount::of_caller(billing, call)?;
    let profile = billing.store.customer_profile(on.account()).await?;
    let command = |state: &AccountState| {
        body.check_card(&profile)?;
        body.over(state, &profile).map(Command::ChangeRefill)
    };
    changed(billing, call, Plan::on_state(&command)).await
}

/// Handles `POST /v1/auto-refill/now`: begins a refill at the customer's request instead of waiting
/// for the next charge for usage or for the check after a change of the saved cards.
pub(crate) async fn refill_now(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller()?.require_in_person("charge the saved card")?;
    call.no_body()?;
    changed(billing, call, Plan::on_state(&|_: &AccountState| Ok(Command::RefillNow))).await
}

/// Appends the row and shows the settings after it, at its time: a repeated request gets the same
/// answer.
async fn changed(billing: &Billing, call: &ApiCall, plan: Plan<'_>) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(billing, call)?;
    let row = on.execute(call.cause(), plan).await?;
    let mut shown = shown(&row.state, &billing.settings.policy, row.event.at);
    shown.last_attempt = last_attempt(billing, on.account(), &row.state, None).await?;
    Ok(ApiAnswer::ok(&shown)?.of_row(row.seq))
}

impl AutoRefillRequest {
    fn check(&self) -> Result<(), Problem> {
        self.check_mode()?;
        self.check_shown_text()?;
        let card = self.payment_method.iter().flatten().find(|card| !is_card(card));
        card.map_or(Ok(()), |_| {
            Err(Problem::new(
                ProblemCode::InvalidBody,
                "payment_method: must be the ID of a saved card, such as pm_123.",
            )
            .with("parameter", "payment_method"))
        })
    }

    /// An amount that the mode does not use would be ignored.
    fn check_mode(&self) -> Result<(), Problem> {
        let unused = match (self.mode, self.amount, self.target) {
            (Some(RefillMode::ToTarget), Some(_), _) | (None, Some(_), Some(_)) => "amount",
            (Some(RefillMode::Fixed), _, Some(_)) => "target",
            (Some(_) | None, _, _) => return Ok(()),
        };
        let why =
            format!("{unused}: set amount with the mode fixed, or target with the mode to_target.");
        Err(Problem::new(ProblemCode::InvalidBody, why).with("parameter", unused))
    }

    fn check_shown_text(&self) -> Result<(), Problem> {
        let is_usable = |text: &String| {
            !text.trim().is_empty()
                && text.len() <= SHOWN_TEXT_BYTES_MAX
                && !text.chars().any(char::is_control)
        };
        if self.shown_text.as_ref().is_none_or(is_usable) {
            return Ok(());
        }
        let why = format!(
            "shown_text: must have 1 to {SHOWN_TEXT_BYTES_MAX} bytes and no control characters."
        );
        Err(Problem::new(ProblemCode::InvalidBody, why).with("parameter", "shown_text"))
    }

    /// Only a card that the customer can see. Stripe would refuse others each time, and the answer
    /// must not reveal them. Part of the command, because a request that was answered before is
    /// answered the same after its card was removed.
    fn check_card(&self, profile: &CustomerProfile) -> Result<(), Refusal> {
        let is_known = |card: &CardId| profile.cards.iter().any(|known| known.id == *card);
        let all_known = self.payment_method.iter().flatten().all(is_known);
        all_known.then_some(()).ok_or(Refusal::UnknownCard)
    }

    /// All refill settings after the request.
    fn over(
        &self,
        state: &AccountState,
        profile: &CustomerProfile,
    ) -> Result<RefillSettings, Refusal> {
        let agreed = state.refill.agreement;
        let threshold = self.threshold.or(agreed.map(|agreed| agreed.threshold));
        let is_on = self.enabled.unwrap_or(agreed.is_some());
        let terms = threshold
            .zip(self.charge(agreed.as_ref()))
            .map(|(threshold, charge)| RefillTerms { threshold, charge });
        // The customer accepts the terms when turning refills on. They are not stored for later.
        let has_terms = self.threshold.is_some() || self.amount.is_some() || self.target.is_some();
        let is_half = if is_on { terms.is_none() } else { has_terms || self.mode.is_some() };
        if is_half {
            return Err(Refusal::RefillTermsNeeded);
        }
        let (card, card_choice) = self.card(state, profile);
        Ok(RefillSettings {
            terms: terms.filter(|_| is_on),
            words: self.shown_text.clone(),
            card_ends_at: cards::ends_at(profile, card.as_ref()),
            card,
            card_choice,
            monthly_cap: self.monthly_cap.unwrap_or(state.refill.monthly_cap),
            max_charge: self.max_charge.unwrap_or_else(|| self.kept_maximum(agreed)),
        })
    }

    /// The maximum of one charge before. The default of a target follows the target.
    fn kept_maximum(&self, agreed: Option<RefillAgreement>) -> Option<Usd> {
        let kept = self.kept(agreed)?;
        let is_default = kept.target.is_some() && kept.max_charge == kept.target;
        kept.max_charge.filter(|_| !is_default)
    }

    /// What one refill buys. `None` if the request and the terms before it do not say.
    fn charge(&self, agreed: Option<&RefillAgreement>) -> Option<RefillCharge> {
        let kept = self.kept(agreed.copied());
        match self.mode(agreed) {
            RefillMode::Fixed => {
                let amount = self.amount.or(kept.map(|agreed| agreed.amount))?;
                Some(RefillCharge::Multiple { amount })
            }
            RefillMode::ToTarget => {
                let target = self.target.or(kept.and_then(|agreed| agreed.target))?;
                Some(RefillCharge::ToTarget { target })
            }
        }
    }

    fn mode(&self, agreed: Option<&RefillAgreement>) -> RefillMode {
        let named = match (self.mode, self.amount, self.target) {
            (Some(mode), _, _) => Some(mode),
            (None, Some(_), _) => Some(RefillMode::Fixed),
            (None, None, Some(_)) => Some(RefillMode::ToTarget),
            (None, None, None) => agreed.map(RefillMode::of),
        };
        named.unwrap_or(RefillMode::Fixed)
    }

    /// The terms before, if the mode stays. Amounts of one mode say nothing about the other.
    fn kept(&self, agreed: Option<RefillAgreement>) -> Option<RefillAgreement> {
        agreed.filter(|agreed| self.mode(Some(agreed)) == RefillMode::of(agreed))
    }

    /// The named card, else the card named before, else the default card.
    fn card(
        &self,
        state: &AccountState,
        profile: &CustomerProfile,
    ) -> (Option<CardId>, CardChoice) {
        let before = match state.refill.card_choice {
            CardChoice::Named => state.refill.card.clone(),
            CardChoice::Default => None,
        };
        match self.payment_method.clone().unwrap_or(before) {
            Some(card) => (Some(card), CardChoice::Named),
            None => (cards::default_card(&state.refill, profile), CardChoice::Default),
        }
    }
}

/// IDs that Stripe charges off session: payment methods, and the cards of older integrations.
fn is_card(card: &CardId) -> bool {
    ["pm_", "card_"].iter().any(|prefix| card.as_str().starts_with(prefix))
}

/// Distinguishes `null` from a missing field.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn shown(state: &AccountState, policy: &Policy, now: Timestamp) -> AutoRefillView {
    let refill = &state.refill;
    let RefillProgress { state: progress, why, until } = progress(state, policy, now);
    let hours = refill.agreement.and_then(|agreed| hours_covered(agreed.amount, state));
    let warning = hours.filter(|hours| *hours < HOURS_WARNING).map(|hours| {
        let unit = if hours == 1 { "hour" } else { "hours" };
        format!("At the current rate, one refill lasts {hours} {unit}.")
    });
    AutoRefillView {
        enabled: refill.agreement.is_some(),
        mode: refill.agreement.as_ref().map(RefillMode::of),
        threshold: refill.agreement.map(|agreed| agreed.threshold.to_string()),
        amount: refill
            .agreement
            .filter(|agreed| agreed.target.is_none())
            .map(|agreed| agreed.amount.to_string()),
        target: refill.agreement.and_then(|agreed| agreed.target).map(|target| target.to_string()),
        payment_method: match refill.card_choice {
            CardChoice::Named => refill.card.as_ref().map(ToString::to_string),
            CardChoice::Default => None,
        },
        charged_card: refill.card.as_ref().map(ToString::to_string),
        monthly_cap: refill.monthly_cap.map(|cap| cap.to_string()),
        max_charge: refill.agreement.map(|agreed| agreed.max().to_string()),
        state: progress,
        why,
        until,
        confirm_url: None,
        agreed_at: refill.agreement.map(|agreed| agreed.at.to_string()),
        card_ends_at: refill.card_expiry.map(|expiry| expiry.ends_at.to_string()),
        hours_covered: hours,
        warning,
        last_attempt: None,
    }
}

struct RefillProgress {
    state: &'static str,
    why: Option<&'static str>,
    until: Option<String>,
}

impl RefillProgress {
    fn of(state: &'static str, why: Option<&'static str>) -> RefillProgress {
        RefillProgress { state, why, until: None }
    }
}

fn progress(state: &AccountState, policy: &Policy, now: Timestamp) -> RefillProgress {
    let refill = &state.refill;
    if let Some(attempt) = &refill.attempt {
        return match attempt.void_at {
            Some(void_at) => RefillProgress {
                state: NEEDS_CUSTOMER,
                why: Some("confirmation"),
                until: Some(void_at.to_string()),
            },
            None => RefillProgress::of("charging", None),
        };
    }
    if refill.agreement.is_none() {
        return RefillProgress::of("idle", None);
    }
    if let Some(why) = paused(state, policy, now) {
        return RefillProgress::of("paused", Some(why));
    }
    match (refill.wanted, refill.retry_at) {
        (Some(_), _) => RefillProgress::of("wanted", None),
        (None, Some(retry_at)) => RefillProgress {
            state: "wanted",
            why: Some(if refill.is_capped(now) {
                "monthly_cap"
            } else if refill.look_at.is_some() {
                "card_changed"
            } else {
                "limit"
            }),
            until: Some(retry_at.to_string()),
        },
        (None, None) => RefillProgress::of("idle", None),
    }
}

/// Why no card is charged although refills are on. First what the customer cannot end here.
fn paused(state: &AccountState, policy: &Policy, now: Timestamp) -> Option<&'static str> {
    let refill = &state.refill;
    match refill.paused {
        Some(RefillPause::CardRefused) => return Some("card_refused"),
        Some(RefillPause::Failures) => return Some("failures"),
        Some(RefillPause::CardGone) => return Some("card_removed"),
        Some(RefillPause::FraudWarning) => return Some("fraud_warning"),
        Some(RefillPause::CardExpired | RefillPause::Unconfirmed) | None => {}
    }
    let Some(card) = &refill.card else { return Some("no_card") };
    if refill.never.contains(card) {
        return Some("card_refused");
    }
    let blocked = blocked(state, policy, now);
    blocked.or(match refill.paused {
        Some(RefillPause::CardExpired) => Some("card_expired"),
        Some(RefillPause::Unconfirmed) => Some("unconfirmed"),
        Some(
            RefillPause::CardRefused
            | RefillPause::Failures
            | RefillPause::CardGone
            | RefillPause::FraudWarning,
        )
        | None => None,
    })
}

/// Why the account's standing lets no card be charged.
fn blocked(state: &AccountState, policy: &Policy, now: Timestamp) -> Option<&'static str> {
    if !state.frozen.is_empty() {
        return Some("frozen");
    }
    match &state.standing {
        Standing::Good => None,
        Standing::Suspended(suspension) if suspension.reason == SuspensionReason::Staff => {
            Some("suspended")
        }
        Standing::Suspended(_) => is_off_too_long(state, policy, now).then_some("off_too_long"),
        Standing::Deleting(_) | Standing::Deleted(_) => Some("deleted"),
        Standing::Closed => Some("closed"),
    }
}
