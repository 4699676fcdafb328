//! Whether an account may run anything, and until when it is kept.

use serde_json::{Value, json};

use super::amounts::{Micros, micros};
use super::ensure;
use super::owed::GRACE_SECONDS;
use super::row::{BookedRow, array};

const DAY: i64 = 24 * 3_600;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StandingBook {
    #[default]
    Good,
    Suspended {
        as_of: i64,
        is_by_staff: bool,
        delete_at: Option<i64>,
        warn_at: Option<i64>,
        /// What was left available. Only more than that ends the suspension.
        floor: Micros,
    },
    Deleting {
        floor: Micros,
    },
    Deleted {
        floor: Micros,
    },
    Closed,
}

/// The account before a change of its standing.
#[derive(Clone, Copy, Debug)]
pub struct StandingFacts {
    /// The balance without what is held.
    pub available: Micros,
    pub owed: Micros,
    pub is_frozen: bool,
    pub has_trial: bool,
    /// Whether a deletion would delete anything.
    pub keeps_anything: bool,
}

impl StandingBook {
    #[must_use]
    pub fn floor(&self) -> Micros {
        match self {
            Self::Suspended { floor, .. } | Self::Deleting { floor } | Self::Deleted { floor } => {
                *floor
            }
            Self::Good | Self::Closed => 0,
        }
    }

    /// `available` is what the account has after the row, without what is held.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(
        &mut self,
        row: &BookedRow,
        before: StandingFacts,
        available: Micros,
    ) -> Result<(), String> {
        match row.kind.as_str() {
            "suspended" => *self = self.suspended(row, before, available.max(0))?,
            "resumed" => self.check_resumed(row, before).map(|()| *self = Self::Good)?,
            "deletion_announced" => {
                let at = row.change["delete_at"].as_i64();
                let Self::Suspended { delete_at, warn_at, .. } = self else {
                    return Err("a deletion is announced, and nothing is suspended".to_owned());
                };
                let planned = delete_at.map(|planned| planned.max(row.at + DAY));
                ensure!(at == planned, "the deletion is announced for {at:?}, not {planned:?}");
                ensure!(warn_at.is_some_and(|warn_at| warn_at <= row.at), "it is announced early");
                (*delete_at, *warn_at) = (at, None);
            }
            "deleting" => {
                let Self::Suspended { delete_at, warn_at: None, floor, .. } = self else {
                    return Err(format!("a deletion is due of what is {self:?}"));
                };
                ensure!(delete_at.is_some_and(|at| at <= row.at), "it is deleted before its time");
                ensure!(before.available <= *floor, "what has credit is deleted");
                *self = Self::Deleting { floor: *floor };
            }
            "deleted" => {
                ensure!(matches!(self, Self::Deleting { .. }), "{self:?} is deleted");
                ensure!(before.available <= self.floor(), "what has credit is deleted");
                let is_expected = !array(&row.state["pp"]).is_empty();
                ensure!(!is_expected, "it is deleted while a payment is expected");
                ensure!(!row.state["r"]["o"].is_object(), "it is deleted beside an open refill");
                *self = Self::Deleted { floor: self.floor() };
            }
            "closed" => {
                ensure!(*self != Self::Closed, "what is closed is closed again");
                *self = Self::Closed;
            }
            "reopened" => {
                ensure!(*self == Self::Closed, "what is {self:?} is opened again");
                ensure!(row.state["er"].is_null(), "what was erased is opened again");
                *self = Self::Good;
            }
            "erased" => ensure!(*self == Self::Closed, "what is {self:?} is erased"),
            _ => {}
        }
        // A reason to wait with the deletion ended, and the customer is warned again.
        if let (Some(again), Self::Suspended { warn_at, .. }) = (row.event["a"].as_i64(), self) {
            *warn_at = Some(again);
        }
        Ok(())
    }

    fn suspended(
        &self,
        row: &BookedRow,
        before: StandingFacts,
        floor: Micros,
    ) -> Result<Self, String> {
        ensure!(*self == Self::Good, "what is {self:?} is suspended");
        let seconds = |name: &str| row.change[name].as_i64();
        let is_by_staff = row.change["reason"] == "staff";
        let (as_of, delete_at) = (seconds("as_of").ok_or("no end")?, seconds("delete_at"));
        // What was made in a trial only is not kept.
        let grace = delete_at.map(|delete_at| delete_at - row.at);
        let expected = (!is_by_staff && before.keeps_anything).then_some(GRACE_SECONDS);
        let is_trial = before.has_trial && before.keeps_anything && grace == Some(0);
        ensure!(grace == expected || is_trial, "the grace is {grace:?}, not {expected:?}");
        let warn_at = delete_at.map(|at| at - DAY).filter(|warn_at| *warn_at > row.at);
        ensure!(seconds("warn_at") == warn_at, "the deletion is announced at another time");
        ensure!(as_of <= row.at, "it is suspended ahead");
        ensure!(!is_by_staff || as_of == row.at, "staff suspends from {as_of} on");
        Ok(Self::Suspended { as_of, is_by_staff, delete_at, warn_at, floor })
    }

    /// Credit ends a suspension for lack of credit, once everything owed is paid. Staff end theirs.
    fn check_resumed(&self, row: &BookedRow, before: StandingFacts) -> Result<(), String> {
        let is_by_time = row.event["y"].is_null();
        match self {
            Self::Good => ensure!(is_by_time, "a command resumes what is not suspended"),
            Self::Closed => return Err("what is closed is resumed".to_owned()),
            Self::Suspended { is_by_staff: true, .. } => {
                ensure!(!is_by_time, "time ends a suspension by staff");
            }
            Self::Suspended { .. } | Self::Deleting { .. } | Self::Deleted { .. } => {
                ensure!(before.available > self.floor(), "it is resumed without new credit");
                ensure!(before.owed == 0, "it is resumed, and {} is owed", before.owed);
                ensure!(!before.is_frozen, "what is frozen is resumed");
            }
        }
        Ok(())
    }

    /// The stored state has the same standing.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_state(&self, state: &Value) -> Result<(), String> {
        let stored = &state["s"];
        let floor = self.floor();
        let is_same = match self {
            Self::Good => stored.is_null(),
            Self::Closed => *stored == "closed",
            Self::Deleting { .. } => micros(&stored["deleting"]["l"])? == floor,
            Self::Deleted { .. } => micros(&stored["deleted"]["l"])? == floor,
            Self::Suspended { as_of, is_by_staff, delete_at, warn_at, .. } => {
                let stored = &stored["suspended"];
                let reason = is_by_staff.then_some("staff");
                stored["o"] == *as_of
                    && stored["y"] == json!(reason)
                    && stored["x"] == json!(delete_at)
                    && stored["w"] == json!(warn_at)
                    && micros(&stored["l"])? == floor
            }
        };
        ensure!(is_same, "the account is {self:?}, and the state says {stored}");
        Ok(())
    }
}
