//! `GET /v1/spending`: the cost by project, SKU, resource or label, in all or day by day, as JSON or
//! CSV. [`tollgate::views::spending`] defines what counts.
//!
//! The account is settled first. Time from `from` (inclusive) to `to` (exclusive) counts, whenever
//! it was billed: a line belongs to the range in which its time begins. Without `to`, everything up
//! to now counts. The costs of adjacent ranges therefore add up.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Serialize;
use tollgate::domain::account::AccountState;
use tollgate::domain::ids::{LabelName, ProjectId, ResourceId, Sku};
use tollgate::domain::money::{Rate, Usd};
use tollgate::domain::prices::PriceList;
use tollgate::domain::resources::{BillableList, ResourceCondition};
use tollgate::domain::timestamp::{DAY, Timestamp};
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::Problem;
use tollgate::runtime::billing::Billing;
use tollgate::store::{BoundedRead, READS_MAX, StoreError};
use tollgate::views::price_display::DisplayView;
use tollgate::views::spending::{
    ServiceTime, SpendingItem, SpendingReport, SpendingSteps, SpentAmount,
};

use crate::csv;
use crate::time_range::{RangeEnd, TimeRange, invalid, too_much};

/// The longest range: a quarter of a year.
const DAYS_MAX: i64 = 92;
const PAID_LATER: &str = "Usage and storage paid later";

/// What the costs of one item of the answer have in common. An unknown one was purged long ago, or
/// has no such label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SpendingGroup {
    Known(String),
    Unknown,
    PaidLater,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SpendingBy {
    Project,
    Sku,
    Resource,
    Label,
}

impl FromStr for SpendingBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<SpendingBy, &'static str> {
        match text {
            "project" => Ok(SpendingBy::Project),
            "sku" => Ok(SpendingBy::Sku),
            "resource" => Ok(SpendingBy::Resource),
            "label" => Ok(SpendingBy::Label),
            _ => Err("must be project, sku, resource or label"),
        }
    }
}

impl SpendingBy {
    fn name(self) -> &'static str {
        match self {
            SpendingBy::Project => "project",
            SpendingBy::Sku => "sku",
            SpendingBy::Resource => "resource",
            SpendingBy::Label => "label",
        }
    }
}

/// The `each` of a request.
struct SpendingEach(SpendingSteps);

impl FromStr for SpendingEach {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<SpendingEach, &'static str> {
        match text {
            "day" => Ok(SpendingEach(SpendingSteps::Days)),
            _ => Err("must be day"),
        }
    }
}

/// What a request asks for.
struct SpendingQuery {
    by: SpendingBy,
    /// Whose values are the groups.
    label: Option<LabelName>,
    steps: SpendingSteps,
    /// Only of this project.
    project: Option<ProjectId>,
    /// Only of this SKU.
    sku: Option<Sku>,
}

impl SpendingQuery {
    fn of(call: &ApiCall) -> Result<SpendingQuery, Problem> {
        let by = call.query("by")?.unwrap_or(SpendingBy::Project);
        let label = call.query("label")?;
        match (by, &label) {
            (SpendingBy::Label, None) => {
                return Err(invalid("label", "is required with by=label"));
            }
            (SpendingBy::Project | SpendingBy::Sku | SpendingBy::Resource, Some(_)) => {
                return Err(invalid("label", "is for by=label"));
            }
            (SpendingBy::Label, Some(_)) | (_, None) => {}
        }
        let each: Option<SpendingEach> = call.query("each")?;
        let steps = each.map_or(SpendingSteps::Whole, |SpendingEach(steps)| steps);
        let (project, sku) = (call.query("project")?, call.query("sku")?);
        Ok(SpendingQuery { by, label, steps, project, sku })
    }

    fn includes(&self, item: &SpendingItem) -> bool {
        let is_of_project = self.project.is_none() || self.project.as_ref() == item.project();
        is_of_project && (self.sku.is_none() || self.sku.as_ref() == item.sku())
    }

