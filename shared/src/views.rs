//! Rows as customers and other systems see them. Each view is a pure function of rows.

pub mod budget;
pub mod customer_notice;
pub mod domain_event;
mod event_detail;
mod family;
pub mod needs;
pub mod price_display;
pub mod spending;
pub mod transaction;
mod transaction_type;
