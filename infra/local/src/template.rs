//! The deployed CloudFormation template: how it is read, and what it connects.

pub(crate) mod document;
pub mod expression;
pub(crate) mod http_api;
pub mod pattern;
mod reading;
pub(crate) mod resolve;
pub mod wiring;

pub use document::{Template, TemplateError};
pub use resolve::Resolver;
