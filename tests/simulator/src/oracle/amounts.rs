//! Amounts and rates as whole numbers, and the one rule of rounding.

use serde_json::Value;

/// Millionths of a dollar.
pub type Micros = i128;
/// An hourly price in 10⁻¹² dollars.
pub type HourlyRate = i128;

pub const DOLLAR: Micros = 1_000_000;
pub const MICROS_PER_CENT: Micros = 10_000;
const HOUR_SECONDS: i128 = 3_600;

/// The cost of some seconds, rounded once, half to even.
#[must_use]
pub fn cost(rate: HourlyRate, seconds: i64) -> Micros {
    divide(rate * i128::from(seconds), HOUR_SECONDS * 1_000_000)
}

/// How many whole seconds an amount pays, ten years at most. `rate` is above zero.
#[must_use]
pub fn seconds_paid(amount: Micros, rate: HourlyRate) -> i64 {
    let seconds = (amount * HOUR_SECONDS * 1_000_000).div_euclid(rate);
    i64::try_from(seconds).unwrap_or(i64::MAX).min(10 * 366 * 24 * 3_600)
}

/// What a share of `part` in `whole` comes to, rounded once, half to even.
#[must_use]
pub fn share_of(amount: Micros, part: i64, whole: i64) -> Micros {
    if whole == 0 || part == whole {
        return amount;
    }
    divide(amount * i128::from(part), i128::from(whole))
}

#[must_use]
pub fn of_cents(cents: i64) -> Micros {
    i128::from(cents) * MICROS_PER_CENT
}

/// A division that rounds half to even. `by` is above zero.
#[must_use]
pub fn divide(amount: i128, by: i128) -> i128 {
    let (whole, rest) = (amount.div_euclid(by), amount.rem_euclid(by));
    let rounds_up = rest * 2 > by || (rest * 2 == by && whole % 2 != 0);
    whole + i128::from(rounds_up)
}

/// An amount that is stored as text. Nothing stored is zero.
///
/// # Errors
/// What is wrong, as text.
pub fn micros(value: &Value) -> Result<Micros, String> {
    match value {
        Value::Null => Ok(0),
        value => scaled(value.as_str().unwrap_or("no text"), 6),
    }
}

/// A rate that is stored as text. Nothing stored is zero.
///
/// # Errors
/// What is wrong, as text.
pub fn hourly_rate(value: &Value) -> Result<HourlyRate, String> {
    match value {
        Value::Null => Ok(0),
        value => scaled(value.as_str().unwrap_or("no text"), 12),
    }
}

/// A decimal number, in units of its last permitted place.
///
/// # Errors
/// What is wrong, as text.
pub fn scaled(text: &str, places: u32) -> Result<i128, String> {
    let wrong = || format!("{text:?} is no number with at most {places} decimals");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let missing = usize::try_from(places).unwrap_or_default().checked_sub(part.len());
    let zeros = "0".repeat(missing.ok_or_else(wrong)?);
    let number: i128 = format!("{whole}{part}{zeros}").parse().map_err(|_| wrong())?;
    Ok(sign * number)
}
