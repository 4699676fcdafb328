//! The cost of a stretch of an account's history, by resource and meter: the sum of all charges and
//! refunds of time. Pure and exact, because the lines of every row add up to its amount.
//!
//! **A line belongs to the time it pays for**, whenever its row was written. An hour of November that
//! was settled in December is November's. Metered usage belongs to the hour that its line names. A
//! failed start is given back at the time of its row, and what was owed is paid at the time of its
//! row, which does not say for which resources.
//!
//! **Seconds** count running time: paid minus given back. The price of keeping a stopped volume's
//! data is in the amount and not in the seconds.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::event::{
    BilledLines, BillingChange, Change, Event, ListChange, MeterLine, ResourceChange, ResourceLine,
    StandingChange,
};
use crate::domain::ids::{Kind, ProjectId, ResourceId, Sku};
use crate::domain::money::{Quantity, Rate, Usd};
use crate::domain::prices::PriceList;
use crate::domain::resources::{BillableList, KeptData, Resource, ResourceRef};
use crate::domain::row::Row;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};
use crate::domain::usage::{LATE_SECONDS_MAX, UsageLabels};

/// The identity of a resource when it was billed. An ID may be reused after a purge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceIdentity {
    /// The project of the resource.
    pub project: ProjectId,
    pub sku: Sku,
    /// Such as `service` or `volume`.
    pub kind: Kind,
}

/// The cost of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpentAmount {
    /// Charges minus amounts given back, in USD. Above zero is spent.
    pub amount: Usd,
    /// The running time in seconds.
    pub seconds: i64,
    /// The metered quantity, and the lowest and the highest price of a unit.
    pub metered: Option<MeteredAmount>,
    /// The end of the last paid period, if nothing of it was given back.
    paid_through: Option<(Timestamp, i64)>,
}

/// What was used of a metered SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeteredAmount {
    pub quantity: Quantity,
    lowest: Rate,
    highest: Rate,
}

impl MeteredAmount {
    /// The price of a unit, in USD. `None` if it was not the same all the time.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        (self.lowest == self.highest).then_some(self.lowest)
    }

    fn and(self, other: MeteredAmount) -> MeteredAmount {
        MeteredAmount {
            quantity: self.quantity.and(other.quantity),
            lowest: self.lowest.min(other.lowest),
            highest: self.highest.max(other.highest),
        }
    }
}

impl SpentAmount {
    /// The seconds up to an instant, without time paid beyond it.
    #[must_use]
    pub fn seconds_until(&self, instant: Timestamp) -> i64 {
        let ahead =
            self.paid_through.map_or(0, |(through, paid)| (through - instant).clamp(0, paid));
        self.seconds - ahead
    }

    /// Adds the cost of the same item.
    pub fn add(&mut self, other: SpentAmount) {
        self.amount += other.amount;
        self.seconds += other.seconds;
        self.metered = match (self.metered, other.metered) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
        self.paid_through = other.paid_through;
    }
}

/// An item with a cost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpendingItem {
    /// A resource. Its identity is `None` if it was purged so long ago that no row names it.
    Resource(ResourceId, Option<ResourceIdentity>),
    /// Metered usage with these labels.
    Meter(ProjectId, Sku, UsageLabels),
    /// Time in a respite and kept data that were owed, and that a later credit paid.
    PaidLater,
}

impl SpendingItem {
    /// The project, if known.
    #[must_use]
    pub fn project(&self) -> Option<&ProjectId> {
        match self {
            SpendingItem::Resource(_, identity) => {
                identity.as_ref().map(|identity| &identity.project)
            }
            SpendingItem::Meter(project, _, _) => Some(project),
            SpendingItem::PaidLater => None,
        }
    }

    /// The SKU, if known.
    #[must_use]
    pub fn sku(&self) -> Option<&Sku> {
        match self {
            SpendingItem::Resource(_, identity) => identity.as_ref().map(|identity| &identity.sku),
            SpendingItem::Meter(_, sku, _) => Some(sku),
            SpendingItem::PaidLater => None,
        }
    }
}

