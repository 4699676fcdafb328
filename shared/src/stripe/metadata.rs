//! What our objects at Stripe carry, so that a payment tells on its own whose it is and what it
//! buys.
//!
//! The credit is **ours, before tax**: what Stripe received may be more, never less.

use std::collections::BTreeSet;

use super::objects::{Metadata, StripeInvoice};
use crate::domain::account::{OpenRefund, RefillPurpose};
use crate::domain::event::CreditKind;
use crate::domain::ids::{AccountId, PaymentId, Sku};
use crate::domain::money::Usd;
use crate::domain::plans::PlanTerms;
use crate::domain::timestamp::Timestamp;

const ACCOUNT: &str = "tollgate_account";
const CREDIT: &str = "tollgate_credit_cents";
const KIND: &str = "tollgate_kind";
const ATTEMPT: &str = "tollgate_attempt";
const PURPOSE: &str = "tollgate_purpose";
const REFILL: &str = "tollgate_refill";
const THRESHOLD: &str = "tollgate_refill_threshold_cents";
const AMOUNT: &str = "tollgate_refill_amount_cents";
const WORDS: &str = "tollgate_words";
const PLAN: &str = "tollgate_plan";
const MONTHS: &str = "tollgate_plan_months";
const BONUS: &str = "tollgate_bonus_cents";
const EXCLUDES: &str = "tollgate_bonus_excludes";
const PAYMENT: &str = "tollgate_payment";
const REFUND: &str = "tollgate_refund";
const INSTALLATION: &str = "tollgate_installation";
/// The kind of an invoice that buys nothing.
const RECEIPT: &str = "receipt";

/// What a payment of ours buys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    pub account: AccountId,
    /// The credit, in USD, before tax.
    pub credit: Usd,
    pub kind: PurchaseKind,
    /// What the customer agreed to about refills in the same breath.
    pub agreement: Option<AgreedTerms>,
}

/// The purpose of a payment, with what comes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurchaseKind {
    TopUp,
    Commit(PlanTerms),
    Refill {
        /// The number of the attempt.
        attempt: u32,
        purpose: RefillPurpose,
    },
}

impl PurchaseKind {
    /// As the row of the credit names it.
    #[must_use]
    pub fn credit_kind(&self) -> CreditKind {
        match *self {
            PurchaseKind::TopUp => CreditKind::TopUp,
            PurchaseKind::Commit(_) => CreditKind::Commit,
            PurchaseKind::Refill { attempt, purpose } => CreditKind::Refill { attempt, purpose },
        }
    }

    #[must_use]
    pub fn plan(&self) -> Option<&PlanTerms> {
        match self {
            PurchaseKind::Commit(terms) => Some(terms),
            PurchaseKind::TopUp | PurchaseKind::Refill { .. } => None,
        }
    }
}

/// What a customer agrees to about refills when paying, or with a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgreedTerms {
    Off,
    /// Refills on these terms.
    On {
        /// Below this balance, in USD.
        threshold: Usd,
        /// By this much, in USD, before tax.
        amount: Usd,
    },
}

impl AgreedTerms {
    /// The sentence beside the button that pays. `None` if nothing is charged.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        match self {
            AgreedTerms::Off => None,
            AgreedTerms::On { threshold, amount } => Some(format!(
                "Auto-refill is on. When your balance falls below ${threshold}, your saved card is \
                 charged ${amount} plus any tax. You can turn it off at any time on the Billing \
                 page."
            )),
        }
    }

    /// The same for a trial, which is renewed by one charge within these limits, in USD.
    #[must_use]
    pub fn words_of_trial(&self, renewal_min: Usd, renewal_max: Usd) -> Option<String> {
        match self {
            AgreedTerms::Off => None,
            AgreedTerms::On { threshold, amount } => Some(format!(
                "Auto-refill is on. If a service is running when the trial ends, your card is charged \
                 once: what 30 days like the trial would cost, at least ${renewal_min} and at most \
                 ${renewal_max} plus any tax. From then on, when your balance falls below \
                 ${threshold}, it is charged ${amount} plus any tax. You can turn it off at any time \
                 on the Billing page."
            )),
        }
    }
}

