//! Holds: which funds they keep, what is billed on them, and how they end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::amounts::{Micros, divide, hourly_rate, micros, scaled};
use super::ensure;
use super::funds::{FundBooks, Wallet};
use super::row::{BookedRow, FundMoves, FundNumber, FundShares, PAID, array, fund};
use super::time::{AccountBefore, HOUR};

/// How many holds of an account may be open, as the policy says.
const OPEN_MAX: usize = 10;
/// How long a hold lasts at most.
const LONGEST_SECONDS: i64 = 24 * HOUR;
/// How many lines a capture may have.
const LINES_MAX: usize = 20;

/// Types of rows about holds.
pub const HOLD_TYPES: [&str; 5] =
    ["hold", "hold_extended", "hold_captured", "hold_released", "hold_expired"];

/// Parts of funds in the order in which they pay.
pub type HeldShares = Vec<(FundNumber, Micros)>;

/// All holds of an account, and what was captured.
#[derive(Clone, Debug, Default)]
pub struct HoldBooks {
    /// By the number of the row that made it.
    open: BTreeMap<u64, HoldBook>,
    ended: BTreeMap<u64, HoldBook>,
    pub captures: Vec<CaptureBook>,
}

#[derive(Clone, Debug)]
pub struct HoldBook {
    pub project: String,
    pub skus: BTreeSet<String>,
    /// What it kept at first.
    pub amount: Micros,
    /// It keeps nothing from this second on.
    pub expires_at: i64,
    shares: HeldShares,
    end: HoldEnd,
    is_captured_late: bool,
    /// Whether its project had a budget when it was made.
    is_counted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldEnd {
    Open,
    Captured,
    Released,
    Expired,
    /// It ended with its account.
    Closed,
}

/// A row that bills what was used under a hold.
#[derive(Clone, Debug)]
pub struct CaptureBook {
    pub seq: u64,
    pub hold: u64,
    /// The `Idempotency-Key` of its request.
    pub key: Option<String>,
    pub lines: Vec<CapturedLine>,
    /// Above zero.
    pub amount: Micros,
    pub kind: CaptureKind,
    /// What the account has after it, and what of it is available.
    pub balance: Micros,
    pub available: Micros,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureKind {
    /// The hold goes on, with so much.
    Part {
        left: Micros,
    },
    Last,
    /// After the hold was released, had expired, or ended with its account.
    Late,
}

/// Usage of a SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedLine {
    pub sku: String,
    /// In millionths of a millionth.
    pub units: i128,
    /// For a unit, in 10⁻¹² dollars.
    pub rate: i128,
    /// Above zero.
    pub amount: Micros,
}

/// What all holds in a stored state keep.
///
/// # Errors
/// What is wrong, as text.
pub fn held_in(state: &Value) -> Result<FundShares, String> {
    let mut held = FundShares::new();
    for hold in array(&state["h"]) {
        for (fund, part) in shares_of(&hold["f"])? {
            *held.entry(fund).or_default() += part;
        }
    }
    Ok(held)
}

/// What a stored state has, without what holds keep.
///
/// # Errors
/// What is wrong, as text.
pub fn available_in(state: &Value) -> Result<Micros, String> {
    let grants = array(&state["g"]).iter().map(|grant| micros(&grant["r"]));
    let left: Micros = grants.sum::<Result<Micros, String>>()?;
    Ok(micros(&state["c"])? + left - held_in(state)?.values().sum::<Micros>())
}

fn shares_of(stored: &Value) -> Result<HeldShares, String> {
    array(stored).iter().map(|share| Ok((fund(&share[0])?, micros(&share[1])?))).collect()
}

fn sum(shares: &[(FundNumber, Micros)]) -> Micros {
    shares.iter().map(|(_, part)| part).sum()
}

fn number(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| format!("{value} is the number of no hold"))
}

impl HoldBooks {
    /// A hold that was made, and how it ended.
    #[must_use]
    pub fn made(&self, seq: u64) -> Option<(&HoldBook, HoldEnd)> {
        let open = self.open.get(&seq).map(|hold| (hold, HoldEnd::Open));
        open.or_else(|| self.ended.get(&seq).map(|hold| (hold, hold.end)))
    }

    fn open_mut(&mut self, seq: u64) -> Result<&mut HoldBook, String> {
        self.open.get_mut(&seq).ok_or_else(|| format!("hold {seq} is not open"))
    }

    fn end(&mut self, seq: u64, end: HoldEnd) -> Result<(), String> {
        let hold = self.open.remove(&seq).ok_or_else(|| format!("hold {seq} is not open"))?;
        self.ended.insert(seq, HoldBook { end, shares: HeldShares::new(), ..hold });
        Ok(())
    }

