//! One account, its price list, and a clock that the story moves.

use std::collections::BTreeMap;
use std::str::FromStr;

use tollgate::domain::account::{AccountState, CardChoice, Standing, TaxMode};
use tollgate::domain::command::{
    BonusGrant, Command, RefillSettings, RefillTerms, TakenForDispute,
};
use tollgate::domain::decide::decide;
use tollgate::domain::event::{
    Cause, Change, Claim, CreditKind, Event, OnExisting, PaymentFacts, RefillDecline,
    ResourceChange, StandingChange, StopReason,
};
use tollgate::domain::funds::Fund;
use tollgate::domain::ids::{AccountId, DisputeId, PaymentId, ResourceId};
use tollgate::domain::money::Usd;
use tollgate::domain::payment_records::{PaymentRecords, RecordedTotals};
use tollgate::domain::policy::Policy;
use tollgate::domain::prices::{Price, PriceDisplay, PriceList, PriceUnit};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{self, NewResource, OwnedProject};
use tollgate::domain::resources::{BillableList, Resource, ResourceStatus};
use tollgate::domain::row::{self, ChainHead, NewRow};
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::settle::settle;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;
use tollgate::domain::usage::{UsageKey, UsageLabels};

/// SKU, kind, unit, rate, rate while off.
const PRICES: &[(&str, &str, PriceUnit, &str, &str)] = &[
    ("vm60", "instance", PriceUnit::Hour, "0.60", "0"),
    ("vm100", "instance", PriceUnit::Hour, "1.00", "0"),
    ("vm120", "instance", PriceUnit::Hour, "1.20", "0"),
    ("tiny", "instance", PriceUnit::Hour, "0.00216", "0"),
    ("rack", "instance", PriceUnit::Hour, "100", "0"),
    ("free", "instance", PriceUnit::Hour, "0", "0"),
    ("speck", "volume", PriceUnit::Hour, "0.0002", "0"),
    ("app", "service", PriceUnit::Hour, "0.10", "0"),
    ("x", "instance", PriceUnit::Hour, "1.00", "0"),
    ("domain", "domain", PriceUnit::Hour, "0.50", "0"),
    ("volume", "volume", PriceUnit::Hour, "0.20", "0.10"),
    ("tokens", "tokens", PriceUnit::Quantity, "0.00000015", "0"),
    ("call", "call", PriceUnit::Quantity, "1", "0"),
];

pub(crate) fn named<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// `10:20`, `10:20:30` (on 22 November 2026), `23T10:20` (on the 23rd), `12-01T00:00` (on 1
/// December), or RFC 3339.
pub(crate) fn at(text: &str) -> Timestamp {
    if let Ok(full) = text.parse() {
        return full;
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) if date.contains('-') => (date.to_owned(), time),
        Some((day, time)) => (format!("11-{day}"), time),
        None => ("11-22".to_owned(), text),
    };
    let time = if time.len() == 5 { format!("{time}:00") } else { time.to_owned() };
    named(&format!("2026-{date}T{time}Z"))
}

pub(crate) struct World {
    account: AccountId,
    pub(crate) prices: PriceList,
    pub(crate) policy: Policy,
    pub(crate) state: AccountState,
    pub(crate) list: BillableList,
    pub(crate) events: Vec<Event>,
    /// The state after each row.
    pub(crate) states: Vec<AccountState>,
    /// The rows as they are stored, with the chunks of their lines.
    pub(crate) stored: Vec<NewRow>,
    /// The cause of the following commands.
    pub(crate) cause: Cause,
    head: ChainHead,
    claims: BTreeMap<String, u64>,
    payments: u32,
    /// The items of the payments that money went back from.
    pub(crate) records: BTreeMap<PaymentId, PaymentRecords>,
    shown: usize,
}

impl World {
    /// An account opened at 10:00 with so much paid credit.
    pub(crate) fn with_credit(credit: &str) -> World {
        let mut world = World::opened();
        world.credit("10:00", credit);
        world.shown = world.events.len();
        world
    }

    /// An account opened at 10:00.
    pub(crate) fn opened() -> World {
        World::opened_as("acme")
    }

