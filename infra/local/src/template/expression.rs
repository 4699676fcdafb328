//! `cron(…)`, `rate(…)` and `at(…)`, as EventBridge reads them.

use std::collections::BTreeSet;

use time::{Date, Duration, Time, UtcDateTime};

use crate::runtime::clock;

/// When a schedule is due, in UTC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expression {
    /// Every so many seconds.
    Rate(i64),
    /// At the minutes that match.
    Cron(Box<Cron>),
    At(UtcDateTime),
}

/// The six fields of a `cron(…)`: every value that matches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cron {
    minutes: BTreeSet<u16>,
    hours: BTreeSet<u16>,
    days: Days,
    months: BTreeSet<u16>,
    years: BTreeSet<u16>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Days {
    OfMonth(BTreeSet<u16>),
    /// 1 is Sunday.
    OfWeek(BTreeSet<u16>),
}

/// Why a text is no schedule.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{expression} is no schedule: {reason}")]
pub struct ExpressionError {
    expression: String,
    reason: String,
}

/// The last year EventBridge knows.
const YEAR_MAX: u16 = 2199;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Expression {
    /// Reads `cron(0 * * * ? *)`, `rate(5 minutes)` or `at(2026-12-01T00:00:00)`.
    ///
    /// # Errors
    ///
    /// If EventBridge would refuse it, or if it uses `L`, `W` or `#`, which are not known here.
    pub fn read(text: &str) -> Result<Self, ExpressionError> {
        let error = |reason: String| ExpressionError { expression: text.to_owned(), reason };
        let (kind, rest) =
            text.split_once('(').ok_or_else(|| error("it has no parentheses".to_owned()))?;
        let argument =
            rest.strip_suffix(')').ok_or_else(|| error("it does not end with )".to_owned()))?;
        match kind {
            "rate" => rate(argument).map_err(error),
            "cron" => cron(argument).map_err(error),
            "at" => clock::parse(&format!("{argument}Z"))
                .map(Self::At)
                .ok_or_else(|| error("at(…) takes a time such as 2026-12-01T00:00:00".to_owned())),
            _ => Err(error("it is neither cron, nor rate, nor at".to_owned())),
        }
    }

    /// The first time after `after` at which the schedule is due; None if there is none.
    #[must_use]
    pub fn next(&self, after: UtcDateTime) -> Option<UtcDateTime> {
        match self {
            Self::Rate(seconds) => {
                let passed = after.unix_timestamp().div_euclid(*seconds);
                UtcDateTime::from_unix_timestamp(passed.checked_add(1)?.checked_mul(*seconds)?).ok()
            }
            Self::Cron(cron) => cron.next(after),
            Self::At(at) => (*at > after).then_some(*at),
        }
    }
}

impl Cron {
    fn next(&self, after: UtcDateTime) -> Option<UtcDateTime> {
        let whole_minute = after.time().replace_second(0).ok()?.replace_nanosecond(0).ok()?;
        let first = UtcDateTime::new(after.date(), whole_minute) + Duration::MINUTE;
        let mut date = first.date();
        let mut from = Some(first.time());
        loop {
            if u16::try_from(date.year()).ok()? > YEAR_MAX {
                return None;
            }
            if self.is_on(date)
                && let Some(time) = self.time_from(from.unwrap_or(Time::MIDNIGHT))
            {
                return Some(UtcDateTime::new(date, time));
            }
            from = None;
            date = date.next_day()?;
        }
    }

    fn is_on(&self, date: Date) -> bool {
        let year = u16::try_from(date.year()).unwrap_or_default();
        let day_matches = match &self.days {
            Days::OfMonth(days) => days.contains(&u16::from(date.day())),
            Days::OfWeek(days) => days.contains(&u16::from(date.weekday().number_from_sunday())),
        };
        day_matches
            && self.months.contains(&u16::from(u8::from(date.month())))
            && self.years.contains(&year)
    }

    fn time_from(&self, from: Time) -> Option<Time> {
        let (from_hour, from_minute) = (u16::from(from.hour()), u16::from(from.minute()));
        let this_hour = self
            .hours
            .contains(&from_hour)
            .then(|| self.minutes.range(from_minute..).next())
            .flatten();
        let (hour, minute) = match this_hour {
            Some(minute) => (from_hour, *minute),
            None => (*self.hours.range(from_hour + 1..).next()?, *self.minutes.first()?),
        };
        Time::from_hms(u8::try_from(hour).ok()?, u8::try_from(minute).ok()?, 0).ok()
    }
}

fn rate(argument: &str) -> Result<Expression, String> {
    let wrong = || "rate(…) takes a number and minutes, hours or days".to_owned();
    let (number, unit) = argument.split_once(' ').ok_or_else(wrong)?;
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let seconds = match (number, unit) {
        (1, "minute") => 60,
        (1, "hour") => 3600,
        (1, "day") => 86_400,
        (2.., "minutes") => 60,
        (2.., "hours") => 3600,
        (2.., "days") => 86_400,
        _ => return Err(wrong() + ", singular for 1 and plural for more"),
    };
    number.checked_mul(seconds).map(Expression::Rate).ok_or_else(wrong)
}

