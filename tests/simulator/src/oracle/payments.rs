//! Payments, and what refunds and disputes take back of them.

use std::collections::BTreeMap;

use serde_json::Value;
use time::UtcDateTime;

use super::amounts::{Micros, divide, micros, of_cents, share_of};
use super::ensure;
use super::funds::FundBooks;
use super::row::{BookedRow, FundMove, FundMoves, FundNumber, PAID, array};
use super::stripe::StripeBooks;

#[derive(Clone, Debug, Default)]
pub struct PaymentBooks {
    payments: BTreeMap<String, PaymentBook>,
    /// What each refund or dispute took, with the payment.
    takes: BTreeMap<String, TakenPart>,
    /// Payments by hand, by their ID.
    sold: BTreeMap<String, SoldCredit>,
    /// The rows of refunds by staff that have not ended.
    open_refunds: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
struct PaymentBook {
    credit: Micros,
    received_cents: i64,
    taken_cents: i64,
    taken: Micros,
}

/// What was credited for a payment by hand.
#[derive(Clone, Debug)]
struct SoldCredit {
    kind: String,
    at: i64,
    credit: Micros,
    /// As the row has it. Older writers leave it out.
    plan: Value,
    bonus: Option<Value>,
}

/// A commit plan that staff offer here at some time.
struct Offer {
    plan: &'static str,
    price_cents: i64,
    bonus_cents: &'static str,
    months: i64,
    excludes: &'static [&'static str],
}

const OFFERS: [Offer; 3] = [
    Offer { plan: "half", price_cents: 6_000, bonus_cents: "900", months: 6, excludes: &["gpu"] },
    Offer { plan: "half", price_cents: 6_000, bonus_cents: "600", months: 6, excludes: &["gpu"] },
    Offer { plan: "quarter", price_cents: 3_000, bonus_cents: "431", months: 3, excludes: &[] },
];

