//! A row as a line of the account's history, in plain words.
//!
//! Pure: the row contains everything shown, so it reads the same at any time. Rows that move no
//! money are not transactions and keep their row type ([`Change::name`]).

use serde::Serialize;

use super::family;
use crate::domain::event::{BilledLines, Cause, Change, Event, MeterLine, ResourceLine};
use crate::domain::ids::{AccountId, PaymentId};
use crate::domain::row::Row;
use crate::domain::usage::UsageLabels;

pub use super::transaction_type::{TransactionType, TransactionTypeError};

/// A row as shown to its customer. Amounts are strings in USD, times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transaction {
    /// The account and the row number: `<account>#<seq>`.
    pub id: String,
    pub seq: u64,
    /// RFC 3339, in UTC.
    pub at: String,
    /// [`TransactionType::name`], or [`Change::name`] for a row that moved no money.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The change of the balance.
    pub amount: String,
    /// The balance after the row.
    pub balance_after: String,
    /// In plain words.
    pub description: String,
    /// `time`, `stripe` or `request`.
    pub cause: &'static str,
    /// The single charges or refunds. `None` if there are too many to show here.
    pub lines: Option<Vec<TransactionLine>>,
    /// The objects at Stripe. `None` if the row has no payment.
    pub stripe: Option<StripeObjects>,
}

/// A line of a charge or refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the fields are named by what they hold")]
pub enum TransactionLine {
    /// The time of a resource.
    Time { resource: String, rate: String, seconds: i64, amount: String },
    /// A quantity of an hour with its labels. `from` and `to` are what was billed of them before
    /// and after.
    Quantity {
        project: String,
        sku: String,
        hour: Option<String>,
        labels: UsageLabels,
        from: String,
        to: String,
        quantity: String,
        rate: String,
        amount: String,
    },
}

/// The known Stripe objects of a payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StripeObjects {
    pub session: Option<String>,
    pub payment_intent: Option<String>,
    pub charge: Option<String>,
    pub invoice: Option<String>,
}

/// The transaction type of a row. `None` if it moved no money.
#[must_use]
pub fn transaction_type(event: &Event) -> Option<TransactionType> {
    if event.amount().is_zero() {
        return None;
    }
    family::view_of(&event.change).transaction_type()
}

/// A row as shown to its customer. Of the payment's IDs it has only the one in the row.
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
        description: family::view_of(&event.change).description(event),
        cause: match event.cause {
            Cause::Time => "time",
            Cause::Stripe => "stripe",
            Cause::Request(_) | Cause::Command => "request",
            Cause::Staff { .. } => "staff",
        },
        lines: lines(&event.change),
        stripe: payment(&event.change).map(|payment| StripeObjects {
            payment_intent: Some(payment.to_string()),
            ..StripeObjects::default()
        }),
    }
}

fn lines(change: &Change) -> Option<Vec<TransactionLine>> {
    if !change.meter_lines().is_empty() {
        return Some(change.meter_lines().iter().map(meter_line).collect());
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
        hour: line.hour.map(|hour| hour.to_string()),
        labels: line.labels.clone(),
        from: line.from.to_string(),
        to: line.to.to_string(),
        quantity: line.to.since(line.from).to_string(),
        rate: line.rate.shown(),
        amount: line.amount.to_string(),
    }
}

/// The payment of a row, if it has one.
#[must_use]
pub fn payment(change: &Change) -> Option<&PaymentId> {
    family::view_of(change).payment()
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::str::FromStr;

    use serde_json::json;

    use super::*;
    use crate::domain::account::{AccountState, BilledTotals};
    use crate::domain::apply::apply;
    use crate::domain::event::{
        BillingChange, CreditKind, GrantChange, PaymentChange, PaymentFacts, ResourceChange,
        StaffChange, TakeBack,
    };
    use crate::domain::funds::{Fund, FundDelta, FundShare};
    use crate::domain::money::Usd;
    use crate::domain::row::RowDigest;
    use crate::domain::row_format::RowFormat;
    use crate::domain::timestamp::Timestamp;

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
            respite_until: None,
            respite_from: None,
            owed: Usd::ZERO,
            kept: None,
            low: None,
            warn_at: None,
            uses_up_credit: false,
            cuts: Vec::new(),
            spends: Vec::new(),
        };
        let before = AccountState { next_seq: 7, paid: named("30"), ..AccountState::default() };
        let state = apply(&before, &event);
        Row {
            seq: 7,
            event,
            state,
            previous: RowDigest::none(),
            digest: RowDigest::none(),
            format: RowFormat::WRITTEN,
        }
    }

    fn shown(change: Change, amount: &str) -> (&'static str, String) {
        let shown = transaction(&named("acme"), &row(change, Cause::Time, amount));
        (shown.kind, shown.description)
    }

    fn credited(kind: CreditKind) -> Change {
        Change::Payment(PaymentChange::Credited {
            payment: named("pi_1"),
            kind,
            credit: named("25"),
            received_cents: 2_500,
            plan: None,
            also: Vec::new(),
        })
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
        let usage = Change::Billing(BillingChange::Usage {
            from: at("11:00:00"),
            through: at("12:00:00"),
            lines,
            billed: None,
            unpaid: Vec::new(),
        });
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
        let taken = |by: &TakeBack| {
            Change::Payment(PaymentChange::TakenBack {
                by: by.clone(),
                of: of.clone(),
                cents: 1_000,
                credit: named("10"),
                keep: false,
                after: None,
            })
        };
        let stopped = |lines| {
            Change::Resource(ResourceChange::Stopped {
                resources: Vec::new(),
                why: crate::domain::event::StopReason::Requested,
                as_of: at("11:20:00"),
                lines,
                billed: BilledTotals::default(),
            })
        };
        let refill = CreditKind::Refill {
            attempt: 1,
            purpose: crate::domain::account::RefillPurpose::Threshold,
        };
        let part = |lines| {
            Change::Billing(BillingChange::Usage {
                from: at("11:00:00"),
                through: at("11:20:05"),
                lines,
                billed: None,
                unpaid: Vec::new(),
            })
        };
        for (change, amount, kind, description) in [
            (credited(refill), "25", "auto_refill", "Auto-refill $25.00"),
            (credited(CreditKind::Commit), "25", "commit", "Commit plan $25.00"),
            (
                Change::Grant(GrantChange::Granted { number: 1, reason: "sorry".to_owned() }),
                "5",
                "bonus",
                "Bonus $5.00: sorry",
            ),
            (
                Change::Grant(GrantChange::GrantExpired { number: 1 }),
                "-5",
                "bonus",
                "Credit of $5.00 expired",
            ),
            (
                Change::Grant(GrantChange::TrialEnded),
                "-5",
                "trial",
                "Trial ended, credit of $5.00 expired",
            ),
            (Change::Grant(GrantChange::TrialEnded), "0", "trial_ended", "Trial ended"),
            (taken(&refund), "-10", "refund", "Refund $10.00"),
            (taken(&dispute), "-10", "dispute", "Disputed payment $10.00"),
            (
                Change::Staff(StaffChange::Corrected { reason: "typo".to_owned() }),
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
            (
                Change::Staff(StaffChange::Frozen { reason: "secret".to_owned() }),
                "0",
                "frozen",
                "Account frozen",
            ),
        ] {
            assert_eq!(shown(change, amount), (kind, description.to_owned()));
        }
    }
}
