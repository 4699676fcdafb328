//! Resources, meters and prices, with valid requests and invalid ones.

use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::event::{CreditKind, Event, PaymentFacts};
use tollgate::domain::ids::{ResourceId, Sku};
use tollgate::domain::money::{Quantity, Rate, Usd};
use tollgate::domain::prices::{Price, PriceDisplay, PriceUnit};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{self, NewResource, OwnedProject};
use tollgate::domain::resources::{Resource, ResourceStatus};
use tollgate::domain::usage::{UsageKey, UsageLabels};

use super::budgets::project_of;
use super::money::payment_facts;
use super::{HOURLY, METERED, World, id};
use crate::Check;
use crate::model::{Asked, ensure};
use crate::steps::Action;

impl World {
    /// One of the account's two projects.
    fn project(&self, number: u8) -> Result<OwnedProject, String> {
        Ok(OwnedProject { id: project_of(number)?, account: self.account.clone() })
    }

    /// The existing resources selected by the bits of a number.
    pub(super) fn named(&self, which: u8) -> Result<Vec<ResourceId>, String> {
        let known: Vec<&ResourceId> = self.billables.resources.keys().collect();
        let Some(one) = known.get(usize::from(which >> 4) % known.len().max(1)) else {
            return Ok(vec![id("r0")?]);
        };
        let mut ids = vec![(*one).clone()];
        if which & 0b1100 == 0b1100 {
            let others = known
                .iter()
                .filter(|other| *other != one)
                .skip(usize::from(which & 1))
                .step_by(2)
                .take(3);
            ids.extend(others.map(|id| (*id).clone()));
        }
        Ok(ids)
    }

    /// Under the first free ids of eight; when there is none left, under the first.
    fn new_resources(&self, sku: u8, count: u8, agreed: u8) -> Result<Vec<NewResource>, String> {
        let sku = sku_of(sku)?;
        let rate: Option<Rate> = match agreed {
            4 => Some(id("0.123457")?),
            5 => Some(id("0.000000001")?),
            _ => None,
        };
        let ids: Vec<ResourceId> =
            (0..8).map(|number| id(&format!("r{number}"))).collect::<Result<_, _>>()?;
        let free = ids
            .iter()
            .filter(|id| !self.billables.resources.contains_key(*id))
            .take(usize::from(count));
        let mut ids: Vec<ResourceId> = free.cloned().collect();
        if ids.is_empty() {
            ids.push(id("r0")?);
        }
        let new = |id| NewResource { id, sku: sku.clone(), name: "thing".to_owned(), rate };
        Ok(ids.into_iter().map(new).collect())
    }

    pub(super) fn move_resources(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        match *action {
            Action::Create { sku, count } => {
                let (project, new) = (self.project(sku)?, self.new_resources(sku, count, 0)?);
                self.resolved(|view, now| resolve::create(view, &project, &new, now))
            }
            Action::StartNew { sku, count, agreed } => {
                let (project, new) = (self.project(sku)?, self.new_resources(sku, count, agreed)?);
                self.resolved(|view, now| resolve::start_new(view, &project, &new, now))
            }
            Action::Start { which } => {
                let ids = self.named(which)?;
                self.resolved(|view, now| resolve::start(view, &ids, now))
            }
            Action::Stop { which } => {
                let ids = self.named(which)?;
                self.resolved(|view, _| resolve::stop(view, &ids))
            }
            Action::Delete { which } => {
                let ids = self.named(which)?;
                self.resolved(|view, _| resolve::delete(view, &ids))
            }
            Action::Restore { which } => {
                let ids = self.named(which)?;
                self.resolved(|view, now| resolve::restore(view, &ids, now))
            }
            Action::FailStart { resource } => {
                let is_running = |one: &&Resource| one.status == ResourceStatus::Running;
                let running: Vec<&Resource> =
                    self.billables.resources.values().filter(is_running).collect();
                let one = running.get(usize::from(resource) % running.len().max(1));
                let resource = one.map_or_else(|| id("r0"), |one| Ok(one.id.clone()))?;
                self.settle()?;
                let since = self
                    .billables
                    .resources
                    .get(&resource)
                    .map_or(u64::MAX, |resource| resource.seq);
                let rows: Vec<(Event, AccountState)> = self
                    .rows
                    .iter()
                    .filter(|row| row.seq >= since)
                    .map(|row| (row.event.clone(), row.state.clone()))
                    .collect();
                self.resolved(|view, _| {
                    resolve::fail_start(
                        view,
                        &resource,
                        rows.iter().map(|(event, state)| (event, state)),
                    )
                })
            }
            Action::OpenMeter { sku } => {
                let (project, sku): (OwnedProject, Sku) =
                    (self.project(sku % 3)?, id(METERED[usize::from(sku % 3)].0)?);
                self.resolved(|view, now| resolve::open_meter(view, &project, &sku, now))
            }
            Action::Nonsense { what } => self.nonsense(what),
            _ => Ok(None),
        }
    }

