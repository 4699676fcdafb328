//! The books of one account: what follows from its rows so far.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::amounts::{Micros, micros};
use super::budgets::BudgetBooks;
use super::causes::{CauseBooks, check_named};
use super::charges::{ChargeBooks, check_card_event};
use super::ensure;
use super::funds::{FundBooks, Wallet};
use super::hashes::HashChain;
use super::holds::{HOLD_TYPES, HoldBooks};
use super::metered::MeterBooks;
use super::owed::OwedBooks;
use super::payments::PaymentBooks;
use super::prices::PriceBooks;
use super::published::EventBooks;
use super::resources::{RatedResource, ResourceBooks, StatusBook};
use super::respite::{check_respite, check_unpaid_time};
use super::row::{BookedRow, FundMove, FundMoves, FundNumber, PAID, array};
use super::schedule::DemandedSchedule;
use super::standing::{StandingBook, StandingFacts};
use super::stripe::StripeBooks;
use super::time::{AccountBefore, ExpectedRow, PeriodBook, hour_end};

/// The rows of an account, checked in their order.
#[derive(Debug, Default)]
pub struct AccountBooks {
    pub next_seq: u64,
    /// Whether some processes decide as releases before the newest row format did.
    pub has_older_writers: bool,
    /// Whether each row of staff must say who caused it.
    pub names_staff: bool,
    last_at: i64,
    balance: Micros,
    /// Whether staff ever lifted a freeze.
    was_unfrozen: bool,
    /// Whether the customer chose that resources restart after a suspension.
    restarts: bool,
    /// The state that the last row stored.
    state: Value,
    pub hashes: HashChain,
    causes: CauseBooks,
    pub charges: ChargeBooks,
    pub events: EventBooks,
    funds: FundBooks,
    pub resources: ResourceBooks,
    period: Option<PeriodBook>,
    standing: StandingBook,
    /// Whether the last credit was spent or taken, and nothing is billed by time.
    is_used_up: bool,
    owed: OwedBooks,
    pub payments: PaymentBooks,
    pub meters: MeterBooks,
    pub holds: HoldBooks,
    budgets: BudgetBooks,
    /// The sum of the rows of payments, refunds and disputes.
    pub received: Micros,
    /// What the last row but one left to do.
    schedule: ScheduleBook,
}

/// The schedule item as it must be.
#[derive(Debug, Default)]
struct ScheduleBook {
    demanded: DemandedSchedule,
    /// The row that changed it last.
    seq: Option<u64>,
}

/// Types of rows that record money at Stripe.
const PAID_TYPES: [&str; 9] = [
    "topup",
    "auto_refill",
    "commit",
    "refund",
    "refund_reversed",
    "refund_pending",
    "refund_failed",
    "dispute",
    "dispute_reversed",
];
/// Types of rows that a freeze forbids.
const BEGINNING_TYPES: [&str; 5] = ["started", "restored", "refill_begun", "hold", "hold_extended"];
/// Types of rows with lines for time.
const LINED_TYPES: [&str; 7] =
    ["usage", "started", "restored", "stopped", "resources_deleted", "suspended", "start_failed"];

