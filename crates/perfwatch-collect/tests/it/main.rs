//! Files in, snapshot out.

#![allow(clippy::print_stderr, reason = "what was skipped is said")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests stand outside the door")]

mod allocation;
mod bad_input;
mod fake_kernel;
mod fixtures;
mod guest;
mod hosts;
mod memory_live;
mod meters;
mod perf;
mod perf_live;
mod pmu;
mod waits;
