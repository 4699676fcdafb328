//! `GET /v1/projects/{project}/billing`: what a project cost in a month, resource by resource.
//! [`tollgate::views::spending`] says what counts.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate::domain::account::AccountState;
use tollgate::domain::ids::{ProjectId, ResourceId, Sku};
use tollgate::domain::money::{Quantity, Rate, Usd};
use tollgate::domain::prices::PriceList;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resources::{BillableList, Resource, ResourceCondition};
use tollgate::domain::timestamp::{HOUR, Timestamp};
use tollgate::domain::usage::UsageLabels;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::store::{BoundedRead, READS_MAX, StoreError};
use tollgate::views::budget::BudgetView;
use tollgate::views::price_display::DisplayView;
use tollgate::views::spending::{
    ResourceIdentity, ServiceTime, SpendingItem, SpendingReport, SpendingSteps, SpentAmount,
    four_decimals,
};

use crate::shown::state_name;

#[derive(Debug, Serialize)]
struct ProjectBillingView {
    project: String,
    name: String,
    month: String,
    from: String,
    /// The end of the month, or now.
    to: String,
    total: String,
    /// What the project may cost in the current month, whichever month is shown. Null: no budget.
    budget: Option<BudgetView>,
    items: Vec<BillingItemView>,
}

/// A resource; or a meter, whose resource, state, hourly rate and utilisation are null.
#[derive(Debug, Serialize)]
struct BillingItemView {
    resource: Option<String>,
    /// Null if it is gone for good. Of a meter, the name of its price.
    name: Option<String>,
    sku: String,
    kind: Option<String>,
    /// What it is now.
    state: Option<&'static str>,
    /// What it costs now while it runs; null if it is gone for good.
    rate_per_hour: Option<String>,
    seconds: i64,
    hours: String,
    amount: String,
    /// Seconds that it ran of the month's seconds so far, without what is paid ahead.
    utilisation: Option<String>,
    /// What was used. Null of a resource.
    metered: Option<MeterUsageView>,
}

#[derive(Debug, Serialize)]
struct MeterUsageView {
    quantity: String,
    /// The unit in which it is shown. Null: single units.
    unit_name: Option<String>,
    unit_size: Option<String>,
    /// USD for a single unit. Null if it was not the same all month.
    rate: Option<String>,
    /// The parts by their labels, the dearest first.
    labels: Vec<LabelledUsageView>,
}

#[derive(Debug, Serialize)]
struct LabelledUsageView {
    labels: UsageLabels,
    quantity: String,
    amount: String,
}

/// A month, or what there is of it.
struct BillingMonth {
    name: String,
    from: Timestamp,
    /// Its end, or now.
    to: Timestamp,
    /// Its end.
    until: Timestamp,
}

/// Handles `GET /v1/projects/{project}/billing`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let month = BillingMonth::of(call)?;
    let id: ProjectId = call.path("project")?;
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    let found = billing.store.named_project(on.account(), &id).await?;
    let project = found.ok_or_else(|| Refusal::UnknownProject { project: id.clone() })?;
    let (state, list) = on.look(|view| (view.state().clone(), view.billables().clone())).await?;
    let time = (ServiceTime { from: month.from, until: month.until }, SpendingSteps::Whole);
    let prices = billing.prices(call.now).await?;
    let BoundedRead::All(spending) =
        billing.store.spending(on.account(), time, &list, &prices, READS_MAX).await?
    else {
        let why = "The account has too many rows in this month for one request.";
        return Err(Problem::new(ProblemCode::TooMuch, why).into());
    };
    let account = BilledAccount { state: &state, list: &list, prices: &prices, now: call.now };
    let (total, items) = account.items(&id, &spending, &month).map_err(StoreError::Unpriced)?;
    let (from, to) = (month.from.to_string(), month.to.to_string());
    let (project, name) = (project.id.to_string(), project.name);
    ApiAnswer::ok(&ProjectBillingView {
        project,
        name,
        month: month.name,
        from,
        to,
        total: total.to_string(),
        budget: state.budget(&id).map(|budget| BudgetView::of(budget, call.now.max(state.at))),
        items,
    })
}

impl BillingMonth {
    fn of(call: &ApiCall) -> Result<BillingMonth, Problem> {
        let invalid = |why: &str| {
            Problem::new(ProblemCode::InvalidParameter, format!("month: {why}."))
                .with("parameter", "month")
        };
        let from = match call.query.get("month") {
            None => call.now.month_start(),
            Some(month) if month.len() == 7 => format!("{month}-01T00:00:00Z")
                .parse()
                .map_err(|_| invalid("must be a month such as 2026-11"))?,
            Some(_) => return Err(invalid("must be a month such as 2026-11")),
        };
        if from > call.now {
            return Err(invalid("must not be in the future"));
        }
        let end = from.next_month();
        let name = from.month_name();
        Ok(BillingMonth { name, from, to: end.min(call.now), until: end })
    }
}

/// The account as it is now.
struct BilledAccount<'a> {
    state: &'a AccountState,
    list: &'a BillableList,
    prices: &'a PriceList,
    now: Timestamp,
}

