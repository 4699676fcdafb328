//! What a caller is told when it does not get what it wanted: RFC 9457 problem documents
//! (`application/problem+json`). The one place that maps refusals and faults to HTTP.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::refusal::Refusal;
use crate::store::StoreError;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $title:literal;)*) => {
        /// Every error a caller can meet. Its name never changes once it was released.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemCode {
            $($(#[$doc])* $variant,)*
        }

        impl ProblemCode {
            /// All of them, for the documentation and its test.
            pub const ALL: &[ProblemCode] = &[$(ProblemCode::$variant,)*];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(ProblemCode::$variant => $name,)* }
            }

            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(ProblemCode::$variant => $status,)* }
            }

            /// The same for every occurrence.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(ProblemCode::$variant => $title,)* }
            }
        }
    };
}

codes! {
    // The request.
    /// The body is not the JSON that is needed.
    InvalidBody = "invalid_body", 400, "Invalid request body";
    /// A parameter is not what is needed.
    InvalidParameter = "invalid_parameter", 400, "Invalid parameter";
    /// The body is too large.
    BodyTooLarge = "body_too_large", 413, "Request body too large";
    /// Not an amount that can be charged.
    InvalidAmount = "invalid_amount", 422, "Invalid amount";
    /// Below the least that is allowed.
    AmountTooSmall = "amount_too_small", 422, "Amount too small";
    /// Above the most that is allowed.
    AmountTooLarge = "amount_too_large", 422, "Amount too large";
    /// An expiry in the past, a missing reason, a price at the wrong time: what was named cannot be
    /// used.
    Unusable = "unusable", 422, "Request cannot be processed";
    /// The tax id is not one, as far as Stripe can tell.
    TaxIdRefused = "tax_id_refused", 422, "Invalid tax ID";
    /// No tax can be worked out for the address, or there is no such country.
    AddressRefused = "address_refused", 422, "Invalid address";
    /// More would have to be read than one request may.
    TooMuch = "too_much", 422, "Too much data for one request";
    /// The route moves money and needs an idempotency key.
    IdempotencyKeyRequired = "idempotency_key_required", 400, "Idempotency key required";
    /// The idempotency key was used for something else.
    IdempotencyKeyReused = "idempotency_key_reused", 422, "Idempotency key already used";

    // The caller.
    /// No token, or not a valid one.
    Unauthorized = "unauthorized", 401, "Authentication required";
    /// The token lacks the scope.
    Forbidden = "forbidden", 403, "Insufficient permissions";
    /// A webhook's signature is wrong.
    InvalidSignature = "invalid_signature", 400, "Invalid signature";

    // What was named.
    /// No such route, project, resource, meter, session or payment.
    NotFound = "not_found", 404, "Not found";
    /// The method is not one of the route's.
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed";
    /// The SKU is not on the price list.
    UnknownSku = "unknown_sku", 422, "Unknown SKU";
    AlreadyExists = "already_exists", 409, "Already exists";

    // The account.
    /// The account has no e-mail address yet.
    EmailRequired = "email_required", 409, "E-mail address required";
    /// The account is closed.
    AccountClosed = "account_closed", 409, "Account closed";
    /// The account is frozen.
    AccountFrozen = "account_frozen", 409, "Account frozen";
    /// The account is suspended.
    AccountSuspended = "account_suspended", 409, "Account suspended";
    /// What runs, or a payment under way, is in the way.
    Conflict = "conflict", 409, "Conflict with the account's current state";
    /// The balance is another one than the request says.
    BalanceChanged = "balance_changed", 409, "Balance changed";
    /// The commit plans on offer are others than the caller read.
    OffersChanged = "offers_changed", 409, "Offers changed";
    /// A refill decides within minutes whether the account goes on.
    RefillInProgress = "refill_in_progress", 409, "Auto-refill in progress";
    /// The resource is in another condition than the request needs.
    WrongCondition = "wrong_condition", 409, "Conflict with the resource's current state";
    CreditTooLow = "credit_too_low", 402, "Insufficient credit";
    /// The customer's own limit of a project's month.
    BudgetExceeded = "budget_exceeded", 409, "Budget of the project reached";
    /// The hold was captured in full, released, has expired, or ended with its account.
    HoldEnded = "hold_ended", 409, "Hold ended";
    /// The monthly cap is below one refill.
    CapBelowAmount = "cap_below_amount", 422, "Monthly cap too low";
    /// The account has as many resources or projects as it may have.
    QuotaReached = "quota_reached", 409, "Account limit reached";
    /// The balance would be above the limit.
    BalanceTooHigh = "balance_too_high", 422, "Balance limit reached";
    /// Too many payment pages without a payment.
    TooManyPages = "too_many_pages", 429, "Too many payment pages";
    /// The card was refused for good.
    CardRefused = "card_refused", 409, "Card cannot be used";
    /// The trial is not for this account or card.
    TrialNotAllowed = "trial_not_allowed", 409, "Trial not available";
    /// A limit of the trial is reached.
    TrialLimit = "trial_limit", 409, "Trial limit reached";

    // The infrastructure.
    /// Too much at once: try again.
    Throttled = "throttled", 429, "Too many requests";
    /// Something is not available: try again.
    Unavailable = "unavailable", 503, "Service temporarily unavailable";
    /// A defect on our side.
    Internal = "internal", 500, "Internal error";
}

