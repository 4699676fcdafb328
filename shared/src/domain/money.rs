//! Money and prices: [`Usd`], [`Rate`] and [`Quantity`], all exact decimals.
//!
//! No floating point anywhere. A ledger amount has six decimals (micro-dollars). A price has
//! twelve, because real price lists need them ($0.0208333 an hour, $0.00000015 a token). The
//! product of a price and a duration or quantity is rounded *once*, half to even, to six decimals:
//! [`Rate::for_seconds`], [`Rate::for_quantity`].

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// Decimals of a ledger amount.
const USD_DECIMALS: u32 = 6;
/// Decimals of a price.
const RATE_DECIMALS: u32 = 12;
/// The largest accepted absolute amount, in USD. A `Decimal` with six decimals holds 7.9e22, so
/// even ten billion additions of bounded amounts cannot overflow. [`Usd::is_bounded`] guards stored
/// amounts.
const USD_MAX: i64 = 1_000_000_000_000;
/// The largest accepted price, in USD per hour or unit.
const RATE_MAX: i64 = 1_000_000;
/// The most that one report may add to a meter, in units.
const REPORTED_MAX: i64 = 1_000_000_000_000;
/// The most that one report may cost, in USD. More is a mistake, and could leave usage that no row
/// can bill.
pub const REPORT_COST_MAX: i64 = 1_000_000;
/// The largest accepted meter reading.
pub const QUANTITY_MAX: i64 = 1_000_000_000_000_000;

/// Why a text or a number is not an amount, a price or a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a plain decimal number such as `"25.00"`.
    #[error("must be a decimal number such as \"25.00\"")]
    NotANumber,
    /// More decimals than the type allows.
    #[error("must have at most {0} decimals")]
    TooPrecise(u32),
    /// Outside the accepted range.
    #[error("must be within the accepted range")]
    OutOfRange,
    /// A price or quantity below zero.
    #[error("must not be negative")]
    Negative,
    /// Not a whole number of cents where one is needed.
    #[error("must be a whole number of cents")]
    FractionOfCent,
}

/// An amount of US dollars with six decimals, positive or negative.
///
/// In JSON it is a string. [`fmt::Display`] shows at least two decimals (`"25.00"`, `"0.004167"`),
/// as callers see it. The stored form is the shortest one (`"25"`).
///
/// Arithmetic is plain `+` and `-`. Every value is bounded when it enters, and every stored balance
/// is checked with [`Usd::is_bounded`].
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Usd(Decimal);

impl Usd {
    pub const ZERO: Usd = Usd(Decimal::ZERO);

    /// From a decimal of at most six decimals.
    ///
    /// # Errors
    /// [`MoneyError::TooPrecise`], [`MoneyError::OutOfRange`].
    pub fn new(amount: Decimal) -> Result<Usd, MoneyError> {
        let amount = amount.normalize();
        if amount.scale() > USD_DECIMALS {
            return Err(MoneyError::TooPrecise(USD_DECIMALS));
        }
        let usd = Usd(amount);
        if usd.is_bounded() { Ok(usd) } else { Err(MoneyError::OutOfRange) }
    }

    /// From whole cents, Stripe's unit. Every amount of a real payment fits.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] above one trillion dollars.
    pub fn from_cents(cents: i64) -> Result<Usd, MoneyError> {
        Usd::new(Decimal::new(cents, 2))
    }

    /// From whole dollars, for constants and tests.
    #[must_use]
    pub fn dollars(dollars: u32) -> Usd {
        Usd(Decimal::from(dollars))
    }

    /// From micro-dollars (millionths of a dollar).
    #[must_use]
    pub fn from_micros(micros: i64) -> Usd {
        Usd(Decimal::new(micros, USD_DECIMALS).normalize())
    }

    /// Whole cents, Stripe's unit.
    ///
    /// # Errors
    /// [`MoneyError::FractionOfCent`] if there is a fraction of a cent.
    pub fn to_cents(self) -> Result<i64, MoneyError> {
        let cents = (self.0 * Decimal::ONE_HUNDRED).normalize();
        if cents.scale() > 0 {
            return Err(MoneyError::FractionOfCent);
        }
        i64::try_from(cents).map_err(|_| MoneyError::OutOfRange)
    }

