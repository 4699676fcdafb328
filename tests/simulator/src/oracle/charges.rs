//! Whether each charge of a saved card had its reason.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use time::UtcDateTime;

use super::amounts::{DOLLAR, MICROS_PER_CENT, Micros, micros, of_cents, share_of};
use super::ensure;
use super::holds::available_in;
use super::row::{BookedRow, array};
use super::stripe::StripeBooks;

/// So long before a charge its reason must have been there, in seconds: `auto-refill` takes two
/// minutes at most, and the clocks of two services are apart by 40 seconds at most.
const BEFORE_CHARGE_SECONDS: i64 = 180 + CLOCKS_APART_SECONDS;
const CLOCKS_APART_SECONDS: i64 = 40;
/// How long a card event waits for a payment by hand, as the policy says.
const CARD_PATIENCE_SECONDS: i64 = 120;

/// The rows that bill time and usage, or give it back.
const USES: [&str; 9] = [
    "usage",
    "started",
    "restored",
    "stopped",
    "resources_deleted",
    "suspended",
    "start_failed",
    "metered",
    "hold_captured",
];

/// The payments that were credited, and what stood after each row.
#[derive(Debug, Default)]
pub struct ChargeBooks {
    after: Vec<AfterRow>,
    /// The payments that were credited, with the number of the row.
    credited: BTreeMap<String, u64>,
    /// The state that the last row left.
    state: Value,
    /// What was used in the trial so far.
    used_in_trial: Micros,
    /// What each attempt may charge at most.
    attempts: BTreeMap<u64, Micros>,
    /// The rows that deleted everything, with their time.
    deleted: Vec<(usize, i64)>,
    /// What refills credited in each month, from year and month.
    of_months: BTreeMap<(i32, u8), Micros>,
}

#[derive(Clone, Copy, Debug)]
struct AfterRow {
    at: i64,
    /// The balance without what is held.
    available: Micros,
    /// Below which a refill is agreed to.
    threshold: Option<Micros>,
}

impl ChargeBooks {
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(&mut self, row: &BookedRow) -> Result<(), String> {
        let threshold = &row.state["r"]["a"]["t"];
        let threshold = threshold.is_string().then(|| micros(threshold)).transpose()?;
        let available = available_in(&row.state)?;
        self.after.push(AfterRow { at: row.at, available, threshold });
        if ["topup", "auto_refill", "commit"].contains(&row.kind.as_str()) {
            // The row of an invoice names its payments, too.
            let also = array(&row.change["also"]).iter();
            for payment in std::iter::once(&row.change["payment"]).chain(also) {
                let before = self.credited.insert(text(payment), row.seq);
                ensure!(before.is_none(), "{payment} is credited twice");
            }
        }
        if row.kind == "deleted" {
            let seq = usize::try_from(row.seq).unwrap_or_default();
            self.deleted.push((seq, row.at));
        }
        if row.kind == "refill_begun" {
            self.begin(row)?;
        }
        if row.kind == "auto_refill" {
            *self.of_months.entry(month(row.at)).or_default() += micros(&row.change["credit"])?;
        }
        if is_in_trial(&self.state) && USES.contains(&row.kind.as_str()) {
            self.used_in_trial = (self.used_in_trial - row.amount).max(0);
        }
        self.state = row.state.clone();
        Ok(())
    }

    /// An attempt keeps to what the customer agreed to.
    fn begin(&mut self, row: &BookedRow) -> Result<(), String> {
        let terms = &self.state["r"];
        let agreed = &terms["a"];
        ensure!(agreed.is_object(), "a refill that nobody agreed to");
        ensure!(terms["o"].is_null(), "a refill beside another");
        ensure!(row.change["c"] == terms["c"], "a refill from another card than {}", terms["c"]);
        let amount = micros(&row.change["a"])?;
        if row.change["y"] == "trial_renewal" {
            let renewal = self.renewal()?;
            ensure!(amount == renewal, "a trial is renewed for {amount}, not {renewal}");
        } else {
            ensure!(!is_in_trial(&self.state), "a refill in a trial that nobody paid for");
            let usual = if agreed["g"].is_string() { &agreed["g"] } else { &agreed["a"] };
            let most = micros(if agreed["x"].is_string() { &agreed["x"] } else { usual })?;
            ensure!(amount > 0 && amount <= most, "a refill of {amount}, and {most} is agreed");
        }
        let charged = self.of_months.get(&month(row.at)).copied().unwrap_or_default();
        let cap = terms["m"].is_string().then(|| micros(&terms["m"])).transpose()?;
        let is_within = cap.is_none_or(|cap| charged + amount <= cap);
        ensure!(is_within, "refills of {charged} and {amount} in a month, and {cap:?} is agreed");
        self.attempts.insert(row.change["n"].as_u64().unwrap_or_default(), amount);
        Ok(())
    }

    /// What the trial's renewal costs: its use, projected to 30 days, rounded up to the cent, $1 to
    /// $25.
    fn renewal(&self) -> Result<Micros, String> {
        let trial = &self.state["t"];
        ensure!(trial["s"] == "ended", "a trial that did not end is renewed");
        ensure!(trial["rt"] == "yes", "a trial is renewed, and nobody agreed to that");
        ensure!(self.state["pe"].is_null(), "a trial of a customer who paid is renewed");
        let time = |name: &str| trial[name].as_i64().ok_or("a trial without its time");
        let seconds = (time("t")? - time("f")?).max(3_600);
        let projected = share_of(self.used_in_trial, 30 * 86_400, seconds);
        let cents = (projected + MICROS_PER_CENT - 1).div_euclid(MICROS_PER_CENT);
        let amount = (cents * MICROS_PER_CENT).clamp(DOLLAR, 25 * DOLLAR);
        let cap = &self.state["r"]["m"];
        Ok(if cap.is_string() { amount.min(micros(cap)?) } else { amount })
    }

