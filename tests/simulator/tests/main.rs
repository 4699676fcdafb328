//! Tests of the simulator's parts.

fn main() {}
