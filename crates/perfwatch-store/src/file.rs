//! The files of a store, by their names.
//!
//! | name | holds |
//! |---|---|
//! | `raw-00000007.hot` | what was committed since the newest block, a few rows a chunk |
//! | `raw-00000003.seg` | blocks of hundreds of rows, oldest first |
//! | `1m-….hot`, `1m-….seg`, `1h-….hot`, `1h-….seg` | the same for the rollups |
//! | `00000005.events` | what happened |
//! | `….corrupt-<time>` | a file in which nothing could be read, set aside |
//!
//! A backup is a file of any name that has all of this, of every tier.
//!
//! Numbers grow over all files together and are not used twice, so the later of two files has the greater. A file has
//! every list of series that its chunks refer to. Lists are repeated now and then in a segment, so that no single spot
//! that goes bad takes a whole file with it; a finished segment ends with an index.

use std::fmt;

/// A resolution that is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Tier {
    /// `raw`, `1m`, `1h`.
    pub name: &'static str,
    /// Nanoseconds of a bucket. 0 for raw rows.
    pub width: i64,
}

/// Every resolution that is kept, the finest first. Each width divides the next.
pub const TIERS: [Tier; 3] = [
    Tier { name: "raw", width: 0 },
    Tier { name: "1m", width: 60_000_000_000 },
    Tier { name: "1h", width: 3_600_000_000_000 },
];

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FileKind {
    Hot(u8),
    Segment(u8),
    Events,
    /// A backup: everything in one file, which is not in a directory of a store.
    Bundle,
}

/// What the file of a backup is called on its disk. No directory has such a name.
pub(crate) const BUNDLE: &str = "/";

/// A file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileName {
    pub(crate) number: u64,
    pub(crate) kind: FileKind,
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tier = |tier: u8| TIERS.get(usize::from(tier)).map_or("", |tier| tier.name);
        match self.kind {
            FileKind::Hot(number) => write!(f, "{}-{:08}.hot", tier(number), self.number),
            FileKind::Segment(number) => write!(f, "{}-{:08}.seg", tier(number), self.number),
            FileKind::Events => write!(f, "{:08}.events", self.number),
            FileKind::Bundle => f.write_str(BUNDLE),
        }
    }
}

impl FileName {
    /// What a name says. None for a file that is not the store's.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        // What would be written otherwise is somebody else's.
        Self::understand(name).filter(|known| known.to_string() == name)
    }

    fn understand(name: &str) -> Option<Self> {
        if name == BUNDLE {
            return Some(Self { number: 0, kind: FileKind::Bundle });
        }
        let (stem, extension) = name.rsplit_once('.')?;
        if extension == "events" {
            return Some(Self { number: stem.parse().ok()?, kind: FileKind::Events });
        }
        let (tier, number) = stem.split_once('-')?;
        let tier = u8::try_from(TIERS.iter().position(|known| known.name == tier)?).ok()?;
        let kind = match extension {
            "hot" => FileKind::Hot(tier),
            "seg" => FileKind::Segment(tier),
            _ => return None,
        };
        Some(Self { number: number.parse().ok()?, kind })
    }
}