/// What a page that saves a card is for, if a trial starts with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialOffer {
    pub account: AccountId,
    /// What the customer agreed to about refills. `None`: they stay as they are.
    pub agreement: Option<AgreedTerms>,
    /// The sentences in which the page showed the terms. At most 500 characters, which Stripe allows
    /// in a value (docs.stripe.com/api/metadata).
    pub words: Option<String>,
}

impl TrialOffer {
    #[must_use]
    pub fn write(&self) -> Metadata {
        let mut map = of_account(&self.account);
        map.insert(KIND.to_owned(), "trial".to_owned());
        write_agreement(&mut map, self.agreement);
        map.extend(self.words.iter().map(|words| (WORDS.to_owned(), words.clone())));
        map
    }

    /// From metadata. `None` if the page is for something else.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(map: &Metadata) -> Result<Option<TrialOffer>, String> {
        if map.get(KIND).map(String::as_str) != Some("trial") {
            return Ok(None);
        }
        let account = account(map).ok_or_else(|| format!("{ACCOUNT} is missing"))?;
        let words = map.get(WORDS).cloned();
        Ok(Some(TrialOffer { account, agreement: read_agreement(map)?, words }))
    }
}

fn write_agreement(map: &mut Metadata, agreement: Option<AgreedTerms>) {
    let mut put = |key: &str, value: String| map.insert(key.to_owned(), value);
    match agreement {
        None => {}
        Some(AgreedTerms::Off) => {
            put(REFILL, "off".to_owned());
        }
        Some(AgreedTerms::On { threshold, amount }) => {
            put(REFILL, "on".to_owned());
            put(THRESHOLD, cents(threshold));
            put(AMOUNT, cents(amount));
        }
    }
}

fn read_agreement(map: &Metadata) -> Result<Option<AgreedTerms>, String> {
    Ok(match map.get(REFILL).map(String::as_str) {
        Some("on") => {
            Some(AgreedTerms::On { threshold: usd(map, THRESHOLD)?, amount: usd(map, AMOUNT)? })
        }
        Some("off") => Some(AgreedTerms::Off),
        Some(_) | None => None,
    })
}

fn read_plan(map: &Metadata) -> Result<PlanTerms, String> {
    let plan: String = number(map, PLAN)?;
    let plan = plan.parse().map_err(|error| format!("{PLAN}: {error}"))?;
    let months: u8 = number(map, MONTHS)?;
    let months = months.try_into().map_err(|error| format!("{MONTHS}: {error}"))?;
    let excludes = map.get(EXCLUDES).map_or("", String::as_str).split_whitespace();
    let excludes = excludes.map(str::parse).collect::<Result<BTreeSet<Sku>, _>>();
    let excludes = excludes.map_err(|error| format!("{EXCLUDES}: {error}"))?;
    Ok(PlanTerms { plan, months, bonus: usd(map, BONUS)?, excludes })
}

fn cents(amount: Usd) -> String {
    amount.to_cents().unwrap_or_default().to_string()
}

impl Purchase {
    /// What was paid for, of what the invoice was for. A credit note that lowered what was to be paid
    /// lowers the credit in proportion, and in favor of the seller. The same if the invoice is not paid
    /// yet or nobody paid.
    #[must_use]
    pub fn lowered_by_notes(self, invoice: &StripeInvoice) -> Self {
        let lowered = || {
            let total = i128::from(invoice.total.filter(|_| invoice.is_lowered())?);
            let settled = i128::from(invoice.settled_cents()?);
            let cents = i128::from(self.credit.to_cents().ok()?) * settled;
            Usd::from_cents(i64::try_from(cents.checked_div(total)?).ok()?).ok()
        };
        let credit = lowered().filter(|credit| credit.is_positive()).unwrap_or(self.credit);
        Purchase { credit, ..self }
    }

