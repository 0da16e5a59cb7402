//! How much there is, of what, and how fast it grows.

use std::collections::{HashMap, HashSet};
use std::io;

use crate::backup::{Opened, distinct};
use crate::check::is_set_aside;
use crate::error::{Error, Result};
use crate::file::{FileKind, TIERS};
use crate::layout::{Kind, PageId, Series};
use crate::opener::{Body, Opener};
use crate::reader::Reader;

/// How much there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Each tier.
    pub tiers: [TierInfo; TIERS.len()],
    /// Bytes of everything, files that were set aside included.
    pub bytes: u64,
    /// Series of raw rows.
    pub series: u64,
    /// Series of the newest raw row.
    pub series_now: u64,
    /// Events.
    pub events: u64,
    /// Bytes that are known to be damaged. Of files with an index, nobody has looked: see [`Reader::check`].
    pub damaged_bytes: u64,
    /// Files that a start set aside because nothing in them could be read.
    pub set_aside: Vec<String>,
    /// Bytes that may still be written where it is, and bytes there are in all.
    pub space: (u64, u64),
}

/// How much there is of one tier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TierInfo {
    /// Files. Of a backup, 1 for each tier that is in it.
    pub files: u64,
    /// Their bytes; of a backup, those of the tier's chunks.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Places for a value: rows times series.
    pub values: u64,
    /// Least and greatest time of a row.
    pub times: Option<(i64, i64)>,
    /// Nanoseconds that the rows cover, without the time when nothing was recorded.
    pub covered: u64,
}

impl Reader {
    /// Says how much there is. Reads heads and times, no values.
    pub fn info(&self) -> Result<Info> {
        let disk = self.disk()?;
        let doing = || Error::io("reading", disk.path());
        let mut info = Info { space: disk.space().map_err(doing())?, ..Info::default() };
        for name in disk.list().map_err(doing())? {
            // A file that just went counts no more.
            info.bytes += disk.open(&name).and_then(|file| file.length()).unwrap_or_default();
            if is_set_aside(&name) {
                info.set_aside.push(name);
            }
        }
        info.set_aside.sort_unstable();
        let files = Opened::all(&*disk)?;
        for file in &files {
            let index = &file.index;
            info.damaged_bytes += index.damaged_bytes;
            for (number, tier) in (0_u8..).zip(&mut info.tiers) {
                let chunks = || index.chunks.iter().filter(|meta| meta.tier == number);
                let is_its = match file.name.kind {
                    FileKind::Hot(of) | FileKind::Segment(of) => of == number,
                    FileKind::Bundle => chunks().next().is_some(),
                    FileKind::Events => false,
                };
                tier.files += u64::from(is_its);
                tier.bytes += match file.name.kind {
                    FileKind::Bundle => {
                        chunks().map(|meta| meta.head_length + meta.body_length).sum()
                    }
                    _ if is_its => index.walked + index.loose_bytes,
                    _ => 0,
                };
            }
        }
        info.events = crate::backup::events(&*disk, &files)?.len() as u64;
        let mut lists = Lists::default();
        let mut opener = Opener::new().map_err(doing())?;
        for (number, tier) in (0_u8..).zip(&mut info.tiers) {
            tier.look(&files, number, &mut lists, &mut opener).map_err(doing())?;
        }
        info.series = lists.series.len() as u64;
        info.series_now = lists.newest;
        Ok(info)
    }
}

/// The series of raw rows.
#[derive(Default)]
struct Lists {
    series: HashSet<Series>,
    /// How many series with values a list has, in rollups or not.
    lengths: HashMap<(bool, PageId), u64>,
    /// Series of the chunk that was looked at last.
    newest: u64,
}

impl Lists {
    /// Takes in a list, and says how many of its series have values in a tier: a ratio has some in rollups alone.
    fn take_in<'a>(&mut self, list: impl Iterator<Item = &'a Series>, tier: u8) -> u64 {
        let has_values = |series: &&Series| tier > 0 || !matches!(series.kind, Kind::Ratio { .. });
        let mut count = 0;
        for series in list.filter(has_values) {
            count += 1;
            if tier == 0 {
                self.series.insert(series.clone());
            }
        }
        count
    }
}

impl TierInfo {
    fn look(
        &mut self,
        files: &[Opened],
        tier: u8,
        lists: &mut Lists,
        opener: &mut Opener,
    ) -> io::Result<()> {
        for (number, meta) in distinct(files, tier) {
            let Some(file) = files.get(number) else { continue };
            self.rows += meta.rows;
            let (min, max) = self.times.unwrap_or((meta.min_time, meta.max_time));
            self.times = Some((min.min(meta.min_time), max.max(meta.max_time)));
            let Some((head, offset)) = meta.head(&*file.file)? else { continue };
            let body = Body::File { file: &*file.file, offset };
            let (mut covered, mut series) = (0, 0);
            for group in &head.groups {
                let mut in_group = 0;
                for id in group.pages() {
                    let list = (tier > 0, id);
                    let known = lists.lengths.get(&list).copied();
                    in_group += match known {
                        Some(known) => known,
                        None => {
                            let page = file.index.page(&*file.file, id)?;
                            let all =
                                lists.take_in(page.iter().flat_map(|page| &page.series), tier);
                            *lists.lengths.entry(list).or_insert(all)
                        }
                    };
                }
                self.values += in_group * group.rows as u64;
                series += in_group;
                if let Some(axis) = opener.axis(&body, group)? {
                    let sum = axis.covered.iter().fold(0_u64, |sum, one| sum.saturating_add(*one));
                    covered = covered.max(sum);
                }
            }
            self.covered = self.covered.saturating_add(covered);
            if tier == 0 {
                lists.newest = series;
            }
        }
        Ok(())
    }
}
