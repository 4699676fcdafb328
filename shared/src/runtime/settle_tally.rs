//! Counts the results of settling many accounts, for the hourly and the minute run.

use serde::Serialize;

use crate::domain::ids::AccountId;
use crate::runtime::metrics::MetricsSummary;
use crate::store::{CommandError, SettleReport};

/// The results of settling several accounts. A failed account never stops the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SettleTally {
    pub accounts: u32,
    /// Rows that were due.
    pub found: u32,
    pub appended: u32,
    /// Rows that another worker had already appended.
    pub already_there: u32,
    /// Accounts whose last row is further ahead of this run than clock differences explain.
    pub clock_alarms: u32,
    /// Meters whose reading no row can bill.
    pub skipped: usize,
    pub failed: Vec<FailedAccount>,
}

/// An account that could not be settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedAccount {
    pub account: AccountId,
    pub why: String,
}

impl SettleTally {
    /// Counts one account, and logs failures and alarms.
    pub fn count(&mut self, account: &AccountId, settled: &Result<SettleReport, CommandError>) {
        self.accounts += 1;
        match settled {
            Ok(report) => {
                self.found += report.found;
                self.appended += report.appended;
                self.already_there += report.already_there;
                if report.is_clock_alarm() {
                    let seconds = report.clock_behind_seconds;
                    tracing::error!(alarm = "clock_behind", %account, seconds, "a clock is behind");
                    self.clock_alarms += 1;
                }
                if report.usage_skipped > 0 {
                    let entries = report.usage_skipped;
                    tracing::error!(alarm = "value_skipped", %account, entries, "usage cannot be billed");
                    self.skipped += entries;
                }
            }
            Err(error) => {
                tracing::error!(alarm = "account_failed", %account, fault = %error);
                let (account, why) = (account.clone(), error.to_string());
                self.failed.push(FailedAccount { account, why });
            }
        }
    }

    /// Counts accounts that were given up because the run's time was over, and logs each.
    pub fn count_unfinished(&mut self, accounts: Vec<AccountId>) {
        for account in accounts {
            let why = "the account was not settled in time".to_owned();
            tracing::error!(alarm = "account_failed", %account, fault = why);
            self.accounts += 1;
            self.failed.push(FailedAccount { account, why });
        }
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: SettleTally) {
        self.accounts += other.accounts;
        self.found += other.found;
        self.appended += other.appended;
        self.already_there += other.already_there;
        self.clock_alarms += other.clock_alarms;
        self.skipped += other.skipped;
        self.failed.extend(other.failed);
    }

    /// Adds the counts to the summary of a run.
    #[must_use]
    pub fn summarize(&self, summary: MetricsSummary) -> MetricsSummary {
        summary
            .field("found", self.found)
            .field("already_there", self.already_there)
            .field("clock_alarms", self.clock_alarms)
            .field("skipped", self.skipped)
            .count("Accounts", self.accounts)
            .count("Rows", self.appended)
            .count("Failed", self.failed.len())
    }
}