    /// The group of an item. Meters are not resources. Their key is `project/sku`, which cannot be a
    /// resource ID.
    fn group(&self, item: &SpendingItem) -> SpendingGroup {
        let key = match (self.by, item) {
            (_, SpendingItem::PaidLater) => return SpendingGroup::PaidLater,
            (SpendingBy::Project, item) => item.project().map(ToString::to_string),
            (SpendingBy::Sku, item) => item.sku().map(ToString::to_string),
            (SpendingBy::Resource, SpendingItem::Resource(id, _)) => Some(id.to_string()),
            (SpendingBy::Resource, SpendingItem::Meter(project, sku, _)) => {
                Some(format!("{project}/{sku}"))
            }
            (SpendingBy::Label, SpendingItem::Meter(_, _, labels)) => {
                let found = labels.iter().find(|(name, _)| Some(*name) == self.label.as_ref());
                found.map(|(_, value)| value.to_string())
            }
            (SpendingBy::Label, SpendingItem::Resource(..)) => None,
        };
        key.map_or(SpendingGroup::Unknown, SpendingGroup::Known)
    }
}

#[derive(Debug, Serialize)]
struct SpendingView {
    by: &'static str,
    from: String,
    to: String,
    total: String,
    items: Vec<SpendingItemView>,
}

#[derive(Debug, Serialize)]
struct SpendingItemView {
    /// The UTC day. Absent unless day by day.
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    key: Option<String>,
    name: Option<String>,
    /// What was used. Null unless all of it is of one metered SKU.
    quantity: Option<String>,
    /// The unit in which it is shown. Null: single units.
    unit_name: Option<String>,
    unit_size: Option<String>,
    /// USD for a single unit. Null if it was not the same all the time.
    rate: Option<String>,
    amount: String,
    seconds: i64,
}

/// Handles `GET /v1/spending`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let query = SpendingQuery::of(call)?;
    let TimeRange { from, to, open } = TimeRange::of(call, Timestamp::month_start)?;
    if to - from > DAYS_MAX * DAY {
        return Err(invalid("from", &format!("must be at most {DAYS_MAX} days before to")).into());
    }
    let on = OnAccount::of_caller(billing, call)?;
    let (state, list) = on.look(|view| (view.state().clone(), view.billables().clone())).await?;
    let until = match open {
        RangeEnd::Now => Timestamp::default().plus(i64::MAX),
        RangeEnd::Earlier => to,
    };
    let time = (ServiceTime { from, until }, query.steps);
    let prices = billing.prices(call.now).await?;
    let BoundedRead::All(spending) =
        billing.store.spending(on.account(), time, &list, &prices, READS_MAX).await?
    else {
        return Err(too_much().into());
    };
    let sums = sums(&query, &spending);
    let total: Usd = sums.values().map(|sum| sum.spent.amount).sum();
    let mut sums: Vec<((Timestamp, SpendingGroup), SpendingSum)> = sums.into_iter().collect();
    sums.sort_by(|((day, group), one), ((other_day, other_group), other)| {
        let by_cost = other.spent.amount.cmp(&one.spent.amount);
        day.cmp(other_day).then(by_cost).then_with(|| group.cmp(other_group))
    });
    let names = Names {
        billing,
        on: &on,
        by: query.by,
        state: &state,
        list: &list,
        prices: &prices,
        now: call.now,
    };
    let mut items = Vec::new();
    for ((day, group), sum) in sums {
        let (key, name) = match group {
            SpendingGroup::Known(key) => {
                let name = names.of(&key).await?;
                (Some(key), name)
            }
            SpendingGroup::Unknown => (None, None),
            SpendingGroup::PaidLater => (None, Some(PAID_LATER.to_owned())),
        };
        let day = (query.steps == SpendingSteps::Days).then_some(day);
        items.push(names.item(day, key, name, &sum));
    }
    if call.wants_csv() {
        return Ok(ApiAnswer::csv(table(&items), None));
    }
    let (from, to) = (from.to_string(), to.to_string());
    ApiAnswer::ok(&SpendingView { by: query.by.name(), from, to, total: total.to_string(), items })
}

