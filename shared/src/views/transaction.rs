//! What a customer is shown of a row: a line of the account's history, in a customer's words.
//!
//! Pure: everything shown stands in the row itself, so a row reads the same whenever it is shown.
//! What customers do not call a transaction, rows that move no money, keeps its own row type
//! ([`Change::name`]).

use std::str::FromStr;

use serde::Serialize;

use crate::domain::event::{
    BilledLines, Cause, Change, CreditKind, Event, MeterLine, ResourceLine, StartKind, TakeBack,
};
use crate::domain::funds::Fund;
use crate::domain::ids::{AccountId, PaymentId};
use crate::domain::money::Usd;
use crate::domain::row::Row;
use crate::domain::timestamp::{MINUTE, Timestamp};

/// What a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionType {
    /// Credit bought by hand.
    TopUp,
    /// Credit bought by the saved card, on its own.
    AutoRefill,
    /// Time paid ahead, or quantities used.
    Usage,
    /// Time that was paid ahead and not used, given back.
    Unused,
    /// A payment went back, or the going back failed.
    Refund,
    /// Credit given by the operator; its expiry.
    Bonus,
    /// The trial's credit; its expiry.
    Trial,
    /// A commit plan, with its bonus.
    Commit,
    /// A payment was disputed, or the dispute was won.
    Dispute,
    /// Corrected by the operator.
    Correction,
}

impl TransactionType {
    /// All of them.
    pub const ALL: [TransactionType; 10] = [
        TransactionType::TopUp,
        TransactionType::AutoRefill,
        TransactionType::Usage,
        TransactionType::Unused,
        TransactionType::Refund,
        TransactionType::Bonus,
        TransactionType::Trial,
        TransactionType::Commit,
        TransactionType::Dispute,
        TransactionType::Correction,
    ];

    /// Its name in answers and in the parameter `type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TransactionType::TopUp => "topup",
            TransactionType::AutoRefill => "auto_refill",
            TransactionType::Usage => "usage",
            TransactionType::Unused => "unused",
            TransactionType::Refund => "refund",
            TransactionType::Bonus => "bonus",
            TransactionType::Trial => "trial",
            TransactionType::Commit => "commit",
            TransactionType::Dispute => "dispute",
            TransactionType::Correction => "correction",
        }
    }
}

/// No type of transaction is called so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "one of topup, auto_refill, usage, unused, refund, bonus, trial, commit, dispute, correction"
)]
pub struct TransactionTypeError;

impl FromStr for TransactionType {
    type Err = TransactionTypeError;

    fn from_str(text: &str) -> Result<TransactionType, TransactionTypeError> {
        TransactionType::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or(TransactionTypeError)
    }
}

/// A row as its customer is shown it. Amounts are strings in USD, times RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transaction {
    /// `account#seq`.
    pub id: String,
    /// The row's number.
    pub seq: u64,
    /// When.
    pub at: String,
    /// [`TransactionType::name`]; for a row that moved no money its own [`Change::name`].
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it did to the balance.
    pub amount: String,
    /// The balance after it.
    pub balance_after: String,
    /// In a customer's words.
    pub description: String,
    /// `time`, `stripe` or `request`.
    pub cause: &'static str,
    /// What was billed or given back, one by one; `None` if there are too many to be shown here.
    pub lines: Option<Vec<TransactionLine>>,
    /// The objects at Stripe; `None` if it has nothing to do with a payment.
    pub stripe: Option<StripeObjects>,
}

/// One line of what was billed or given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the fields are named by what they hold")]
pub enum TransactionLine {
    /// Time of a resource.
    Time { resource: String, rate: String, seconds: i64, amount: String },
    /// A quantity: from one reading of the meter to another.
    Quantity {
        project: String,
        sku: String,
        from: String,
        to: String,
        rate: String,
        amount: String,
    },
}

/// The objects at Stripe of a payment, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StripeObjects {
    /// `cs_…`
    pub session: Option<String>,
    /// `pi_…`
    pub payment_intent: Option<String>,
    /// `ch_…`
    pub charge: Option<String>,
    /// `in_…`
    pub invoice: Option<String>,
}