impl BilledAccount<'_> {
    /// All resources that the project had in the month, the dearest first, and what they cost in
    /// all.
    fn items(
        &self,
        project: &ProjectId,
        spending: &SpendingReport,
        month: &BillingMonth,
    ) -> Result<(Usd, Vec<BillingItemView>), Refusal> {
        let (mut items, mut total, mut seen) = (Vec::new(), Usd::ZERO, Vec::new());
        let mut meters: BTreeMap<&Sku, Vec<(&UsageLabels, SpentAmount)>> = BTreeMap::new();
        for ((_, item), spent) in
            spending.iter().filter(|((_, item), _)| item.project() == Some(project))
        {
            total += spent.amount;
            match item {
                SpendingItem::Resource(id, Some(identity)) => {
                    seen.push(id);
                    let present = self.present(id, identity);
                    items
                        .push((spent.amount, self.resource(id, identity, present, *spent, month)?));
                }
                // Neither names its project. The filter leaves them out.
                SpendingItem::Resource(_, None) | SpendingItem::PaidLater => {}
                SpendingItem::Meter(_, sku, labels) => {
                    meters.entry(sku).or_default().push((labels, *spent));
                }
            }
        }
        items.extend(meters.into_iter().map(|(sku, parts)| self.meter(sku, parts)));
        let others = self.list.resources.values().filter(|resource| resource.project == *project);
        for resource in others
            .filter(|resource| self.was_there(resource, month) && !seen.contains(&&resource.id))
        {
            let reference = resource.reference();
            let identity = ResourceIdentity {
                project: reference.project,
                sku: reference.sku,
                kind: reference.kind,
            };
            let item = self.resource(
                &resource.id,
                &identity,
                Some(resource),
                SpentAmount::default(),
                month,
            )?;
            items.push((Usd::ZERO, item));
        }
        items.sort_by(|(one, _), (other, _)| other.cmp(one));
        Ok((total, items.into_iter().map(|(_, item)| item).collect()))
    }

    /// The usage of a SKU, with its cost.
    fn meter(
        &self,
        sku: &Sku,
        mut parts: Vec<(&UsageLabels, SpentAmount)>,
    ) -> (Usd, BillingItemView) {
        let mut sum = SpentAmount::default();
        for (_, spent) in &parts {
            sum.add(*spent);
        }
        parts.sort_by_key(|(_, spent)| std::cmp::Reverse(spent.amount));
        let price = self.prices.at(sku, self.now);
        let display = price.map(|price| DisplayView::of(&price.display)).unwrap_or_default();
        let units = |spent: SpentAmount| spent.metered.map(|metered| metered.quantity);
        let quantity = |spent| units(spent).unwrap_or(Quantity::ZERO).to_string();
        let labelled = parts.iter().map(|(labels, spent)| LabelledUsageView {
            labels: (*labels).clone(),
            quantity: quantity(*spent),
            amount: spent.amount.to_string(),
        });
        let metered = MeterUsageView {
            quantity: quantity(sum),
            unit_name: display.unit_name,
            unit_size: display.unit_size,
            rate: sum.metered.and_then(|metered| metered.rate()).map(Rate::shown),
            labels: labelled.collect(),
        };
        let item = BillingItemView {
            resource: None,
            name: Some(display.name.unwrap_or_else(|| sku.to_string())),
            sku: sku.to_string(),
            kind: price.map(|price| price.kind.to_string()),
            state: None,
            rate_per_hour: None,
            seconds: 0,
            hours: four_decimals(0, HOUR),
            amount: sum.amount.to_string(),
            utilisation: None,
            metered: Some(metered),
        };
        (sum.amount, item)
    }

    fn resource(
        &self,
        id: &ResourceId,
        identity: &ResourceIdentity,
        present: Option<&Resource>,
        spent: SpentAmount,
        month: &BillingMonth,
    ) -> Result<BillingItemView, Refusal> {
        let so_far = month.to - month.from;
        // A row that was written late may hold time of the month before.
        let ran = spent.seconds_until(month.to).clamp(0, so_far);
        let rate = present.map(|resource| resource.rate_at(self.prices, self.now)).transpose()?;
        let condition =
            present.map_or(ResourceCondition::Purged, |resource| resource.condition(self.state));
        Ok(BillingItemView {
            resource: Some(id.to_string()),
            name: present.map(|resource| resource.shown_name().to_owned()),
            sku: identity.sku.to_string(),
            kind: Some(identity.kind.to_string()),
            state: Some(state_name(condition)),
            rate_per_hour: rate.map(Rate::shown),
            seconds: spent.seconds,
            hours: four_decimals(spent.seconds, HOUR),
            amount: spent.amount.to_string(),
            utilisation: Some(four_decimals(ran, so_far)),
            metered: None,
        })
    }

    /// The resource, unless it is gone for good or another one has its id now.
    fn present(&self, id: &ResourceId, identity: &ResourceIdentity) -> Option<&Resource> {
        let found = self
            .list
            .resources
            .get(id)
            .filter(|found| found.condition(self.state) != ResourceCondition::Purged);
        found.filter(|found| found.project == identity.project && found.sku == identity.sku)
    }

    fn was_there(&self, resource: &Resource, month: &BillingMonth) -> bool {
        resource.created_at < month.until
            && match resource.condition(self.state) {
                ResourceCondition::Purged => false,
                ResourceCondition::Deleted { at } => at >= month.from,
                ResourceCondition::New
                | ResourceCondition::Running
                | ResourceCondition::Suspended
                | ResourceCondition::Stopped => true,
            }
    }
}
