//! Files in, snapshot out.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests stand outside the door")]

mod allocation;
mod bad_input;
mod fixtures;
mod guest;
mod hosts;
mod pmu;
