//! The embedded time-series store: integers in columns, in files that can be read again whatever happened to them.
//!
//! It knows series and integers. What they mean, and what the points are called, is the business of whoever uses it.
//!
//! # From a row to a point
//!
//! A [`Row`] is what was measured at one moment: groups of values, each group with the time that it covers, by
//! a clock that runs evenly. [`Store::append`] puts it into memory and never waits. Every few seconds one thread packs
//! the rows since the last time into a *chunk* and appends it to a *hot* file: a commit. When hundreds of rows have come
//! together they are joined to one chunk, a *block*, which goes to the end of a *segment*; then the hot file is removed.
//! The block is rolled up to minutes, which go the same way, and those to hours ([`TIERS`]).
//!
//! A [`Query`] asks for steps. Each point is a [`Summary`] of the rows in its step: count, least, greatest, sum, time covered,
//! and for counters the increase, reset-aware. Summaries are additive and exact, in integers, so it does not matter which
//! tier they come from; the planner takes the coarsest whose buckets the steps are made of, and finer ones for what
//! that does not have yet. Two rows at the same time, as after a clock was set back, both count.
//!
//! # The format, from the outside in
//!
//! - A directory has files; `file.rs` says which. Each is complete in itself.
//! - A file is a header and records (`record.rs`), each with a mark and a checksum. A file can be walked without its
//!   index, and beyond a damaged record.
//! - A chunk (`chunk.rs`) has groups; a group has one axis and pages of columns; each of those is compressed and has a
//!   checksum of its own. It names the raw rows that it stands for, by number: whatever is there twice is seen by that.
//! - A column (`column.rs`) is the values of one series, as differences.
//! - Lists of series (`layout.rs`) stand in a file once and are called by a number made from their content.
//!
//! # What is promised
//!
//! Opening succeeds whatever the directory holds, but for a newer format and another writer. What
//! [`Store::flush`] or [`Health::durable_seq`] acknowledged survives kill -9 and power cuts. A damaged byte costs what has its
//! checksum, never a wrong value. Files that cannot be read are set aside, never deleted. While the disk is full, slow or
//! gone, rows wait in memory and can be asked for.

mod answer;
mod axis;
mod backup;
mod bytes;
mod check;
mod chunk;
mod column;
mod compact;
mod decode;
pub mod disk;
mod error;
mod event;
mod file;
mod group;
mod index;
mod info;
mod join;
mod layout;
mod opener;
mod output;
mod parts;
mod plan;
mod reader;
mod recent;
mod record;
mod recover;
mod restore;
mod retention;
mod row;
mod rows;
mod store;
mod summary;
mod writer;

pub use answer::{Answer, MAX_SERIES_PER_QUERY, Query};
pub use backup::Copied;
pub use check::{Checked, Damage};
pub use compact::{Compacted, compact};
pub use error::{Error, Result};
pub use event::Event;
pub use file::{TIERS, Tier};
pub use info::{Info, TierInfo};
pub use layout::{Kind, Layout, MAX_NAME_BYTES, Series};
pub use plan::Resolution;
pub use reader::{MAX_POINTS, Reader};
pub use recent::{Health, MEMORY_NS};
pub use record::FORMAT;
pub use recover::Found;
pub use retention::Options;
pub use row::{GroupRow, MAX_SERIES, Row};
pub use rows::{GroupRows, RawChunk};
pub use store::Store;
pub use summary::Summary;