/// A problem document. Boxed: it is the error of many functions, and rarely made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<ProblemDocument>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ProblemDocument {
    /// In the form `urn:tollgate:problem:<code>`.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    /// This occurrence, in a sentence for the person at the other end.
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Value>,
    /// Sent as the header `Retry-After`, in seconds.
    #[serde(skip)]
    retry_after: Option<i64>,
    /// What a program needs to know: `required`, `available`, `max`, …
    #[serde(flatten)]
    members: Map<String, Value>,
}

impl Problem {
    /// A problem with this occurrence's own words.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Problem {
        Problem(Box::new(ProblemDocument {
            kind: format!("urn:tollgate:problem:{}", code.name()),
            title: code.title(),
            status: code.status(),
            detail: detail.into(),
            code: code.name(),
            request_id: None,
            action: None,
            retry_after: None,
            members: Map::new(),
        }))
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The stable name of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// What is wrong, as a sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// With the request's id, so that support can find it in the logs.
    #[must_use]
    pub fn of_request(mut self, request_id: &str) -> Problem {
        self.0.request_id = Some(request_id.to_owned());
        self
    }

    /// With the number of seconds to wait before the next attempt.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: i64) -> Problem {
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    /// The number of seconds to wait before the next attempt, if that helps.
    #[must_use]
    pub fn retry_after(&self) -> Option<i64> {
        self.0.retry_after
    }

    /// With what to do next, such as `{"add_credit": "https://…"}`.
    #[must_use]
    pub fn with_action(mut self, action: Value) -> Problem {
        self.0.action = Some(action);
        self
    }

    /// With something a program needs to know.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Problem {
        let problem = Problem::new(code_of(refusal), sentence(refusal));
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "most refusals say everything in their sentence"
        )]
        match refusal {
            Refusal::CreditTooLow { required, available } => problem
                .with("required", required.to_string())
                .with("available", available.to_string()),
            Refusal::BudgetExceeded { project, required, left } => problem
                .with("project", project.to_string())
                .with("required", required.to_string())
                .with("available", left.to_string()),
            Refusal::AmountTooSmall { min } => problem.with("min", min.to_string()),
            Refusal::AmountTooLarge { max }
            | Refusal::RefundAboveCredit { credit: _, available: max }
            | Refusal::SupportPaymentLimit { left: max }
            | Refusal::SupportBonusLimit { max }
            | Refusal::SupportDayLimit { max } => problem.with("max", max.to_string()),
            Refusal::ResourceQuota { max }
            | Refusal::ProjectQuota { max }
            | Refusal::TooManyHolds { max } => problem.with("max", *max),
            Refusal::TooManyBudgets { max }
            | Refusal::TooManyGrants { max }
            | Refusal::TooManyInvoices { max }
            | Refusal::TooManyOffers { max }
            | Refusal::TooManyExcluded { max } => problem.with("max", *max),
            Refusal::BalanceTooHigh { max: _, room } => problem.with("max", room.to_string()),
            Refusal::TooManyPages { wait_seconds }
            | Refusal::TooManyNewPages { wait_seconds }
            | Refusal::TooManyRequests { wait_seconds } => problem.with_retry_after(*wait_seconds),
            Refusal::PriceTooSoon { earliest } => problem.with("earliest", earliest.to_string()),
            Refusal::RefillInProgress { until } => {
                problem.with_action(json!({"retry_at": until.to_string()}))
            }
            _ => problem,
        }
    }
}

