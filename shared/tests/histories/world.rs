//! Runs a history as production does, and records the results.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::rc::Rc;

use tollgate::domain::account::{
    AccountState, CardChoice, PendingPayment, RefillPurpose, RestartPolicy, TaxMode,
};
use tollgate::domain::command::{
    BonusGrant, CardFunding, CardWallet, Command, RefillCharge, RefillSettings, RefillTerms,
    TakenCredit, TrialCard,
};
use tollgate::domain::decide::decide;
use tollgate::domain::event::{
    Cause, Change, CreditKind, DisputeOutcome, Event, OnExisting, PaymentChange, PaymentFacts,
    PendingEnd, RefillDecline, StandingChange, TakeBack,
};
use tollgate::domain::ids::{AccountId, CardId, PaymentId, ResourceId, Sku};
use tollgate::domain::money::{Rate, Usd};
use tollgate::domain::payment_records::{PaymentRecords, RecordedTotals};
use tollgate::domain::policy::Policy;
use tollgate::domain::prices::{Price, PriceList, PriceUnit};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{self, NewResource, OwnedProject};
use tollgate::domain::resources::{BillableList, Resource, ResourceStatus};
use tollgate::domain::row::{self, ChainHead, Row};
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::settle::{TriggerDelivery, next_due_row};
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;

use crate::Check;
use crate::ahead;
use crate::model::{Asked, Model, ensure, hold_end, micros};
use crate::steps::{Action, History, How, Step, Wait, prelude};

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

fn payment_facts(number: u8) -> Result<PaymentFacts, String> {
    let cents = [2_500, 500, 100, 2_000, 1_001, 10_000, 600, 333][usize::from(number % 8)];
    // Some payments carry tax: more is received than credited.
    let received_cents = if number % 3 == 1 { cents + cents * 825 / 10_000 } else { cents };
    let credit = Usd::from_cents(cents).map_err(|error| error.to_string())?;
    Ok(PaymentFacts { payment: id(&format!("pi_{number}"))?, credit, received_cents })
}

/// Parts that make up the whole payment.
fn part_cents(received: i64, part: u8) -> i64 {
    let third = received / 3;
    match part {
        0 => third,
        1 => third + 1,
        2 => 1,
        _ => received - 2 * third - 2,
    }
}