impl AccountBooks {
    /// Checks the next row, as its item is stored.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(&mut self, item: &Value, prices: &PriceBooks) -> Result<(), String> {
        let seq: u64 = super::row::number(&item["seq"])?;
        ensure!(seq == self.next_seq, "row {seq} follows row {}", self.next_seq);
        let row = BookedRow::read(item)?;
        ensure!(seq > 0 || row.kind == "opened", "the first row is {}", row.kind);
        ensure!(row.at >= self.last_at, "time runs backwards from {}", self.last_at);
        self.hashes.add(&row)?;
        self.causes.add(&row)?;
        if self.names_staff {
            check_named(&row)?;
        }
        self.charges.add(&row)?;
        self.check_balance(&row)?;
        check_unpaid_time(&row, self.paid_through(), &self.state)?;
        check_card_event(&row, self.paid_through(), &self.state)?;
        self.add_changes(&row, prices)?;
        self.check_state(&row, prices)?;
        let begins = BEGINNING_TYPES.contains(&row.kind.as_str());
        ensure!(!(begins && self.is_frozen()), "{} while the account is frozen", row.kind);
        self.was_unfrozen |= row.kind == "unfrozen";
        if row.kind == "comeback_chosen" {
            self.restarts = row.change == "in_order";
        }
        let restarts = row.kind == "resumed" && !row.resources().is_empty();
        ensure!(self.restarts || !restarts, "resources restart, and nobody chose that");
        check_respite(&row, &self.state)?;
        self.events.add(&row);
        let demanded = DemandedSchedule::of(&row.state, row.at)?;
        if demanded != self.schedule.demanded {
            self.schedule = ScheduleBook { demanded, seq: Some(seq) };
        }
        self.next_seq += 1;
        (self.last_at, self.balance, self.state) = (row.at, row.balance, row.state);
        Ok(())
    }

    /// Whether a refill is wanted that has not begun, by the last row's state.
    #[must_use]
    pub fn wants_refill(&self) -> bool {
        self.state["r"]["w"].is_object()
    }

    /// Whether a dispute or staff froze the account, by the last row's state.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.state["f"].is_object()
    }

    /// A dispute that waits for its decision freezes the account, unless staff lifted a freeze.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_disputes(&self, stripe: &StripeBooks<'_>, account: &str) -> Result<(), String> {
        ensure!(
            self.was_unfrozen || self.is_frozen() || !stripe.has_open_dispute(account),
            "{account}: a dispute is open, and nothing is frozen"
        );
        Ok(())
    }

    /// Nothing waits for Stripe that has ended there.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_ended(&self, stripe: &StripeBooks<'_>, account: &str) -> Result<(), String> {
        for pending in array(&self.state["pp"]) {
            let is_processing = |intent: &Value| intent["status"] == "processing";
            let intent = stripe.object("payment_intent", pending["p"].as_str().unwrap_or_default());
            ensure!(intent.is_some_and(is_processing), "{account}: {pending} is not processing");
        }
        Ok(())
    }

    /// Until when time is paid, while something costs time.
    #[must_use]
    pub fn paid_through(&self) -> Option<i64> {
        self.period.as_ref().map(|period| period.through)
    }

    /// The schedule item is what the last row demands.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_schedule(&self, account: &str, item: &Value) -> Result<(), String> {
        self.schedule.demanded.check(account, item)?;
        let seq = item["seq"]["N"].as_str().map(str::to_owned);
        let expected = self.schedule.seq.map(|seq| seq.to_string());
        ensure!(seq == expected, "the schedule is of row {seq:?}, not {expected:?}");
        Ok(())
    }

    /// Each balance follows from the one before, and billing for time never leads below zero.
    fn check_balance(&mut self, row: &BookedRow) -> Result<(), String> {
        ensure!(
            row.balance == self.balance + row.amount,
            "the balance does not follow from {}",
            self.balance
        );
        let is_for_time =
            ["usage", "started", "restored", "resumed", "owed_paid"].contains(&row.kind.as_str());
        ensure!(!(is_for_time && row.amount < 0 && row.balance < 0), "into debt for time");
        if PAID_TYPES.contains(&row.kind.as_str()) {
            self.received += row.moves()?.get(&PAID).map_or(0, |moved| moved.amount);
        }
        Ok(())
    }

    fn before<'a>(&'a self, prices: &'a PriceBooks) -> AccountBefore<'a> {
        AccountBefore {
            funds: &self.funds,
            resources: &self.resources,
            prices,
            budgets: &self.budgets,
            period: self.period.as_ref(),
            last_at: self.last_at,
        }
    }

    /// What the row does follows from the account before it.
    fn add_changes(&mut self, row: &BookedRow, prices: &PriceBooks) -> Result<(), String> {
        if !row.event["y"].is_null() {
            // For a command, what has expired holds nothing, written or not.
            self.funds.held = self.holds.held_at(row.at);
        }
        self.budgets.held = self.holds.counted_at(row.at);
        if row.kind == "resumed" {
            for id in row.resources() {
                let resource = self.resources.known(&id)?;
                let is_over = self.budgets.is_used_up(&resource.project, row.at);
                let is_free = resource.rate(prices, row.at)? == 0;
                ensure!(!is_over || is_free, "{id} restarts, and its budget is used up");
            }
        }
        let facts = StandingFacts {
            available: self.funds.available(),
            owed: self.owed.at(self.last_at),
            is_frozen: self.is_frozen(),
            has_trial: self.state["t"].is_object(),
            keeps_anything: self.resources.keeps_anything(),
        };
        let expected = self.expected(row, prices)?;
        let moves = row.moves()?;
        ensure!(moves == expected.moves, "the row moves {moves:?}, not {:?}", expected.moves);
        let moved: Micros = moves.values().map(|moved| moved.amount).sum();
        ensure!(moved == row.amount, "the amount is {}, and {moved} moves", row.amount);
        if LINED_TYPES.contains(&row.kind.as_str()) {
            let lines = row.lines()?;
            ensure!(lines == expected.lines, "the lines are {lines:?}, not {:?}", expected.lines);
            let sum: Micros = lines.iter().map(|line| line.amount).sum();
            ensure!(sum == row.amount, "the lines add up to {sum}, not {}", row.amount);
        }
        let mut owed = self.owed.clone();
        owed.add(row, self.before(prices), &self.state)?;
        self.owed = owed;
        self.begin_period(row);
        self.funds.add_grants(row)?;
        self.funds.apply(&moves)?;
        self.hold_back(row)?;
        if row.kind == "bonus_withdrawn" {
            self.funds.end_grant(grant_of(row)?, row.at);
        }
        if let Some(ended_at) = row.change["ended_at"].as_i64() {
            self.funds.end_trial(ended_at);
        }
        self.change_resources(row, prices)?;
        self.budgets.add(row, &self.resources)?;
        self.standing.add(row, facts, self.funds.available())?;
        self.end_period(row, prices)?;
        self.use_up(row);
        Ok(())
    }

    /// Counts what holds keep after the row.
    fn hold_back(&mut self, row: &BookedRow) -> Result<(), String> {
        if row.kind == "closed" {
            self.holds.close();
        }
        self.holds.cut(row, &self.funds)?;
        self.funds.held = self.holds.held();
        Ok(())
    }

    /// What the row must charge or give back, and which funds must move.
    fn expected(&mut self, row: &BookedRow, prices: &PriceBooks) -> Result<ExpectedRow, String> {
        let is_good = self.standing == StandingBook::Good;
        let before = self.before(prices);
        let moves = match row.kind.as_str() {
            "usage" => {
                ensure!(is_good, "time is paid while it is {:?}", self.standing);
                let unpaid = texts(&row.change["n"]);
                self.holds.check_none_over(row.change["f"].as_i64().ok_or("no start")?)?;
                return before.usage(row, &unpaid);
            }
            "started" | "restored" => {
                ensure!(is_good, "something starts while it is {:?}", self.standing);
                return before.start(row);
            }
            "stopped" | "resources_deleted" | "suspended" => return self.end_of_time(row, prices),
            "start_failed" => {
                let failed = before.fail_start(row)?;
                let unpaid = texts(&row.change["unpaid"]);
                let expected = failed.is_unpaid.then(|| failed.resource.clone());
                ensure!(unpaid == expected.into_iter().collect(), "{unpaid:?} is kept for free");
                return Ok(failed.expected);
            }
            "owed_paid" => {
                let mut wallet = Wallet::at(&self.funds, self.last_at);
                wallet.pay_owed(self.owed.at(self.last_at));
                wallet.moves()
            }
            "metered" => {
                let mut meters = self.meters.clone();
                let moves = meters.add(row, before)?;
                self.meters = meters;
                moves
            }
            kind if HOLD_TYPES.contains(&kind) => {
                let begins = BEGINNING_TYPES.contains(&kind);
                ensure!(is_good || !begins, "credit is held while it is {:?}", self.standing);
                let mut holds = std::mem::take(&mut self.holds);
                let moves = holds.add(row, self.before(prices));
                self.holds = holds;
                moves?
            }
            "bonus" | "trial" => given(row)?,
            "bonus_withdrawn" => self.withdrawn(row)?,
            "expired" | "trial_ended" => self.expiring(row, prices)?,
            // Staff chose the amount.
            "correction" => FundMoves::from([(PAID, FundMove { amount: row.amount, used: 0 })]),
            "imported" => imported(row)?,
            _ => self.payments.add(row, &mut self.funds)?,
        };
        Ok(ExpectedRow { lines: Vec::new(), moves })
    }

    /// What a stop, a deletion or a suspension gives back. Nothing if the credit was spent.
    fn end_of_time(&self, row: &BookedRow, prices: &PriceBooks) -> Result<ExpectedRow, String> {
        let as_of = row.change["as_of"].as_i64();
        if row.change["why"] == "budget" {
            let as_of = as_of.ok_or("no end")?;
            self.holds.check_none_over(as_of)?;
            let in_respite = self.state["r"]["ru"].is_object();
            self.before(prices).check_over_budget(as_of, (&row.resources(), in_respite))?;
            return Ok(ExpectedRow::default());
        }
        let is_spent = row.change["why"] == "credit" || row.change["reason"] == "credit";
        if is_spent {
            self.check_spent(as_of.ok_or("no end")?, prices)?;
            return Ok(ExpectedRow::default());
        }
        ensure!(as_of.is_none_or(|as_of| as_of == row.at), "it stops at another time than now");
        self.before(prices).give_back(row)
    }

    /// What is paid by time stops with its last paid second. Where nothing is, the account stops with
    /// the row that used up its credit.
    fn check_spent(&self, as_of: i64, prices: &PriceBooks) -> Result<(), String> {
        if self.period.is_some() {
            self.holds.check_none_over(as_of)?;
            return self.before(prices).check_spent(as_of);
        }
        ensure!(self.is_used_up, "it stops for lack of credit, and none was used up");
        ensure!(as_of == self.last_at, "it stops at {as_of}, and not with the last row");
        Ok(())
    }

    /// Credit that expires is not used up.
    fn use_up(&mut self, row: &BookedRow) {
        let is_spent = row.amount < 0 && !["expired", "trial_ended"].contains(&row.kind.as_str());
        let is_without =
            self.standing == StandingBook::Good && self.period.is_none() && row.balance <= 0;
        // A budget and the last credit ended together.
        let is_spent = is_spent || row.change["why"] == "budget";
        let is_used_up = is_without && (self.is_used_up || is_spent || row.balance < 0);
        // Format 5 does not know it.
        let is_known = row.state["z"] == "yes" || !self.has_older_writers;
        self.is_used_up = is_used_up && is_known;
    }

    /// Staff take back a bonus of theirs that has not ended, as far as it is free.
    fn withdrawn(&self, row: &BookedRow) -> Result<FundMoves, String> {
        let number = grant_of(row)?;
        let grant = self.funds.grants.get(&number).ok_or("a bonus that is not there")?;
        ensure!(grant.kind == "bonus" && grant.expires_at > row.at, "{grant:?} is withdrawn");
        let amount = -self.funds.free(number);
        let mut moves = FundMoves::from([(number, FundMove { amount, used: 0 })]);
        moves.retain(|_, moved| moved.amount != 0);
        Ok(moves)
    }

    /// A grant ends at its time, and takes with it what is left. A trial ends with its credit, too.
    fn expiring(&self, row: &BookedRow, prices: &PriceBooks) -> Result<FundMoves, String> {
        let number =
            row.change["number"].as_u64().and_then(|number| FundNumber::try_from(number).ok());
        let is_it = |fund: FundNumber, kind: &str| number.map_or(kind == "trial", |it| it == fund);
        let ends_at = self.state["t"]["t"].as_i64();
        let ended_at = row.change["ended_at"].as_i64();
        let is_used = ended_at.is_some_and(|ended_at| Some(ended_at) != ends_at);
        if let Some(ended_at) = ended_at.filter(|_| is_used) {
            ensure!(self.state["pe"].is_null(), "a trial of a customer who paid ends early");
            let is_renewed = !row.change["renewal"].is_null();
            self.check_trial_used((ended_at, is_renewed), prices)?;
        }
        let mut moves = FundMoves::new();
        for (fund, grant) in &self.funds.grants {
            let is_of_trial = number.is_some() || Some(grant.expires_at) == ends_at;
            // What is held still pays for captures.
            let ending = self.funds.free(*fund);
            if is_it(*fund, &grant.kind) && is_of_trial && ending > 0 {
                let is_over = is_used || grant.expires_at <= row.at;
                ensure!(is_over, "grant {fund} ends before its time");
                moves.insert(*fund, FundMove { amount: -ending, used: 0 });
            }
        }
        ensure!(!moves.is_empty() || number.is_none(), "grant {number:?} has nothing left to end");
        Ok(moves)
    }

    /// A trial ends when its credit is used, or later, when what was held of it is used: it is
    /// suspended by then.
    fn check_trial_used(
        &self,
        (ended_at, is_renewed): (i64, bool),
        prices: &PriceBooks,
    ) -> Result<(), String> {
        let grants = || self.funds.grants.iter().filter(|(_, grant)| grant.kind == "trial");
        let is_held = grants().any(|(fund, grant)| self.funds.free(*fund) < grant.left);
        let left: Micros = grants().map(|(_, grant)| grant.left).sum();
        match self.standing {
            StandingBook::Good => {
                let may_end = is_renewed || !is_held;
                ensure!(may_end, "a trial ends early, and holds keep its credit");
                self.check_spent(ended_at, prices)
            }
            StandingBook::Suspended { .. }
            | StandingBook::Deleting { .. }
            | StandingBook::Deleted { .. } => {
                ensure!(
                    ended_at == self.last_at,
                    "a trial ends at {ended_at}, and not with the last row"
                );
                ensure!(left <= self.standing.floor(), "a trial ends early, and {left} are left");
                Ok(())
            }
            StandingBook::Closed => Err("a trial ends early, and is closed".to_owned()),
        }
    }

    /// Another period is paid, before the row's amounts are counted.
    fn begin_period(&mut self, row: &BookedRow) {
        let is_first_start =
            ["started", "restored"].contains(&row.kind.as_str()) && self.period.is_none();
        if row.kind == "usage" {
            let seconds = |name: &str| row.change[name].as_i64().unwrap_or_default();
            let mut period = PeriodBook::new(seconds("f"), seconds("t"));
            period.unpaid = texts(&row.change["n"]);
            self.period = Some(period);
            self.funds.begin_period();
        } else if is_first_start {
            self.period = Some(PeriodBook::new(row.at, hour_end(row.at)));
            self.funds.begin_period();
        }
    }

    fn change_resources(&mut self, row: &BookedRow, prices: &PriceBooks) -> Result<(), String> {
        let resources = &mut self.resources;
        let as_of = row.change["as_of"].as_i64().unwrap_or(row.at);
        let period = self.period.as_ref().map_or((0, 0), |period| (period.from, period.through));
        match row.kind.as_str() {
            "created" => resources.put(row, prices)?,
            "started" | "restored" => {
                resources.put(row, prices)?;
                resources.record(row, (row.at, period.1))?;
                if let Some(period) = &mut self.period {
                    row.resources().iter().for_each(|id| _ = period.unpaid.remove(id));
                }
            }
            "usage" => resources.record(row, period)?,
            "stopped" => {
                resources.record(row, period)?;
                resources.end(row, StatusBook::Off, as_of)?;
            }
            "resources_deleted" => {
                resources.record(row, period)?;
                resources.end(row, StatusBook::Deleted, row.at)?;
            }
            "suspended" => {
                resources.record(row, period)?;
                resources.suspend(as_of);
            }
            "start_failed" => {
                resources.fail_start(row)?;
                if let Some(period) = &mut self.period {
                    period.unpaid.extend(texts(&row.change["unpaid"]));
                }
            }
            "resumed" => resources.restart(row)?,
            "deleted" => resources.delete_all(),
            "purged" => resources.purge(row)?,
            _ => {}
        }
        Ok(())
    }

    /// What is billed after the row. Nothing is prepaid if that is nothing.
    fn rated(&self, row: &BookedRow, prices: &PriceBooks) -> Result<Vec<RatedResource>, String> {
        let at = self.period.as_ref().map_or(row.at, PeriodBook::rated_at);
        match self.standing {
            StandingBook::Good => self.resources.rated(prices, at),
            _ => Ok(Vec::new()),
        }
    }

    fn end_period(&mut self, row: &BookedRow, prices: &PriceBooks) -> Result<(), String> {
        let is_billed = !self.rated(row, prices)?.is_empty();
        if !is_billed {
            self.period = None;
            self.funds.begin_period();
        } else if self.period.is_none() {
            let begins = ["resumed", "reopened"].contains(&row.kind.as_str());
            ensure!(begins, "something is billed, and no period is paid");
            self.period = Some(PeriodBook::new(row.at, row.at));
        }
        Ok(())
    }

    /// The state that the row stores is that of the books.
    fn check_state(&self, row: &BookedRow, prices: &PriceBooks) -> Result<(), String> {
        let state = &row.state;
        let balance = self.funds.balance();
        ensure!(balance == row.balance, "the funds add up to {balance}, not {}", row.balance);
        self.funds.check_state(state)?;
        self.holds.check_state(state)?;
        self.owed.check_state(state)?;
        self.standing.check_state(state)?;
        let is_used_up = state["z"] == "yes";
        ensure!(is_used_up == self.is_used_up, "the credit is used up: {is_used_up}");
        let rated = self.rated(row, prices)?;
        self.resources.check_state(state, &rated)?;
        let is_good = self.standing == StandingBook::Good;
        let running = self.resources.running();
        ensure!(is_good || running == 0, "{running} run while it is {:?}", self.standing);
        let period = self.period.as_ref();
        let stored = &state["p"];
        let is_same = stored["f"] == json!(period.map(|period| period.from))
            && stored["t"] == json!(period.map(|period| period.through))
            && texts(&stored["n"])
                == period.map(|period| period.unpaid.clone()).unwrap_or_default();
        ensure!(is_same, "the period is {period:?}, and the state says {stored}");
        Ok(())
    }
}

