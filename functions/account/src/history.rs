//! `GET /v1/balance/history`: the balance at the end of each hour or day. The account is settled
//! first, so that the last point is the balance of now.
//!
//! A point counts everything up to and in its second: at 11:00 the hour that begins is paid.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use tollgate::domain::money::Usd;
use tollgate::domain::timestamp::{DAY, HOUR, Timestamp};
use tollgate::http::call::Call;
use tollgate::http::handler::{Answer, Failed, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::store::{Bounded, READS_MAX};

use crate::time_range::{End, TimeRange, invalid, too_much};

/// The most points: more than a screen has room for; a month of hours.
const POINTS_MAX: i64 = 800;
/// What is shown if the caller does not say: two days of hours, or a month of days.
const HOURS_SECONDS: i64 = 48 * HOUR;
const DAYS_SECONDS: i64 = 30 * DAY;

#[derive(Clone, Copy)]
enum Granularity {
    Hour,
    Day,
}

impl Granularity {
    fn seconds(self) -> i64 {
        match self {
            Granularity::Hour => HOUR,
            Granularity::Day => DAY,
        }
    }
}

impl FromStr for Granularity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Granularity, &'static str> {
        match text {
            "hour" => Ok(Granularity::Hour),
            "day" => Ok(Granularity::Day),
            _ => Err("must be hour or day"),
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Granularity::Hour => "hour",
            Granularity::Day => "day",
        })
    }
}

#[derive(Debug, Serialize)]
struct Shown {
    granularity: String,
    from: String,
    to: String,
    items: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct Point {
    at: String,
    balance: String,
}

/// `GET /v1/balance/history`.
pub(crate) async fn get(billing: &Billing, call: &Call) -> Result<Answer, Failed> {
    let granularity = call.query("granularity")?.unwrap_or(Granularity::Hour);
    let TimeRange { from, to, open } = TimeRange::of(call, |to| match granularity {
        Granularity::Hour => to.plus(-HOURS_SECONDS),
        Granularity::Day => to.plus(-DAYS_SECONDS),
    })?;
    let step = granularity.seconds();
    let first = (from.seconds() / step + 1) * step;
    // Ends before `to`, and `to` itself.
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
        End::Now => Timestamp::default().plus(i64::MAX),
        End::Earlier => to.plus(1),
    };
    let numbers = billing.store.numbers_between(on.account(), from, until).await?;
    // With the row before: its balance is the one to begin with.
    let numbers = numbers.start.saturating_sub(1)..numbers.end;
    let Bounded::All(balances) = billing.store.balances(on.account(), numbers, READS_MAX).await?
    else {
        return Err(too_much().into());
    };
    let items = points(&balances, &ends);
    Answer::ok(&Shown {
        granularity: granularity.to_string(),
        from: from.to_string(),
        to: to.to_string(),
        items,
    })
}

/// The balance at each of these instants, all in order. The last point is the last balance: a row
/// may be some seconds ahead of the request that reads it.
fn points(balances: &[(Timestamp, Usd)], ends: &[Timestamp]) -> Vec<Point> {
    let (mut balance, mut rows) = (Usd::ZERO, balances.iter().peekable());
    let point = |(place, end): (usize, &Timestamp)| {
        let is_last = place + 1 == ends.len();
        while let Some((_, after)) = rows.next_if(|(at, _)| at <= end || is_last) {
            balance = *after;
        }
        Point { at: end.to_string(), balance: balance.to_string() }
    };
    ends.iter().enumerate().map(point).collect()
}
