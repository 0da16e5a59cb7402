//! Reads every byte and says what is damaged.

use std::collections::HashSet;
use std::io;

use crate::disk::{Disk, Source};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::file::{FileKind, FileName, TIERS};
use crate::index::{FileIndex, Meta, read_page};
use crate::layout::PageId;
use crate::opener::{Body, Opener};
use crate::reader::Reader;
use crate::record::{FILE_HEADER_BYTES, FORMAT, RecordKind, file_format, is_cut_off, walk};

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that verify.
    pub records: u64,
    /// Frames that were opened.
    pub frames: u64,
    /// Damaged spots.
    pub damaged: u64,
    /// Files that end within a record, as a power cut leaves them and as they look while they are written, and how many
    /// bytes of it there are. What is in them was never said to be durable.
    pub cut_off: Vec<(String, u64)>,
    /// Files that a start set aside because nothing in them could be read.
    pub set_aside: Vec<String>,
}

/// A damaged spot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file's name; empty for a backup.
    pub file: String,
    /// Where in the file.
    pub offset: u64,
    /// How long.
    pub bytes: u64,
    /// What is lost, in words.
    pub what: String,
    /// The tier whose rows are lost. None when no rows are, or nobody knows.
    pub tier: Option<&'static str>,
    /// First and last time of what is lost, at most.
    pub times: Option<(i64, i64)>,
}

impl Reader {
    /// Reads everything and shows every damaged spot, file by file. Beside whoever writes too. Fails for a newer format.
    pub fn check(&self, mut each: impl FnMut(Damage)) -> Result<Checked> {
        let disk = self.disk()?;
        let mut checked = Checked::default();
        let mut opener = Opener::new().map_err(Error::io("reading", disk.path()))?;
        let mut names = disk.list().map_err(Error::io("reading", disk.path()))?;
        names.sort_unstable();
        for text in names {
            let Some(name) = FileName::parse(&text) else {
                if is_set_aside(&text) {
                    checked.set_aside.push(text);
                }
                continue;
            };
            let mut file = Checking {
                name,
                text: if name.kind == FileKind::Bundle { String::new() } else { text.clone() },
                checked: &mut checked,
                each: &mut each,
            };
            match file.check(&*disk, &mut opener) {
                // It was joined or its time had come.
                Err(error) if error.is_gone() => {}
                Err(Error::Io { cause, .. }) => {
                    file.say((0, 0), format!("it cannot be read: {cause}"), None, None);
                }
                other => other?,
            }
        }
        Ok(checked)
    }
}

/// Whether a start gave a file this name because nothing in it could be read.
pub(crate) fn is_set_aside(name: &str) -> bool {
    name.split_once(".corrupt-").is_some_and(|(name, _)| FileName::parse(name).is_some())
}

/// One file.
struct Checking<'a> {
    name: FileName,
    text: String,
    checked: &'a mut Checked,
    each: &'a mut dyn FnMut(Damage),
}

