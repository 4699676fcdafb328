//! Runs a history as production does, and records the results.
//!
//! This file holds the world: how time passes, how the account is settled, and how each row is
//! appended and checked. The modules carry out the actions.

mod actions;
mod budgets;
mod holds;
mod money;
mod refills;
mod resources;

pub(crate) use resources::is_of_this_hour;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::rc::Rc;

use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::decide::decide;
use tollgate::domain::event::{Cause, Change, Event, GrantChange, OnExisting, StandingChange};
use tollgate::domain::ids::{AccountId, PaymentId, Sku};
use tollgate::domain::payment_records::PaymentRecords;
use tollgate::domain::policy::{Policy, TrialPolicy};
use tollgate::domain::prices::{Price, PriceDisplay, PriceList, PriceUnit};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resources::BillableList;
use tollgate::domain::row::{self, ChainHead, Row};
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::settle::{TriggerDelivery, next_due_row};
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;

use crate::Check;
use crate::ahead;
use crate::model::{Asked, Model, ensure, hold_end};
use crate::steps::{History, Step, Wait, prelude};

/// A history ends early after so many rows: months of hours add nothing but time.
const ROWS_MAX: usize = 600;

/// SKU, kind, rate and idle rate in USD an hour.
const HOURLY: [(&str, &str, &str, &str); 9] = [
    ("vm", "instance", "1", "0"),
    ("svc", "service", "0.6", "0"),
    ("vol", "volume", "0.3", "0.1"),
    ("odd", "instance", "0.0208333", "0"),
    ("tiny", "service", "0.00216", "0.000001"),
    ("free", "volume", "0", "0"),
    ("big", "instance", "7.77", "0"),
    ("huge", "instance", "40", "2.5"),
    ("disk", "volume", "0.05", "0.05"),
];
/// SKU and rate in USD a unit.
const METERED: [(&str, &str); 3] = [("tokens", "0.00000015"), ("gb", "0.25"), ("calls", "0.0004")];
/// The time before the first step: 2026-11-30, in the last hours of a month.
const OPENED: i64 = 1_796_076_000 - 1_796_076_000 % 86_400 + 19 * 3_600 + 1_200;

/// An account, its list, its claims, and the model.
pub(crate) struct World {
    pub(crate) account: AccountId,
    pub(crate) policy: Policy,
    pub(crate) prices: Rc<PriceList>,
    pub(crate) head: ChainHead,
    pub(crate) billables: BillableList,
    pub(crate) model: Model,
    pub(crate) now: Timestamp,
    pub(crate) rows: Vec<Row>,
    /// The items of the payments that money went back from.
    records: BTreeMap<PaymentId, PaymentRecords>,
    claims: BTreeSet<String>,
    diary: Vec<Entry>,
}

/// Whether the account is settled before a command is decided.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settled {
    First,
    Later,
}

/// The result of a step.
struct Entry {
    now: Timestamp,
    step: Step,
    rows_before: usize,
    refusal: Option<Refusal>,
}

pub(crate) fn id<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} cannot be parsed"))
}

impl World {
    /// An account that was just opened.
    pub(crate) fn open(history: &History) -> Result<World, String> {
        let opened = Timestamp::from_seconds(OPENED).map_err(|error| error.to_string())?;
        let trial = TrialPolicy { excludes: excluded(3)?, ..TrialPolicy::default() };
        let mut world = World {
            account: id("a")?,
            policy: Policy { trial, ..Policy::default() },
            prices: Rc::default(),
            head: ChainHead::none(),
            billables: BillableList::default(),
            model: Model::default(),
            now: opened,
            rows: Vec::new(),
            records: BTreeMap::new(),
            claims: BTreeSet::new(),
            diary: Vec::new(),
        };
        for (sku, kind, rate, idle) in HOURLY {
            world.add_price(sku, kind, PriceUnit::Hour, (rate, idle), opened.hour().start())?;
        }
        for (sku, rate) in METERED {
            world.add_price(
                sku,
                "meter",
                PriceUnit::Quantity,
                (rate, "0"),
                opened.hour().start(),
            )?;
        }
        world.command(&Command::Open, Asked::default())?;
        for action in prelude(history.flavour, history.prelude) {
            world.step_at(opened, &Step { wait: Wait::Seconds(0), action })?;
        }
        Ok(world)
    }

    fn add_price(
        &mut self,
        sku: &str,
        kind: &str,
        unit: PriceUnit,
        (rate, idle): (&str, &str),
        valid_from: Timestamp,
    ) -> Check {
        let (sku, kind, rate, idle_rate) = (id(sku)?, id(kind)?, id(rate)?, id(idle)?);
        self.know(Price {
            sku,
            unit,
            kind,
            rate,
            idle_rate,
            valid_from,
            display: PriceDisplay::default(),
        });
        Ok(())
    }

