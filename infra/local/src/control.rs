//! The control of a local cloud: by programs, by people and over `/local/…`.

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
