//! What runs, what is kept while it is off, and at which rate.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::amounts::{HourlyRate, hourly_rate, scaled};
use super::ensure;
use super::prices::PriceBooks;
use super::row::{BookedRow, FundShares, array};

/// The resources of an account.
#[derive(Clone, Debug, Default)]
pub struct ResourceBooks {
    pub all: BTreeMap<String, ResourceBook>,
}

#[derive(Clone, Debug)]
pub struct ResourceBook {
    pub project: String,
    pub sku: String,
    kind: String,
    /// The rate that was agreed, instead of the price list's.
    agreed: Option<HourlyRate>,
    /// Whether it costs something while it is off.
    keeps: bool,
    pub status: StatusBook,
    /// The status that its item has. A suspension changes no item.
    stored: &'static str,
    /// The second of the last change.
    pub since: i64,
    /// The row of the last change.
    pub seq: u64,
    pub start: Option<BookedStart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusBook {
    New,
    Running,
    Off,
    Deleted,
}

/// The last start of a resource, and what was paid since.
#[derive(Clone, Debug)]
pub struct BookedStart {
    pub at: i64,
    pub before: StatusBook,
    pub charges: Vec<PastBook>,
    /// The end of the run: its second, and how many charges there were.
    pub end: Option<(i64, usize)>,
    pub has_failed: bool,
}

/// What a row charged for a resource, or gave back of the charge before.
#[derive(Clone, Debug)]
pub struct PastBook {
    pub from: i64,
    pub through: i64,
    pub rate: HourlyRate,
    /// Below zero if it was paid.
    pub shares: FundShares,
    /// The unused seconds that a deletion or suspension gave back.
    pub ended_with: Option<i64>,
    pub is_charge: bool,
}

/// Something that costs its rate.
#[derive(Clone, Debug)]
pub struct RatedResource {
    pub id: String,
    pub project: String,
    pub sku: String,
    pub rate: HourlyRate,
    pub since: i64,
    pub is_running: bool,
}

impl ResourceBook {
    /// The rate while it runs.
    ///
    /// # Errors
    /// That there is no price.
    pub fn rate(&self, prices: &PriceBooks, instant: i64) -> Result<HourlyRate, String> {
        match self.agreed {
            Some(agreed) => Ok(agreed),
            None => prices.at(&self.sku, instant).map(|price| price.rate),
        }
    }

    /// The rate while it is off. `None` if that is free.
    #[must_use]
    pub fn idle_rate(&self, prices: &PriceBooks, instant: i64) -> Option<HourlyRate> {
        let listed = prices.at(&self.sku, instant).map_or(0, |price| price.idle);
        self.keeps.then(|| self.agreed.map_or(listed, |agreed| listed.min(agreed)))
    }

    /// A start or a suspension ends what ran, and so does a stop.
    fn end_run(&mut self, at: i64) {
        if let Some(start) = &mut self.start
            && start.end.is_none()
        {
            start.end = Some((at, start.charges.len()));
        }
    }

    pub fn set(&mut self, status: StatusBook, since: i64, seq: u64) {
        (self.status, self.since, self.seq) = (status, since, seq);
        self.stored = status.name();
    }
}

impl StatusBook {
    fn name(self) -> &'static str {
        match self {
            StatusBook::New => "new",
            StatusBook::Running => "running",
            StatusBook::Off => "stopped",
            StatusBook::Deleted => "deleted",
        }
    }
}

impl ResourceBooks {
    /// A resource that is known.
    ///
    /// # Errors
    /// That it is not.
    pub fn known(&self, id: &str) -> Result<&ResourceBook, String> {
        self.all.get(id).ok_or_else(|| format!("{id} was never created"))
    }

    fn known_mut(&mut self, id: &str) -> Result<&mut ResourceBook, String> {
        self.all.get_mut(id).ok_or_else(|| format!("{id} was never created"))
    }

    /// Everything that costs something by time in good standing, at the prices of an instant.
    ///
    /// # Errors
    /// That there is no price.
    pub fn rated(&self, prices: &PriceBooks, instant: i64) -> Result<Vec<RatedResource>, String> {
        let mut rated = Vec::new();
        for (id, resource) in &self.all {
            let is_running = resource.status == StatusBook::Running;
            let rate = match resource.status {
                StatusBook::Running => Some(resource.rate(prices, instant)?),
                StatusBook::Off => resource.idle_rate(prices, instant),
                StatusBook::New | StatusBook::Deleted => None,
            };
            rated.extend(rate.map(|rate| RatedResource {
                id: id.clone(),
                project: resource.project.clone(),
                sku: resource.sku.clone(),
                rate,
                since: resource.since,
                is_running,
            }));
        }
        Ok(rated)
    }