/// What kind of transaction a row is; `None` if it moved no money.
#[must_use]
pub fn transaction_type(event: &Event) -> Option<TransactionType> {
    if event.amount().is_zero() {
        return None;
    }
    match &event.change {
        Change::Credited { kind: CreditKind::TopUp, .. } => Some(TransactionType::TopUp),
        Change::Credited { kind: CreditKind::Refill { .. }, .. } => {
            Some(TransactionType::AutoRefill)
        }
        Change::Credited { kind: CreditKind::Commit, .. } => Some(TransactionType::Commit),
        Change::Granted { .. } | Change::GrantExpired { .. } => Some(TransactionType::Bonus),
        Change::TrialStarted { .. } | Change::TrialEnded => Some(TransactionType::Trial),
        Change::Started { .. } | Change::Usage { .. } | Change::Metered { .. } => {
            Some(TransactionType::Usage)
        }
        Change::Stopped { .. }
        | Change::ResourcesDeleted { .. }
        | Change::StartFailed { .. }
        | Change::Suspended { .. } => Some(TransactionType::Unused),
        Change::TakenBack { by: TakeBack::Refund(_), .. }
        | Change::GivenBack { by: TakeBack::Refund(_), .. } => Some(TransactionType::Refund),
        Change::TakenBack { by: TakeBack::Dispute(_), .. }
        | Change::GivenBack { by: TakeBack::Dispute(_), .. } => Some(TransactionType::Dispute),
        Change::Corrected { .. } => Some(TransactionType::Correction),
        Change::Opened
        | Change::PaymentPending(_)
        | Change::PaymentEnded { .. }
        | Change::Created { .. }
        | Change::Purged { .. }
        | Change::MeterOpened(_)
        | Change::Resumed { .. }
        | Change::DeletionAnnounced { .. }
        | Change::DeletionDue
        | Change::Deleted
        | Change::Closed { .. }
        | Change::RefillChanged { .. }
        | Change::CardRemoved { .. }
        | Change::RefillDue
        | Change::RefillBegun(_)
        | Change::RefillNeedsCustomer { .. }
        | Change::RefillFailed { .. }
        | Change::ComebackChosen(_)
        | Change::DisputeOpened { .. }
        | Change::DisputeClosed { .. }
        | Change::Frozen { .. }
        | Change::Unfrozen { .. } => None,
    }
}

/// A row as its customer is shown it; of its payment's ids only the one that stands in the row.
#[must_use]
pub fn transaction(account: &AccountId, row: &Row) -> Transaction {
    let event = &row.event;
    Transaction {
        id: format!("{account}#{}", row.seq),
        seq: row.seq,
        at: event.at.to_string(),
        kind: transaction_type(event).map_or_else(|| event.change.name(), TransactionType::name),
        amount: event.amount().to_string(),
        balance_after: row.state.balance().to_string(),
        description: description(event),
        cause: match event.cause {
            Cause::Time => "time",
            Cause::Stripe => "stripe",
            Cause::Request { .. } | Cause::Command => "request",
        },
        lines: lines(&event.change),
        stripe: payment(&event.change).map(|payment| StripeObjects {
            payment_intent: Some(payment.to_string()),
            ..StripeObjects::default()
        }),
    }
}

fn lines(change: &Change) -> Option<Vec<TransactionLine>> {
    if let Change::Metered { lines, .. } = change {
        return Some(lines.iter().map(meter_line).collect());
    }
    match change.lines() {
        Some(BilledLines::Here(lines)) => Some(lines.iter().map(time_line).collect()),
        Some(BilledLines::Chunked(_)) => None,
        None => Some(Vec::new()),
    }
}

fn time_line(line: &ResourceLine) -> TransactionLine {
    TransactionLine::Time {
        resource: line.resource.to_string(),
        rate: line.rate.shown(),
        seconds: line.seconds,
        amount: line.amount.to_string(),
    }
}

fn meter_line(line: &MeterLine) -> TransactionLine {
    TransactionLine::Quantity {
        project: line.project.to_string(),
        sku: line.sku.to_string(),
        from: line.from.to_string(),
        to: line.to.to_string(),
        rate: line.rate.shown(),
        amount: line.amount.to_string(),
    }
}

