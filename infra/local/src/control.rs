//! What steers a local cloud: programs, people and `/local/…`.

pub mod api;
pub mod arguments;
pub mod build;
mod clock_move;
pub(crate) mod cloud;
pub mod demo;
pub mod greeting;
mod job;
pub(crate) mod routes;
pub mod seed;
mod stripe;
mod world;

pub use routes::TokenRequest;