    #[must_use]
    pub fn write(&self) -> Metadata {
        let mut map = Metadata::new();
        let mut put = |key: &str, value: String| map.insert(key.to_owned(), value);
        put(ACCOUNT, self.account.to_string());
        put(CREDIT, cents(self.credit));
        match &self.kind {
            PurchaseKind::TopUp => put(KIND, "topup".to_owned()),
            PurchaseKind::Commit(terms) => {
                put(PLAN, terms.plan.to_string());
                put(MONTHS, u8::from(terms.months).to_string());
                put(BONUS, cents(terms.bonus));
                if !terms.excludes.is_empty() {
                    put(EXCLUDES, terms.excludes_text());
                }
                // Releases before December 2026 credit the kind `commit` without its bonus.
                put(KIND, "plan".to_owned())
            }
            PurchaseKind::Refill { attempt, purpose } => {
                put(ATTEMPT, attempt.to_string());
                put(PURPOSE, purpose_name(*purpose).to_owned());
                put(KIND, "refill".to_owned())
            }
        };
        write_agreement(&mut map, self.agreement);
        map
    }

    /// From metadata; `None` if it is not ours, or buys nothing.
    ///
    /// # Errors
    /// What is wrong with it, if it is ours.
    pub fn read(map: &Metadata) -> Result<Option<Purchase>, String> {
        if is_receipt(map) {
            return Ok(None);
        }
        let Some(account) = map.get(ACCOUNT) else { return Ok(None) };
        let account = account.parse().map_err(|error| format!("{ACCOUNT}: {error}"))?;
        let kind = match map.get(KIND).map(String::as_str) {
            Some("topup") => PurchaseKind::TopUp,
            Some("plan") => PurchaseKind::Commit(read_plan(map)?),
            Some("refill") => {
                PurchaseKind::Refill { attempt: number(map, ATTEMPT)?, purpose: purpose(map) }
            }
            other => return Err(format!("{KIND}: {other:?}")),
        };
        let agreement = read_agreement(map)?;
        Ok(Some(Purchase { account, credit: usd(map, CREDIT)?, kind, agreement }))
    }
}

/// The account in metadata that need not be a purchase's: a customer's, or a session's that only
/// saves a card.
#[must_use]
pub fn account(map: &Metadata) -> Option<AccountId> {
    map.get(ACCOUNT).and_then(|account| account.parse().ok())
}

/// The installation that made an object. `None` in objects of releases before November 2026.
#[must_use]
pub(crate) fn installation(map: &Metadata) -> Option<String> {
    map.get(INSTALLATION).cloned()
}

/// A purchase's metadata, with the installation that sells it.
#[must_use]
pub(crate) fn of_sale(purchase: &Purchase, installation: Option<&str>) -> Metadata {
    of_installation(purchase.write(), installation)
}

/// Metadata with the installation that wrote it.
#[must_use]
pub fn of_installation(mut map: Metadata, installation: Option<&str>) -> Metadata {
    map.extend(installation.map(|name| (INSTALLATION.to_owned(), name.to_owned())));
    map
}

/// The name of a refund by staff at Stripe. Rows that were written anew after a table was restored
/// have their numbers again, but not the same times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundName {
    pub account: AccountId,
    /// The row that took the credit, and its time.
    pub row: OpenRefund,
}

impl RefundName {
    /// `7-1764028800`: the number and the time of the row, in seconds.
    #[must_use]
    pub(crate) fn of_row(&self) -> String {
        format!("{}-{}", self.row.number, self.row.begun_at.seconds())
    }

    #[must_use]
    pub(crate) fn write(&self) -> Metadata {
        let mut map = of_account(&self.account);
        map.insert(REFUND.to_owned(), self.of_row());
        map
    }

    /// From metadata. `None` of refunds that staff did not ask for here.
    #[must_use]
    pub(crate) fn read(map: &Metadata) -> Option<RefundName> {
        let (number, begun_at) = map.get(REFUND)?.split_once('-')?;
        let begun_at = Timestamp::from_seconds(begun_at.parse().ok()?).ok()?;
        let row = OpenRefund { number: number.parse().ok()?, begun_at };
        Some(RefundName { account: account(map)?, row })
    }
}

/// Of the invoice of a payment that was made without one: it buys nothing.
#[must_use]
pub(crate) fn of_receipt(account: &AccountId, payment: &PaymentId) -> Metadata {
    let mut map = of_account(account);
    map.insert(KIND.to_owned(), RECEIPT.to_owned());
    map.insert(PAYMENT.to_owned(), payment.to_string());
    map
}