    fn know(&mut self, price: Price) {
        self.prices = Rc::new(self.prices.iter().cloned().chain([price.clone()]).collect());
        self.model.know(price);
    }

    pub(crate) fn state(&self) -> &AccountState {
        &self.head.state
    }

    /// Whether enough has happened.
    pub(crate) fn is_long(&self) -> bool {
        self.rows.len() > ROWS_MAX
    }

    /// Lets time pass, runs the action, and checks every resulting row.
    pub(crate) fn step(&mut self, step: &Step) -> Check {
        if self.is_long() {
            return Ok(());
        }
        self.step_at(self.after(step.wait), step)?;
        ahead::check(self)
    }

    /// The same at a given time.
    pub(crate) fn step_at(&mut self, now: Timestamp, step: &Step) -> Check {
        self.now = now;
        self.diary.push(Entry {
            now: self.now,
            step: step.clone(),
            rows_before: self.rows.len(),
            refusal: None,
        });
        let before = self.head.clone();
        let list = self.billables.clone();
        let rows = self.rows.len();
        match self.act(&step.action)? {
            None => {}
            Some(refusal) => {
                if let Some(entry) = self.diary.last_mut() {
                    entry.refusal = Some(refusal);
                }
                let unchanged =
                    self.rows.len() > rows || (self.head == before && self.billables == list);
                ensure!(unchanged, "a refusal changed something");
            }
        }
        Ok(())
    }

    /// The time after a wait.
    pub(crate) fn after(&self, wait: Wait) -> Timestamp {
        let now = self.now;
        let state = self.state();
        let target = match wait {
            Wait::Seconds(seconds) => now.plus(seconds),
            Wait::Days(days) if state.billed.count() > 0 => now.plus(days * 3_600 + 11),
            Wait::Days(days) => now.plus(days * 86_400),
            Wait::ToHour(seconds) => now.hour().end().plus(seconds),
            Wait::ToPaidThrough(seconds) => state.paid_through().unwrap_or(now).plus(seconds),
            Wait::ToDue(seconds) => {
                let due = tollgate::domain::settle::due::due_at(state, &self.policy).unwrap_or(now);
                // The far end of a grant is not worth months of rows.
                if due - now > 15 * 86_400 || (due - now > 4 * 86_400 && state.billed.count() > 0) {
                    now
                } else {
                    due.plus(seconds)
                }
            }
            Wait::ToHold(seconds) => {
                let backoff = state.refill.failed_at.map(|failed| failed.plus(3_600));
                hold_end(state).or(backoff).unwrap_or(now).plus(seconds)
            }
        };
        target.max(now)
    }

    /// Decides and appends one command, after settling if needed. `None` if it was refused or
    /// repeated.
    pub(crate) fn command(
        &mut self,
        command: &Command,
        asked: Asked,
    ) -> Result<Option<Refusal>, String> {
        let settled = if command.settles_first() { Settled::First } else { Settled::Later };
        self.carry_out(settled, asked, |_, _| Ok(command.clone()))
    }