    /// The amount rounded up to whole cents: what a customer must pay to have it.
    #[must_use]
    pub fn up_to_cents(self) -> Usd {
        Usd(((self.0 * Decimal::ONE_HUNDRED).ceil() / Decimal::ONE_HUNDRED).normalize())
    }

    /// The plain decimal, for a DynamoDB number or a report.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// Whether the amount is within the accepted range (a trillion dollars either way).
    #[must_use]
    pub fn is_bounded(self) -> bool {
        self.0.abs() <= Decimal::from(USD_MAX)
    }

    /// Whether there is no money at all.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// Whether the amount is above zero.
    #[must_use]
    pub fn is_positive(self) -> bool {
        self > Usd::ZERO
    }

    /// Whether the amount is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self < Usd::ZERO
    }

    /// The amount, or zero if it is below.
    #[must_use]
    pub fn or_zero(self) -> Usd {
        self.max(Usd::ZERO)
    }

    /// The amount multiplied by a count.
    #[must_use]
    pub fn times(self, count: i64) -> Usd {
        Usd((self.0 * Decimal::from(count)).normalize())
    }

    /// `self × part ÷ whole`, rounded once, half to even. The share of an amount, by cents. A
    /// `whole` of zero returns the whole amount.
    #[must_use]
    pub fn pro_rata(self, part: i64, whole: i64) -> Usd {
        if whole == 0 || part == whole {
            return self;
        }
        Usd(round(self.0 * Decimal::from(part) / Decimal::from(whole)))
    }

    /// The same share by amounts.
    #[must_use]
    pub fn share(self, part: Usd, whole: Usd) -> Usd {
        if whole.is_zero() || part == whole {
            return self;
        }
        Usd(round(self.0 * part.0 / whole.0))
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.normalize();
        if shown.scale() < 2 {
            shown.rescale(2);
        }
        fmt::Display::fmt(&shown, f)
    }
}

impl fmt::Debug for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${self}")
    }
}

impl FromStr for Usd {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Usd, MoneyError> {
        Usd::new(parse(text)?)
    }
}

impl TryFrom<String> for Usd {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Usd, MoneyError> {
        text.parse()
    }
}

impl From<Usd> for String {
    fn from(usd: Usd) -> String {
        usd.0.normalize().to_string()
    }
}

impl Add for Usd {
    type Output = Usd;

    fn add(self, other: Usd) -> Usd {
        Usd((self.0 + other.0).normalize())
    }
}

impl Sub for Usd {
    type Output = Usd;

    fn sub(self, other: Usd) -> Usd {
        Usd((self.0 - other.0).normalize())
    }
}

impl Neg for Usd {
    type Output = Usd;

    fn neg(self) -> Usd {
        Usd(-self.0)
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Usd) {
        *self = *self + other;
    }
}

impl SubAssign for Usd {
    fn sub_assign(&mut self, other: Usd) {
        *self = *self - other;
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Usd>>(amounts: I) -> Usd {
        amounts.fold(Usd::ZERO, Add::add)
    }
}

/// A price in USD per hour (billed by time) or per unit (metered), with at most twelve decimals,
/// never below zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(Decimal);

impl Rate {
    /// Free of charge.
    pub const ZERO: Rate = Rate(Decimal::ZERO);

    /// From a decimal of at most twelve decimals.
    ///
    /// # Errors
    /// [`MoneyError::Negative`], [`MoneyError::TooPrecise`], [`MoneyError::OutOfRange`] above a
    /// million dollars.
    pub fn new(rate: Decimal) -> Result<Rate, MoneyError> {
        let rate = rate.normalize();
        if rate.is_sign_negative() && !rate.is_zero() {
            return Err(MoneyError::Negative);
        }
        if rate.scale() > RATE_DECIMALS {
            return Err(MoneyError::TooPrecise(RATE_DECIMALS));
        }
        if rate > Decimal::from(RATE_MAX) {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Rate(rate))
    }

    /// Whether the rate is within the range of a single price. Older releases stored larger ones.
    #[must_use]
    pub fn is_price(self) -> bool {
        self.0 <= Decimal::from(RATE_MAX)
    }

