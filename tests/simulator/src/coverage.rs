//! What many runs reached together, and what none of them did.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tollgate::domain::event::Change;
use tollgate::http::problem::ProblemCode;

use crate::faults::CallFault;

/// How often rows, refusals, calls and faults were reached.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    reached: BTreeMap<String, u64>,
}

impl Coverage {
    /// Adds what a run reached.
    pub fn add(&mut self, reached: &BTreeMap<String, u64>) {
        for (what, count) in reached {
            *self.reached.entry(what.clone()).or_default() += count;
        }
    }

    /// Kinds of rows that no run has.
    #[must_use]
    pub fn missing_rows(&self) -> BTreeSet<&'static str> {
        let names: BTreeSet<&str> = Change::names().collect();
        names.into_iter().filter(|name| !self.has("row", name)).collect()
    }

    /// Codes of refusals that no request got.
    #[must_use]
    pub fn missing_refusals(&self) -> BTreeSet<&'static str> {
        let codes = ProblemCode::ALL.iter().map(|code| code.name());
        codes.filter(|code| !self.has("refusal", code)).collect()
    }

    /// Faults that never met a call that some run made.
    #[must_use]
    pub fn missing_faults(&self) -> BTreeSet<String> {
        let sites = self.reached.keys().filter_map(|what| what.strip_prefix("call "));
        let pairs = sites.flat_map(|site| {
            CallFault::ALL.into_iter().map(move |fault| format!("{} at {site}", fault.name()))
        });
        pairs.filter(|pair| !self.has("fault", pair)).collect()
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        self.reached.contains_key(&format!("{kind} {name}"))
    }
}

/// Everything with its count, and then what is missing.
impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.reached {
            writeln!(formatter, "{count:>8}  {what}")?;
        }
        let list = |names: Vec<&str>| names.join(", ");
        let faults = self.missing_faults();
        writeln!(formatter, "no row: {}", list(self.missing_rows().into_iter().collect()))?;
        writeln!(formatter, "no refusal: {}", list(self.missing_refusals().into_iter().collect()))?;
        write!(formatter, "no fault: {}", list(faults.iter().map(String::as_str).collect()))
    }
}
