//! `GET /v1/spending`: the cost by project, SKU or resource. [`tollgate::views::spending`] defines
//! what counts.
//!
//! The account is settled first. Time from `from` (inclusive) to `to` (exclusive) counts, whenever
//! it was billed: a line belongs to the range in which its time begins. Without `to`, everything up
//! to now counts. The costs of adjacent ranges therefore add up.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Serialize;
use tollgate::domain::account::AccountState;
use tollgate::domain::ids::{ProjectId, ResourceId};
use tollgate::domain::money::Usd;
use tollgate::domain::resources::{BillableList, ResourceCondition};
use tollgate::domain::timestamp::{DAY, Timestamp};
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::store::{BoundedRead, READS_MAX, StoreError};
use tollgate::views::spending::{ServiceTime, SpendingItem, SpendingReport};

use crate::time_range::{RangeEnd, TimeRange, invalid, too_much};

/// The longest range: a quarter of a year.
const DAYS_MAX: i64 = 92;
const PAID_LATER: &str = "Usage and storage paid later";

/// What the costs of one item of the answer have in common. An unknown one was purged long ago.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SpendingGroup {
    Known(String),
    Unknown,
    PaidLater,
}

#[derive(Clone, Copy)]
enum SpendingBy {
    Project,
    Sku,
    Resource,
}

impl FromStr for SpendingBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<SpendingBy, &'static str> {
        match text {
            "project" => Ok(SpendingBy::Project),
            "sku" => Ok(SpendingBy::Sku),
            "resource" => Ok(SpendingBy::Resource),
            _ => Err("must be project, sku or resource"),
        }
    }
}

impl SpendingBy {
    fn name(self) -> &'static str {
        match self {
            SpendingBy::Project => "project",
            SpendingBy::Sku => "sku",
            SpendingBy::Resource => "resource",
        }
    }

    /// The group of an item. Meters are not resources. Their key is `project/sku`, which cannot be a
    /// resource ID.
    fn group(self, item: &SpendingItem) -> SpendingGroup {
        let key = match (self, item) {
            (_, SpendingItem::PaidLater) => return SpendingGroup::PaidLater,
            (SpendingBy::Project, item) => item.project().map(ToString::to_string),
            (SpendingBy::Sku, item) => item.sku().map(ToString::to_string),
            (SpendingBy::Resource, SpendingItem::Resource(id, _)) => Some(id.to_string()),
            (SpendingBy::Resource, SpendingItem::Meter(project, sku)) => {
                Some(format!("{project}/{sku}"))
            }
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
    key: Option<String>,
    name: Option<String>,
    amount: String,
    seconds: i64,
}

/// Handles `GET /v1/spending`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let by = call.query("by")?.unwrap_or(SpendingBy::Project);
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
    let time = ServiceTime { from, until };
    let prices = billing.prices(call.now).await?;
    let BoundedRead::All(spending) =
        billing.store.spending(on.account(), time, &list, &prices, READS_MAX).await?
    else {
        return Err(too_much().into());
    };
    let sums = sums(by, &spending);
    let total: Usd = sums.values().map(|sum| sum.amount).sum();
    let mut sums: Vec<(SpendingGroup, SpendingSum)> = sums.into_iter().collect();
    sums.sort_by(|(group, one), (other_group, other)| {
        other.amount.cmp(&one.amount).then_with(|| group.cmp(other_group))
    });
    let mut items = Vec::new();
    for (group, sum) in sums {
        let (key, name) = match group {
            SpendingGroup::Known(key) => {
                let name = name(billing, &on, by, &key, &state, &list).await?;
                (Some(key), name)
            }
            SpendingGroup::Unknown => (None, None),
            SpendingGroup::PaidLater => (None, Some(PAID_LATER.to_owned())),
        };
        items.push(SpendingItemView {
            key,
            name,
            amount: sum.amount.to_string(),
            seconds: sum.seconds,
        });
    }
    let (from, to) = (from.to_string(), to.to_string());
    ApiAnswer::ok(&SpendingView { by: by.name(), from, to, total: total.to_string(), items })
}

#[derive(Clone, Copy, Default)]
struct SpendingSum {
    amount: Usd,
    seconds: i64,
}

fn sums(by: SpendingBy, spending: &SpendingReport) -> BTreeMap<SpendingGroup, SpendingSum> {
    let mut sums: BTreeMap<SpendingGroup, SpendingSum> = BTreeMap::new();
    for (item, spent) in spending {
        let sum = sums.entry(by.group(item)).or_default();
        sum.amount += spent.amount;
        sum.seconds += spent.seconds;
    }
    sums
}

/// The customer's name for the resource. `None` if it is purged.
async fn name(
    billing: &Billing,
    on: &OnAccount<'_>,
    by: SpendingBy,
    key: &str,
    state: &AccountState,
    list: &BillableList,
) -> Result<Option<String>, StoreError> {
    match by {
        SpendingBy::Sku => Ok(Some(key.to_owned())),
        SpendingBy::Project => match key.parse::<ProjectId>() {
            Ok(project) => Ok(billing
                .store
                .named_project(on.account(), &project)
                .await?
                .map(|project| project.name)),
            Err(_) => Ok(None),
        },
        SpendingBy::Resource => {
            let meter = list.meters.keys().find(|(project, sku)| key == format!("{project}/{sku}"));
            let found = key.parse().ok().and_then(|id: ResourceId| list.resources.get(&id));
            let found =
                found.filter(|resource| resource.condition(state) != ResourceCondition::Purged);
            Ok(found
                .map(|resource| resource.shown_name().to_owned())
                .or_else(|| meter.map(|(_, sku)| sku.to_string())))
        }
    }
}
