//! The real binary: what it prints, what it serves, and what it survives.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod answers;
mod commands;
mod database;
mod faults;
mod history;
mod http;
mod live;
mod parity;
mod perf;
mod perf_stat;
mod process;
mod storage_faults;
