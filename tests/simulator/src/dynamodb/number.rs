//! DynamoDB's numbers: exact decimals of up to 38 significant digits.

use std::cmp::Ordering;
use std::fmt;

use super::error::{DynamoError, invalid};

const DIGITS_MAX: u32 = 38;
/// The largest and smallest power of ten of a first digit: 9.99…E+125 and 1E-130.
const MAGNITUDE_MAX: i32 = 125;
const MAGNITUDE_MIN: i32 = -130;

/// `digits` times ten to the power of `exponent`. Trailing zeros are in the exponent, and zero has
/// neither sign nor exponent, so equal numbers have equal fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct DecimalNumber {
    is_negative: bool,
    /// Below 10^38, which is below 2^127.
    digits: u128,
    exponent: i32,
}

impl DecimalNumber {
    const ZERO: Self = Self { is_negative: false, digits: 0, exponent: 0 };

    pub(super) fn parse(text: &str) -> Result<Self, DynamoError> {
        let malformed =
            || invalid(format!("The parameter cannot be converted to a numeric value: {text}"));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                (mantissa, exponent.parse::<i32>().map_err(|_| malformed())?)
            }
            None => (text, 0),
        };
        let (is_negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || whole.len() + fraction.len() == 0 {
            return Err(malformed());
        }
        let written = format!("{whole}{fraction}");
        let significant = written.trim_end_matches('0');
        let zeros = written.len() - significant.len();
        let significant = significant.trim_start_matches('0');
        if significant.is_empty() {
            return Ok(Self::ZERO);
        }
        let shift = i32::try_from(zeros).ok().zip(i32::try_from(fraction.len()).ok());
        let exponent =
            shift.and_then(|(zeros, fraction)| exponent.checked_add(zeros)?.checked_sub(fraction));
        if significant.len() > DIGITS_MAX as usize {
            return Err(too_many_digits());
        }
        let digits = significant.parse().map_err(|_| malformed())?;
        Self { is_negative, digits, exponent: exponent.ok_or_else(malformed)? }.in_range()
    }

    pub(super) fn add(self, other: Self) -> Result<Self, DynamoError> {
        if self.digits == 0 {
            return Ok(other);
        }
        if other.digits == 0 {
            return Ok(self);
        }
        let exponent = self.exponent.min(other.exponent);
        // A number that does not fit after shifting has its last digit so far from the other's
        // first one that the exact sum has more than 38 digits.
        let (Some(mine), Some(others)) = (self.scaled_to(exponent), other.scaled_to(exponent))
        else {
            return Err(too_many_digits());
        };
        let (is_negative, digits) = if self.is_negative == other.is_negative {
            (self.is_negative, mine.checked_add(others).ok_or_else(too_many_digits)?)
        } else if mine >= others {
            (self.is_negative, mine - others)
        } else {
            (other.is_negative, others - mine)
        };
        Self { is_negative, digits, exponent }.normalized()
    }

    pub(super) fn subtract(self, other: Self) -> Result<Self, DynamoError> {
        // Zero has no sign.
        if other.digits == 0 {
            return Ok(self);
        }
        self.add(Self { is_negative: !other.is_negative, ..other })
    }

    /// Two digits share a byte, counted from the decimal point in both directions. Sign and
    /// magnitude take a byte each.
    pub(super) fn size(self) -> usize {
        if self.digits == 0 {
            return 1;
        }
        let count = i32::try_from(self.digit_count()).unwrap_or(i32::MAX);
        let whole = (count + self.exponent).clamp(0, count);
        let bytes = whole.unsigned_abs().div_ceil(2) + (count - whole).unsigned_abs().div_ceil(2);
        bytes as usize + 1 + usize::from(self.is_negative)
    }

    fn scaled_to(self, exponent: i32) -> Option<u128> {
        let shift = u32::try_from(self.exponent - exponent).ok()?;
        self.digits.checked_mul(10_u128.checked_pow(shift)?)
    }

    fn without_trailing_zeros(mut self) -> Self {
        if self.digits == 0 {
            return Self::ZERO;
        }
        while self.digits.is_multiple_of(10) {
            self.digits /= 10;
            self.exponent += 1;
        }
        self
    }

    fn normalized(self) -> Result<Self, DynamoError> {
        if self.digits == 0 {
            return Ok(Self::ZERO);
        }
        let normal = self.without_trailing_zeros();
        if normal.digit_count() > DIGITS_MAX {
            return Err(too_many_digits());
        }
        normal.in_range()
    }

    fn in_range(self) -> Result<Self, DynamoError> {
        if self.magnitude() > MAGNITUDE_MAX {
            return Err(invalid(
                "Number overflow. Attempting to store a number with magnitude larger than \
                 supported range",
            ));
        }
        if self.magnitude() < MAGNITUDE_MIN {
            return Err(invalid(
                "Number underflow. Attempting to store a number with magnitude smaller than \
                 supported range",
            ));
        }
        Ok(self)
    }

    fn digit_count(self) -> u32 {
        self.digits.checked_ilog10().map_or(0, |power| power + 1)
    }

    /// The power of ten of the first digit.
    fn magnitude(self) -> i32 {
        let power = self.digits.checked_ilog10().unwrap_or_default();
        i32::try_from(power).unwrap_or(i32::MAX).saturating_add(self.exponent)
    }

    /// Compares without the signs.
    fn cmp_absolute(self, other: Self) -> Ordering {
        if self.digits == 0 || other.digits == 0 {
            return self.digits.cmp(&other.digits);
        }
        let exponent = self.exponent.min(other.exponent);
        // Of numbers with the same magnitude, both fit into 38 digits after shifting.
        self.magnitude()
            .cmp(&other.magnitude())
            .then_with(|| self.scaled_to(exponent).cmp(&other.scaled_to(exponent)))
    }
}

impl From<i64> for DecimalNumber {
    fn from(value: i64) -> Self {
        let digits = u128::from(value.unsigned_abs());
        let number = Self { is_negative: value < 0, digits, exponent: 0 };
        number.without_trailing_zeros()
    }
}

impl Ord for DecimalNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.cmp_absolute(*other),
            (true, true) => other.cmp_absolute(*self),
        }
    }
}

impl PartialOrd for DecimalNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Without an exponent, as DynamoDB answers.
impl fmt::Display for DecimalNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        let digits = self.digits.to_string();
        let places = self.exponent.unsigned_abs() as usize;
        if self.exponent >= 0 {
            return write!(formatter, "{sign}{digits}{}", "0".repeat(places));
        }
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        write!(formatter, "{sign}{whole}.{fraction}")
    }
}

fn too_many_digits() -> DynamoError {
    invalid("Attempting to store more than 38 significant digits in a Number")
}
