//! A backup as the files of a directory, from which a server goes on.
//!
//! Raw rows that no rollup has yet, in chunks too short for a block, become a hot file: the next start joins them to
//! blocks with what follows, as it does after a crash. Everything else becomes segments.

use std::path::Path;

use crate::backup::{Copied, Opened, copy, distinct, events, pieces};
use crate::disk::{Directory, Disk};
use crate::error::{Error, Result};
use crate::file::{FileKind, FileName, TIERS};
use crate::output::Output;
use crate::reader::Reader;
use crate::retention::{Limits, Options};
use crate::writer::{EVENT_FILE_BYTES, SHORT_BLOCK_ROWS};

impl Reader {
    /// Writes what this reads to a directory, which is made where there is none. Fails when there is history in it, and
    /// when another process has it; what was written until a failure is removed. There is all of it or nothing, also after
    /// a crash.
    pub fn restore(&self, path: &Path, options: &Options) -> Result<Copied> {
        let disk = self.disk()?;
        let directory = Directory::own(path)?;
        let names = directory.list().map_err(Error::io("reading", path))?;
        if let Some(name) = names.iter().find(|name| FileName::parse(name).is_some()) {
            return Err(Error::Refused {
                path: path.to_owned(),
                reason: format!("there is history in it already, such as {name}"),
            });
        }
        let files = Opened::all(&*disk)?;
        let mut restoring = Restoring {
            to: &directory,
            files: &files,
            limits: Limits::new(options.clone()),
            next_number: 1,
            copied: Copied::default(),
        };
        let doing = || Error::io("restoring to", path);
        directory.begin_restoring().map_err(doing())?;
        let done = restoring
            .tiers()
            .and_then(|()| restoring.events(&events(&*disk, &files)?))
            .and_then(|()| directory.restored().map_err(doing()));
        if done.is_err() {
            // What stays is removed by whoever opens the directory next.
            let _ = directory.remove_restored();
        }
        done.map(|()| restoring.copied)
    }
}

struct Restoring<'a> {
    to: &'a Directory,
    files: &'a [Opened],
    limits: Limits,
    next_number: u64,
    copied: Copied,
}

impl Restoring<'_> {
    fn create(&mut self, kind: FileKind) -> Result<Output> {
        let name = FileName { number: self.next_number, kind };
        self.next_number += 1;
        Output::create(self.to, name)
    }

    fn tiers(&mut self) -> Result<()> {
        let reached = distinct(self.files, 1).last().map_or(0, |(_, meta)| meta.last_seq);
        for tier in 0..TIERS.len() as u8 {
            let chunks = distinct(self.files, tier);
            let is_open = |(_, meta): &&(usize, crate::index::Meta)| {
                tier == 0 && meta.first_seq > reached && meta.rows < SHORT_BLOCK_ROWS as u64
            };
            let open = chunks.iter().rev().take_while(is_open).count();
            let (sealed, open) = chunks.split_at(chunks.len() - open);
            let mut output: Option<Output> = None;
            for piece in pieces(sealed) {
                let newest = piece.iter().map(|(_, meta)| meta.max_time).max().unwrap_or_default();
                let full = |output: &Output| self.limits.is_full(tier, output, newest);
                if output.as_ref().is_some_and(full) {
                    output.take().map_or(Ok(()), |output| self.finish(output))?;
                }
                let mut segment = match output.take() {
                    Some(output) => output,
                    None => self.create(FileKind::Segment(tier))?,
                };
                self.copied.damaged += copy(self.to, &mut segment, self.files, piece)?;
                output = Some(segment);
            }
            output.map_or(Ok(()), |output| self.finish(output))?;
            if !open.is_empty() {
                let mut hot = self.create(FileKind::Hot(tier))?;
                for piece in pieces(open) {
                    self.copied.damaged += copy(self.to, &mut hot, self.files, piece)?;
                }
                self.copied.bytes += hot.length();
            }
            if let Some(rows) = self.copied.rows.get_mut(usize::from(tier)) {
                *rows = chunks.iter().map(|(_, meta)| meta.rows).sum();
            }
        }
        Ok(())
    }

    fn finish(&mut self, output: Output) -> Result<()> {
        self.copied.bytes += output.length();
        output.finish(self.to)
    }

    fn events(&mut self, events: &[crate::event::Event]) -> Result<()> {
        let mut bytes = Vec::new();
        for (number, event) in events.iter().enumerate() {
            event.put(&mut bytes);
            if bytes.len() as u64 >= EVENT_FILE_BYTES || number + 1 == events.len() {
                let mut output = self.create(FileKind::Events)?;
                output.write(self.to, &bytes)?;
                self.copied.bytes += output.length();
                bytes.clear();
            }
        }
        self.copied.events = events.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::layout::{Kind, Layout, Series};
    use crate::row::{GroupRow, Row};
    use crate::store::Store;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_restored_history_is_there_as_a_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (data, backup, to) =
            (dir.path().join("data"), dir.path().join("backup"), dir.path().join("to"));
        let store = Store::open(&data, Options::default(), |_, _| Vec::new()).unwrap();
        let layout = Layout::new("g", [Series { name: "a".into(), kind: Kind::Gauge }]);
        for number in 0..2000 {
            let (layout, values) = (Arc::clone(&layout), vec![Some(number)]);
            let groups = vec![GroupRow { layout, covered: 0, values }];
            store.append(Row { time: number * 5_000_000_000, groups });
        }
        assert!(store.close(PATIENCE));
        Reader::open(&data).unwrap().backup(&backup, false).unwrap();
        let reader = Reader::open(&backup).unwrap();
        let whole = reader.extent().unwrap();
        assert!(whole.len() > 1, "{whole:?}");
        // Killed before every file was there: what is there looks like a history.
        let restored = |what: &str| {
            reader.restore(&to, &Options::default()).unwrap();
            assert_eq!(Reader::open(&to).unwrap().extent().unwrap(), whole, "{what}");
            Directory::read(&to).unwrap().begin_restoring().unwrap();
            assert_eq!(Reader::open(&to).unwrap().extent().unwrap(), [], "{what}");
        };
        restored("in a directory that was not there");
        restored("after an attempt that was cut off");
        let store = Store::open(&to, Options::default(), |_, _| Vec::new()).unwrap();
        assert!(store.close(PATIENCE));
        drop(store);
        let names = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["lock"]);
        reader.restore(&to, &Options::default()).unwrap();
    }
}
