//! `GET /v1/spending`: what the account spent on each project, SKU or resource.
//! [`tollgate::views::spending`] says what counts.
//!
//! The account is settled first. Rows from `from` (inclusive) to `to` (exclusive; without it,
//! everything up to now) count, so what stretches of time cost that follow each other adds up.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Serialize;
use tollgate::domain::account::AccountState;
use tollgate::domain::ids::{ProjectId, ResourceId};
use tollgate::domain::money::Usd;
use tollgate::domain::resources::{Billables, Condition};
use tollgate::domain::timestamp::{DAY, Timestamp};
use tollgate::http::call::Call;
use tollgate::http::handler::{Answer, Failed, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::store::{Bounded, Fault, READS_MAX};
use tollgate::views::spending::{Item, Spending};

use crate::time_range::{End, TimeRange, invalid, too_much};

/// The longest stretch of time: a quarter of a year.
const DAYS_MAX: i64 = 92;

#[derive(Clone, Copy)]
enum By {
    Project,
    Sku,
    Resource,
}

impl FromStr for By {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<By, &'static str> {
        match text {
            "project" => Ok(By::Project),
            "sku" => Ok(By::Sku),
            "resource" => Ok(By::Resource),
            _ => Err("must be project, sku or resource"),
        }
    }
}

impl By {
    fn name(self) -> &'static str {
        match self {
            By::Project => "project",
            By::Sku => "sku",
            By::Resource => "resource",
        }
    }

    /// What a thing is counted under; `None` if nothing tells any more. Meters are no resources:
    /// they stand as `project/sku`, which no id of a resource is.
    fn key(self, item: &Item) -> Option<String> {
        match (self, item) {
            (By::Project, item) => item.project().map(ToString::to_string),
            (By::Sku, item) => item.sku().map(ToString::to_string),
            (By::Resource, Item::Resource(id, _)) => Some(id.to_string()),
            (By::Resource, Item::Meter(project, sku)) => Some(format!("{project}/{sku}")),
        }
    }
}

#[derive(Debug, Serialize)]
struct Shown {
    by: &'static str,
    from: String,
    to: String,
    total: String,
    items: Vec<ShownItem>,
}

#[derive(Debug, Serialize)]
struct ShownItem {
    key: Option<String>,
    name: Option<String>,
    amount: String,
    seconds: i64,
}

/// `GET /v1/spending`.
pub(crate) async fn get(billing: &Billing, call: &Call) -> Result<Answer, Failed> {
    let by = call.query("by")?.unwrap_or(By::Project);
    let TimeRange { from, to, open } = TimeRange::of(call, Timestamp::month_start)?;
    if to - from > DAYS_MAX * DAY {
        return Err(invalid("from", &format!("must be at most {DAYS_MAX} days before to")).into());
    }
    let on = OnAccount::of_caller(billing, call)?;
    let (state, list) = on.look(|view| (view.state().clone(), view.billables().clone())).await?;
    let until = match open {
        End::Now => Timestamp::default().plus(i64::MAX),
        End::Earlier => to,
    };
    let numbers = billing.store.numbers_between(on.account(), from, until).await?;
    let prices = billing.prices(call.now).await?;
    let Bounded::All(spending) =
        billing.store.spending(on.account(), numbers, &list, &prices, READS_MAX).await?
    else {
        return Err(too_much().into());
    };
    let sums = sums(by, &spending);
    let total: Usd = sums.values().map(|sum| sum.amount).sum();
    let mut sums: Vec<(Option<String>, Sum)> = sums.into_iter().collect();
    sums.sort_by(|(key, one), (other_key, other)| {
        other.amount.cmp(&one.amount).then_with(|| key.cmp(other_key))
    });
    let mut items = Vec::new();
    for (key, sum) in sums {
        let name = name(billing, &on, by, key.as_deref(), &state, &list).await?;
        items.push(ShownItem { key, name, amount: sum.amount.to_string(), seconds: sum.seconds });
    }
    let (from, to) = (from.to_string(), to.to_string());
    Answer::ok(&Shown { by: by.name(), from, to, total: total.to_string(), items })
}

#[derive(Clone, Copy, Default)]
struct Sum {
    amount: Usd,
    seconds: i64,
}

fn sums(by: By, spending: &Spending) -> BTreeMap<Option<String>, Sum> {
    let mut sums: BTreeMap<Option<String>, Sum> = BTreeMap::new();
    for (item, spent) in spending {
        let sum = sums.entry(by.key(item)).or_default();
        sum.amount += spent.amount;
        sum.seconds += spent.seconds;
    }
    sums
}

/// What the customer calls it; `None` if it is gone.
async fn name(
    billing: &Billing,
    on: &OnAccount<'_>,
    by: By,
    key: Option<&str>,
    state: &AccountState,
    list: &Billables,
) -> Result<Option<String>, Fault> {
    let Some(key) = key else { return Ok(None) };
    match by {
        By::Sku => Ok(Some(key.to_owned())),
        By::Project => match key.parse::<ProjectId>() {
            Ok(project) => Ok(billing
                .store
                .named_project(on.account(), &project)
                .await?
                .map(|project| project.name)),
            Err(_) => Ok(None),
        },
        By::Resource => {
            let meter = list.meters.keys().find(|(project, sku)| key == format!("{project}/{sku}"));
            let found = key.parse().ok().and_then(|id: ResourceId| list.resources.get(&id));
            let found = found.filter(|resource| resource.condition(state) != Condition::Purged);
            Ok(found
                .map(|resource| resource.name.clone())
                .or_else(|| meter.map(|(_, sku)| sku.to_string())))
        }
    }
}