/// Whether an invoice only documents a payment that was credited before.
#[must_use]
pub(crate) fn is_receipt(map: &Metadata) -> bool {
    map.get(KIND).map(String::as_str) == Some(RECEIPT)
}

/// The payment that an invoice documents, if that is all it does.
#[must_use]
pub(crate) fn receipt_of(map: &Metadata) -> Option<&str> {
    map.get(PAYMENT).map(String::as_str).filter(|_| is_receipt(map))
}

/// Metadata that names the account alone.
#[must_use]
pub fn of_account(account: &AccountId) -> Metadata {
    Metadata::from([(ACCOUNT.to_owned(), account.to_string())])
}

fn number<T: std::str::FromStr>(map: &Metadata, key: &str) -> Result<T, String> {
    let value = map.get(key).ok_or_else(|| format!("{key} is missing"))?;
    value.parse().map_err(|_| format!("{key} is not a number: {value}"))
}

fn usd(map: &Metadata, key: &str) -> Result<Usd, String> {
    Usd::from_cents(number(map, key)?).map_err(|error| format!("{key}: {error}"))
}

fn purpose_name(purpose: RefillPurpose) -> &'static str {
    match purpose {
        RefillPurpose::Threshold => "threshold",
        RefillPurpose::TrialRenewal => "trial_renewal",
    }
}

fn purpose(map: &Metadata) -> RefillPurpose {
    match map.get(PURPOSE).map(String::as_str) {
        Some("trial_renewal") => RefillPurpose::TrialRenewal,
        Some(_) | None => RefillPurpose::Threshold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plans::PlanMonths;

    #[test]
    fn what_is_written_is_read_again() {
        let on = AgreedTerms::On { threshold: Usd::dollars(5), amount: Usd::dollars(25) };
        let refill = PurchaseKind::Refill { attempt: 3, purpose: RefillPurpose::TrialRenewal };
        let plan = PlanTerms {
            plan: "year".parse().unwrap(),
            months: PlanMonths::Twelve,
            bonus: "5.01".parse().unwrap(),
            excludes: ["gpu-h100", "license"].map(|sku| sku.parse().unwrap()).into(),
        };
        let for_all = PlanTerms { excludes: BTreeSet::new(), ..plan.clone() };
        for (kind, agreement) in [
            (PurchaseKind::TopUp, Some(on)),
            (refill, None),
            (PurchaseKind::Commit(plan), Some(AgreedTerms::Off)),
            (PurchaseKind::Commit(for_all), None),
        ] {
            let account = "acme".parse().unwrap();
            let credit = "25.01".parse().unwrap();
            let purchase = Purchase { account, credit, kind, agreement };
            let map = purchase.write();
            assert!(map.iter().all(|(key, _)| key.len() <= 40), "Stripe's limit");
            assert_eq!(Purchase::read(&map), Ok(Some(purchase)));
        }
        let begun_at = "2026-11-22T10:00:00Z".parse().unwrap();
        let row = OpenRefund { number: 7, begun_at };
        let name = RefundName { account: "acme".parse().unwrap(), row };
        assert_eq!(RefundName::read(&name.write()), Some(name));
        assert_eq!(Purchase::read(&Metadata::new()), Ok(None));
        assert!(Purchase::read(&of_account(&"acme".parse().unwrap())).is_err());
    }

    #[test]
    fn a_plan_without_its_terms_is_not_understood() {
        let plan = PlanTerms {
            plan: "year".parse().unwrap(),
            months: PlanMonths::Twelve,
            bonus: Usd::dollars(5),
            excludes: BTreeSet::new(),
        };
        let whole = Purchase {
            account: "acme".parse().unwrap(),
            credit: Usd::dollars(25),
            kind: PurchaseKind::Commit(plan),
            agreement: None,
        };
        for (name, wrong) in [(PLAN, ""), (MONTHS, "13"), (BONUS, "1.5"), (EXCLUDES, "a#b")] {
            let mut map = whole.write();
            map.insert(name.to_owned(), wrong.to_owned());
            assert!(Purchase::read(&map).is_err(), "{name}");
            map.remove(name);
            assert_eq!(Purchase::read(&map).is_err(), name != EXCLUDES, "{name}");
        }
    }
}