/// The cost by day and item. The day is the start of a UTC day, or of the whole time
/// ([`SpendingSteps`]).
pub type SpendingReport = BTreeMap<(Timestamp, SpendingItem), SpentAmount>;

/// Whether a report is by day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpendingSteps {
    Whole,
    Days,
}

/// A stretch of time: from `from` (inclusive) to `until` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceTime {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl ServiceTime {
    /// All time.
    #[must_use]
    pub fn all() -> ServiceTime {
        let from = Timestamp::default();
        ServiceTime { from, until: from.plus(i64::MAX) }
    }

    fn contains(&self, instant: Timestamp) -> bool {
        (self.from..self.until).contains(&instant)
    }

    /// Whether no row after this one bills time before the end. Rows that follow later may pay for
    /// earlier hours, if the account was not settled for a while.
    #[must_use]
    pub fn ends_with(&self, row: &Row) -> bool {
        let is_paid = row.state.paid_through().is_none_or(|through| through >= self.until);
        // What was metered in the last clock hour is billed in the hour after it, or after it was
        // reported late. A request may be repeated for a day.
        let late = if row.state.meters > 0 { LATE_SECONDS_MAX + DAY } else { 0 };
        let metered_by = self.until.plus(-1).hour().end().plus(HOUR + late);
        row.event.at >= metered_by && is_paid
    }
}

/// When the time begins that the lines of a row pay for or give back.
fn service_time(row: &Row) -> Timestamp {
    let at = row.event.at;
    #[allow(clippy::wildcard_enum_match_arm, reason = "all other lines are of the row's own time")]
    match &row.event.change {
        Change::Billing(BillingChange::Usage { from, .. }) => *from,
        // Rows of formats before 6 bill the hour before.
        Change::Billing(BillingChange::Metered { hour, .. }) => {
            hour.unwrap_or_else(|| at.hour().start()).plus(-HOUR)
        }
        Change::Resource(ResourceChange::Stopped { as_of, .. })
        | Change::Standing(StandingChange::Suspended { as_of, .. }) => *as_of,
        _ => at,
    }
}

/// Adds up rows, oldest first.
///
/// A line contains only the resource's ID. The identity comes from the resource's own item, or from
/// the next row that changes the resource. For purged resources that row may follow after the range
/// ([`SpendingTally::nameless`], [`SpendingTally::identify`]).
#[derive(Debug)]
pub struct SpendingTally<'a> {
    list: &'a BillableList,
    prices: &'a PriceList,
    time: ServiceTime,
    steps: SpendingSteps,
    known: BTreeMap<ResourceId, ResourceIdentity>,
    nameless: BTreeMap<ResourceId, BTreeMap<Timestamp, SpentAmount>>,
    spending: SpendingReport,
}