    /// What all open holds keep of each fund.
    #[must_use]
    pub fn held(&self) -> FundShares {
        self.held_at(i64::MIN)
    }

    /// What all holds keep of each fund that have not expired at an instant.
    #[must_use]
    pub fn held_at(&self, instant: i64) -> FundShares {
        let mut held = FundShares::new();
        let lasting = self.open.values().filter(|hold| hold.expires_at > instant);
        for (fund, part) in lasting.flat_map(|hold| &hold.shares) {
            *held.entry(*fund).or_default() += part;
        }
        held
    }

    /// What holds keep at an instant of each project that had a budget when they were made.
    #[must_use]
    pub fn counted_at(&self, instant: i64) -> BTreeMap<String, Micros> {
        let mut held = BTreeMap::new();
        let lasting = self.open.values().filter(|hold| hold.expires_at > instant);
        for hold in lasting.filter(|hold| hold.is_counted) {
            *held.entry(hold.project.clone()).or_default() += sum(&hold.shares);
        }
        held
    }

    /// Before time from an instant on is paid or stopped, holds that have expired by then have ended.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_none_over(&self, instant: i64) -> Result<(), String> {
        match self.open.iter().find(|(_, hold)| hold.expires_at <= instant) {
            Some((seq, _)) => Err(format!("hold {seq} has expired and still keeps credit")),
            None => Ok(()),
        }
    }

    /// A row about a hold: what it must move.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(&mut self, row: &BookedRow, before: AccountBefore<'_>) -> Result<FundMoves, String> {
        match row.tag.as_str() {
            "held" => self.make(row, before)?,
            "hold_extended" => self.extend(row, before)?,
            "hold_captured" => return self.capture(row, before),
            "captured_late" => return self.capture_late(row, before),
            "hold_released" => self.end(number(&row.change["hold"])?, HoldEnd::Released)?,
            "hold_expired" => {
                let seq = number(&row.change["hold"])?;
                let expires_at = self.open_mut(seq)?.expires_at;
                let is_over = expires_at <= row.at && row.event["y"].is_null();
                ensure!(is_over, "a hold expires before its time, {expires_at}");
                self.end(seq, HoldEnd::Expired)?;
            }
            other => return Err(format!("{other} is nothing about holds")),
        }
        Ok(FundMoves::new())
    }

    fn make(&mut self, row: &BookedRow, before: AccountBefore<'_>) -> Result<(), String> {
        let change = &row.change;
        let skus = array(&change["skus"]).iter().filter_map(Value::as_str);
        let skus: BTreeSet<String> = skus.map(str::to_owned).collect();
        ensure!(!skus.is_empty(), "a hold for nothing");
        ensure!(self.open.len() < OPEN_MAX, "a hold beside {OPEN_MAX} others");
        let expires_at = expiry(row)?;
        let shares = shares_of(&change["shares"])?;
        let amount = sum(&shares);
        ensure!(amount > 0, "a hold of {amount}");
        let expected = before.funds.hold(&skus, amount, expires_at)?;
        ensure!(shares == expected, "{shares:?} are held, not {expected:?}");
        let project = change["project"].as_str().unwrap_or_default().to_owned();
        before.budgets.check_room(&project, amount, row.at)?;
        let hold = HoldBook {
            is_counted: before.budgets.has(&project),
            project,
            skus,
            amount,
            expires_at,
            shares,
            end: HoldEnd::Open,
            is_captured_late: false,
        };
        self.open.insert(row.seq, hold);
        Ok(())
    }

    /// The same amount is held anew, as if it had not been held.
    fn extend(&mut self, row: &BookedRow, before: AccountBefore<'_>) -> Result<(), String> {
        let expires_at = expiry(row)?;
        let hold = self.open_mut(number(&row.change["hold"])?)?;
        check_lasts(hold, row, before.last_at)?;
        let mut without = before.funds.clone();
        for (fund, part) in &hold.shares {
            *without.held.entry(*fund).or_default() -= part;
        }
        let shares = shares_of(&row.change["shares"])?;
        let (amount, was) = (sum(&shares), sum(&hold.shares));
        ensure!(amount == was, "a hold of {was} is extended with {amount}");
        if hold.is_counted {
            let mut budgets = before.budgets.clone();
            *budgets.held.entry(hold.project.clone()).or_default() -= was;
            budgets.check_room(&hold.project, amount, row.at)?;
        }
        let expected = without.hold(&hold.skus, amount, expires_at)?;
        ensure!(shares == expected, "{shares:?} are held on, not {expected:?}");
        (hold.expires_at, hold.shares) = (expires_at, shares);
        Ok(())
    }

    fn capture(&mut self, row: &BookedRow, before: AccountBefore<'_>) -> Result<FundMoves, String> {
        let seq = number(&row.change["hold"])?;
        let hold = self.open_mut(seq)?;
        check_lasts(hold, row, before.last_at)?;
        let mut wallet = Wallet::at(before.funds, row.at);
        let lines = captured(row, before, hold, &mut wallet)?;
        let left = &row.change["left"];
        let left = left.is_array().then(|| shares_of(left)).transpose()?;
        if let Some(left) = &left {
            ensure!(!lines.is_empty(), "a part of a hold is captured with nothing");
            ensure!(*left == hold.shares, "it keeps {left:?}, not {:?}", hold.shares);
        } else {
            self.end(seq, HoldEnd::Captured)?;
        }
        let kind = left.map_or(CaptureKind::Last, |left| CaptureKind::Part { left: sum(&left) });
        self.captures.push(CaptureBook::of(row, seq, lines, kind)?);
        Ok(wallet.moves())
    }

    /// What was released or has expired takes one capture more, and what was captured none.
    fn capture_late(
        &mut self,
        row: &BookedRow,
        before: AccountBefore<'_>,
    ) -> Result<FundMoves, String> {
        let seq = number(&row.change["hold"])?;
        // An account that could not be settled has no row for its expiry. Then this row ends it.
        let is_expired = self.open.get(&seq).is_some_and(|hold| hold.expires_at <= row.at);
        if is_expired {
            self.end(seq, HoldEnd::Expired)?;
        }
        ensure!(!self.open.contains_key(&seq), "hold {seq} is captured late and open");
        let hold = self.ended.get_mut(&seq).ok_or_else(|| format!("hold {seq} was never made"))?;
        ensure!(hold.end != HoldEnd::Captured, "hold {seq} is captured late, and was captured");
        ensure!(!hold.is_captured_late, "hold {seq} is captured late twice");
        let ends = hold.end == HoldEnd::Closed || is_expired;
        ensure!((row.change["ends"] == "yes") == ends, "the hold was {:?}", hold.end);
        hold.is_captured_late = true;
        let mut wallet = Wallet::at(before.funds, row.at);
        let lines = captured(row, before, hold, &mut wallet)?;
        self.captures.push(CaptureBook::of(row, seq, lines, CaptureKind::Late)?);
        Ok(wallet.moves())
    }

    /// Nothing is held of an account that is closed.
    pub fn close(&mut self) {
        for (seq, hold) in std::mem::take(&mut self.open) {
            let hold = HoldBook { end: HoldEnd::Closed, shares: HeldShares::new(), ..hold };
            self.ended.insert(seq, hold);
        }
    }

    /// No grant keeps more for holds than it has. What a refund, a dispute or a correction takes comes
    /// from free credit first, then from holds, the newest first. `funds` are those after the row.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn cut(&mut self, row: &BookedRow, funds: &FundBooks) -> Result<(), String> {
        let takes =
            ["refund", "refund_pending", "dispute", "correction"].contains(&row.kind.as_str());
        let taken = row.moves()?.get(&PAID).map_or(0, |moved| -moved.amount);
        let now = if row.event["y"].is_null() { i64::MIN } else { row.at };
        let mut excess = self.held_at(now);
        for (fund, excess) in &mut excess {
            if *fund == PAID {
                // Usage may have gone below zero before, and took nothing from holds.
                let missing = (*excess - funds.paid).min(*excess);
                *excess = if takes { missing.min(taken) } else { 0 };
            } else {
                *excess -= funds.grants.get(fund).map_or(0, |grant| grant.left);
            }
        }
        excess.retain(|_, excess| *excess > 0);
        let mut expected = BTreeMap::new();
        for (seq, hold) in self.open.iter_mut().filter(|(_, hold)| hold.expires_at > now).rev() {
            let before = hold.shares.clone();
            for (fund, part) in &mut hold.shares {
                let excess = excess.entry(*fund).or_default();
                let cut = (*excess).min(*part);
                *excess -= cut;
                *part -= cut;
            }
            hold.shares.retain(|(_, part)| *part > 0);
            if hold.shares != before {
                expected.insert(*seq, hold.shares.clone());
            }
        }
        let mut cuts = BTreeMap::new();
        for cut in array(&row.event["h"]) {
            cuts.insert(number(&cut["q"])?, shares_of(&cut["f"])?);
        }
        ensure!(cuts == expected, "{cuts:?} is left of holds, not {expected:?}");
        Ok(())
    }

    /// The stored state has the same holds.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_state(&self, state: &Value) -> Result<(), String> {
        let mut stored = Vec::new();
        for hold in array(&state["h"]) {
            stored.push((number(&hold["q"])?, hold["x"].as_i64(), shares_of(&hold["f"])?));
        }
        let open = self.open.iter();
        let expected: Vec<(u64, Option<i64>, HeldShares)> =
            open.map(|(seq, one)| (*seq, Some(one.expires_at), one.shares.clone())).collect();
        ensure!(stored == expected, "{expected:?} are open, and the state says {stored:?}");
        Ok(())
    }
}