    /// Invalid requests. Each is refused with its own refusal.
    fn nonsense(&mut self, what: u8) -> Result<Option<Refusal>, String> {
        let (project, foreign) =
            (self.project(0)?, OwnedProject { id: id("q")?, account: id("b")? });
        let ghost: ResourceId = id("ghost")?;
        let new = |name: &str, sku: &str| -> Result<NewResource, String> {
            Ok(NewResource { id: id("new")?, sku: id(sku)?, name: name.to_owned(), rate: None })
        };
        let vm = new("vm", "vm")?;
        let (unnamed, unsold, metered) = (new(" ", "vm")?, new("x", "nothing")?, new("x", "gb")?);
        let ghosts = [ghost.clone(), ghost.clone()];
        let refused = match what {
            0 => self.resolved(|view, now| {
                resolve::start_new(view, &foreign, std::slice::from_ref(&vm), now)
            })?,
            1 => self.resolved(|view, now| {
                resolve::create(view, &project, &[vm.clone(), vm.clone()], now)
            })?,
            2 => self.resolved(|view, now| resolve::start(view, &[], now))?,
            3 => self.resolved(|view, now| resolve::start(view, &ghosts, now))?,
            4 => self.resolved(|view, _| resolve::stop(view, &ghosts))?,
            5 => self.resolved(|view, _| resolve::delete(view, &[]))?,
            6 => self.resolved(|view, now| resolve::restore(view, &ghosts, now))?,
            7 => self.resolved(|view, now| resolve::create(view, &project, &[unnamed], now))?,
            8 => self.resolved(|view, now| resolve::create(view, &project, &[unsold], now))?,
            9 => self.resolved(|view, now| resolve::start_new(view, &project, &[metered], now))?,
            10 => self.command(&Command::Open, Asked::default())?,
            _ => {
                let facts = payment_facts(99)?;
                let payment = PaymentFacts { credit: Usd::from_micros(1), ..facts };
                self.command(
                    &Command::Credit {
                        payment,
                        kind: CreditKind::TopUp,
                        plan: None,
                        bonus: None,
                        also: Vec::new(),
                    },
                    Asked::default(),
                )?
            }
        };
        ensure!(refused.is_some(), "nonsense {what} was accepted");
        Ok(refused)
    }

    /// Some of the usage is reported late, and some was counted by an older release.
    pub(super) fn read_meter(&mut self, sku: u8, quantity: u32) -> Check {
        let count = self.billables.meters.len().max(1);
        let Some(meter) = self.billables.meters.values_mut().nth(usize::from(sku) % count) else {
            return Ok(());
        };
        let grown = |before: Quantity| {
            Quantity::new(before.decimal() + rust_decimal_of(quantity))
                .map_err(|error| error.to_string())
        };
        if is_of_older_release(quantity) {
            meter.reading = grown(meter.reading)?;
            return Ok(());
        }
        let hour = self.now.plus(-3_600 * hours_late(quantity)).hour().start();
        let (project, sku) = (meter.project.clone(), meter.sku.clone());
        let key = UsageKey { hour, project, sku, labels: UsageLabels::default() };
        let usage = self.billables.usage.entry(key).or_default();
        usage.reported = grown(usage.reported)?;
        Ok(())
    }

    pub(super) fn new_price(
        &mut self,
        sku: u8,
        rate: u8,
        idle: u8,
        hours: i64,
        seconds: i64,
    ) -> Result<Option<Refusal>, String> {
        let (sku, kind) = match HOURLY.get(usize::from(sku)) {
            Some((sku, kind, _, _)) => ((*sku).to_owned(), *kind),
            None => ("new".to_owned(), "instance"),
        };
        let sku: Sku = id(&sku)?;
        let valid_from = self.prices.earliest(&sku, self.now).plus(hours * 3_600 + seconds);
        let rate = ["1.5", "0.4", "0", "0.0208333", "0.00216", "12"][usize::from(rate % 6)];
        let idle = ["0", "0.2", "0.00216"][usize::from(idle % 3)];
        let price = Price {
            sku,
            unit: PriceUnit::Hour,
            kind: id(kind)?,
            rate: id(rate)?,
            idle_rate: id(idle)?,
            valid_from,
            display: PriceDisplay::default(),
        };
        match self.prices.check(&price, self.now) {
            Ok(()) => {
                self.know(price);
                Ok(None)
            }
            Err(refusal) => Ok(Some(refusal)),
        }
    }
}

fn rust_decimal_of(quantity: u32) -> rust_decimal::Decimal {
    rust_decimal::Decimal::from(quantity)
}

fn sku_of(number: u8) -> Result<Sku, String> {
    HOURLY.get(usize::from(number)).map_or_else(|| id("new"), |(sku, _, _, _)| id(sku))
}

/// Whether usage is reported in the hour in which it happened, by hours.
pub(crate) fn is_of_this_hour(quantity: u32) -> bool {
    !is_of_older_release(quantity) && hours_late(quantity) == 0
}

fn is_of_older_release(quantity: u32) -> bool {
    quantity.is_multiple_of(5)
}

fn hours_late(quantity: u32) -> i64 {
    i64::from(quantity % 3 / 2 * (quantity % 70))
}
