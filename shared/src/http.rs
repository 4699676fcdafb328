//! The HTTP API: how a request is read, what every route does the same way, and how errors are
//! answered.

#[cfg(feature = "http")]
mod body;
#[cfg(feature = "http")]
pub mod call;
#[cfg(feature = "http")]
pub mod caller;
#[cfg(feature = "http")]
pub mod function;
#[cfg(all(feature = "http", feature = "shell"))]
pub mod handler;
#[cfg(all(feature = "http", feature = "stripe"))]
pub mod payments;
pub mod problem;
#[cfg(all(feature = "http", feature = "shell"))]
pub mod transactions;