fn cron(argument: &str) -> Result<Expression, String> {
    let fields: Vec<&str> = argument.split_whitespace().collect();
    let [minutes, hours, day_of_month, months, day_of_week, years] = fields.as_slice() else {
        return Err(format!("cron(…) has six fields, and this has {}", fields.len()));
    };
    let days = match (*day_of_month, *day_of_week) {
        ("?", "?") => return Err("only one of the two fields for days can be ?".to_owned()),
        (days, "?") => Days::OfMonth(values(days, 1, 31, &[])?),
        ("?", days) => Days::OfWeek(values(days, 1, 7, &WEEKDAYS)?),
        _ => return Err("one of the two fields for days must be ?".to_owned()),
    };
    Ok(Expression::Cron(Box::new(Cron {
        minutes: values(minutes, 0, 59, &[])?,
        hours: values(hours, 0, 23, &[])?,
        days,
        months: values(months, 1, 12, &MONTHS)?,
        years: values(years, 1970, YEAR_MAX, &[])?,
    })))
}

/// `*`, `5`, `1-5`, `MON-FRI`, `*/15`, `10-30/5`, and lists of these.
fn values(field: &str, min: u16, max: u16, names: &[&str]) -> Result<BTreeSet<u16>, String> {
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named =
            named.and_then(|position| u16::try_from(position).ok()).map(|position| position + min);
        named
            .or_else(|| text.parse().ok())
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| format!("{text} is not between {min} and {max}"))
    };
    let mut matching = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (first, last) = if range == "*" {
            (min, max)
        } else if let Some((first, last)) = range.split_once('-') {
            (number(first)?, number(last)?)
        } else {
            let first = number(range)?;
            // `5/15` is from 5 on, every 15.
            (first, if step.is_some() { max } else { first })
        };
        let step = match step {
            None => 1,
            Some(step) => step
                .parse()
                .ok()
                .filter(|step: &u16| *step > 0)
                .ok_or_else(|| format!("{step} is no step"))?,
        };
        if first > last {
            return Err(format!("{range} runs backwards"));
        }
        matching.extend((first..=last).step_by(usize::from(step)));
    }
    Ok(matching)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    fn following(expression: &str, after: UtcDateTime, count: usize) -> Vec<UtcDateTime> {
        let expression = Expression::read(expression).unwrap();
        let mut times = vec![after];
        for _ in 0..count {
            times.push(expression.next(*times.last().unwrap()).unwrap());
        }
        times.split_off(1)
    }

    #[test]
    fn every_form_of_schedule_has_its_next_times() {
        let start = utc_datetime!(2026-11-30 22:59:30.5);
        let check = |expression, expected: &[UtcDateTime]| {
            assert_eq!(following(expression, start, expected.len()), expected, "{expression}");
        };
        check("rate(1 hour)", &[utc_datetime!(2026-11-30 23:00), utc_datetime!(2026-12-01 0:00)]);
        check(
            "rate(5 minutes)",
            &[utc_datetime!(2026-11-30 23:00), utc_datetime!(2026-11-30 23:05)],
        );
        check(
            "cron(0 * * * ? *)",
            &[utc_datetime!(2026-11-30 23:00), utc_datetime!(2026-12-01 0:00)],
        );
        check(
            "cron(* * * * ? *)",
            &[utc_datetime!(2026-11-30 23:00), utc_datetime!(2026-11-30 23:01)],
        );
        check(
            "cron(5/20 3 ? * MON-FRI *)",
            &[
                utc_datetime!(2026-12-01 3:05),
                utc_datetime!(2026-12-01 3:25),
                utc_datetime!(2026-12-01 3:45),
                utc_datetime!(2026-12-02 3:05),
            ],
        );
        check(
            "cron(0 0 29 2 ? *)",
            &[utc_datetime!(2028-02-29 0:00), utc_datetime!(2032-02-29 0:00)],
        );
        check(
            "cron(0,30 9-10 1 JAN ? 2027)",
            &[utc_datetime!(2027-01-01 9:00), utc_datetime!(2027-01-01 9:30)],
        );
        check("cron(0 12 ? * 1 *)", &[utc_datetime!(2026-12-06 12:00)]);
        check("at(2026-12-24T18:00:00)", &[utc_datetime!(2026-12-24 18:00)]);
    }

    #[test]
    fn a_schedule_that_is_over_has_no_next_time() {
        let after = utc_datetime!(2027-01-02 0:00);
        assert_eq!(Expression::read("cron(0 0 1 1 ? 2027)").unwrap().next(after), None);
        assert_eq!(Expression::read("cron(0 0 30 2 ? *)").unwrap().next(after), None);
        assert_eq!(Expression::read("at(2026-12-24T18:00:00)").unwrap().next(after), None);
    }

    #[test]
    fn what_eventbridge_refuses_is_refused_with_a_reason() {
        for (expression, reason) in [
            ("every hour", "no parentheses"),
            ("cron(0 * * * ? *", "end with )"),
            ("cron(0 * * * *)", "six fields"),
            ("cron(0 * * * * *)", "must be ?"),
            ("cron(0 * ? * ? *)", "only one"),
            ("cron(60 * * * ? *)", "between 0 and 59"),
            ("cron(0 * L * ? *)", "between 1 and 31"),
            ("cron(*/0 * * * ? *)", "no step"),
            ("cron(30-10 * * * ? *)", "backwards"),
            ("rate(1 hours)", "singular"),
            ("rate(5 minute)", "plural"),
            ("rate(0 minutes)", "number"),
            ("at(tomorrow)", "time"),
            ("sometimes(1)", "neither"),
        ] {
            let error = Expression::read(expression).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