impl Checking<'_> {
    fn say(
        &mut self,
        (offset, bytes): (u64, u64),
        what: String,
        tier: Option<u8>,
        times: Option<(i64, i64)>,
    ) {
        let tier = tier.and_then(|tier| TIERS.get(usize::from(tier))).map(|tier| tier.name);
        self.checked.damaged += 1;
        (self.each)(Damage { file: self.text.clone(), offset, bytes, what, tier, times });
    }

    fn check(&mut self, disk: &dyn Disk, opener: &mut Opener) -> Result<()> {
        let doing = || Error::io("reading", disk.path_of(&self.name.to_string()));
        let (reading, at_gaps, at_chunks) = (doing(), doing(), doing());
        let file = disk.open(&self.name.to_string()).map_err(reading)?;
        let file = &*file;
        let format = file_format(file).map_err(doing())?;
        if let Some(found) = format.filter(|found| *found > FORMAT) {
            let path = disk.path_of(&self.name.to_string());
            return Err(Error::Newer { path, found, known: FORMAT });
        }
        let said = FileIndex::from_end(file).map_err(doing())?;
        let length = file.length().map_err(doing())?;
        self.checked.files += 1;
        self.checked.bytes += length;
        if length < FILE_HEADER_BYTES {
            self.checked.cut_off.push((self.text.clone(), length));
            return Ok(());
        }
        if format.is_none() {
            self.say(
                (0, FILE_HEADER_BYTES),
                "the file's header; nothing else".to_owned(),
                None,
                None,
            );
        }
        let mut found = FileIndex::default();
        let (mut gaps, mut nonsense, mut end) = (Vec::new(), Vec::new(), FILE_HEADER_BYTES);
        let checked = &mut *self.checked;
        walk(file, FILE_HEADER_BYTES, |record| {
            if record.offset > end {
                gaps.push((end, record.offset));
            }
            end = record.end();
            checked.records += 1;
            let chunks = found.chunks.len();
            found.take_in(&record);
            let is_sound = match record.kind {
                RecordKind::Chunk => found.chunks.len() > chunks,
                RecordKind::Event => Event::take(&record.head).is_some(),
                _ => true,
            };
            if !is_sound {
                nonsense.push((record.offset, record.end()));
            }
        })
        .map_err(at_gaps)?;
        for (start, end) in nonsense {
            self.say((start, end - start), "a record that makes no sense".to_owned(), None, None);
        }
        for (start, end) in gaps {
            self.gap((start, end), said.as_ref(), &found);
        }
        if end < length {
            if is_cut_off(file, end, length).map_err(Error::io("reading", disk.path()))? {
                self.checked.cut_off.push((self.text.clone(), length - end));
            } else {
                self.gap((end, length), said.as_ref(), &found);
            }
        }
        self.chunks(file, &found, opener).map_err(at_chunks)
    }

    /// A stretch in which no record verifies.
    fn gap(&mut self, (start, end): (u64, u64), said: Option<&FileIndex>, found: &FileIndex) {
        let within = |meta: &&Meta| (start..end).contains(&meta.offset);
        let spot = (start, end - start);
        if let Some(said) = said {
            let mut lost = false;
            for meta in said.chunks.iter().filter(within) {
                lost = true;
                let what = format!("{} rows", meta.rows);
                let spot = (meta.offset, meta.end() - meta.offset);
                self.say(spot, what, Some(meta.tier), Some((meta.min_time, meta.max_time)));
            }
            if !lost {
                self.say(spot, "something without rows".to_owned(), None, None);
            }
            return;
        }
        let tier = match self.name.kind {
            FileKind::Hot(tier) | FileKind::Segment(tier) => Some(tier),
            FileKind::Events => {
                self.say(spot, "events".to_owned(), None, None);
                return;
            }
            FileKind::Bundle => None,
        };
        // Nobody knows what it was: rows between those before and those after it, at most.
        let before = found.chunks.iter().rfind(|meta| meta.offset < start);
        let after = found.chunks.iter().find(|meta| meta.offset >= end);
        let times = before.zip(after).map(|(before, after)| (before.max_time, after.min_time));
        self.say(spot, "rows or a list of series".to_owned(), tier, times);
    }

    /// Every list of series and every frame.
    fn chunks(
        &mut self,
        file: &dyn Source,
        found: &FileIndex,
        opener: &mut Opener,
    ) -> io::Result<()> {
        let mut sound: HashSet<PageId> = HashSet::new();
        let mut lists: Vec<_> = found
            .pages
            .iter()
            .flat_map(|(id, offsets)| offsets.iter().map(|offset| (*offset, *id)))
            .collect();
        lists.sort_unstable();
        let mut damaged_lists = Vec::new();
        for (offset, id) in lists {
            match read_page(file, offset)?.filter(|page| page.id == id) {
                Some(_) => drop(sound.insert(id)),
                None => damaged_lists.push((offset, id)),
            }
        }
        for (offset, id) in damaged_lists {
            let again = if sound.contains(&id) { ", which stands elsewhere too" } else { "" };
            self.say((offset, 0), format!("a list of series{again}"), None, None);
        }
        for meta in &found.chunks {
            let Some((head, body_offset)) = meta.head(file)? else { continue };
            let mut damaged = Vec::new();
            let body = Body::File { file, offset: body_offset };
            self.checked.frames += opener.each_damaged(&body, &head, &mut |frame| {
                let group = frame.group;
                let what = match frame.page {
                    Some(_) => format!("{} rows of some series of {}", group.rows, group.name),
                    None => format!("{} rows of {}", group.rows, group.name),
                };
                let spot = (body_offset + frame.offset, frame.length as u64);
                damaged.push((spot, what, (group.min_time, group.max_time)));
            })?;
            for group in &head.groups {
                if group.pages().any(|id| !sound.contains(&id)) {
                    let what = format!(
                        "{} rows of some series of {}, for their names are lost",
                        group.rows, group.name
                    );
                    let spot = (meta.offset, meta.head_length);
                    damaged.push((spot, what, (group.min_time, group.max_time)));
                }
            }
            for (spot, what, times) in damaged {
                self.say(spot, what, Some(head.tier), Some(times));
            }
        }
        Ok(())
    }
}
