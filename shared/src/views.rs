//! What rows mean to others. Each view is a pure function of rows.

pub mod domain_event;
pub mod spending;
pub mod transaction;
