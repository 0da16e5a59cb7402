//! Things that happened: gaps, restarts, steps of the clock. Few, small, and kept as long as anything.

use std::io;

use crate::bytes::{Input, put, put_slice, zigzag};
use crate::disk::Source;
use crate::record::{FILE_HEADER_BYTES, RecordKind, put_record, walk};

/// Most bytes of an event's kind and of its detail. What is longer is cut off.
pub(crate) const MAX_EVENT_BYTES: usize = 16 << 10;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in nanoseconds since the epoch.
    pub time: i64,
    /// What: a word for programs.
    pub kind: String,
    /// The rest. The store does not look into it.
    pub detail: String,
}

impl Event {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let mut head = Vec::new();
        put(&mut head, zigzag(self.time));
        put_slice(&mut head, shortened(&self.kind).as_bytes());
        put_slice(&mut head, shortened(&self.detail).as_bytes());
        put_record(out, RecordKind::Event, &head, &[]);
    }

    /// What a record has for a head.
    pub(crate) fn take(head: &[u8]) -> Option<Self> {
        let mut input = Input(head);
        let time = input.signed()?;
        Some(Self { time, kind: input.text()?.to_owned(), detail: input.text()?.to_owned() })
    }
}

fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_EVENT_BYTES)).unwrap_or_default()
}

/// Shows every event of a file that can be read.
pub(crate) fn each_event(file: &dyn Source, mut each: impl FnMut(Event)) -> io::Result<()> {
    walk(file, FILE_HEADER_BYTES, |record| {
        if record.kind == RecordKind::Event {
            Event::take(&record.head).into_iter().for_each(&mut each);
        }
    })?;
    Ok(())
}