    /// The same for a command that must be resolved against the settled list.
    fn resolved(
        &mut self,
        resolve: impl FnOnce(&AccountSnapshot<'_>, Timestamp) -> Result<Command, Refusal>,
    ) -> Result<Option<Refusal>, String> {
        self.carry_out(Settled::First, Asked::default(), resolve)
    }

    fn carry_out(
        &mut self,
        settled: Settled,
        asked: Asked,
        resolve: impl FnOnce(&AccountSnapshot<'_>, Timestamp) -> Result<Command, Refusal>,
    ) -> Result<Option<Refusal>, String> {
        let prices = Rc::clone(&self.prices);
        let (account, policy, now) = (self.account.clone(), self.policy.clone(), self.now);
        let mut view = self.view(&account, &prices, &policy)?;
        if settled == Settled::First {
            self.settle_view(&mut view, now)?;
        }
        let decided = resolve(&view, now)
            .and_then(|command| decide(view.state(), &command, Cause::Command, view.policy(), now));
        match decided {
            Ok(event) => self.append(&mut view, &event, asked).map(|()| None),
            Err(refusal) => Ok(Some(refusal)),
        }
    }

    /// Brings the account up to now.
    pub(crate) fn settle(&mut self) -> Check {
        let prices = Rc::clone(&self.prices);
        let (account, policy, now) = (self.account.clone(), self.policy.clone(), self.now);
        let mut view = self.view(&account, &prices, &policy)?;
        self.settle_view(&mut view, now)
    }

    /// As the hour's slice does, which may have waited in a queue, and then as `settle-due` does,
    /// which has not.
    fn settle_view(&mut self, view: &mut AccountSnapshot<'_>, now: Timestamp) -> Check {
        for delivery in [TriggerDelivery::Queued, TriggerDelivery::Prompt] {
            while let Some(event) = next_due_row(view, now, delivery)
                .map_err(|refusal| format!("settling is refused: {refusal}"))?
            {
                ensure!(event.at == now, "a row of {} is dated {}", now, event.at);
                let warns = matches!(
                    event.change,
                    Change::Standing(StandingChange::DeletionAnnounced { .. })
                        | Change::Grant(GrantChange::TrialEnding { .. })
                );
                ensure!(
                    !warns || delivery == TriggerDelivery::Prompt,
                    "a trigger that may be days old warns at {now}"
                );
                self.append(view, &event, Asked::default())?;
            }
        }
        Ok(())
    }

    pub(crate) fn view<'a>(
        &self,
        account: &'a AccountId,
        prices: &'a PriceList,
        policy: &'a Policy,
    ) -> Result<AccountSnapshot<'a>, String> {
        match AccountSnapshot::new(
            account,
            self.head.state.clone(),
            self.billables.clone(),
            prices,
            policy,
        ) {
            Ok(Some(view)) => Ok(view),
            Ok(None) => Err(format!("the list and the state disagree: {:?}", self.state().billed)),
            Err(refusal) => Err(format!("the list cannot be priced: {refusal}")),
        }
    }

    /// Appends as the store does: claims, the stored form, the list; then everything is checked.
    fn append(&mut self, view: &mut AccountSnapshot<'_>, event: &Event, asked: Asked) -> Check {
        let claims = event.claims(&self.account);
        if claims
            .iter()
            .any(|claim| claim.on_existing == OnExisting::Stop && self.claims.contains(&claim.key))
        {
            return Ok(());
        }
        self.claims.extend(claims.into_iter().map(|claim| claim.key));
        let new = row::encode(&self.account, &self.head, event, RowFormat::WRITTEN)
            .map_err(|fault| fault.to_string())?;
        let row =
            row::decode(&new.stored, RowFormat::READABLE).map_err(|fault| fault.to_string())?;
        row::check_follows(&self.head, &row).map_err(|fault| fault.to_string())?;
        ensure!(row.event == event.clone().without_names(), "another event was read back");
        ensure!(row.state == new.head.state, "another state was read back");
        ensure!(row.digest == new.head.digest, "the head has another hash");
        let name = event.change.name();
        if let Some(change) = event.recorded() {
            self.records.entry(change.payment.clone()).or_default().apply(change);
        }
        ensure!(
            row.state.taken_back.is_empty() && row.state.disputes.is_empty(),
            "the state grows with every refund"
        );
        view.apply(event);
        ensure!(*view.state() == row.state, "the view has another state after {name}");
        let agrees = view.billables().agree_with(view.state(), view.prices());
        self.billables = view.billables().clone();
        let before = std::mem::replace(&mut self.head, new.head);
        let checked = self.model.row(&before.state, &row, asked);
        self.rows.push(row);
        ensure!(
            agrees == Ok(true),
            "the list and the state disagree after {name}: {:?}",
            view.state().billed
        );
        checked
    }

    /// The history as it went.
    pub(crate) fn transcript(&self) -> String {
        let mut text = String::new();
        for (place, entry) in self.diary.iter().enumerate() {
            let end = self.diary.get(place + 1).map_or(self.rows.len(), |next| next.rows_before);
            let _ = writeln!(text, "{} {:?} {:?}", entry.now, entry.step.wait, entry.step.action);
            if let Some(refusal) = &entry.refusal {
                let _ = writeln!(text, "    refused: {refusal}");
            }
            let rows = self.rows.get(entry.rows_before..end).unwrap_or_default();
            for row in rows.iter().rev().take(12).rev() {
                let (amount, balance) = (row.event.amount(), row.state.balance());
                let _ = writeln!(
                    text,
                    "    {} {amount} -> {balance} {:?} {:?}",
                    row.seq, row.event.change, row.event.funds
                );
            }
        }
        let _ = writeln!(text, "{:#?}\n{:?}", self.state(), self.billables);
        text
    }
}

pub(crate) fn excluded(number: u8) -> Result<BTreeSet<Sku>, String> {
    let skus: &[&str] =
        [&[][..], &["vm"], &["vol", "gb"], &["disk", "big"], &["svc", "tiny"], &["huge"]]
            [usize::from(number % 6)];
    skus.iter().map(|sku| id(sku)).collect()
}