impl SoldCredit {
    fn check(&self, offer: &Offer) -> Result<(), String> {
        let grant = self.bonus.as_ref().ok_or("a plan without a bonus")?;
        let cents = |text: &str| text.parse().map(of_cents).unwrap_or_default();
        ensure!(self.credit == of_cents(offer.price_cents), "{self:?} has another price");
        ensure!(self.plan.is_null() || self.plan == offer.plan, "{self:?} is another plan");
        ensure!(micros(&grant["a"])? == cents(offer.bonus_cents), "{self:?} has another bonus");
        let excludes: Vec<&str> = array(&grant["e"]).iter().filter_map(Value::as_str).collect();
        ensure!(excludes == offer.excludes, "{self:?} excludes something else");
        let until = months_later(self.at, offer.months)?;
        let ends_at = grant["x"].as_i64().unwrap_or_default();
        // It ends at a full hour, and the clocks of two services are apart.
        let is_right = (until - 60..until + 3_660).contains(&ends_at) && ends_at % 3_600 == 0;
        ensure!(is_right, "the bonus ends at {ends_at}, not after {until}: {self:?}");
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
struct TakenPart {
    cents: i64,
    credit: Micros,
    grants: BTreeMap<FundNumber, Micros>,
    /// Whether it was reversed, or reported as reversed before it was known.
    is_reversed: bool,
}

impl PaymentBook {
    /// The credit of so many cents of the payment, never more than all of it.
    fn credit_of(&self, cents: i64) -> Micros {
        share_of(self.credit, cents.clamp(0, self.received_cents), self.received_cents)
    }
}

/// The same time of the same day of a later month, or of its last day.
fn months_later(at: i64, months: i64) -> Result<i64, String> {
    let from = UtcDateTime::from_unix_timestamp(at).map_err(|error| error.to_string())?;
    let month = i64::from(from.year()) * 12 + i64::from(u8::from(from.month())) - 1 + months;
    let year = i32::try_from(month / 12).map_err(|error| error.to_string())?;
    let month = u8::try_from(month % 12 + 1).map_err(|error| error.to_string())?;
    let month = time::Month::try_from(month).map_err(|error| error.to_string())?;
    let day = from.day().min(month.length(year));
    let date = time::Date::from_calendar_date(year, month, day);
    let date = date.map_err(|error| error.to_string())?;
    Ok(UtcDateTime::new(date, from.time()).unix_timestamp())
}

/// A move of money that was not spent on time.
fn plain(amount: Micros) -> FundMove {
    FundMove { amount, used: 0 }
}

fn cents(value: &Value) -> Result<i64, String> {
    value.as_i64().ok_or_else(|| format!("{value} are no cents"))
}

impl PaymentBooks {
    /// What the row of a payment must move.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(&mut self, row: &BookedRow, funds: &mut FundBooks) -> Result<FundMoves, String> {
        let mut moves = match row.kind.as_str() {
            "topup" | "auto_refill" | "commit" => self.credit(row)?,
            "refund_sent" => {
                self.send_refund(row)?;
                FundMoves::new()
            }
            "refund" | "dispute" | "refund_reversed" | "dispute_reversed" | "refund_pending"
            | "refund_failed" => {
                self.check_payment(&row.change["of"])?;
                self.count_refund(row)?;
                if row.change["dispute"].is_string() {
                    self.move_dispute(row, funds)?
                } else if row.tag == "given_back" {
                    self.give_back(row, funds)?
                } else {
                    self.take_back(row, funds)?
                }
            }
            _ => FundMoves::new(),
        };
        self.check_totals(row)?;
        moves.retain(|_, moved| *moved != FundMove::default());
        Ok(moves)
    }

    /// A refund by staff is open from the row that takes the credit until Stripe has answered.
    fn count_refund(&mut self, row: &BookedRow) -> Result<(), String> {
        let number = row.change["by"]["staff"]["n"].as_u64();
        let Some(number) = number else { return Ok(()) };
        if row.kind == "refund_pending" {
            ensure!(number == row.seq, "the refund of row {} has the number {number}", row.seq);
            self.open_refunds.push(number);
            return Ok(());
        }
        self.end_refund(number)
    }

    /// From here on the credit was taken for the refund that Stripe has.
    fn send_refund(&mut self, row: &BookedRow) -> Result<(), String> {
        let number = row.change["number"].as_u64().unwrap_or_default();
        self.end_refund(number)?;
        let part = self.takes.remove(&by_staff(number)).ok_or("a refund took nothing")?;
        let refund = row.change["refund"].as_str().unwrap_or_default().to_owned();
        ensure!(!self.takes.contains_key(&refund), "{refund} takes money back twice");
        self.takes.insert(refund, part);
        Ok(())
    }

    fn end_refund(&mut self, number: u64) -> Result<(), String> {
        let place = self.open_refunds.iter().position(|open| *open == number);
        self.open_refunds.remove(place.ok_or_else(|| format!("refund {number} is not open"))?);
        Ok(())
    }

    /// Stripe has answered for each refund by staff.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_refunds_ended(&self) -> Result<(), String> {
        ensure!(self.open_refunds.is_empty(), "refunds {:?} never ended", self.open_refunds);
        Ok(())
    }

