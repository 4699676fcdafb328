//! Commit plans: credit bought in advance, with a bonus that lasts for some months.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::command::BonusGrant;
use crate::domain::ids::{PlanId, Sku};
use crate::domain::money::Usd;
use crate::domain::policy::{check_cents, check_charge};
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::Timestamp;

/// The maximum number of offers, so that all of them fit on the page and in one item.
const OFFERS_MAX: usize = 20;
/// The maximum length of the excluded SKUs of a plan, with a space between two. They travel with the
/// payment, and Stripe allows 500 characters in a value (docs.stripe.com/api/metadata).
const EXCLUDES_LENGTH_MAX: usize = 500;
/// The largest charge that Stripe accepts in USD is $999,999.99 (docs.stripe.com/currencies). Tax must
/// fit into it.
const PRICE_MAX: u32 = 500_000;

/// For how many calendar months the bonus of a plan lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum PlanMonths {
    Three,
    Six,
    Twelve,
}

/// The number of months is not 3, 6 or 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 3, 6 or 12")]
pub struct PlanMonthsError;

impl TryFrom<u8> for PlanMonths {
    type Error = PlanMonthsError;

    fn try_from(months: u8) -> Result<PlanMonths, PlanMonthsError> {
        match months {
            3 => Ok(PlanMonths::Three),
            6 => Ok(PlanMonths::Six),
            12 => Ok(PlanMonths::Twelve),
            _ => Err(PlanMonthsError),
        }
    }
}

impl From<PlanMonths> for u8 {
    fn from(months: PlanMonths) -> u8 {
        match months {
            PlanMonths::Three => 3,
            PlanMonths::Six => 6,
            PlanMonths::Twelve => 12,
        }
    }
}

/// The bonus of a plan. It travels with the payment, so a change or the end of the offer does not
/// affect a payment page that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanTerms {
    #[serde(rename = "i")]
    pub plan: PlanId,
    #[serde(rename = "m")]
    pub months: PlanMonths,
    /// In USD.
    #[serde(rename = "b")]
    pub bonus: Usd,
    /// SKUs that the bonus does not pay for.
    #[serde(rename = "e", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub excludes: BTreeSet<Sku>,
}

impl PlanTerms {
    /// The excluded SKUs, with a space between two.
    #[must_use]
    pub fn excludes_text(&self) -> String {
        let names: Vec<&str> = self.excludes.iter().map(Sku::as_str).collect();
        names.join(" ")
    }

    /// The bonus of a plan whose payment is credited now.
    #[must_use]
    pub fn bonus_from(&self, now: Timestamp) -> BonusGrant {
        BonusGrant {
            amount: self.bonus,
            expires_at: now.plus_months(u8::from(self.months)),
            excludes: self.excludes.clone(),
        }
    }
}

/// Checks all offers together.
///
/// # Errors
/// [`Refusal::TooManyOffers`], [`Refusal::PlanNamedTwice`].
pub fn check_offers(offers: &[CommitOffer]) -> Result<(), Refusal> {
    if offers.len() > OFFERS_MAX {
        return Err(Refusal::TooManyOffers { max: OFFERS_MAX });
    }
    let mut known = BTreeSet::new();
    match offers.iter().map(|offer| &offer.terms.plan).find(|plan| !known.insert(*plan)) {
        Some(plan) => Err(Refusal::PlanNamedTwice { plan: plan.clone() }),
        None => Ok(()),
    }
}

/// A plan that staff offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitOffer {
    /// The credit, and what it costs before tax, in USD.
    #[serde(rename = "p")]
    pub price: Usd,
    #[serde(rename = "t")]
    pub terms: PlanTerms,
    /// `None` if it is offered already.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub available_from: Option<Timestamp>,
    /// From this instant on it is not offered any more.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub available_until: Option<Timestamp>,
}

impl CommitOffer {
    #[must_use]
    pub fn is_available(&self, now: Timestamp) -> bool {
        self.available_from.is_none_or(|from| from <= now)
            && self.available_until.is_none_or(|until| now < until)
    }

