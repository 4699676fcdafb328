//! What the platform reported of metered usage, as a measure for what is billed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

/// How long a level counts without another report, in seconds.
const LEVEL_SECONDS_MAX: u64 = 72 * HOUR;
const HOUR: u64 = 3_600;
/// The clocks of the platform and of Tollgate may be so many seconds apart, at both ends.
const CLOCKS_APART: u64 = 120;

/// The reports of all accounts. Each account is reported in one of the three ways.
#[derive(Debug, Default)]
pub struct ReportedUsage {
    accounts: BTreeMap<String, MeterReports>,
}

/// The reports for one account, in whole units.
#[derive(Debug, Default)]
struct MeterReports {
    sent: UnitsReported,
    /// Those with an answer. The others may have been counted or not.
    answered: UnitsReported,
}

#[derive(Debug, Default)]
struct UnitsReported {
    /// What each counter showed last. A process that restarts begins a new one.
    readings: BTreeMap<String, u64>,
    /// The sum of what was used by reports with an ID, each once.
    used: u64,
    ids: BTreeSet<String>,
    /// The level of a gauge that never changes, and when it was reported, in Unix seconds.
    level: u64,
    levels_at: BTreeSet<u64>,
}

impl ReportedUsage {
    /// Notes a report that is about to be sent.
    pub fn sent(&mut self, account: &str, report: &Value) {
        self.accounts.entry(account.to_owned()).or_default().sent.add(report);
    }

    /// Notes a report that was answered with success.
    pub fn answered(&mut self, account: &str, report: &Value) {
        self.accounts.entry(account.to_owned()).or_default().answered.add(report);
    }

    /// The least and the most that must be billed of an account, in units.
    #[must_use]
    pub fn bounds(&self, account: &str) -> (u64, u64) {
        let reports = self.accounts.get(account);
        reports.map_or((0, 0), |MeterReports { sent, answered }| {
            let least = answered.kept_seconds().saturating_sub(CLOCKS_APART);
            let most = sent.kept_seconds() + CLOCKS_APART;
            let kept = |seconds: u64| sent.level * seconds;
            (answered.total() + kept(least) / HOUR, sent.total() + kept(most).div_ceil(HOUR))
        })
    }
}

impl UnitsReported {
    fn add(&mut self, report: &Value) {
        let units = |name: &str| report[name].as_str().and_then(|text| text.parse::<u64>().ok());
        if let Some(reading) = units("reading") {
            let counter = report["counter"].as_str().unwrap_or("main").to_owned();
            let known = self.readings.entry(counter).or_default();
            *known = reading.max(*known);
        }
        if let (Some(used), Some(id)) = (units("quantity"), report["id"].as_str())
            && self.ids.insert(id.to_owned())
        {
            self.used += used;
        }
        if let Some(level) = units("level") {
            self.level = level;
            let at = report["at"].as_str().and_then(|at| UtcDateTime::parse(at, &Rfc3339).ok());
            let seconds = at.and_then(|at| u64::try_from(at.unix_timestamp()).ok());
            self.levels_at.extend(seconds);
        }
    }

    /// How long the level was kept, from the first report to the last.
    fn kept_seconds(&self) -> u64 {
        let pairs = self.levels_at.iter().zip(self.levels_at.iter().skip(1));
        pairs.map(|(from, to)| (to - from).min(LEVEL_SECONDS_MAX)).sum()
    }

    fn total(&self) -> u64 {
        self.readings.values().sum::<u64>() + self.used
    }
}