    /// The most that one report may add to a meter with this price.
    #[must_use]
    pub fn reportable(self) -> Quantity {
        let max = Decimal::from(REPORTED_MAX);
        let affordable = Decimal::from(REPORT_COST_MAX).checked_div(self.0).unwrap_or(max);
        let whole = affordable.round_dp_with_strategy(USD_DECIMALS, RoundingStrategy::ToZero);
        Quantity(whole.min(max).normalize())
    }

    /// The cost of `seconds` at this hourly rate, rounded once, half to even. At most a trillion
    /// dollars, which no credit covers: rates that older releases stored must not overflow.
    #[must_use]
    pub fn for_seconds(self, seconds: i64) -> Usd {
        debug_assert!(seconds >= 0, "time is never billed backwards");
        bounded(self.0.saturating_mul(Decimal::from(seconds)) / Decimal::from(3600))
    }

    /// The cost of a quantity at this unit rate, rounded once, half to even. More than a trillion
    /// dollars is out of range ([`Usd::is_bounded`]).
    #[must_use]
    pub fn for_quantity(self, quantity: Quantity) -> Usd {
        // Beyond the range of any balance it could be taken from.
        let max = Decimal::from(USD_MAX) * Decimal::ONE_THOUSAND;
        Usd(round(self.0.saturating_mul(quantity.0).min(max)))
    }

    /// The plain decimal.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// The form for callers, with at least two decimals (`"0.60"`, `"0.0208333"`).
    #[must_use]
    pub fn shown(self) -> String {
        let mut shown = self.0.normalize();
        if shown.scale() < 2 {
            shown.rescale(2);
        }
        shown.to_string()
    }

    /// Whether it costs nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// The rate minus a part of it. Zero at least.
    #[must_use]
    pub fn without(self, part: Rate) -> Rate {
        Rate((self.0 - part.0).max(Decimal::ZERO).normalize())
    }
}

impl Add for Rate {
    type Output = Rate;

    fn add(self, other: Rate) -> Rate {
        Rate(self.0.saturating_add(other.0).normalize())
    }
}

impl Sum for Rate {
    fn sum<I: Iterator<Item = Rate>>(rates: I) -> Rate {
        rates.fold(Rate::ZERO, Add::add)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.normalize(), f)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${self}/h")
    }
}

impl FromStr for Rate {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Rate, MoneyError> {
        Rate::new(parse(text)?)
    }
}

impl TryFrom<String> for Rate {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Rate, MoneyError> {
        // A stored total over many resources may exceed the maximum of a single price.
        let rate = parse(&text)?;
        if rate.is_sign_negative() && !rate.is_zero() {
            Err(MoneyError::Negative)
        } else {
            Ok(Rate(rate.normalize()))
        }
    }
}

/// A rate as a request may name it: within the range of a single price. [`Rate`] also reads the
/// totals and older prices of stored rows, which may be larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RequestedRate(Rate);

impl TryFrom<String> for RequestedRate {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<RequestedRate, MoneyError> {
        text.parse().map(RequestedRate)
    }
}

impl From<RequestedRate> for Rate {
    fn from(requested: RequestedRate) -> Rate {
        requested.0
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> String {
        rate.0.normalize().to_string()
    }
}

/// A meter reading, or the difference of two readings, with up to six decimals, never below zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity(Decimal);

impl Quantity {
    pub const ZERO: Quantity = Quantity(Decimal::ZERO);
    pub const ONE: Quantity = Quantity(Decimal::ONE);

    /// From a decimal of at most six decimals.
    ///
    /// # Errors
    /// [`MoneyError::Negative`], [`MoneyError::TooPrecise`], [`MoneyError::OutOfRange`] above
    /// 10^15.
    pub fn new(quantity: Decimal) -> Result<Quantity, MoneyError> {
        let quantity = quantity.normalize();
        if quantity.is_sign_negative() && !quantity.is_zero() {
            return Err(MoneyError::Negative);
        }
        if quantity.scale() > USD_DECIMALS {
            return Err(MoneyError::TooPrecise(USD_DECIMALS));
        }
        if quantity > Decimal::from(QUANTITY_MAX) {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Quantity(quantity))
    }

