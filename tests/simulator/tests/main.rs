//! Tests of the simulator's parts.

mod comparison;
mod generator;
mod refusals;
mod sdk;
mod visibility;
