//! The services of AWS, as far as functions use them.

pub(crate) mod asynchronous;
pub(crate) mod aws_json;
pub(crate) mod dynamodb;
pub mod engine;
pub mod events;
pub(crate) mod gateway;
pub(crate) mod lambda;
pub(crate) mod message;
pub(crate) mod queues;
pub(crate) mod scheduler;
pub(crate) mod secrets;
pub(crate) mod services;
pub(crate) mod skips;
pub(crate) mod streams;
pub(crate) mod targets;
pub(crate) mod tokens;