    /// The usage between an earlier reading and this one. Zero if the earlier reading is not
    /// smaller.
    #[must_use]
    pub fn since(self, earlier: Quantity) -> Quantity {
        Quantity((self.0 - earlier.0).max(Decimal::ZERO).normalize())
    }

    /// The sum, at most the largest quantity.
    #[must_use]
    pub fn and(self, more: Quantity) -> Quantity {
        Quantity((self.0 + more.0).min(Decimal::from(QUANTITY_MAX)).normalize())
    }

    /// What is kept for so many seconds of an hour, in unit-hours, rounded half to even.
    #[must_use]
    pub fn for_seconds(self, seconds: i64) -> Quantity {
        debug_assert!((0..=3600).contains(&seconds), "the seconds of one hour");
        Quantity(round(self.0 * Decimal::from(seconds) / Decimal::from(3600)))
    }

    /// The plain decimal, for a DynamoDB number.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        self.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.normalize(), f)
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Quantity {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Quantity, MoneyError> {
        Quantity::new(parse(text)?)
    }
}

impl TryFrom<String> for Quantity {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Quantity, MoneyError> {
        text.parse()
    }
}

/// A quantity that one report may add: at most a trillion units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ReportedQuantity(Quantity);

impl TryFrom<String> for ReportedQuantity {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<ReportedQuantity, MoneyError> {
        let quantity: Quantity = text.parse()?;
        if quantity.0 > Decimal::from(REPORTED_MAX) {
            return Err(MoneyError::OutOfRange);
        }
        Ok(ReportedQuantity(quantity))
    }
}

impl From<ReportedQuantity> for Quantity {
    fn from(reported: ReportedQuantity) -> Quantity {
        reported.0
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> String {
        quantity.0.normalize().to_string()
    }
}

/// An amount of at most a trillion dollars.
fn bounded(amount: Decimal) -> Usd {
    Usd(round(amount.min(Decimal::from(USD_MAX))))
}

/// Half to even, as in IEEE 754. It does not drift over many lines.
fn round(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(USD_DECIMALS, RoundingStrategy::MidpointNearestEven).normalize()
}

/// Accepts digits with at most one point and a leading minus. Refuses exponent, underscore, plus
/// and spaces.
fn parse(text: &str) -> Result<Decimal, MoneyError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let complete =
        digits.starts_with(|first: char| first.is_ascii_digit()) && !digits.ends_with('.');
    let one_point = digits.bytes().filter(|byte| *byte == b'.').count() <= 1;
    if !plain || !complete || !one_point {
        return Err(MoneyError::NotANumber);
    }
    // `from_str_exact` refuses instead of rounding, so no digit is dropped silently.
    Decimal::from_str_exact(text).map_err(|error| {
        if error == rust_decimal::Error::Underflow {
            MoneyError::TooPrecise(RATE_DECIMALS)
        } else {
            MoneyError::OutOfRange
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, MoneyError>) {
        assert_eq!(
            text.parse::<Usd>().map(|usd| usd.to_string()),
            expected.map(str::to_owned),
            "{text}"
        );
    }

    #[test]
    fn amounts_are_plain_decimals_of_at_most_six_places() {
        check("25", Ok("25.00"));
        check("25.0", Ok("25.00"));
        check("-0.000001", Ok("-0.000001"));
        check("0.1234567", Err(MoneyError::TooPrecise(6)));
        check("0.1000000", Ok("0.10"));
        check("1000000000000", Ok("1000000000000.00"));
        check("1000000000000.01", Err(MoneyError::OutOfRange));
        check("99999999999999999999999999999999", Err(MoneyError::OutOfRange));
        for text in [
            "", "-", ".", ".5", "5.", "1e3", "+5", "1_000", "1,000", " 5", "NaN", "٣", "--5",
            "1.2.3",
        ] {
            check(text, Err(MoneyError::NotANumber));
        }
    }

    #[test]
    fn cents_are_exact_both_ways() {
        assert_eq!(Usd::from_cents(2500).unwrap().to_string(), "25.00");
        assert_eq!("25.01".parse::<Usd>().unwrap().to_cents(), Ok(2501));
        assert_eq!("25.001".parse::<Usd>().unwrap().to_cents(), Err(MoneyError::FractionOfCent));
        assert_eq!(Usd::from_cents(i64::MAX), Err(MoneyError::OutOfRange));
    }

    #[test]
    fn seconds_are_rounded_once_half_to_even() {
        let per_hour =
            |text: &str, seconds| text.parse::<Rate>().unwrap().for_seconds(seconds).to_string();
        assert_eq!(per_hour("0.6", 2400), "0.40");
        assert_eq!(per_hour("0.0208333", 3600), "0.020833");
        // $0.0018/h is half a micro-dollar a second: to even, 0.5 → 0, 1.5 → 2, 2.5 → 2.
        assert_eq!(per_hour("0.0018", 1), "0.00");
        assert_eq!(per_hour("0.0018", 3), "0.000002");
        assert_eq!(per_hour("0.0018", 5), "0.000002");
        let tokens = "1234567".parse::<Quantity>().unwrap();
        assert_eq!(
            "0.00000015".parse::<Rate>().unwrap().for_quantity(tokens).to_string(),
            "0.185185"
        );
    }

    #[test]
    fn prices_are_never_negative_nor_absurd() {
        assert_eq!("-1".parse::<Rate>(), Err(MoneyError::Negative));
        assert_eq!("1000001".parse::<Rate>(), Err(MoneyError::OutOfRange));
        assert_eq!("0.0000000000001".parse::<Rate>(), Err(MoneyError::TooPrecise(12)));
        assert_eq!("-0.5".parse::<Quantity>(), Err(MoneyError::Negative));
    }

    #[test]
    fn requests_name_prices_and_quantities_within_their_range() {
        let rate = |text: &str| RequestedRate::try_from(text.to_owned()).map(Rate::from);
        assert_eq!(rate("0.6"), "0.6".parse());
        let huge = "100000000000000000000000000";
        assert_eq!(rate(huge), Err(MoneyError::OutOfRange));
        assert_eq!(rate("0.000000000000000001"), Err(MoneyError::TooPrecise(12)));
        let quantity = |text: &str| ReportedQuantity::try_from(text.to_owned()).map(Quantity::from);
        assert_eq!(quantity("1000000000000"), "1000000000000".parse());
        assert_eq!(quantity("2000000000000"), Err(MoneyError::OutOfRange));
        let most = |rate: &str| rate.parse::<Rate>().unwrap().reportable().to_string();
        assert_eq!(most("0"), "1000000000000");
        assert_eq!(most("0.000001"), "1000000000000");
        assert_eq!(most("3"), "333333.333333");
    }

    /// Older releases stored rates of any size.
    #[test]
    fn stored_rate_of_any_size_never_overflows() {
        let huge: Rate = serde_json::from_str("\"70000000000000000000000000000\"").unwrap();
        assert!(!huge.is_price());
        assert_eq!(huge.for_seconds(3600), "1000000000000".parse().unwrap());
        assert!(!huge.for_quantity("2".parse().unwrap()).is_bounded());
        assert!([huge, huge, huge].into_iter().sum::<Rate>() >= huge);
    }

    proptest! {
        #[test]
        fn text_and_json_give_back_the_same_amount(micros in -1_000_000_000_000_000_000i64..1_000_000_000_000_000_000) {
            let usd = Usd::from_micros(micros);
            prop_assert_eq!(usd.to_string().parse::<Usd>().unwrap(), usd);
            let json = serde_json::to_string(&usd).unwrap();
            prop_assert_eq!(serde_json::from_str::<Usd>(&json).unwrap(), usd);
        }

        #[test]
        fn a_period_split_in_two_costs_the_same_but_for_a_micro_dollar(
            rate in 0i64..1_000_000_000_000, first in 0i64..3600, second in 0i64..3600
        ) {
            let rate = Rate::new(Decimal::new(rate, 12)).unwrap();
            let whole = rate.for_seconds(first + second);
            let split = rate.for_seconds(first) + rate.for_seconds(second);
            prop_assert!((whole - split).decimal().abs() <= Decimal::new(1, 6));
        }

        #[test]
        fn longer_never_costs_less(rate in 0i64..1_000_000_000_000, seconds in 0i64..7200) {
            let rate = Rate::new(Decimal::new(rate, 12)).unwrap();
            prop_assert!(rate.for_seconds(seconds) <= rate.for_seconds(seconds + 1));
        }
    }
}