impl World {
    /// An account that was just opened.
    pub(crate) fn open(history: &History) -> Result<World, String> {
        let opened = Timestamp::from_seconds(OPENED).map_err(|error| error.to_string())?;
        let mut world = World {
            account: id("a")?,
            policy: Policy::default(),
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
        self.know(Price { sku, unit, kind, rate, idle_rate, valid_from });
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
        ensure!(row.event == *event, "another event was read back");
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

    fn act(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        match action {
            Action::Settle => self.settle().map(|()| None),
            Action::Read { sku, quantity } => self.read_meter(*sku, *quantity).map(|()| None),
            Action::NewPrice { sku, rate, idle, hours, seconds } => {
                self.new_price(*sku, *rate, *idle, *hours, *seconds)
            }
            Action::Early { seconds } => self.early(*seconds),
            Action::Unsettled { which } => self.unsettled(*which),
            Action::Credit { .. }
            | Action::AwaitPayment { .. }
            | Action::EndPayment { .. }
            | Action::Grant { .. }
            | Action::Correct { .. }
            | Action::StartTrial { .. }
            | Action::Refund { .. }
            | Action::RefundReversed { .. }
            | Action::DisputeOpened { .. }
            | Action::DisputeMoney { .. }
            | Action::DisputeReversed { .. }
            | Action::DisputeClosed { .. } => self.move_money(action),
            Action::Create { .. }
            | Action::StartNew { .. }
            | Action::Start { .. }
            | Action::Stop { .. }
            | Action::Delete { .. }
            | Action::Restore { .. }
            | Action::FailStart { .. }
            | Action::OpenMeter { .. }
            | Action::Nonsense { .. } => self.move_resources(action),
            Action::SetRefill { .. }
            | Action::FollowCards { .. }
            | Action::RefillNow
            | Action::BeginRefill
            | Action::AskCustomer { .. }
            | Action::FailRefill { .. }
            | Action::RemoveCard { .. } => self.refill(action),
            Action::Freeze
            | Action::Unfreeze
            | Action::StaffSuspend
            | Action::StaffResume
            | Action::ConfirmDeletion { .. }
            | Action::Close
            | Action::ChooseRestartPolicy { .. } => self.staff(action),
        }
    }

    fn move_money(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        let none = Asked::default();
        match *action {
            Action::Credit { payment, how } => {
                let payment = payment_facts(payment)?;
                let asked = Asked { paid: micros(payment.credit), grant: 0 };
                let open = self.state().refill.attempt.as_ref();
                let purpose = open.map_or(RefillPurpose::Threshold, |open| open.purpose);
                let (kind, bonus, asked) = match how {
                    How::TopUp => (CreditKind::TopUp, None, asked),
                    How::Commit(seconds) => {
                        let (amount, expires_at) = (Usd::dollars(12), self.now.plus(seconds));
                        let bonus = BonusGrant { amount, expires_at, excludes: BTreeSet::new() };
                        // A bonus that has already expired never blocks the payment it came with.
                        let grant = if seconds > 0 { micros(amount) } else { 0 };
                        (CreditKind::Commit, Some(bonus), Asked { grant, ..asked })
                    }
                    How::Refill(off) => {
                        let attempt =
                            open.map_or(self.state().refill.attempts_so_far, |open| open.number);
                        (
                            CreditKind::Refill { attempt: attempt + u32::from(off), purpose },
                            None,
                            asked,
                        )
                    }
                };
                let refusal = self
                    .command(&Command::Credit { payment, kind, bonus, also: Vec::new() }, asked)?;
                ensure!(refusal.is_none(), "a confirmed payment is refused: {refusal:?}");
                Ok(refusal)
            }
            Action::AwaitPayment { payment, hours } => {
                let PaymentFacts { payment, credit: amount, .. } = payment_facts(payment)?;
                let expires_at = self.now.plus(hours * 3_600);
                self.command(
                    &Command::AwaitPayment(PendingPayment { payment, amount, expires_at }),
                    none,
                )
            }
            Action::EndPayment { payment, canceled } => {
                let payment = payment_facts(payment)?.payment;
                let how = if canceled == 0 { PendingEnd::Failed } else { PendingEnd::Canceled };
                self.command(&Command::EndPayment { payment, how }, none)
            }
            Action::Grant { cents, seconds, excludes } => {
                let amount = Usd::from_cents(cents).map_err(|error| error.to_string())?;
                let (expires_at, excludes) = (self.now.plus(seconds), excluded(excludes)?);
                let bonus = BonusGrant { amount, expires_at, excludes };
                let asked = Asked { paid: 0, grant: micros(amount) };
                self.command(&Command::Grant { bonus, reason: "for a test".to_owned() }, asked)
            }
            Action::Correct { micros } => {
                let reason = if micros == 2 { String::new() } else { "a mistake".to_owned() };
                let amount = Usd::from_micros(micros);
                self.command(&Command::Correct { amount, reason }, Asked { paid: micros, grant: 0 })
            }
            Action::StartTrial { card } => {
                let funding = [CardFunding::Credit, CardFunding::Debit, CardFunding::Prepaid]
                    [usize::from(card % 3)];
                let wallet = if card == 4 { CardWallet::Some } else { CardWallet::None };
                let card = TrialCard { fingerprint: id("finger")?, funding, wallet };
                let asked = Asked { paid: 0, grant: micros(self.policy.trial.credit) };
                self.command(&Command::StartTrial { card, excludes: excluded(3)? }, asked)
            }
            Action::Refund { payment, part } => {
                let of = payment_facts(payment)?;
                let cents = part_cents(of.received_cents, part);
                let by = TakeBack::Refund(id(&format!("re_{payment}_{part}"))?);
                let before = self.recorded(&of);
                self.command(&Command::TakeBack { by, of, cents, before }, none)
            }
            Action::RefundReversed { payment, part } => {
                let of = payment_facts(payment)?;
                let cents = part_cents(of.received_cents, part);
                let by = TakeBack::Refund(id(&format!("re_{payment}_{part}"))?);
                let taken = self.taken(&by);
                let before = self.recorded(&of);
                self.command(&Command::GiveBack { by, of, cents, taken, before }, none)
            }
            Action::DisputeMoney { payment } => {
                let of = payment_facts(payment)?;
                let (cents, by) =
                    (of.received_cents, TakeBack::Dispute(id(&format!("dp_{payment}"))?));
                let before = self.recorded(&of);
                self.command(&Command::TakeBack { by, of, cents, before }, none)
            }
            Action::DisputeReversed { payment } => {
                let of = payment_facts(payment)?;
                let (cents, by) =
                    (of.received_cents, TakeBack::Dispute(id(&format!("dp_{payment}"))?));
                let taken = self.taken(&by);
                let before = self.recorded(&of);
                self.command(&Command::GiveBack { by, of, cents, taken, before }, none)
            }
            Action::DisputeOpened { payment } => {
                let (dispute, payment) =
                    (id(&format!("dp_{payment}"))?, payment_facts(payment)?.payment);
                self.command(&Command::OpenDispute { dispute, payment }, none)
            }
            Action::DisputeClosed { payment, lost } => {
                let outcome = if lost == 0 { DisputeOutcome::Won } else { DisputeOutcome::Lost };
                let dispute = id(&format!("dp_{payment}"))?;
                self.command(&Command::CloseDispute { dispute, outcome }, none)
            }
            _ => Ok(None),
        }
    }

    fn recorded(&self, of: &PaymentFacts) -> RecordedTotals {
        let records = self.records.get(&of.payment).cloned().unwrap_or_default();
        records.totals(self.state(), &of.payment)
    }

    fn taken(&self, of: &TakeBack) -> Option<TakenCredit> {
        let place = self.rows.iter().position(
            |row| matches!(&row.event.change, Change::Payment(PaymentChange::TakenBack { by, .. }) if by == of),
        )?;
        let before = place.checked_sub(1).and_then(|place| self.rows.get(place))?;
        resolve::taken(&self.rows.get(place)?.event, &before.state)
    }

    fn project(&self) -> Result<OwnedProject, String> {
        Ok(OwnedProject { id: id("p")?, account: self.account.clone() })
    }

    /// The existing resources selected by the bits of a number.
    fn named(&self, which: u8) -> Result<Vec<ResourceId>, String> {
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

    fn move_resources(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        match *action {
            Action::Create { sku, count } => {
                let (project, new) = (self.project()?, self.new_resources(sku, count, 0)?);
                self.resolved(|view, now| resolve::create(view, &project, &new, now))
            }
            Action::StartNew { sku, count, agreed } => {
                let (project, new) = (self.project()?, self.new_resources(sku, count, agreed)?);
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
                    (self.project()?, id(METERED[usize::from(sku % 3)].0)?);
                self.resolved(|view, now| resolve::open_meter(view, &project, &sku, now))
            }
            Action::Nonsense { what } => self.nonsense(what),
            _ => Ok(None),
        }
    }

    /// Invalid requests. Each is refused with its own refusal.
    fn nonsense(&mut self, what: u8) -> Result<Option<Refusal>, String> {
        let (project, foreign) =
            (self.project()?, OwnedProject { id: id("q")?, account: id("b")? });
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

    fn read_meter(&mut self, sku: u8, quantity: u32) -> Check {
        let count = self.billables.meters.len().max(1);
        if let Some(meter) = self.billables.meters.values_mut().nth(usize::from(sku) % count) {
            let grown = meter.reading.decimal() + rust_decimal_of(quantity);
            meter.reading =
                tollgate::domain::money::Quantity::new(grown).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn new_price(
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
        };
        match self.prices.check(&price, self.now) {
            Ok(()) => {
                self.know(price);
                Ok(None)
            }
            Err(refusal) => Ok(Some(refusal)),
        }
    }

    /// One card expires tomorrow and is renewed for a month then, one has expired.
    fn card_ends_at(&self, card: &CardId) -> Option<Timestamp> {
        match card.as_str() {
            "pm_1" => Some(self.now.next_day()),
            "pm_2" => Some(self.now.plus(-1)),
            _ => None,
        }
    }

    fn refill(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        let none = Asked::default();
        let open = self.state().refill.attempt.as_ref().map(|attempt| attempt.number);
        let attempt =
            |off: u8| open.unwrap_or(self.state().refill.attempts_so_far) + u32::from(off);
        match *action {
            Action::SetRefill { terms, card, cap } => {
                let multiple = |threshold, amount| Some(RefillTerms::multiple(threshold, amount));
                let dollars =
                    |threshold, amount| multiple(Usd::dollars(threshold), Usd::dollars(amount));
                let to_target = |threshold, target| {
                    let charge = RefillCharge::ToTarget { target: Usd::dollars(target) };
                    Some(RefillTerms { threshold: Usd::dollars(threshold), charge })
                };
                let terms = [
                    dollars(10, 25),
                    dollars(30, 10),
                    dollars(1, 1),
                    None,
                    dollars(500, 100),
                    dollars(0, 25),
                    multiple(Usd::from_micros(1), Usd::dollars(25)),
                    dollars(10, 2_000),
                    to_target(10, 40),
                    to_target(20, 20),
                ][usize::from(terms % 10)];
                let card = match card {
                    3 => None,
                    number => Some(id(&format!("pm_{number}"))?),
                };
                let monthly_cap = [None, Some(60), Some(200), Some(5), Some(25)]
                    [usize::from(cap % 5)]
                .map(Usd::dollars);
                self.command(
                    &Command::ChangeRefill(RefillSettings {
                        terms,
                        card_ends_at: card.as_ref().and_then(|card| self.card_ends_at(card)),
                        card,
                        card_choice: CardChoice::Named,
                        monthly_cap,
                        ..RefillSettings::default()
                    }),
                    none,
                )
            }
            Action::FollowCards { card } => {
                let card_choice = [CardChoice::Named, CardChoice::Default][usize::from(card % 2)];
                let card = id(&format!("pm_{card}"))?;
                let card_ends_at = self.card_ends_at(&card);
                self.command(&Command::FollowCards { card, card_choice, card_ends_at }, none)
            }
            Action::RefillNow => self.command(&Command::RefillNow, none),
            Action::BeginRefill => self
                .command(&Command::BeginRefill { customer: id("cus")?, tax: TaxMode::Off }, none),
            Action::AskCustomer { off } => {
                self.command(&Command::AskCustomer { attempt: attempt(off), url: None }, none)
            }
            Action::FailRefill { off, never } => {
                let decline = if never == 1 { RefillDecline::Never } else { RefillDecline::Later };
                let (attempt, code) = (attempt(off), "do_not_honor".to_owned());
                self.command(&Command::FailRefill { attempt, decline, code, reason: None }, none)
            }
            Action::RemoveCard { card } => {
                self.command(&Command::RemoveCard { card: id(&format!("pm_{card}"))? }, none)
            }
            _ => Ok(None),
        }
    }

    fn staff(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        let none = Asked::default();
        let reason = "because".to_owned();
        match *action {
            Action::Freeze => self.command(&Command::Freeze { reason }, none),
            Action::Unfreeze => self.command(&Command::Unfreeze { reason }, none),
            Action::StaffSuspend => self.resolved(|view, _| resolve::suspend(view, "because")),
            Action::StaffResume => self.resolved(resolve::resume),
            Action::ConfirmDeletion { off } => {
                self.settle()?;
                let head = self.state().next_seq.saturating_sub(1 + u64::from(off));
                let refusal = self.command(&Command::ConfirmDeletion { head }, none)?;
                ensure!(
                    off == 0 || refusal.is_some(),
                    "deleted although row {head} was not the last"
                );
                Ok(refusal)
            }
            Action::Close => self.command(&Command::Close { reason }, none),
            Action::ChooseRestartPolicy { stay_off } => {
                let restart_policy =
                    if stay_off == 0 { RestartPolicy::InOrder } else { RestartPolicy::StayOff };
                self.command(&Command::ChooseRestartPolicy(restart_policy), none)
            }
            _ => Ok(None),
        }
    }

    /// Before the last row nothing is decided.
    fn early(&mut self, seconds: i64) -> Result<Option<Refusal>, String> {
        let state = self.state();
        let now = state.at.plus(-seconds);
        let command = Command::Freeze { reason: "early".to_owned() };
        let refusal = decide(state, &command, Cause::Command, &self.policy, now).err();
        let expected = Refusal::TimeBeforeLastRow { now, last: state.at };
        ensure!(refusal == Some(expected), "a command of {now} is answered by {refusal:?}");
        Ok(refusal)
    }

    /// Commands that depend on time are refused until the account is settled.
    fn unsettled(&mut self, which: u8) -> Result<Option<Refusal>, String> {
        let ids = self.named(which)?;
        let prices = Rc::clone(&self.prices);
        let (account, policy, now) = (self.account.clone(), self.policy.clone(), self.now);
        let view = self.view(&account, &prices, &policy)?;
        let state = self.state();
        let is_behind = state.paid_through().is_some_and(|through| through <= now);
        let is_settled = !is_behind || crate::model::is_held(state, now.seconds());
        let command = match which % 4 {
            0 => resolve::stop(&view, &ids),
            1 => resolve::delete(&view, &ids),
            2 => resolve::start(&view, &ids, now),
            _ => resolve::suspend(&view, "because"),
        };
        let Ok(command) = command else { return Ok(None) };
        let decided = decide(state, &command, Cause::Command, &policy, now);
        let is_refused = matches!(decided, Err(Refusal::NotSettled { .. }));
        ensure!(is_refused != is_settled, "unsettled {}, and answered by {decided:?}", !is_settled);
        Ok(decided.err())
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

fn rust_decimal_of(quantity: u32) -> rust_decimal::Decimal {
    rust_decimal::Decimal::from(quantity)
}

fn sku_of(number: u8) -> Result<Sku, String> {
    HOURLY.get(usize::from(number)).map_or_else(|| id("new"), |(sku, _, _, _)| id(sku))
}

pub(crate) fn excluded(number: u8) -> Result<BTreeSet<Sku>, String> {
    let skus: &[&str] =
        [&[][..], &["vm"], &["vol", "gb"], &["disk", "big"], &["svc", "tiny"], &["huge"]]
            [usize::from(number % 6)];
    skus.iter().map(|sku| id(sku)).collect()
}
