//! Rules on made windows: each one alone, several together, and whatever chance makes.

#![allow(clippy::unwrap_used, reason = "tests")]

mod chance;
mod each;
mod situation;
mod together;
