//! The parts that every service needs.

use std::sync::Arc;

use crate::runtime::clock::Clock;
use crate::runtime::faults::Faults;
use crate::runtime::log::Log;

/// The clock, the active faults, and the log.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) clock: Arc<Clock>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) log: Arc<Log>,
}