    /// An account of this name, opened at 10:00.
    pub(crate) fn opened_as(account: &str) -> World {
        let prices = PRICES.iter().map(|&(sku, kind, unit, rate, idle_rate)| Price {
            sku: named(sku),
            unit,
            kind: named(kind),
            rate: named(rate),
            idle_rate: named(idle_rate),
            valid_from: at("01T00:00"),
            display: PriceDisplay::default(),
        });
        let mut world = World {
            account: named(account),
            prices: prices.collect(),
            policy: Policy::default(),
            state: AccountState::default(),
            list: BillableList::default(),
            events: Vec::new(),
            states: Vec::new(),
            stored: Vec::new(),
            cause: Cause::Command,
            head: ChainHead::none(),
            claims: BTreeMap::new(),
            payments: 0,
            records: BTreeMap::new(),
            shown: 0,
        };
        world.command("10:00", Command::Open).unwrap();
        world.shown = 1;
        world
    }

    pub(crate) fn view(&self) -> AccountSnapshot<'_> {
        AccountSnapshot::new(
            &self.account,
            self.state.clone(),
            self.list.clone(),
            &self.prices,
            &self.policy,
        )
        .unwrap()
        .expect("the list agrees with the state")
    }

    /// Settles as the hourly and the minute run do.
    pub(crate) fn settle(&mut self, time: &str) -> &mut World {
        let mut view = self.view();
        let events = settle(&mut view, at(time)).unwrap();
        for event in events {
            self.append(event);
        }
        self
    }

    /// Settles, asks, decides, appends, and settles again, as the store does.
    pub(crate) fn ask(
        &mut self,
        time: &str,
        resolve: impl FnOnce(&AccountSnapshot<'_>) -> Result<Command, Refusal>,
    ) -> Result<&mut World, Refusal> {
        self.settle(time);
        let command = resolve(&self.view())?;
        self.decide_and_append(time, command)
    }

    /// What is recorded of a payment, in the state or in its items.
    pub(crate) fn recorded(&self, payment: &PaymentId) -> RecordedTotals {
        let records = self.records.get(payment).cloned().unwrap_or_default();
        records.totals(&self.state, payment)
    }

    /// The same of a dispute of the payment.
    pub(crate) fn recorded_dispute(
        &self,
        payment: &PaymentId,
        dispute: &DisputeId,
    ) -> TakenForDispute {
        let records = self.records.get(payment).cloned().unwrap_or_default();
        let known = records.dispute(&self.state, dispute);
        let RecordedTotals { taken, in_item } = records.totals(&self.state, payment);
        TakenForDispute {
            dispute_cents: known.as_ref().map_or(0, |known| known.cents),
            grants: known.as_ref().map(|known| known.grants.clone()).unwrap_or_default(),
            payment_cents: taken.unwrap_or_default().cents,
            payment_credit: taken.unwrap_or_default().credit,
            phase: known.and_then(|known| known.phase),
            in_items: in_item,
        }
    }

    /// As the store does, with what is recorded when the command is decided.
    fn with_recorded(&self, command: Command) -> Command {
        #[allow(clippy::wildcard_enum_match_arm, reason = "no other command needs it")]
        match command {
            Command::TakeBack { by, of, cents, .. } => {
                let before = self.recorded(&of.payment);
                Command::TakeBack { by, of, cents, before }
            }
            Command::GiveBack { by, of, cents, taken, .. } => {
                let before = self.recorded(&of.payment);
                Command::GiveBack { by, of, cents, taken, before }
            }
            command => command,
        }
    }

    fn decide_and_append(&mut self, time: &str, command: Command) -> Result<&mut World, Refusal> {
        let command = self.with_recorded(command);
        let cause = self.cause.clone();
        let event = decide(&self.state, &command, cause, &self.policy, at(time))?;
        self.append(event);
        Ok(self.settle(time))
    }

    pub(crate) fn command(&mut self, time: &str, command: Command) -> Result<&mut World, Refusal> {
        if command.settles_first() {
            self.settle(time);
        }
        self.decide_and_append(time, command)
    }

    pub(crate) fn credit(&mut self, time: &str, amount: &str) -> &mut World {
        self.payments += 1;
        let payment = self.payment(amount);
        self.command(
            time,
            Command::Credit {
                payment,
                kind: CreditKind::TopUp,
                plan: None,
                bonus: None,
                also: Vec::new(),
            },
        )
        .unwrap()
    }

    /// The same, and its process dies before it settles the account.
    pub(crate) fn credit_unsettled(&mut self, time: &str, amount: &str) {
        self.payments += 1;
        let payment = self.payment(amount);
        let credit = Command::Credit {
            payment,
            kind: CreditKind::TopUp,
            plan: None,
            bonus: None,
            also: Vec::new(),
        };
        let cause = self.cause.clone();
        let event = decide(&self.state, &credit, cause, &self.policy, at(time)).unwrap();
        self.append(event);
    }

    /// The facts of the latest payment, for this credit and no tax.
    pub(crate) fn payment(&self, amount: &str) -> PaymentFacts {
        let credit: Usd = named(amount);
        let received_cents = credit.to_cents().unwrap();
        PaymentFacts { payment: named(&format!("pi_{}", self.payments)), credit, received_cents }
    }

    pub(crate) fn grant(
        &mut self,
        time: &str,
        amount: &str,
        expires: &str,
        excludes: &[&str],
    ) -> &mut World {
        let excludes = excludes.iter().map(|sku| named(sku)).collect();
        let bonus = BonusGrant { amount: named(amount), expires_at: at(expires), excludes };
        self.command(time, Command::Grant { bonus, reason: "hello".to_owned() }).unwrap()
    }

    /// Rows of older releases have grants that end within an hour.
    pub(crate) fn end_grants_at(&mut self, time: &str) {
        for state in [&mut self.state, &mut self.head.state] {
            state.grants.iter_mut().for_each(|grant| grant.expires_at = at(time));
        }
    }

    pub(crate) fn start(&mut self, time: &str, id: &str, sku: &str) -> Result<&mut World, Refusal> {
        let (new, project) = (new(id, sku), self.project());
        self.ask(time, |view| resolve::start_new(view, &project, &[new], at(time)))
    }

    pub(crate) fn restart(&mut self, time: &str, ids: &[&str]) -> Result<&mut World, Refusal> {
        let ids = ids_of(ids);
        self.ask(time, |view| resolve::start(view, &ids, at(time)))
    }

    pub(crate) fn restore(&mut self, time: &str, ids: &[&str]) -> Result<&mut World, Refusal> {
        let ids = ids_of(ids);
        self.ask(time, |view| resolve::restore(view, &ids, at(time)))
    }

    pub(crate) fn stop(&mut self, time: &str, ids: &[&str]) -> Result<&mut World, Refusal> {
        let ids = ids_of(ids);
        self.ask(time, |view| resolve::stop(view, &ids))
    }

    pub(crate) fn delete(&mut self, time: &str, ids: &[&str]) -> Result<&mut World, Refusal> {
        let ids = ids_of(ids);
        self.ask(time, |view| resolve::delete(view, &ids))
    }

    pub(crate) fn open_meter(&mut self, time: &str, sku: &str) -> &mut World {
        let (project, sku) = (self.project(), named(sku));
        self.ask(time, |view| resolve::open_meter(view, &project, &sku, at(time))).unwrap()
    }

    /// So many units are reported for that time, and nobody settles.
    pub(crate) fn used(&mut self, time: &str, sku: &str, units: u32) -> &mut World {
        self.used_with(time, sku, units, &[])
    }

    /// The same with labels.
    pub(crate) fn used_with(
        &mut self,
        time: &str,
        sku: &str,
        units: u32,
        labels: &[(&str, &str)],
    ) -> &mut World {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let labels = UsageLabels::try_from(labels.collect::<BTreeMap<_, _>>()).unwrap();
        let (project, sku) = (named("p"), named(sku));
        let key = UsageKey { hour: at(time).hour().start(), project, sku, labels };
        let usage = self.list.usage.entry(key).or_default();
        let reported = usage.reported.decimal() + rust_decimal::Decimal::from(units);
        usage.reported = named(&reported.to_string());
        self
    }

    pub(crate) fn fail_start(&mut self, time: &str, id: &str) -> Result<&mut World, Refusal> {
        self.settle(time);
        let id: ResourceId = named(id);
        let is_running = |resource: &&Resource| resource.status == ResourceStatus::Running;
        let running = self.list.resources.get(&id).filter(is_running);
        let from = running.map_or(0, |resource| usize::try_from(resource.seq).unwrap());
        let rows: Vec<(Event, AccountState)> =
            self.events.iter().cloned().zip(self.states.iter().cloned()).skip(from).collect();
        self.ask(time, |view| {
            resolve::fail_start(view, &id, rows.iter().map(|(event, state)| (event, state)))
        })
    }

    /// The account's only project.
    pub(crate) fn project(&self) -> OwnedProject {
        project(self.account.as_str())
    }

    /// Refill agreed to with a card: threshold, amount, monthly cap.
    pub(crate) fn agree_to_refill(
        &mut self,
        time: &str,
        terms: (&str, &str),
        cap: Option<&str>,
    ) -> &mut World {
        let terms = Some(RefillTerms::multiple(named(terms.0), named(terms.1)));
        let settings = RefillSettings {
            terms,
            card: Some(named("pm_1")),
            card_choice: CardChoice::Named,
            monthly_cap: cap.map(named),
            ..RefillSettings::default()
        };
        self.command(time, Command::ChangeRefill(settings)).unwrap()
    }

    /// Refill agreed to with the default card, as far as there is one.
    pub(crate) fn agree_to_refill_of_the_default_card(
        &mut self,
        time: &str,
        terms: (&str, &str),
        default: Option<&str>,
    ) -> &mut World {
        let settings = RefillSettings {
            terms: Some(RefillTerms::multiple(named(terms.0), named(terms.1))),
            card: default.map(named),
            card_choice: CardChoice::Default,
            monthly_cap: None,
            ..RefillSettings::default()
        };
        self.command(time, Command::ChangeRefill(settings)).unwrap()
    }

    /// The saved cards changed at Stripe, and refills charge this one from now on.
    pub(crate) fn follow_cards(&mut self, time: &str, card: &str) -> Result<&mut World, Refusal> {
        let card_choice = self.state.refill.card_choice;
        let card = named(card);
        self.command(time, Command::FollowCards { card, card_choice, card_ends_at: None })
    }

    /// The same with a maximum of one charge.
    pub(crate) fn agree_to_refill_up_to(
        &mut self,
        time: &str,
        terms: (&str, &str),
        max_charge: &str,
    ) -> &mut World {
        let settings = RefillSettings {
            terms: Some(RefillTerms::multiple(named(terms.0), named(terms.1))),
            card: Some(named("pm_1")),
            card_choice: CardChoice::Named,
            monthly_cap: None,
            max_charge: Some(named(max_charge)),
            ..RefillSettings::default()
        };
        self.command(time, Command::ChangeRefill(settings)).unwrap()
    }

    pub(crate) fn begin_refill(&mut self, time: &str) -> Result<&mut World, Refusal> {
        self.command(time, Command::BeginRefill { customer: named("cus_1"), tax: TaxMode::Off })
    }

    /// The open attempt's payment arrives.
    pub(crate) fn refill_lands(&mut self, time: &str) -> &mut World {
        let attempt = self.state.refill.attempt.clone().expect("an attempt is open");
        self.payments += 1;
        let payment = self.payment(&attempt.amount.to_string());
        let kind = CreditKind::Refill { attempt: attempt.number, purpose: attempt.purpose };
        self.command(
            time,
            Command::Credit { payment, kind, plan: None, bonus: None, also: Vec::new() },
        )
        .unwrap()
    }

    pub(crate) fn refill_fails(&mut self, time: &str, decline: RefillDecline) -> &mut World {
        let attempt = self.state.refill.attempt.as_ref().expect("an attempt is open").number;
        self.command(
            time,
            Command::FailRefill { attempt, decline, code: "declined".to_owned(), reason: None },
        )
        .unwrap()
    }

    /// The action at the end of the grace period, when Stripe knows of no pending payment.
    pub(crate) fn confirm_deletion(&mut self, time: &str) -> Result<&mut World, Refusal> {
        self.settle(time);
        let head = self.state.next_seq - 1;
        self.command(time, Command::ConfirmDeletion { head })
    }

    /// Leaves the rows so far out of the next comparison.
    pub(crate) fn skip_rows(&mut self) -> &mut World {
        self.shown = self.events.len();
        self
    }

    /// Compares the rows since the last comparison.
    #[track_caller]
    pub(crate) fn rows(&mut self, expected: &[&str]) -> &mut World {
        let shown: Vec<String> = (self.shown..self.events.len())
            .map(|index| show(&self.events[index], &self.states[index]))
            .collect();
        self.shown = self.events.len();
        let expected: Vec<String> = expected
            .iter()
            .map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(shown, expected, "\nthe chain has\n  {}\n", shown.join("\n  "));
        self
    }

    /// Leaves the rows so far out of the next comparison.
    pub(crate) fn shown_are_seen(&mut self) -> &mut World {
        self.shown = self.events.len();
        self
    }

    pub(crate) fn append(&mut self, event: Event) {
        let claims = event.claims(&self.account);
        let taken = |claim: &&Claim| {
            claim.on_existing == OnExisting::Stop && self.claims.contains_key(&claim.key)
        };
        if claims.iter().any(|claim| taken(&claim)) {
            return;
        }
        let seq = self.state.next_seq;
        for claim in claims {
            self.claims.entry(claim.key).or_insert(seq);
        }
        // Every row of every scenario also goes through its stored form and the chain's checks.
        let new = row::encode(&self.account, &self.head, &event, self.policy.row_format).unwrap();
        let read = row::decode(&new.stored, RowFormat::READABLE).unwrap();
        row::check_follows(&self.head, &read).unwrap();
        let has_names = new.head.format < RowFormat::new(6);
        let stored = if has_names { event.clone() } else { event.clone().without_names() };
        assert_eq!(read.event, stored);
        self.list.apply(&event, seq);
        if let Some(change) = event.recorded() {
            self.records.entry(change.payment.clone()).or_default().apply(change);
        }
        self.state = read.state.clone();
        self.states.push(read.state);
        self.events.push(read.event);
        self.head = new.head.clone();
        self.stored.push(new);
        assert_eq!(self.events.iter().map(Event::amount).sum::<Usd>(), self.state.balance());
        // No grant keeps more for holds than it has, be it one that is gone.
        for share in self.state.holds.iter().flat_map(|hold| &hold.shares) {
            let Fund::Grant(number) = share.fund else { continue };
            assert!(!self.state.free_of_grant(number).is_negative(), "{:?}", self.state);
        }
    }
}