impl<'a> SpendingTally<'a> {
    /// An empty tally of this time. `list` is the account's current list. `prices` distinguish
    /// running from kept data.
    #[must_use]
    pub fn new(
        list: &'a BillableList,
        prices: &'a PriceList,
        time: ServiceTime,
        steps: SpendingSteps,
    ) -> SpendingTally<'a> {
        let (known, nameless, spending) = (BTreeMap::new(), BTreeMap::new(), SpendingReport::new());
        SpendingTally { list, prices, time, steps, known, nameless, spending }
    }

    /// The step of an instant within the time.
    fn step(&self, instant: Timestamp) -> Timestamp {
        match self.steps {
            SpendingSteps::Whole => self.time.from,
            SpendingSteps::Days => instant.day_start(),
        }
    }

    /// Adds a row with all its lines, if they belong to the time of the tally.
    pub fn add(&mut self, row: &Row) {
        self.learn(row);
        for line in row.event.change.meter_lines() {
            self.add_metered(row, line);
        }
        if !self.time.contains(service_time(row)) {
            return;
        }
        let step = self.step(service_time(row));
        if let Change::Billing(BillingChange::OwedPaid) = &row.event.change {
            let amount = -row.event.amount();
            let spent = SpentAmount { amount, ..SpentAmount::default() };
            self.spend(step, SpendingItem::PaidLater, spent);
        }
        let Some(BilledLines::Here(lines)) = row.event.change.lines() else { return };
        for line in lines {
            let spent = self.spent(row, line);
            match self.identity(&line.resource, row.event.at) {
                Some(identity) => {
                    let item = SpendingItem::Resource(line.resource.clone(), Some(identity));
                    self.spend(step, item, spent);
                }
                None => {
                    let steps = self.nameless.entry(line.resource.clone()).or_default();
                    steps.entry(step).or_default().add(spent);
                }
            }
        }
    }

    /// Metered usage belongs to its own hour.
    fn add_metered(&mut self, row: &Row, line: &MeterLine) {
        let hour = line.hour.unwrap_or_else(|| service_time(row));
        if !self.time.contains(hour) {
            return;
        }
        let quantity = line.to.since(line.from);
        let metered = MeteredAmount { quantity, lowest: line.rate, highest: line.rate };
        let spent =
            SpentAmount { amount: -line.amount, metered: Some(metered), ..SpentAmount::default() };
        let MeterLine { project, sku, labels, .. } = line.clone();
        self.spend(self.step(hour), SpendingItem::Meter(project, sku, labels), spent);
    }

    /// Resources with a cost and an unknown identity.
    #[must_use]
    pub fn nameless(&self) -> BTreeSet<ResourceId> {
        self.nameless.keys().cloned().collect()
    }

    /// Finds the identity of a nameless resource in a later row.
    pub fn identify(&mut self, row: &Row) {
        for reference in references(&row.event) {
            self.resolve(&reference.id, &identity_of(reference));
        }
    }

    /// The report. Resources that are nameless now stay so.
    #[must_use]
    pub fn end(mut self) -> SpendingReport {
        for (id, steps) in std::mem::take(&mut self.nameless) {
            self.spend_steps(steps, &SpendingItem::Resource(id, None));
        }
        self.spending
    }

    fn learn(&mut self, row: &Row) {
        for reference in references(&row.event) {
            let identity = identity_of(reference);
            self.resolve(&reference.id, &identity);
            self.known.insert(reference.id.clone(), identity);
        }
        if let ListChange::Put(resources) = row.event.list_change() {
            for resource in resources {
                self.known.insert(resource.id.clone(), identity_of(&resource.reference()));
            }
        }
    }

    fn resolve(&mut self, id: &ResourceId, identity: &ResourceIdentity) {
        let Some(steps) = self.nameless.remove(id) else { return };
        self.spend_steps(steps, &SpendingItem::Resource(id.clone(), Some(identity.clone())));
    }

    fn identity(&self, id: &ResourceId, at: Timestamp) -> Option<ResourceIdentity> {
        let listed = || self.listed(id, at).map(|resource| identity_of(&resource.reference()));
        self.known.get(id).cloned().or_else(listed)
    }

    /// The resource with this ID, unless it was created later and reuses the ID.
    fn listed(&self, id: &ResourceId, at: Timestamp) -> Option<&'a Resource> {
        self.list.resources.get(id).filter(|resource| resource.created_at <= at)
    }

    fn spend_steps(&mut self, steps: BTreeMap<Timestamp, SpentAmount>, item: &SpendingItem) {
        for (step, spent) in steps {
            self.spend(step, item.clone(), spent);
        }
    }

    fn spend(&mut self, step: Timestamp, item: SpendingItem, spent: SpentAmount) {
        self.spending.entry((step, item)).or_default().add(spent);
    }

    fn spent(&self, row: &Row, line: &ResourceLine) -> SpentAmount {
        let amount = -line.amount;
        if self.is_kept_only(row, line) {
            return SpentAmount { amount, ..SpentAmount::default() };
        }
        let is_paid = |through| SpentAmount {
            amount,
            seconds: line.seconds,
            paid_through: Some((through, line.seconds)),
            ..SpentAmount::default()
        };
        let back = SpentAmount { amount, seconds: -line.seconds, ..SpentAmount::default() };
        // Every row that has lines is one of these.
        #[allow(clippy::wildcard_enum_match_arm, reason = "all other rows with lines give back")]
        match &row.event.change {
            Change::Billing(BillingChange::Usage { through, .. })
            | Change::Resource(ResourceChange::Started { through, .. }) => is_paid(*through),
            _ => back,
        }
    }

    /// Whether a line pays only for kept data. A start or stop is billed at the difference between
    /// running and stopped, so its seconds are running time. In other rows the rate decides.
    fn is_kept_only(&self, row: &Row, line: &ResourceLine) -> bool {
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "the lines of all other rows are of time that it ran"
        )]
        let rated_at = match &row.event.change {
            Change::Billing(BillingChange::Usage { from, .. }) => *from,
            Change::Resource(ResourceChange::ResourcesDeleted { .. })
            | Change::Standing(StandingChange::Suspended { .. }) => row.event.at,
            _ => return false,
        };
        let listed = self
            .listed(&line.resource, row.event.at)
            .filter(|resource| resource.keeps == KeptData::Data);
        let Some(resource) = listed else { return false };
        let running = resource.rate_at(self.prices, rated_at).ok();
        running != Some(line.rate)
            && resource.idle_rate_at(self.prices, rated_at) == Some(line.rate)
    }
}

