//! When metered usage is billed, at which price, and by which funds.

use crate::domain::account::{AccountState, Grant};
use crate::domain::decide::{DecisionOutcome, RESOURCES_PER_ROW_MAX};
use crate::domain::event::{BillingChange, MeterLine};
use crate::domain::funds::Purse;
use crate::domain::ids::{ProjectId, Sku};
use crate::domain::money::{Quantity, Rate, Usd};
use crate::domain::policy::Policy;
use crate::domain::prices::{PriceList, PriceUnit};
use crate::domain::refusal::Refusal;
use crate::domain::row_format::RowFormat;
use crate::domain::snapshot::AccountSnapshot;
use crate::domain::timestamp::{HOUR, Timestamp};
use crate::domain::usage::UsageLabels;

/// The first format with usage by the hour.
pub const USAGE_BY_HOUR: RowFormat = RowFormat::new(6);

/// Usage that is not billed.
#[derive(Debug)]
struct UnbilledUsage<'a> {
    /// The start of its clock hour.
    hour: Timestamp,
    project: &'a ProjectId,
    sku: &'a Sku,
    /// `None` if a release before format 6 counted it, by no hour.
    labels: Option<&'a UsageLabels>,
    from: Quantity,
    to: Quantity,
    /// The price in its hour, in USD per unit.
    rate: Rate,
    /// In USD. Of usage by the hour, the difference of two rounded costs: an hour costs the same in
    /// one bill or in many.
    cost: Usd,
}

/// All unbilled usage, oldest hour first.
#[derive(Debug, Default)]
pub struct UnbilledList<'a> {
    usage: Vec<UnbilledUsage<'a>>,
    /// Entries (a meter, or an hour with its labels) without a price, or too large for any row.
    skipped: usize,
    /// Whether a process that writes an older format leaves usage to those that write the new one.
    is_left_to_others: bool,
}

/// The price of a metered SKU in the last second of a clock hour. If there was none yet, the price at
/// `now`.
///
/// # Errors
/// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`].
pub fn price_of_hour(
    prices: &PriceList,
    sku: &Sku,
    hour: Timestamp,
    now: Timestamp,
) -> Result<Rate, Refusal> {
    let price_at = |instant| prices.require(sku, PriceUnit::Quantity, instant);
    price_at(hour.plus(HOUR - 1)).or_else(|_| price_at(now)).map(|price| price.rate)
}

/// Unbilled usage worth this is billed at once, in USD: the policy's limit, or what is available if
/// that is smaller but above zero.
#[must_use]
pub fn bill_at_once_limit(state: &AccountState, policy: &Policy) -> Usd {
    let credit = state.available();
    if credit.is_positive() { policy.unbilled_max.min(credit) } else { policy.unbilled_max }
}

