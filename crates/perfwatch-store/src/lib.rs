//! The embedded time-series store.
#![allow(missing_docs)]

mod answer;
mod backup;
mod bytes;
mod check;
mod chunk;
mod column;
mod compact;
pub mod disk;
mod error;
mod event;
mod file;
mod group;
mod info;
mod join;
mod layout;
mod parts;
mod plan;
mod reader;
mod recent;
mod record;
mod recover;
mod restore;
mod retention;
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
pub use reader::{MAX_POINTS, RawGroup, Reader};
pub use recent::{GroupRow, Health, MAX_SERIES, MEMORY_NS, Row};
pub use record::FORMAT;
pub use recover::Found;
pub use retention::Options;
pub use rows::{GroupRows, RawChunk};
pub use store::Store;
pub use summary::Summary;
