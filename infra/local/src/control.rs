//! What steers a local cloud: programs, people and `/local/…`.

pub mod api;
pub mod arguments;
pub mod build;
pub(crate) mod cloud;
pub mod demo;
pub mod greeting;
pub(crate) mod routes;
pub mod seed;
pub(crate) mod webhooks;
pub(crate) mod world;

pub use routes::TokenRequest;
