//! The subcommands, one file each.

pub(crate) mod capture;
pub(crate) mod catalog;
pub(crate) mod db;
pub(crate) mod definitions;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod history;
pub(crate) mod serve;
pub(crate) mod snapshot;
pub(crate) mod tls;
pub(crate) mod transfer;
pub(crate) mod user;
pub(crate) mod watch;