/// A header and a line per item.
fn table(items: &[SpendingItemView]) -> String {
    let header =
        ["day", "key", "name", "quantity", "unit_name", "unit_size", "rate", "seconds", "amount"];
    let mut text = csv::line(header);
    for item in items {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        text.push_str(&csv::line([
            &or_empty(&item.day),
            &or_empty(&item.key),
            &or_empty(&item.name),
            &or_empty(&item.quantity),
            &or_empty(&item.unit_name),
            &or_empty(&item.unit_size),
            &or_empty(&item.rate),
            &item.seconds.to_string(),
            &item.amount,
        ]));
    }
    text
}

#[derive(Clone, Debug, Default)]
struct SpendingSum {
    spent: SpentAmount,
    sku: SumSku,
}

/// The metered SKU of a sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum SumSku {
    #[default]
    None,
    One(Sku),
    /// Several, or what is no metered SKU.
    Mixed,
}

fn sums(
    query: &SpendingQuery,
    spending: &SpendingReport,
) -> BTreeMap<(Timestamp, SpendingGroup), SpendingSum> {
    let mut sums: BTreeMap<(Timestamp, SpendingGroup), SpendingSum> = BTreeMap::new();
    for ((day, item), spent) in spending.iter().filter(|((_, item), _)| query.includes(item)) {
        let sum = sums.entry((*day, query.group(item))).or_default();
        sum.spent.add(*spent);
        sum.sku = match (item, &sum.sku) {
            (SpendingItem::Meter(_, sku, _), SumSku::None) => SumSku::One(sku.clone()),
            (SpendingItem::Meter(_, sku, _), SumSku::One(known)) if sku == known => continue,
            _ => SumSku::Mixed,
        };
    }
    sums
}

/// What names and units come from.
struct Names<'a> {
    billing: &'a Billing,
    on: &'a OnAccount<'a>,
    by: SpendingBy,
    state: &'a AccountState,
    list: &'a BillableList,
    prices: &'a PriceList,
    now: Timestamp,
}

impl Names<'_> {
    fn item(
        &self,
        day: Option<Timestamp>,
        key: Option<String>,
        name: Option<String>,
        sum: &SpendingSum,
    ) -> SpendingItemView {
        let metered = match &sum.sku {
            SumSku::One(sku) => sum.spent.metered.map(|metered| (sku, metered)),
            SumSku::None | SumSku::Mixed => None,
        };
        let display = metered.map(|(sku, _)| self.display(sku)).unwrap_or_default();
        SpendingItemView {
            day: day.map(|day| day.to_string().chars().take(10).collect()),
            key,
            name,
            quantity: metered.map(|(_, metered)| metered.quantity.to_string()),
            unit_name: display.unit_name,
            unit_size: display.unit_size,
            rate: metered.and_then(|(_, metered)| metered.rate()).map(Rate::shown),
            amount: sum.spent.amount.to_string(),
            seconds: sum.spent.seconds,
        }
    }

    /// The name for the customer. `None` of a resource or project that is gone.
    async fn of(&self, key: &str) -> Result<Option<String>, StoreError> {
        match self.by {
            SpendingBy::Label => Ok(Some(key.to_owned())),
            SpendingBy::Sku => Ok(Some(match key.parse() {
                Ok(sku) => self.of_sku(&sku),
                Err(_) => key.to_owned(),
            })),
            SpendingBy::Project => match key.parse::<ProjectId>() {
                Ok(project) => {
                    let found =
                        self.billing.store.named_project(self.on.account(), &project).await?;
                    Ok(found.map(|project| project.name))
                }
                Err(_) => Ok(None),
            },
            SpendingBy::Resource => {
                let found =
                    key.parse().ok().and_then(|id: ResourceId| self.list.resources.get(&id));
                let found = found
                    .filter(|resource| resource.condition(self.state) != ResourceCondition::Purged);
                let meter = key.split_once('/').and_then(|(_, sku)| sku.parse().ok());
                Ok(found
                    .map(|resource| resource.shown_name().to_owned())
                    .or_else(|| meter.map(|sku| self.of_sku(&sku))))
            }
        }
    }

    fn of_sku(&self, sku: &Sku) -> String {
        self.display(sku).name.unwrap_or_else(|| sku.to_string())
    }

    fn display(&self, sku: &Sku) -> DisplayView {
        let price = self.prices.at(sku, self.now);
        price.map(|price| DisplayView::of(&price.display)).unwrap_or_default()
    }
}