    #[must_use]
    pub fn running(&self) -> usize {
        let all = self.all.values();
        all.filter(|resource| resource.status == StatusBook::Running).count()
    }

    /// Whether any resource ran and was not deleted.
    #[must_use]
    pub fn keeps_anything(&self) -> bool {
        let kept = [StatusBook::Running, StatusBook::Off];
        self.all.values().any(|resource| kept.contains(&resource.status))
    }

    /// Created or started resources stand whole in their row.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn put(&mut self, row: &BookedRow, prices: &PriceBooks) -> Result<(), String> {
        let is_start = row.kind != "created";
        for stored in array(&row.change["resources"]) {
            let text = |name: &str| stored[name].as_str().unwrap_or_default().to_owned();
            let (id, sku) = (text("id"), text("sku"));
            let known = self.all.get(&id);
            ensure!(is_start || known.is_none(), "{id} is created twice");
            let before = known.map_or(StatusBook::New, |known| known.status);
            let is_deleted = before == StatusBook::Deleted;
            ensure!(before != StatusBook::Running, "{id} is started while it runs");
            ensure!(!is_start || is_deleted == (row.kind == "restored"), "{id} was {before:?}");
            let keeps = prices.at(&sku, row.at)?.idle != 0;
            ensure!(keeps == (stored["keeps"] == "data"), "{id} keeps something, or nothing");
            let agreed = stored["rate"].is_string().then(|| hourly_rate(&stored["rate"]));
            let status = if is_start { StatusBook::Running } else { StatusBook::New };
            ensure!(stored["status"] == status.name(), "{id} has another status");
            let mut resource = ResourceBook {
                project: text("project"),
                sku,
                kind: text("kind"),
                agreed: agreed.transpose()?,
                keeps,
                status,
                stored: "new",
                since: row.at,
                seq: row.seq,
                start: is_start.then(|| BookedStart::new(row.at, before)),
            };
            if let Some(known) = known {
                let is_same = (&known.sku, &known.kind, known.agreed)
                    == (&resource.sku, &resource.kind, resource.agreed);
                ensure!(is_same, "{id} is another one than before");
            }
            resource.set(status, row.at, row.seq);
            self.all.insert(id, resource);
        }
        Ok(())
    }

    /// Resources of a suspended account run again.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn restart(&mut self, row: &BookedRow) -> Result<(), String> {
        for id in row.resources() {
            let resource = self.known_mut(&id)?;
            let was_suspended = resource.status == StatusBook::Off && resource.stored == "running";
            ensure!(was_suspended, "{id} restarts, and no suspension stopped it");
            resource.start = Some(BookedStart::new(row.at, StatusBook::Off));
            resource.set(StatusBook::Running, row.at, row.seq);
        }
        Ok(())
    }

    /// Resources are stopped or deleted.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn end(&mut self, row: &BookedRow, status: StatusBook, since: i64) -> Result<(), String> {
        for id in row.resources() {
            let resource = self.known_mut(&id)?;
            let was_suspended = resource.stored == "running";
            let may_end = match status {
                StatusBook::Off => was_suspended,
                _ => resource.status != StatusBook::Deleted,
            };
            ensure!(may_end, "{id} is {:?} and ends once more", resource.status);
            resource.end_run(since);
            resource.set(status, since, row.seq);
        }
        Ok(())
    }

    /// A start failed, and its resource is as it was before.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn fail_start(&mut self, row: &BookedRow) -> Result<(), String> {
        for id in row.resources() {
            let resource = self.known_mut(&id)?;
            let start = resource.start.as_mut().ok_or_else(|| format!("{id} never started"))?;
            start.has_failed = true;
            let status = match resource.status {
                StatusBook::Deleted => StatusBook::Deleted,
                _ => start.before,
            };
            resource.set(status, row.at, row.seq);
            let stored = &row.change["status"];
            ensure!(*stored == status.name(), "{id} was {status:?}, and is {stored} again");
        }
        Ok(())
    }

    /// Everything stops, and no item changes.
    pub fn suspend(&mut self, as_of: i64) {
        for resource in self.all.values_mut() {
            resource.end_run(as_of);
            if resource.status == StatusBook::Running {
                resource.status = StatusBook::Off;
            }
        }
    }

    /// The whole account is deleted.
    pub fn delete_all(&mut self) {
        for resource in self.all.values_mut() {
            resource.status = StatusBook::Deleted;
        }
    }

    /// What was deleted is gone.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn purge(&mut self, row: &BookedRow) -> Result<(), String> {
        let mut gone: BTreeSet<String> = row.resources().into_iter().collect();
        if let Some(deletion) = row.change["deletion"].as_u64() {
            let before = self.all.iter().filter(|(_, resource)| resource.seq < deletion);
            gone.extend(before.map(|(id, _)| id.clone()));
        }
        for id in gone {
            let resource = self.known(&id)?;
            ensure!(resource.status == StatusBook::Deleted, "{id} is purged and not deleted");
            self.all.remove(&id);
        }
        Ok(())
    }

    /// Records what the lines of a row charge or give back. An end is recorded after it.
    ///
    /// # Errors
    /// What is wrong, as text.
    pub fn record(&mut self, row: &BookedRow, (from, through): (i64, i64)) -> Result<(), String> {
        let is_charge = ["usage", "started", "restored"].contains(&row.kind.as_str());
        for line in row.lines()? {
            let Some(start) = self.known_mut(&line.resource)?.start.as_mut() else { continue };
            let latest = start.charges.last().map(|latest| (latest.from, latest.through));
            let Some((from, through)) = is_charge.then_some((from, through)).or(latest) else {
                continue;
            };
            let (rate, shares) = (line.rate, line.shares);
            let ended_with = (!is_charge && row.kind != "stopped").then_some(line.seconds);
            start.charges.push(PastBook { from, through, rate, shares, ended_with, is_charge });
        }
        Ok(())
    }

    /// The totals in the state are those of what is billed.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_state(&self, state: &Value, rated: &[RatedResource]) -> Result<(), String> {
        let billed = &state["b"];
        let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
        for one in rated.iter().filter(|one| one.is_running) {
            *kinds.entry(self.known(&one.id)?.kind.as_str()).or_default() += 1;
        }
        let stored = billed["k"].as_object().into_iter().flatten();
        let stored: BTreeMap<&str, u64> =
            stored.map(|(kind, count)| (kind.as_str(), count.as_u64().unwrap_or(0))).collect();
        ensure!(kinds == stored, "{kinds:?} run, and the state says {stored:?}");
        let idle = rated.iter().filter(|one| !one.is_running).count() as u64;
        let kept = billed["i"].as_u64().unwrap_or_default();
        ensure!(idle == kept, "{idle} are kept, and the state says {kept}");
        let rate: HourlyRate = rated.iter().map(|one| one.rate).sum();
        let total = billed["r"].as_str().map_or(Ok(0), |rate| scaled(rate, 12))?;
        ensure!(rate == total, "all together cost {rate}, and the state says {total}");
        let mut seqs = 0;
        for one in rated {
            seqs += self.known(&one.id)?.seq;
        }
        let stored = billed["q"].as_u64().unwrap_or_default();
        ensure!(seqs == stored, "the changes add up to {seqs}, and the state says {stored}");
        Ok(())
    }

    /// The items of the resources are those of the books.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_items(&self, items: &[Value]) -> Result<(), String> {
        let mut found = BTreeMap::new();
        for item in items {
            let body = item["body"]["S"].as_str().unwrap_or_default();
            let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
            found.insert(body["id"].as_str().unwrap_or_default().to_owned(), body);
        }
        for (id, resource) in &self.all {
            let item = found.get(id).ok_or_else(|| format!("{id} has no item"))?;
            let is_same = item["status"] == resource.stored
                && item["seq"] == resource.seq
                && item["since"] == resource.since
                && item["sku"] == resource.sku.as_str();
            ensure!(is_same, "the item of {id} is {item}, and the books say {resource:?}");
        }
        Ok(())
    }
}

impl BookedStart {
    fn new(at: i64, before: StatusBook) -> Self {
        Self { at, before, charges: Vec::new(), end: None, has_failed: false }
    }
}