/// Staff chose the credit, and the bonus if there is one.
fn imported(row: &BookedRow) -> Result<FundMoves, String> {
    let paid = micros(&row.change["credit"])?;
    ensure!(paid >= 0, "an opening balance of {paid}");
    let mut moves = FundMoves::from([(PAID, FundMove { amount: paid, used: 0 })]);
    let grants = array(&row.event["g"]);
    ensure!(grants.len() <= 1, "an import gives {} grants", grants.len());
    for grant in grants {
        let number = grant["n"].as_u64().and_then(|number| FundNumber::try_from(number).ok());
        let amount = micros(&grant["a"])?;
        ensure!(amount > 0, "a grant of {amount}");
        moves.insert(number.unwrap_or_default(), FundMove { amount, used: 0 });
    }
    Ok(moves)
}

/// The grant that a row is about.
fn grant_of(row: &BookedRow) -> Result<FundNumber, String> {
    let number = row.change["number"].as_u64().and_then(|number| FundNumber::try_from(number).ok());
    number.ok_or_else(|| format!("{} is no grant", row.change["number"]))
}

/// What a grant or a trial gives.
fn given(row: &BookedRow) -> Result<FundMoves, String> {
    let [grant] = array(&row.event["g"]) else { return Err("it gives no grant".to_owned()) };
    ensure!(grant["n"] == row.change["number"], "another grant than {}", row.change["number"]);
    let number = grant["n"].as_u64().and_then(|number| FundNumber::try_from(number).ok());
    let amount = micros(&grant["a"])?;
    ensure!(amount > 0, "a grant of {amount}");
    Ok(FundMoves::from([(number.unwrap_or_default(), FundMove { amount, used: 0 })]))
}

fn texts(value: &Value) -> BTreeSet<String> {
    array(value).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