    /// Checks what staff want to offer.
    ///
    /// # Errors
    /// The field with: those of an amount, for price and bonus; [`Refusal::PlanNotPlain`],
    /// [`Refusal::TooManyExcluded`], [`Refusal::OfferNeverAvailable`].
    pub fn check(&self) -> Result<(), WrongOffer> {
        let of = |field: &'static str| move |refusal| WrongOffer { field, refusal };
        let PlanTerms { plan, bonus, .. } = &self.terms;
        if !plan.is_plain() {
            return Err(of("id")(Refusal::PlanNotPlain));
        }
        check_charge(self.price, Usd::dollars(1), Usd::dollars(PRICE_MAX)).map_err(of("price"))?;
        check_cents(*bonus).map_err(of("bonus"))?;
        if *bonus > self.price {
            return Err(of("bonus")(Refusal::AmountTooLarge { max: self.price }));
        }
        if self.terms.excludes_text().len() > EXCLUDES_LENGTH_MAX {
            return Err(of("excludes")(Refusal::TooManyExcluded { max: EXCLUDES_LENGTH_MAX }));
        }
        match (self.available_from, self.available_until) {
            (Some(from), Some(until)) if until <= from => {
                Err(of("available_until")(Refusal::OfferNeverAvailable))
            }
            _ => Ok(()),
        }
    }
}

/// Why a plan cannot be offered so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongOffer {
    /// As callers of the API name it.
    pub field: &'static str,
    pub refusal: Refusal,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(price: &str, bonus: &str, excludes: &[&str]) -> CommitOffer {
        let terms = PlanTerms {
            plan: "year".parse().unwrap(),
            months: PlanMonths::Twelve,
            bonus: bonus.parse().unwrap(),
            excludes: excludes.iter().map(|sku| sku.parse().unwrap()).collect(),
        };
        let price = price.parse().unwrap();
        CommitOffer { price, terms, available_from: None, available_until: None }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_offer_is_checked() {
        assert_eq!(offer("1200", "240", &["gpu"]).check(), Ok(()));
        assert_eq!(offer("1200", "1200", &[]).check(), Ok(()));
        for (price, bonus, refusal) in [
            ("0", "1", Refusal::AmountNotPositive),
            ("0.5", "0.1", Refusal::AmountTooSmall { min: Usd::dollars(1) }),
            ("500000.01", "1", Refusal::AmountTooLarge { max: Usd::dollars(500_000) }),
            ("1200.001", "1", Refusal::FractionOfCent),
            ("1200", "0", Refusal::AmountNotPositive),
            ("1200", "0.001", Refusal::FractionOfCent),
            ("1200", "1200.01", Refusal::AmountTooLarge { max: Usd::dollars(1_200) }),
        ] {
            let refused = offer(price, bonus, &[]).check().map_err(|wrong| wrong.refusal);
            assert_eq!(refused, Err(refusal), "{price} {bonus}");
        }
        for plan in ["..", "a/b", "-a"] {
            let mut named = offer("1200", "240", &[]);
            named.terms.plan = plan.parse().unwrap();
            let refused = Err(WrongOffer { field: "id", refusal: Refusal::PlanNotPlain });
            assert_eq!(named.check(), refused, "{plan}");
        }
    }

    #[test]
    fn excluded_skus_fit_into_one_value_at_stripe() {
        let names: Vec<String> = (0..9).map(|n| format!("{n}{}", "x".repeat(54))).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(names[..8].join(" ").len(), 447);
        assert_eq!(offer("100", "10", &names[..8]).check(), Ok(()));
        assert_eq!(names.join(" ").len(), 503);
        let refusal = Refusal::TooManyExcluded { max: 500 };
        let refused = Err(WrongOffer { field: "excludes", refusal });
        assert_eq!(offer("100", "10", &names).check(), refused);
        let mut exact = names[..8].to_vec();
        let last = "y".repeat(52);
        exact.push(&last);
        assert_eq!(exact.join(" ").len(), 500);
        assert_eq!(offer("100", "10", &exact).check(), Ok(()));
    }

    #[test]
    fn an_offer_is_available_in_its_time() {
        let (from, until) = (at("2026-12-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        let always = offer("100", "10", &[]);
        let limited = CommitOffer {
            available_from: Some(from),
            available_until: Some(until),
            ..always.clone()
        };
        assert!(always.is_available(from) && limited.check().is_ok());
        assert!(limited.is_available(from) && limited.is_available(until.plus(-1)));
        assert!(!limited.is_available(from.plus(-1)) && !limited.is_available(until));
        let never = CommitOffer { available_until: Some(from), ..limited };
        let refusal = Refusal::OfferNeverAvailable;
        assert_eq!(never.check(), Err(WrongOffer { field: "available_until", refusal }));
    }

    #[test]
    fn the_bonus_lasts_to_the_same_day_of_a_later_month() {
        let ends = |now: &str| offer("100", "10", &[]).terms.bonus_from(at(now)).expires_at;
        assert_eq!(ends("2026-11-29T15:24:58Z"), at("2027-11-29T15:24:58Z"));
        assert_eq!(ends("2028-02-29T00:00:00Z"), at("2029-02-28T00:00:00Z"));
    }
}
