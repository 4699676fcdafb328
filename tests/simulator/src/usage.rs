//! What the platform reported of metered usage, as a measure for what is billed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The reports of all accounts. Each account is reported in one of the two ways.
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
    /// What a counter showed last.
    reading: u64,
    /// The sum of what was used by reports with an ID, each once.
    used: u64,
    ids: BTreeSet<String>,
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
        reports.map_or((0, 0), |reports| (reports.answered.total(), reports.sent.total()))
    }
}

impl UnitsReported {
    fn add(&mut self, report: &Value) {
        let units = |name: &str| report[name].as_str().and_then(|text| text.parse().ok());
        self.reading = self.reading.max(units("reading").unwrap_or(0));
        if let (Some(used), Some(id)) = (units("quantity"), report["id"].as_str())
            && self.ids.insert(id.to_owned())
        {
            self.used += used;
        }
    }

    fn total(&self) -> u64 {
        self.reading + self.used
    }
}