    /// A plan brought the bonus that was on offer and sold, for as long, and nothing else brought one.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_sold(&self, stripe: &StripeBooks<'_>) -> Result<(), String> {
        for (payment, sold) in &self.sold {
            // An invoice that was paid outside of Stripe has no payment there.
            let Some(terms) = stripe.terms_of(payment) else { continue };
            let expected = if sold.kind == "commit" { "plan" } else { "topup" };
            ensure!(terms["tollgate_kind"] == expected, "{payment} is {sold:?}: {terms}");
            if sold.kind == "commit" {
                let (plan, bonus) = (&terms["tollgate_plan"], &terms["tollgate_bonus_cents"]);
                let is_it = |offer: &&Offer| offer.plan == *plan && offer.bonus_cents == *bonus;
                let offer = OFFERS.iter().find(is_it);
                sold.check(offer.ok_or_else(|| format!("{payment} is no offer: {terms}"))?)?;
            } else {
                ensure!(sold.bonus.is_none(), "{payment} brought a bonus");
            }
        }
        Ok(())
    }

    fn credit(&mut self, row: &BookedRow) -> Result<FundMoves, String> {
        let credit = micros(&row.change["credit"])?;
        let received_cents = cents(&row.change["received_cents"])?;
        ensure!(credit > 0, "a payment of nothing");
        ensure!(credit <= of_cents(received_cents), "more is credited than was received");
        let payment = PaymentBook { credit, received_cents, ..PaymentBook::default() };
        let id = row.change["payment"].as_str().unwrap_or_default().to_owned();
        self.payments.insert(id.clone(), payment);
        let mut moves = FundMoves::from([(PAID, plain(credit))]);
        for grant in array(&row.event["g"]) {
            let is_of_it = row.kind == "commit" && grant["p"] == id.as_str();
            ensure!(is_of_it, "a payment brings a grant that is not its own");
            let number = grant["n"].as_u64().and_then(|number| FundNumber::try_from(number).ok());
            moves.insert(number.unwrap_or_default(), plain(micros(&grant["a"])?));
        }
        if row.kind != "auto_refill" {
            let grants = array(&row.event["g"]);
            ensure!(grants.len() < 2, "a payment brings {} grants", grants.len());
            let sold = SoldCredit {
                kind: row.kind.clone(),
                at: row.at,
                credit,
                plan: row.change["plan"].clone(),
                bonus: grants.first().cloned(),
            };
            self.sold.insert(id, sold);
        }
        Ok(moves)
    }

    /// A row repeats what was credited for the payment.
    fn check_payment(&self, facts: &Value) -> Result<(), String> {
        let known = self.known(facts)?;
        let is_same = micros(&facts["c"])? == known.credit && facts["r"] == known.received_cents;
        ensure!(is_same, "{facts} was credited as {known:?}");
        Ok(())
    }

    fn known(&self, facts: &Value) -> Result<&PaymentBook, String> {
        let id = facts["p"].as_str().unwrap_or_default();
        self.payments.get(id).ok_or_else(|| format!("{id} was never credited"))
    }

    /// Money went back, and its share of the credit goes with it, so far as other rows did not take
    /// it.
    fn take_back(&mut self, row: &BookedRow, funds: &mut FundBooks) -> Result<FundMoves, String> {
        let payment = self.known(&row.change["of"])?;
        let cents = cents(&row.change["cents"])?;
        ensure!(cents > 0 && cents <= payment.received_cents, "{cents} cents go back");
        let credit = (payment.credit_of(payment.taken_cents + cents) - payment.taken).max(0);
        let mut moves = self.take_grants(row, cents, funds)?;
        let grants = moves.iter().map(|(fund, moved)| (*fund, -moved.amount)).collect();
        moves.insert(PAID, plain(-credit));
        let part = TakenPart { cents, credit, grants, is_reversed: false };
        let by = by(row);
        ensure!(!self.takes.contains_key(&by), "{by} takes money back twice");
        self.takes.insert(by, part);
        self.count(row, cents, credit, funds);
        Ok(moves)
    }

    /// The grant of the payment loses the same share, of what was prepaid, too.
    fn take_grants(
        &self,
        row: &BookedRow,
        cents: i64,
        funds: &FundBooks,
    ) -> Result<FundMoves, String> {
        let payment = self.known(&row.change["of"])?;
        let left = payment.received_cents - payment.taken_cents;
        let id = row.change["of"]["p"].as_str();
        let share = |amount| if left <= cents { amount } else { share_of(amount, cents, left) };
        let of_payment = funds.grants.iter().filter(|(_, grant)| grant.payment.as_deref() == id);
        Ok(of_payment
            .map(|(fund, grant)| {
                (*fund, FundMove { amount: -share(grant.left), used: -share(grant.used) })
            })
            .filter(|(_, moved)| *moved != FundMove::default())
            .collect())
    }

    /// A refund failed, or a dispute was won: what it took comes back.
    fn give_back(&mut self, row: &BookedRow, funds: &mut FundBooks) -> Result<FundMoves, String> {
        let by = by(row);
        if row.change["known"] == "no" {
            let reversed = TakenPart { is_reversed: true, ..TakenPart::default() };
            let before = self.takes.insert(by.clone(), reversed);
            ensure!(before.is_none(), "{by} is known, and its reversal gives nothing back");
            return Ok(FundMoves::new());
        }
        let payment = self.known(&row.change["of"])?.clone();
        let part = self.takes.get_mut(&by).ok_or_else(|| format!("{by} took nothing"))?;
        ensure!(!part.is_reversed, "{by} is reversed twice");
        part.is_reversed = true;
        let part = part.clone();
        // Another refund or dispute may cover a part, which stays taken.
        let by_target = payment.taken - payment.credit_of(payment.taken_cents - part.cents);
        let is_rounding =
            (by_target - part.credit).abs() < share_of(payment.credit, 1, payment.received_cents);
        let credit = if is_rounding { part.credit } else { by_target.max(0) };
        let mut moves = FundMoves::from([(PAID, plain(credit))]);
        for (fund, amount) in part.grants {
            if funds.grants.get(&fund).is_some_and(|grant| grant.expires_at > row.at) {
                let whole = part.credit == 0 || credit == part.credit;
                let back = if whole { amount } else { divide(amount * credit, part.credit) };
                moves.insert(fund, plain(back));
            }
        }
        self.count(row, -part.cents, -credit, funds);
        Ok(moves)
    }

    /// A dispute moves money in either direction, to what it holds then.
    fn move_dispute(
        &mut self,
        row: &BookedRow,
        funds: &mut FundBooks,
    ) -> Result<FundMoves, String> {
        let (by, cents) = (by(row), cents(&row.change["cents"])?);
        let payment = self.known(&row.change["of"])?.clone();
        let held = self.takes.get(&by).map_or(0, |part| part.cents);
        let exact = payment.credit_of(payment.taken_cents + cents) - payment.taken;
        let credit = if cents > 0 { exact.max(0) } else { exact.min(0) };
        let mut moves = if cents > 0 {
            self.take_grants(row, cents, funds)?
        } else {
            self.return_grants(row, (cents, held), funds)
        };
        let part = self.takes.entry(by).or_default();
        for (fund, moved) in &moves {
            *part.grants.entry(*fund).or_default() -= moved.amount;
        }
        part.grants.retain(|fund, amount| {
            let is_over = |end: i64| cents <= 0 && end <= row.at;
            *amount > 0 && !funds.grants.get(fund).is_none_or(|grant| is_over(grant.expires_at))
        });
        part.cents += cents;
        part.credit += credit;
        ensure!(part.cents >= 0, "a dispute gives back more than it took");
        moves.insert(PAID, plain(-credit));
        self.count(row, cents, credit, funds);
        Ok(moves)
    }

    fn return_grants(
        &self,
        row: &BookedRow,
        (cents, held): (i64, i64),
        funds: &FundBooks,
    ) -> FundMoves {
        let part = self.takes.get(&by(row)).cloned().unwrap_or_default();
        let lasting = part.grants.into_iter().filter(|(fund, _)| {
            funds.grants.get(fund).is_some_and(|grant| grant.expires_at > row.at)
        });
        lasting.map(|(fund, amount)| (fund, plain(share_of(amount, -cents, held)))).collect()
    }

    fn count(&mut self, row: &BookedRow, cents: i64, credit: Micros, funds: &mut FundBooks) {
        let id = row.change["of"]["p"].as_str().unwrap_or_default();
        let Some(payment) = self.payments.get_mut(id) else { return };
        payment.taken_cents += cents;
        payment.taken += credit;
        let is_void = payment.taken_cents >= payment.received_cents;
        for grant in funds.grants.values_mut() {
            if grant.payment.as_deref() == Some(id) {
                grant.is_void = is_void;
            }
        }
    }

    /// The totals that the row writes into items, and the credit that it says.
    fn check_totals(&self, row: &BookedRow) -> Result<(), String> {
        let after = match row.kind.as_str() {
            "refund" | "refund_reversed" | "refund_pending" | "refund_failed" | "dispute"
            | "dispute_reversed" => {
                if row.change["after"].is_object() {
                    &row.change["after"]
                } else {
                    &row.change["a"]
                }
            }
            _ => return Ok(()),
        };
        if !after.is_object() {
            return Ok(());
        }
        let payment = self.known(&row.change["of"])?;
        let cents = after["c"].as_i64().unwrap_or_default();
        let credit = micros(&after["t"])?;
        ensure!(
            (cents, credit) == (payment.taken_cents, payment.taken),
            "{} cents and {} are taken back, not {cents} and {credit}",
            payment.taken_cents,
            payment.taken
        );
        ensure!(
            (0..=payment.credit).contains(&credit),
            "a payment of {} has {credit} taken back",
            payment.credit
        );
        Ok(())
    }
}

fn by_staff(number: u64) -> String {
    format!("refund {number}")
}

/// The refund or dispute of a row.
fn by(row: &BookedRow) -> String {
    let by = &row.change["by"];
    if let Some(number) = by["staff"]["n"].as_u64() {
        return by_staff(number);
    }
    let ids = [&row.change["dispute"], &by["refund"], &by["dispute"]];
    ids.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned()
}
