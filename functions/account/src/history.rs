//! `GET /v1/balance/history`: the balance at the end of each hour or day. The account is settled
//! first, so the last point is the current balance.
//!
//! A point includes its own second: at 11:00 the hour that begins is paid.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use tollgate::domain::money::Usd;
use tollgate::domain::timestamp::{DAY, HOUR, Timestamp};
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::store::{BoundedRead, READS_MAX};

use crate::time_range::{RangeEnd, TimeRange, invalid, too_much};

/// The maximum number of points: a month of hours, and more than fits a screen.
const POINTS_MAX: i64 = 800;
/// The default range: two days of hours, or a month of days.
const HOURS_SECONDS: i64 = 48 * HOUR;
const DAYS_SECONDS: i64 = 30 * DAY;

#[derive(Clone, Copy)]
enum HistoryGranularity {
    Hour,
    Day,
}

impl HistoryGranularity {
    fn seconds(self) -> i64 {
        match self {
            HistoryGranularity::Hour => HOUR,
            HistoryGranularity::Day => DAY,
        }
    }
}

impl FromStr for HistoryGranularity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<HistoryGranularity, &'static str> {
        match text {
            "hour" => Ok(HistoryGranularity::Hour),
            "day" => Ok(HistoryGranularity::Day),
            _ => Err("must be hour or day"),
        }
    }
}

impl fmt::Display for HistoryGranularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HistoryGranularity::Hour => "hour",
            HistoryGranularity::Day => "day",
        })
    }
}

#[derive(Debug, Serialize)]
struct HistoryView {
    granularity: String,
    from: String,
    to: String,
    items: Vec<HistoryPoint>,
}

#[derive(Debug, Serialize)]
struct HistoryPoint {
    at: String,
    balance: String,
}

/// Handles `GET /v1/balance/history`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let granularity = call.query("granularity")?.unwrap_or(HistoryGranularity::Hour);
    let TimeRange { from, to, open } = TimeRange::of(call, |to| match granularity {
        HistoryGranularity::Hour => to.plus(-HOURS_SECONDS),
        HistoryGranularity::Day => to.plus(-DAYS_SECONDS),
    })?;
    let step = granularity.seconds();
    let first = (from.seconds() / step + 1) * step;
    // All interval ends before `to`, and `to` itself.
    if (to.seconds() - first + step - 1) / step + 1 > POINTS_MAX {
        return Err(
            invalid("from", &format!("must be at most {POINTS_MAX} intervals before to")).into()
        );
    }
    let mut ends: Vec<Timestamp> = (0..POINTS_MAX)
        .map(|point| Timestamp::default().plus(first + point * step))
        .take_while(|end| *end < to)
        .collect();
    ends.push(to);
    let on = OnAccount::of_caller(billing, call)?;
    on.look(|_| ()).await?;
    let until = match open {
        RangeEnd::Now => Timestamp::default().plus(i64::MAX),
        RangeEnd::Earlier => to.plus(1),
    };
    let numbers = billing.store.numbers_between(on.account(), from, until).await?;
    // Includes the row before, because its balance is the first one.
    let numbers = numbers.start.saturating_sub(1)..numbers.end;
    let BoundedRead::All(balances) =
        billing.store.balances(on.account(), numbers, READS_MAX).await?
    else {
        return Err(too_much().into());
    };
    let items = points(&balances, &ends);
    ApiAnswer::ok(&HistoryView {
        granularity: granularity.to_string(),
        from: from.to_string(),
        to: to.to_string(),
        items,
    })
}

/// The balance at each of these instants, in order. The last point is the last balance, because a
/// row may be some seconds ahead of the request.
fn points(balances: &[(Timestamp, Usd)], ends: &[Timestamp]) -> Vec<HistoryPoint> {
    let (mut balance, mut rows) = (Usd::ZERO, balances.iter().peekable());
    let point = |(place, end): (usize, &Timestamp)| {
        let is_last = place + 1 == ends.len();
        while let Some((_, after)) = rows.next_if(|(at, _)| at <= end || is_last) {
            balance = *after;
        }
        HistoryPoint { at: end.to_string(), balance: balance.to_string() }
    };
    ends.iter().enumerate().map(point).collect()
}