/// Resources that a row names without their full data.
fn references(event: &Event) -> &[ResourceRef] {
    match event.list_change() {
        ListChange::SetStatus { resources, .. } | ListChange::Remove(resources) => resources,
        ListChange::Nothing
        | ListChange::Put(_)
        | ListChange::AddMeter(_)
        | ListChange::BillMeters(_) => &[],
    }
}

fn identity_of(reference: &ResourceRef) -> ResourceIdentity {
    ResourceIdentity {
        project: reference.project.clone(),
        sku: reference.sku.clone(),
        kind: reference.kind.clone(),
    }
}

/// `part ÷ whole` with four decimals, rounded half up. Zero if `whole` is zero.
#[must_use]
pub fn four_decimals(part: i64, whole: i64) -> String {
    let (part, whole) = (i128::from(part), i128::from(whole.max(1)));
    let scaled = (part.abs() * 10_000 + whole / 2) / whole;
    let sign = if part < 0 && scaled > 0 { "-" } else { "" };
    format!("{sign}{}.{:04}", scaled / 10_000, scaled % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_have_four_decimals() {
        for (part, whole, expected) in [
            (1, 2, "0.5000"),
            (3_600, 3_600, "1.0000"),
            (1, 3, "0.3333"),
            (2, 3, "0.6667"),
            (0, 0, "0.0000"),
            (-1_800, 3_600, "-0.5000"),
            (i64::MAX, 1, "9223372036854775807.0000"),
        ] {
            assert_eq!(four_decimals(part, whole), expected, "{part}/{whole}");
        }
    }

    #[test]
    fn what_is_paid_ahead_has_not_been_run_yet() {
        let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
        let spent = SpentAmount {
            seconds: 4_000,
            paid_through: Some((at(7_200), 3_600)),
            ..SpentAmount::default()
        };
        assert_eq!(spent.seconds_until(at(7_200)), 4_000);
        assert_eq!(spent.seconds_until(at(5_400)), 2_200);
        assert_eq!(spent.seconds_until(at(0)), 400, "no more than was paid ahead");
        assert_eq!(SpentAmount { paid_through: None, ..spent }.seconds_until(at(0)), 4_000);
    }
}