/// The payment a row is about, if it is.
#[must_use]
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "all other rows have nothing to do with one payment"
)]
pub fn payment(change: &Change) -> Option<&PaymentId> {
    match change {
        Change::Credited { payment, .. }
        | Change::PaymentEnded { payment, .. }
        | Change::DisputeOpened { payment, .. } => Some(payment),
        Change::PaymentPending(pending) => Some(&pending.payment),
        Change::TakenBack { of, .. } | Change::GivenBack { of, .. } => Some(&of.payment),
        _ => None,
    }
}

/// In a customer's words. Reasons of the operator's staff are shown: they are told so.
fn description(event: &Event) -> String {
    let amount = event.amount();
    match &event.change {
        Change::Opened => "Account opened".to_owned(),
        Change::Credited { kind: CreditKind::TopUp, credit, .. } => {
            format!("Stripe top-up ${credit}")
        }
        Change::Credited { kind: CreditKind::Refill { .. }, credit, .. } => {
            format!("Auto-refill ${credit}")
        }
        Change::Credited { kind: CreditKind::Commit, credit, .. } => commit(event, *credit),
        Change::PaymentPending(pending) => format!("Payment of ${} pending", pending.amount),
        Change::PaymentEnded { .. } => "Payment not completed".to_owned(),
        Change::Granted { reason, .. } => format!("Bonus ${amount}: {reason}"),
        Change::GrantExpired { .. } => format!("Credit of ${} expired", -amount),
        Change::Created { resources } => format!("{} created", resources_called(resources.len())),
        Change::Started { resources, how, through, .. } => {
            let what = match how {
                StartKind::Started => "started",
                StartKind::Restored { .. } => "restored",
            };
            format!(
                "Usage {}, {} {what}",
                hours(event.at, *through),
                resources_called(resources.len())
            )
        }
        Change::StartFailed { .. } => "Start failed, charge credited back".to_owned(),
        Change::Stopped { resources, .. } => with_unused(resources.len(), "stopped", amount),
        Change::ResourcesDeleted { resources, .. } => {
            with_unused(resources.len(), "deleted", amount)
        }
        Change::Purged { .. } => "Deleted resources permanently removed".to_owned(),
        Change::MeterOpened(meter) => format!("Meter for {} created", meter.sku),
        Change::Usage { from, through, lines, .. } => {
            format!("Usage {}, {}", hours(*from, *through), resources_called(count(lines)))
        }
        Change::Metered { lines, .. } => match lines.as_slice() {
            [line] => format!("Usage of {}, {} to {}", line.sku, line.from, line.to),
            _ => format!("Usage of {} meters", lines.len()),
        },
        Change::Suspended { .. } => "Account suspended".to_owned(),
        Change::Resumed { .. } => "Account resumed".to_owned(),
        Change::DeletionAnnounced { delete_at } => {
            format!("All resources will be deleted at {delete_at}")
        }
        Change::DeletionDue => "Grace period ended".to_owned(),
        Change::Deleted => "All resources deleted".to_owned(),
        Change::Closed { .. } => "Account closed".to_owned(),
        Change::TrialStarted { .. } => format!("Trial credit ${amount}"),
        Change::TrialEnded if amount.is_zero() => "Trial ended".to_owned(),
        Change::TrialEnded => format!("Trial ended, credit of ${} expired", -amount),
        Change::RefillChanged { agreement: Some(agreed), .. } => {
            format!(
                "Auto-refill set to ${} when balance falls below ${}",
                agreed.amount, agreed.threshold
            )
        }
        Change::RefillChanged { agreement: None, .. } => "Auto-refill turned off".to_owned(),
        Change::CardRemoved { .. } => "Saved card removed".to_owned(),
        Change::RefillDue => "Auto-refill re-evaluated".to_owned(),
        Change::RefillBegun(attempt) => format!("Auto-refill of ${} started", attempt.amount),
        Change::RefillNeedsCustomer { .. } => "Auto-refill awaiting your confirmation".to_owned(),
        Change::RefillFailed { .. } => "Auto-refill failed".to_owned(),
        Change::ComebackChosen(_) => "Restart preference changed".to_owned(),
        Change::TakenBack { by: TakeBack::Refund(_), .. } => format!("Refund ${}", -amount),
        Change::TakenBack { by: TakeBack::Dispute(_), .. } => {
            format!("Disputed payment ${}", -amount)
        }
        Change::GivenBack { by: TakeBack::Refund(_), .. } => {
            format!("Refund failed, ${amount} credited back")
        }
        Change::GivenBack { by: TakeBack::Dispute(_), .. } => {
            format!("Dispute closed, ${amount} credited back")
        }
        Change::DisputeOpened { .. } => "Payment disputed".to_owned(),
        Change::DisputeClosed { .. } => "Dispute closed".to_owned(),
        Change::Frozen { .. } => "Account frozen".to_owned(),
        Change::Unfrozen { .. } => "Account unfrozen".to_owned(),
        Change::Corrected { reason } => format!("Correction: {reason}"),
    }
}

