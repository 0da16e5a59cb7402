//! The store's promises, tested from outside: what it answers, what it survives, what it keeps.
#![allow(clippy::unwrap_used)]

mod load;
mod model;
mod rng;
mod sim;
mod truth;