    /// Each attempt is paid once, with no more than it began with, and for a reason. What was paid
    /// before a deletion was credited before it.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check(&self, stripe: &StripeBooks<'_>, account: &str) -> Result<(), String> {
        for (seq, at) in &self.deleted {
            // The row has the time of its trigger, and Stripe is asked later.
            let paid = self.uncredited(stripe, account, *seq, at - CLOCKS_APART_SECONDS);
            ensure!(paid == 0, "{account}: row {seq} deletes everything, and {paid} was paid");
        }
        let mut paid = BTreeSet::new();
        for invoice in stripe.of_kind("invoice").filter(|invoice| invoice["status"] == "paid") {
            let metadata = &invoice["metadata"];
            if metadata["tollgate_account"] != account || metadata["tollgate_attempt"].is_null() {
                continue;
            }
            let attempt = text(&metadata["tollgate_attempt"]);
            let number = attempt.parse().ok();
            let begun = number.and_then(|number: u64| self.attempts.get(&number)).copied();
            let total = of_cents(invoice["total"].as_i64().unwrap_or_default());
            ensure!(
                begun.is_some_and(|begun| total <= begun),
                "{account}: attempt {attempt} charges {total}, and begun is {begun:?}"
            );
            ensure!(paid.insert(attempt.clone()), "{account}: attempt {attempt} is paid twice");
            self.check_reason(invoice, stripe, account)?;
        }
        Ok(())
    }

    /// A card is charged only while the credit is below the threshold, with everything that Stripe
    /// has received.
    fn check_reason(
        &self,
        invoice: &Value,
        stripe: &StripeBooks<'_>,
        account: &str,
    ) -> Result<(), String> {
        let paid_at = invoice["status_transitions"]["paid_at"].as_i64();
        let paid_at = paid_at.ok_or_else(|| format!("{account}: paid, and never: {invoice}"))?;
        let looked_from = paid_at - BEFORE_CHARGE_SECONDS;
        // Rows have the time of their trigger, which may have waited. The row that credits this charge
        // can therefore be older than the charge.
        let credited = self.credited.get(&text(&invoice["id"]));
        let credited = credited.and_then(|seq| usize::try_from(*seq).ok());
        let before = self.after.get(..credited.unwrap_or(self.after.len())).unwrap_or_default();
        let first = before.iter().rposition(|after| after.at <= looked_from).unwrap_or(0);
        let within = before.iter().enumerate().skip(first);
        let until = paid_at + CLOCKS_APART_SECONDS;
        let mut within = within.take_while(|(_, after)| after.at <= until);
        let has_reason = within.any(|(seq, after)| {
            let uncredited = self.uncredited(stripe, account, seq, looked_from);
            after.threshold.is_some_and(|threshold| after.available + uncredited < threshold)
        });
        ensure!(
            has_reason,
            "{account}: {} was charged above the threshold at {paid_at}, after {:?}",
            invoice["id"],
            before.get(first..)
        );
        Ok(())
    }

    /// What Stripe had received by a time, and what no row up to this one credits.
    fn uncredited(
        &self,
        stripe: &StripeBooks<'_>,
        account: &str,
        seq: usize,
        until: i64,
    ) -> Micros {
        let is_credited = |payment: &str| {
            let row = self.credited.get(payment).and_then(|row| usize::try_from(*row).ok());
            row.is_some_and(|row| row <= seq)
        };
        stripe
            .charges_of(account)
            .filter(|charge| stripe.received_at(charge).is_some_and(|at| at <= until))
            .filter(|charge| !is_credited(charge["payment_intent"].as_str().unwrap_or_default()))
            .map(|charge| stripe.kept_until(charge, until))
            .sum()
    }
}

fn month(at: i64) -> (i32, u8) {
    let date = UtcDateTime::from_unix_timestamp(at).unwrap_or(UtcDateTime::UNIX_EPOCH).date();
    (date.year(), u8::from(date.month()))
}

/// What Stripe tells of the saved cards wants no refill at once: the customer may be paying by hand
/// with the new card. A refill that was wanted before goes on if the account would be suspended
/// else. `paid_through` and `before` are those before the row.
///
/// # Errors
/// The rule that is broken, as text.
pub fn check_card_event(
    row: &BookedRow,
    paid_through: Option<i64>,
    before: &Value,
) -> Result<(), String> {
    let has_same_terms = row.change["agreement"] == before["r"]["a"];
    let is_card_event =
        row.kind == "refill_changed" && row.event["y"] == "stripe" && has_same_terms;
    let was_wanted = before["r"]["w"].is_object() || before["r"]["o"].is_object();
    let ends_soon = paid_through.is_some_and(|paid| paid <= row.at + CARD_PATIENCE_SECONDS);
    let goes_on = was_wanted && ends_soon;
    let wants = row.event["w"]["now"].is_object();
    ensure!(!(is_card_event && wants && !goes_on), "a card event wants a refill at once");
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether a trial runs that no payment followed.
fn is_in_trial(state: &Value) -> bool {
    let trial = &state["t"];
    trial.is_object() && trial["s"].is_null() && state["pe"].is_null()
}