fn commit(event: &Event, credit: Usd) -> String {
    let bonus: Usd =
        event.funds.iter().filter(|delta| delta.fund != Fund::Paid).map(|delta| delta.amount).sum();
    if bonus.is_zero() {
        format!("Commit plan ${credit}")
    } else {
        format!("Commit plan ${credit} with ${bonus} bonus")
    }
}

fn with_unused(stopped: usize, how: &str, amount: Usd) -> String {
    let what = format!("{} {how}", resources_called(stopped));
    if amount.is_zero() { what } else { format!("Unused time credited, {what}") }
}

fn resources_called(count: usize) -> String {
    if count == 1 { "1 resource".to_owned() } else { format!("{count} resources") }
}

fn count(lines: &BilledLines) -> usize {
    match lines {
        BilledLines::Here(lines) => lines.len(),
        BilledLines::Chunked(chunked) => usize::try_from(chunked.count).unwrap_or(usize::MAX),
    }
}

/// `11:00–12:00`, in UTC; with seconds where they are not zero.
fn hours(from: Timestamp, through: Timestamp) -> String {
    format!("{}–{}", clock(from), clock(through))
}

fn clock(instant: Timestamp) -> String {
    let end = if instant.seconds() % MINUTE == 0 { 16 } else { 19 };
    instant.to_string().get(11..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde_json::json;

    use super::*;
    use crate::domain::account::{AccountState, BilledTotals};
    use crate::domain::apply::apply;
    use crate::domain::event::PaymentFacts;
    use crate::domain::funds::{FundDelta, FundShare};
    use crate::domain::row::RowDigest;

    fn named<T: FromStr<Err: Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn at(clock: &str) -> Timestamp {
        named(&format!("2026-11-22T{clock}Z"))
    }

    fn row(change: Change, cause: Cause, amount: &str) -> Row {
        let amount: Usd = named(amount);
        let delta = FundDelta { fund: Fund::Paid, amount, used: Usd::ZERO };
        let funds = if amount.is_zero() { Vec::new() } else { vec![delta] };
        let event = Event {
            at: at("10:20:00"),
            cause,
            change,
            grants: Vec::new(),
            funds,
            want: None,
            warn_at: None,
        };
        let before = AccountState { next_seq: 7, paid: named("30"), ..AccountState::default() };
        let state = apply(&before, &event);
        Row { seq: 7, event, state, previous: RowDigest::none(), digest: RowDigest::none() }
    }

    fn shown(change: Change, amount: &str) -> (&'static str, String) {
        let shown = transaction(&named("acme"), &row(change, Cause::Time, amount));
        (shown.kind, shown.description)
    }

    fn credited(kind: CreditKind) -> Change {
        Change::Credited {
            payment: named("pi_1"),
            kind,
            credit: named("25"),
            received_cents: 2_500,
        }
    }

    fn line(resource: &str, amount: &str) -> ResourceLine {
        let amount = named(amount);
        let shares = vec![FundShare { fund: Fund::Paid, amount }];
        ResourceLine {
            resource: named(resource),
            rate: named("0.6"),
            seconds: 2_400,
            amount,
            shares,
        }
    }

    #[test]
    fn a_top_up_shows_its_payment() {
        let shown =
            transaction(&named("acme"), &row(credited(CreditKind::TopUp), Cause::Stripe, "25"));
        let expected = json!({
            "id": "acme#7", "seq": 7, "at": "2026-11-22T10:20:00Z", "type": "topup", "amount": "25.00",
            "balance_after": "55.00", "description": "Stripe top-up $25.00", "cause": "stripe", "lines": [],
            "stripe": {"session": null, "payment_intent": "pi_1", "charge": null, "invoice": null},
        });
        assert_eq!(serde_json::to_value(shown).unwrap(), expected);
    }

    #[test]
    fn an_hour_shows_what_each_resource_cost() {
        let lines = BilledLines::Here(vec![line("r1", "-0.4"), line("r2", "-0.4")]);
        let usage = Change::Usage {
            from: at("11:00:00"),
            through: at("12:00:00"),
            lines,
            billed: None,
            unpaid: Vec::new(),
        };
        let shown = transaction(&named("acme"), &row(usage, Cause::Time, "-0.8"));
        assert_eq!(shown.description, "Usage 11:00–12:00, 2 resources");
        let of = |resource: &str| json!({"resource": resource, "rate": "0.60", "seconds": 2_400, "amount": "-0.40"});
        assert_eq!(serde_json::to_value(shown.lines).unwrap(), json!([of("r1"), of("r2")]));
        assert_eq!((shown.kind, shown.cause, shown.stripe), ("usage", "time", None));
    }

    #[test]
    fn customers_read_their_own_words() {
        let of =
            PaymentFacts { payment: named("pi_1"), credit: named("25"), received_cents: 2_500 };
        let refund = TakeBack::Refund(named("re_1"));
        let dispute = TakeBack::Dispute(named("dp_1"));
        let taken = |by: &TakeBack| Change::TakenBack {
            by: by.clone(),
            of: of.clone(),
            cents: 1_000,
            credit: named("10"),
        };
        let stopped = |lines| Change::Stopped {
            resources: Vec::new(),
            why: crate::domain::event::StopReason::Requested,
            as_of: at("11:20:00"),
            lines,
            billed: BilledTotals::default(),
        };
        let refill = CreditKind::Refill {
            attempt: 1,
            purpose: crate::domain::account::RefillPurpose::Threshold,
        };
        let part = |lines| Change::Usage {
            from: at("11:00:00"),
            through: at("11:20:05"),
            lines,
            billed: None,
            unpaid: Vec::new(),
        };
        for (change, amount, kind, description) in [
            (credited(refill), "25", "auto_refill", "Auto-refill $25.00"),
            (credited(CreditKind::Commit), "25", "commit", "Commit plan $25.00"),
            (
                Change::Granted { number: 1, reason: "sorry".to_owned() },
                "5",
                "bonus",
                "Bonus $5.00: sorry",
            ),
            (Change::GrantExpired { number: 1 }, "-5", "bonus", "Credit of $5.00 expired"),
            (Change::TrialEnded, "-5", "trial", "Trial ended, credit of $5.00 expired"),
            (Change::TrialEnded, "0", "trial_ended", "Trial ended"),
            (taken(&refund), "-10", "refund", "Refund $10.00"),
            (taken(&dispute), "-10", "dispute", "Disputed payment $10.00"),
            (
                Change::Corrected { reason: "typo".to_owned() },
                "-1",
                "correction",
                "Correction: typo",
            ),
            (
                stopped(BilledLines::none()),
                "0.1",
                "unused",
                "Unused time credited, 0 resources stopped",
            ),
            (stopped(BilledLines::none()), "0", "stopped", "0 resources stopped"),
            (
                part(BilledLines::Here(vec![line("r1", "-0.2")])),
                "-0.2",
                "usage",
                "Usage 11:00–11:20:05, 1 resource",
            ),
            (Change::Frozen { reason: "secret".to_owned() }, "0", "frozen", "Account frozen"),
        ] {
            assert_eq!(shown(change, amount), (kind, description.to_owned()));
        }
    }

    #[test]
    fn every_type_has_a_name_that_is_read_back() {
        for kind in TransactionType::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!("opened".parse::<TransactionType>(), Err(TransactionTypeError));
    }
}
