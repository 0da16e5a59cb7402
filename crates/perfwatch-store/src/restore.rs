//! A backup as the files of a directory, from which a server goes on.
//!
//! Raw rows that no rollup has yet, in chunks too short for a block, become a hot file: the next start joins them to
//! blocks with what follows, as it does after a crash. Everything else becomes segments.

use std::path::Path;

use crate::backup::{Copied, Opened, copy, distinct, events, pieces};
use crate::disk::{Directory, Disk};
use crate::error::{Error, Result};
use crate::file::{FileKind, FileName, Output, TIERS};
use crate::reader::Reader;
use crate::retention::{Limits, Options};
use crate::writer::{EVENT_FILE_BYTES, SHORT_BLOCK_ROWS};

impl Reader {
    /// Writes what this reads to a directory, which is made where there is none. Fails when there is history in it, and
    /// when another process has it; what was written until a failure is removed.
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
            names: Vec::new(),
            copied: Copied::default(),
        };
        let done = restoring.tiers().and_then(|()| restoring.events(&events(&*disk, &files)?));
        if done.is_err() {
            for name in &restoring.names {
                // Then it is in the way of the next attempt, which says so.
                let _ = directory.remove(&name.to_string());
            }
        }
        done.map(|()| restoring.copied)
    }
}

struct Restoring<'a> {
    to: &'a Directory,
    files: &'a [Opened],
    limits: Limits,
    /// Files that were made.
    names: Vec<FileName>,
    copied: Copied,
}

impl Restoring<'_> {
    fn create(&mut self, kind: FileKind) -> Result<Output> {
        let name = FileName { number: self.names.len() as u64 + 1, kind };
        self.names.push(name);
        Output::create(self.to, name)
    }

    fn tiers(&mut self) -> Result<()> {
        let reached = distinct(self.files, 1).last().map_or(0, |(_, meta)| meta.last_seq);
        for tier in 0..TIERS.len() as u8 {
            let chunks = distinct(self.files, tier);
            let is_open = |(_, meta): &&(usize, crate::file::Meta)| {
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