impl<'a> UnbilledList<'a> {
    #[must_use]
    pub fn of(view: &'a AccountSnapshot<'_>, now: Timestamp) -> UnbilledList<'a> {
        let (state, list) = (view.state(), view.billables());
        let mut found = UnbilledList::default();
        let mut add = |hour, sku: &Sku, usage: &dyn Fn(Rate) -> UnbilledUsage<'a>| {
            let priced = price_of_hour(view.prices(), sku, hour, now).ok().map(usage);
            match priced.filter(|one| (state.paid - one.cost).is_bounded()) {
                Some(one) => found.usage.push(one),
                None => found.skipped += 1,
            }
        };
        // Usage without an hour belongs to the past hour, until that is billed.
        let past_hour = now.hour().start().plus(-HOUR);
        let older_hour = state.metered_at.unwrap_or_else(|| state.at.hour().start()).max(past_hour);
        for meter in list.meters.values().filter(|meter| meter.reading > meter.billed) {
            add(older_hour, &meter.sku, &|rate| UnbilledUsage {
                hour: older_hour,
                project: &meter.project,
                sku: &meter.sku,
                labels: None,
                from: meter.billed,
                to: meter.reading,
                rate,
                cost: rate.for_quantity(meter.reading.since(meter.billed)),
            });
        }
        let is_known = view.policy().row_format >= USAGE_BY_HOUR;
        for (key, usage) in list.usage.iter().filter(|(_, usage)| usage.reported > usage.billed) {
            if !is_known {
                found.is_left_to_others = true;
                break;
            }
            add(key.hour, &key.sku, &|rate| UnbilledUsage {
                hour: key.hour,
                project: &key.project,
                sku: &key.sku,
                labels: Some(&key.labels),
                from: usage.billed,
                to: usage.reported,
                rate,
                cost: rate.for_quantity(usage.reported) - rate.for_quantity(usage.billed),
            });
        }
        found.usage.sort_by_key(|one| one.hour);
        found
    }

    /// How many entries have no price, or are too large for any row. Staff must correct them. The rest
    /// is billed.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// What usage by the hour costs that is not billed, in USD.
    #[must_use]
    pub fn cost(&self) -> Usd {
        self.usage.iter().filter(|one| one.labels.is_some()).map(|one| one.cost).sum()
    }

    /// When usage is to be billed, if there is any: at the end of its hour, before a grant or trial
    /// ends, and at once when it reaches [`bill_at_once_limit`], at most once a second.
    pub(super) fn due_at(&self, view: &AccountSnapshot<'_>, now: Timestamp) -> Option<Timestamp> {
        let first_hour = self.usage.first()?.hour;
        let at_once = self.is_billed_at_once(view, now).then_some(now);
        let funds_end = self.funds_end(view.state());
        [at_once, Some(first_hour.plus(HOUR)), funds_end].into_iter().flatten().min()
    }

    fn is_billed_at_once(&self, view: &AccountSnapshot<'_>, now: Timestamp) -> bool {
        let (state, cost) = (view.state(), self.cost());
        let is_much = cost.is_positive() && cost >= bill_at_once_limit(state, view.policy());
        is_much && state.usage_billed_at.is_none_or(|billed_at| billed_at < now)
    }

    /// The end of the grant that ends first. Grants that ended before the usage pay none of it.
    fn funds_end(&self, state: &AccountState) -> Option<Timestamp> {
        let first_hour = self.usage.first()?.hour;
        let is_free = |grant: &&Grant| state.free_of_grant(grant.number).is_positive();
        let grants = state.grants.iter().filter(is_free);
        grants.map(|grant| grant.expires_at).filter(|ends_at| *ends_at > first_hour).min()
    }

    /// Bills what is due, oldest hour first. The usage already happened, so the balance may go below
    /// zero.
    pub(super) fn bill(
        &self,
        view: &AccountSnapshot<'_>,
        now: Timestamp,
    ) -> Option<DecisionOutcome> {
        let due_at = self.due_at(view, now)?;
        let state = view.state();
        // What is billed at once may be of an hour that has just begun, but not while a grant that
        // ends with the last hour still pays for that.
        let has_begun = self.is_billed_at_once(view, now) && self.funds_end(state) != Some(due_at);
        let is_due = |one: &&UnbilledUsage<'_>| {
            let is_of_past = one.hour < due_at || (has_begun && one.hour == due_at);
            is_of_past && (one.labels.is_some() || one.hour.plus(HOUR) <= now)
        };
        let due: Vec<_> = self.usage.iter().filter(is_due).collect();
        // A grant that ended has credit until what was used before is billed.
        let mut purse = Purse::within_period(state, Timestamp::default());
        let (mut lines, mut billed) = (Vec::new(), Usd::ZERO);
        for one in due.iter().take(RESOURCES_PER_ROW_MAX) {
            if !(state.paid - billed - one.cost).is_bounded() {
                break;
            }
            billed += one.cost;
            // Older releases counted usage without its hour.
            purse = if one.labels.is_some() { purse.of_hour(one.hour) } else { purse.at(one.hour) };
            let shares = purse.draw_beyond(one.sku, one.cost);
            lines.push(MeterLine {
                project: one.project.clone(),
                sku: one.sku.clone(),
                hour: one.labels.map(|_| one.hour),
                labels: one.labels.cloned().unwrap_or_default(),
                from: one.from,
                to: one.to,
                rate: one.rate,
                amount: -one.cost,
                shares,
            });
        }
        if lines.is_empty() {
            return None;
        }
        // What was left out must still be read afterward.
        let is_all = lines.len() == due.len() && self.skipped == 0 && !self.is_left_to_others;
        let hour = due_at.hour().start().max(state.metered_at.unwrap_or_default());
        let change = BillingChange::Metered { hour: is_all.then_some(hour), lines };
        Some(DecisionOutcome::moving(change, purse.deltas()))
    }
}