pub(crate) fn new(id: &str, sku: &str) -> NewResource {
    NewResource { id: named(id), sku: named(sku), name: id.to_owned(), rate: None }
}

pub(crate) fn project(account: &str) -> OwnedProject {
    OwnedProject { id: named("p"), account: named(account) }
}

pub(crate) fn ids_of(ids: &[&str]) -> Vec<ResourceId> {
    ids.iter().map(|id| named(id)).collect()
}

fn show(event: &Event, after: &AccountState) -> String {
    let time = event.at.to_string();
    let time = time
        .strip_prefix("2026-11-22T")
        .or(time.strip_prefix("2026-"))
        .unwrap_or(&time)
        .trim_end_matches('Z');
    let mut row =
        format!("{time} {} {} = {}", event.change.name(), event.amount(), after.balance());
    if let Some(through) = after.paid_through() {
        let through = through.to_string();
        let through = through
            .strip_prefix("2026-11-22T")
            .or(through.strip_prefix("2026-"))
            .unwrap_or(&through);
        row += &format!(" to {}", through.trim_end_matches('Z'));
    }
    match &event.change {
        Change::Standing(StandingChange::Suspended { as_of, .. }) => {
            row += &format!(" as of {}", &as_of.to_string()[11..19]);
        }
        Change::Resource(ResourceChange::Stopped { resources, why, .. })
            if *why != StopReason::Requested =>
        {
            let ids: Vec<&str> = resources.iter().map(|resource| resource.id.as_str()).collect();
            let of = if *why == StopReason::Budget { "budget" } else { "funds" };
            row += &format!(" out of {of}: {}", ids.join(" "));
        }
        _ => {}
    }
    if event
        .want
        .is_some_and(|want| matches!(want, tollgate::domain::event::RefillWant::Now { .. }))
    {
        row += " refill!";
    }
    row
}

/// Whether the account is in good standing.
pub(crate) fn is_good(world: &World) -> bool {
    world.state.standing == Standing::Good
}
