//! The store's promises, tested from outside: what it answers, what it survives, what it keeps.
#![allow(clippy::unwrap_used)]

mod damage;
mod edges;
mod format;
mod full;
mod kill;
mod load;
mod model;
mod power;
mod rng;
mod rollup;
mod sectors;
mod sim;
mod truth;