impl From<&StoreError> for Problem {
    /// The caller is told whether trying again helps, and nothing of our insides: those are in the
    /// log.
    fn from(fault: &StoreError) -> Problem {
        let retry = json!({"retry": "after a short while"});
        match fault {
            StoreError::Throttled { .. } | StoreError::Contended { .. } => {
                let detail = "Too many concurrent requests. Nothing was lost. Try again shortly.";
                Problem::new(ProblemCode::Throttled, detail).with_action(retry).with_retry_after(1)
            }
            StoreError::Unavailable { .. }
            | StoreError::ListDisagrees
            | StoreError::Unpriced(_) => {
                let detail =
                    "The ledger is temporarily unavailable. Nothing was lost. Try again shortly.";
                Problem::new(ProblemCode::Unavailable, detail).with_action(retry)
            }
            StoreError::NewerFormat { .. }
            | StoreError::Broken(_)
            | StoreError::Malformed { .. }
            | StoreError::Rejected { .. }
            | StoreError::Panicked { .. } => Problem::new(
                ProblemCode::Internal,
                "The error was logged. If it persists, contact support with the request ID.",
            ),
        }
    }
}

/// A refusal's message as a sentence: it begins with a capital and ends with a full stop.
fn sentence(refusal: &Refusal) -> String {
    let message = refusal.to_string();
    let mut characters = message.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

fn code_of(refusal: &Refusal) -> ProblemCode {
    match refusal {
        Refusal::KeyReused => ProblemCode::IdempotencyKeyReused,
        Refusal::AmountNotPositive | Refusal::ThresholdNotPositive | Refusal::FractionOfCent => {
            ProblemCode::InvalidAmount
        }
        Refusal::AmountTooSmall { .. } => ProblemCode::AmountTooSmall,
        Refusal::AmountTooLarge { .. } | Refusal::RefundAboveCredit { .. } => {
            ProblemCode::AmountTooLarge
        }
        Refusal::SupportPaymentLimit { .. }
        | Refusal::SupportBonusLimit { .. }
        | Refusal::SupportDayLimit { .. } => ProblemCode::Forbidden,
        Refusal::ExpiryPast { .. }
        | Refusal::TooManyExcluded { .. }
        | Refusal::OfferNeverAvailable
        | Refusal::PlanNotPlain
        | Refusal::PlanNamedTwice { .. }
        | Refusal::TooManyOffers { .. }
        | Refusal::ReasonNeeded { .. }
        | Refusal::TooManyAtOnce { .. }
        | Refusal::NamedTwice { .. }
        | Refusal::NameNotUsable { .. }
        | Refusal::WrongUnit { .. }
        | Refusal::PriceNotAtFullHour
        | Refusal::PriceTooSoon { .. }
        | Refusal::IdleRateTooHigh
        | Refusal::RefillTermsNeeded
        | Refusal::SkuNotHeld { .. }
        | Refusal::ReceivedTooLittle { .. }
        | Refusal::BalanceOverflow => ProblemCode::Unusable,
        Refusal::AccountNotOpen
        | Refusal::UnknownProject { .. }
        | Refusal::UnknownResource { .. }
        | Refusal::UnknownCard
        | Refusal::UnknownMeter { .. }
        | Refusal::UnknownHold { .. }
        | Refusal::UnknownGrant { .. }
        | Refusal::UnknownBudget { .. } => ProblemCode::NotFound,
        Refusal::UnknownSku { .. } => ProblemCode::UnknownSku,
        Refusal::AccountAlreadyOpen
        | Refusal::ResourceExists { .. }
        | Refusal::MeterExists { .. }
        | Refusal::PriceExists { .. }
        | Refusal::ImportedOtherwise { .. } => ProblemCode::AlreadyExists,
        Refusal::AlreadyRunning { .. }
        | Refusal::NotRunning { .. }
        | Refusal::Deleted { .. }
        | Refusal::NotDeleted { .. }
        | Refusal::NothingStopped
        | Refusal::NothingDeleted
        | Refusal::StartTooLongAgo { .. } => ProblemCode::WrongCondition,
        Refusal::Closed | Refusal::Erased => ProblemCode::AccountClosed,
        Refusal::Frozen => ProblemCode::AccountFrozen,
        Refusal::Suspended | Refusal::SuspendedByStaff => ProblemCode::AccountSuspended,
        Refusal::RefillInProgress { .. } => ProblemCode::RefillInProgress,
        Refusal::TimeBeforeLastRow { .. }
        | Refusal::NotSettled { .. }
        | Refusal::NotFrozen
        | Refusal::NotSuspended
        | Refusal::NotDeleting
        | Refusal::AccountChanged
        | Refusal::StillRunning { .. }
        | Refusal::ResourcesLeft { .. }
        | Refusal::NotClosed
        | Refusal::InTrial
        | Refusal::GrantNotByStaff { .. }
        | Refusal::PaymentPending
        | Refusal::NothingLeftToRefund
        | Refusal::TooManyRefunds { .. }
        | Refusal::RefundNotOpen { .. }
        | Refusal::BalanceAtStripe
        | Refusal::NoCustomer
        | Refusal::AttemptOpen { .. }
        | Refusal::AttemptNotOpen { .. }
        | Refusal::CustomerAlreadyAsked { .. }
        | Refusal::RefillNotWanted
        | Refusal::CardNotUsed { .. } => ProblemCode::Conflict,
        Refusal::TooManyPages { .. } | Refusal::TooManyNewPages { .. } => ProblemCode::TooManyPages,
        Refusal::TooManyRequests { .. } => ProblemCode::Throttled,
        Refusal::ResourceQuota { .. }
        | Refusal::ProjectQuota { .. }
        | Refusal::TooManyHolds { .. }
        | Refusal::TooManyBudgets { .. }
        | Refusal::TooManyGrants { .. }
        | Refusal::TooManyInvoices { .. } => ProblemCode::QuotaReached,
        Refusal::HoldEnded { .. } => ProblemCode::HoldEnded,
        Refusal::HoldsNotYet
        | Refusal::BudgetsNotYet
        | Refusal::WithdrawalsNotYet
        | Refusal::RefundsNotYet
        | Refusal::ImportsNotYet => ProblemCode::Unavailable,
        Refusal::BalanceTooHigh { .. } => ProblemCode::BalanceTooHigh,
        Refusal::BalanceChanged { .. } => ProblemCode::BalanceChanged,
        Refusal::TrialNotOffered
        | Refusal::TrialUsed
        | Refusal::TrialCard
        | Refusal::TrialCardUsed => ProblemCode::TrialNotAllowed,
        Refusal::TrialLimit { .. } => ProblemCode::TrialLimit,
        Refusal::CreditTooLow { .. } => ProblemCode::CreditTooLow,
        Refusal::BudgetExceeded { .. } => ProblemCode::BudgetExceeded,
        Refusal::CapBelowAmount { .. } => ProblemCode::CapBelowAmount,
        Refusal::TargetBelowThreshold { .. } => ProblemCode::AmountTooSmall,
        Refusal::CardRefused { .. } => ProblemCode::CardRefused,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn too_little_credit_says_what_is_needed_and_what_is_there() {
        let refusal = Refusal::CreditTooLow {
            required: "5".parse().unwrap(),
            available: "4.99".parse().unwrap(),
        };
        let problem = Problem::from(&refusal)
            .of_request("r-1")
            .with_action(json!({"add_credit": "https://billing.example/#add-credit"}));
        insta::assert_snapshot!(serde_json::to_string_pretty(&problem).unwrap(), @r#"
        {
          "type": "urn:tollgate:problem:credit_too_low",
          "title": "Insufficient credit",
          "status": 402,
          "detail": "This requires $5.00 of credit, and $4.99 is available.",
          "code": "credit_too_low",
          "request_id": "r-1",
          "action": {
            "add_credit": "https://billing.example/#add-credit"
          },
          "available": "4.99",
          "required": "5.00"
        }
        "#);
    }

    #[test]
    fn every_code_has_a_name_of_its_own_and_an_error_status() {
        let names: BTreeSet<&str> = ProblemCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), ProblemCode::ALL.len());
        assert!(ProblemCode::ALL.iter().all(|code| (400..600).contains(&code.status())));
    }
}