/// The end of a hold that a row makes or extends.
fn expiry(row: &BookedRow) -> Result<i64, String> {
    let expires_at = row.change["expires_at"].as_i64().ok_or("a hold without end")?;
    let seconds = expires_at - row.at;
    ensure!((1..=LONGEST_SECONDS).contains(&seconds), "a hold for {seconds} seconds");
    Ok(expires_at)
}

/// Past its end a hold keeps nothing, written or not. A row may have a later time than its request:
/// that of the row before.
fn check_lasts(hold: &HoldBook, row: &BookedRow, last_at: i64) -> Result<(), String> {
    let lasts = row.at < hold.expires_at || row.at == last_at;
    ensure!(lasts, "a hold pays at {}, and ended at {}", row.at, hold.expires_at);
    Ok(())
}

/// What was used costs the price of the row's hour, and is paid by what the hold keeps, then by free
/// credit, then below zero.
fn captured(
    row: &BookedRow,
    before: AccountBefore<'_>,
    hold: &mut HoldBook,
    wallet: &mut Wallet,
) -> Result<Vec<CapturedLine>, String> {
    let stored = array(&row.change["lines"]);
    ensure!(stored.len() <= LINES_MAX, "a capture has {} lines", stored.len());
    let hour = row.at - row.at.rem_euclid(HOUR);
    let mut lines = Vec::new();
    for line in stored {
        let sku = line["s"].as_str().unwrap_or_default();
        ensure!(line["p"] == hold.project.as_str(), "a hold pays for another project");
        ensure!(hold.skus.contains(sku), "a hold pays for {sku}, and is not for it");
        ensure!(line["o"] == hour && line["f"] == "0", "a capture is not of the hour {hour}");
        let units = scaled(line["t"].as_str().unwrap_or_default(), 12)?;
        ensure!(units >= 0, "{units} are used");
        let price = before.prices.at(sku, hour + HOUR - 1);
        let rate = price.or_else(|_| before.prices.at(sku, row.at))?.rate;
        ensure!(hourly_rate(&line["r"])? == rate, "a capture has another price than {rate}");
        // Rates and quantities have twelve decimals each, and amounts have six.
        let exact = rate.checked_mul(units).ok_or("a quantity beyond bounds")?;
        let amount = divide(exact, 10_i128.pow(18));
        ensure!(micros(&line["a"])? == -amount, "a capture costs {amount}");
        let mut shares = wallet.pay_held(&mut hold.shares, amount);
        let rest = amount + sum(&shares);
        shares.extend(in_order(wallet.pay_beyond(sku, rest), before.funds));
        let paid = shares_of(&line["h"])?;
        ensure!(paid == shares, "a capture is paid by {paid:?}, not {shares:?}");
        lines.push(CapturedLine { sku: sku.to_owned(), units, rate, amount });
    }
    Ok(lines)
}

