//! Tests of the simulator's parts.

mod comparison;
mod generator;
mod memory;
mod refusals;
mod sdk;
mod visibility;
