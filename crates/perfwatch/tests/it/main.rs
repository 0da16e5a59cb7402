//! The real binary: what it prints, what it serves, and what it survives.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod access;
mod answers;
mod clock;
mod commands;
mod connections;
mod contract;
mod database;
mod deadlines;
mod document;
mod faults;
mod flood;
mod history;
mod host_events;
mod http;
mod live;
mod memory;
mod own;
mod package;
mod parity;
mod perf;
mod perf_stat;
mod process;
mod prometheus;
mod restless_host;
mod roles;
mod secrets;
mod settings;
mod storage_faults;
mod systemd;
mod tls;
mod together;
mod unix_socket;
mod verdict;