/// Shares in the order in which their funds pay.
fn in_order(mut shares: FundShares, funds: &FundBooks) -> HeldShares {
    let order = funds.in_order().into_iter().chain([PAID]);
    order.filter_map(|fund| shares.remove_entry(&fund)).collect()
}

impl CaptureBook {
    fn of(
        row: &BookedRow,
        hold: u64,
        lines: Vec<CapturedLine>,
        kind: CaptureKind,
    ) -> Result<Self, String> {
        // The route comes before the key.
        let key = row.event["y"]["request"]["k"].as_str();
        let key = key.map(|key| key.split_once(':').map_or(key, |(_, key)| key).to_owned());
        Ok(Self {
            seq: row.seq,
            hold,
            key,
            lines,
            amount: -row.amount,
            kind,
            balance: row.balance,
            available: available_in(&row.state)?,
        })
    }
}

impl HoldEnd {
    /// Whether an answer may have shown a hold so that ended like this.
    #[must_use]
    pub fn may_be_shown_as(self, status: &str) -> bool {
        let shown = match self {
            // By then its time was over, and no row said so.
            HoldEnd::Open | HoldEnd::Expired => "expired",
            HoldEnd::Captured => "captured",
            HoldEnd::Released => "released",
            HoldEnd::Closed => return status != "captured",
        };
        status == shown || status == "open"
    }
}
