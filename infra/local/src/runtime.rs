//! The base of the local cloud: the clock, the agenda, the log, the record of calls and the faults.

pub(crate) mod agenda;
pub mod calls;
pub mod clock;
pub(crate) mod common;
pub mod faults;
pub(crate) mod http;
pub mod log;
pub mod names;
pub(crate) mod store;
pub(crate) mod sync;
