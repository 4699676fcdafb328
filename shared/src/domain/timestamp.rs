//! Instants and clock hours in UTC. Money is counted to the second.
//!
//! There is no `now()` here. Time is data: it comes with the trigger (the request, the event, the
//! schedule), so every run can be replayed and tested at any date.

use std::fmt;
use std::ops::Sub;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds in a minute.
pub const MINUTE: i64 = 60;
/// Seconds in an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Seconds in a day.
pub const DAY: i64 = 24 * HOUR;

/// The first instant that is too late: 1 January 3000.
const SECONDS_END: i64 = 32_503_680_000;

/// Why a text or a number is not an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not RFC 3339, such as `2026-11-22T10:20:00Z`.
    #[error("must be an RFC 3339 time such as 2026-11-22T10:20:00Z")]
    NotRfc3339,
    /// Before 1970 or after 2999.
    #[error("must be between 1970 and 2999")]
    OutOfRange,
}

/// An instant: whole seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Timestamp(i64);

impl Timestamp {
    /// From seconds since 1970.
    ///
    /// # Errors
    /// [`TimestampError::OutOfRange`] before 1970 or after 2999.
    pub fn from_seconds(seconds: i64) -> Result<Timestamp, TimestampError> {
        if (0..SECONDS_END).contains(&seconds) {
            Ok(Timestamp(seconds))
        } else {
            Err(TimestampError::OutOfRange)
        }
    }

    /// From milliseconds since 1970, as in `requestContext.timeEpoch`. The fraction is dropped, for
    /// starts and stops alike.
    ///
    /// # Errors
    /// [`TimestampError::OutOfRange`].
    pub fn from_milliseconds(milliseconds: i64) -> Result<Timestamp, TimestampError> {
        Timestamp::from_seconds(milliseconds.div_euclid(1000))
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0
    }

    /// The instant `seconds` later (earlier if negative), within the accepted range.
    #[must_use]
    pub fn plus(self, seconds: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(seconds).clamp(0, SECONDS_END - 1))
    }

    /// The clock hour that contains this instant.
    #[must_use]
    pub fn hour(self) -> Hour {
        Hour(self.0 - self.0.rem_euclid(HOUR))
    }

    /// The UTC day that contains this instant, counted from 1970-01-01.
    #[must_use]
    pub fn day(self) -> u32 {
        u32::try_from(self.0.div_euclid(DAY)).unwrap_or(u32::MAX)
    }

    /// The first instant of this UTC day.
    #[must_use]
    pub fn day_start(self) -> Timestamp {
        Timestamp(self.0 - self.0.rem_euclid(DAY))
    }

    /// The first instant of the next UTC day.
    #[must_use]
    pub fn next_day(self) -> Timestamp {
        Timestamp((i64::from(self.day()) + 1) * DAY)
    }

    /// The UTC calendar month that contains this instant, as year × 12 + month − 1.
    #[must_use]
    pub fn month(self) -> u32 {
        let date = self.date();
        u32::try_from(date.year()).unwrap_or(0) * 12 + u32::from(u8::from(date.month())) - 1
    }

    /// The first instant of this UTC calendar month.
    #[must_use]
    pub fn month_start(self) -> Timestamp {
        Timestamp((i64::from(self.day()) + 1 - i64::from(self.date().day())) * DAY)
    }

    /// This UTC calendar month, such as `2026-11`.
    #[must_use]
    pub fn month_name(self) -> String {
        self.to_string().chars().take(7).collect()
    }

    /// The first instant of the next UTC calendar month.
    #[must_use]
    pub fn next_month(self) -> Timestamp {
        let date = self.date();
        let days_left = date.month().length(date.year()) - date.day() + 1;
        Timestamp((i64::from(self.day()) + i64::from(days_left)) * DAY)
    }

    /// The same day and time, `months` UTC calendar months later. If that month is too short, its last
    /// day.
    #[must_use]
    pub fn plus_months(self, months: u8) -> Timestamp {
        let of_day = self - self.day_start();
        let day = i64::from(self.date().day());
        let mut month = self.month_start();
        for _ in 0..months {
            month = month.next_month();
        }
        let length = (month.next_month() - month) / DAY;
        month.plus((day.min(length) - 1) * DAY + of_day)
    }

    fn date(self) -> time::Date {
        OffsetDateTime::from_unix_timestamp(self.0).map_or(time::Date::MIN, OffsetDateTime::date)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp(self.0).map_err(|_| fmt::Error)?;
        f.write_str(&time.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError::NotRfc3339)?;
        Timestamp::from_seconds(time.unix_timestamp())
    }
}

impl TryFrom<i64> for Timestamp {
    type Error = TimestampError;

    fn try_from(seconds: i64) -> Result<Timestamp, TimestampError> {
        Timestamp::from_seconds(seconds)
    }
}

impl From<Timestamp> for i64 {
    fn from(timestamp: Timestamp) -> i64 {
        timestamp.0
    }
}

/// The seconds from the second instant to the first.
impl Sub for Timestamp {
    type Output = i64;

    fn sub(self, earlier: Timestamp) -> i64 {
        self.0 - earlier.0
    }
}

/// A clock hour in UTC, `[start, end)`. A usage row pays for an hour or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hour(i64);

impl Hour {
    /// Its first second.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp(self.0)
    }

    /// The first second of the hour after it.
    #[must_use]
    pub fn end(self) -> Timestamp {
        Timestamp(self.0 + HOUR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_read_and_shown_in_utc() {
        assert_eq!(at("2026-11-22T10:20:00Z").to_string(), "2026-11-22T10:20:00Z");
        assert_eq!(at("2026-11-22T10:20:00.999+01:00").to_string(), "2026-11-22T09:20:00Z");
        assert_eq!("2026-11-22".parse::<Timestamp>(), Err(TimestampError::NotRfc3339));
        assert_eq!("1969-12-31T23:59:59Z".parse::<Timestamp>(), Err(TimestampError::OutOfRange));
        assert_eq!(Timestamp::from_milliseconds(1_999).map(Timestamp::seconds), Ok(1));
    }

    #[test]
    fn hours_days_and_months_are_those_of_the_utc_calendar() {
        let instant = at("2028-02-29T23:59:59Z");
        assert_eq!(instant.hour().start(), at("2028-02-29T23:00:00Z"));
        assert_eq!(instant.hour().end(), at("2028-03-01T00:00:00Z"));
        assert_eq!(at("2028-03-01T00:00:00Z").hour().start(), at("2028-03-01T00:00:00Z"));
        assert_eq!(instant.next_day(), at("2028-03-01T00:00:00Z"));
        assert_eq!(instant.next_month(), at("2028-03-01T00:00:00Z"));
        assert_eq!(at("2026-12-05T00:00:00Z").next_month(), at("2027-01-01T00:00:00Z"));
        assert_eq!(at("2026-12-05T00:00:00Z").month_name(), "2026-12");
        assert_eq!(at("2026-12-31T23:59:59Z").month() + 1, at("2027-01-01T00:00:00Z").month());
    }
}
