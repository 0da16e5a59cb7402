//! The records that every file of a store consists of, and how they are found again in a damaged one.
//!
//! A file begins with [`file_header`]. A record is a mark, its kind, the lengths of head and body, a checksum of all
//! this and the head, then head and body. The body has checksums of its own, in the head, one for each part that is read by
//! itself. So a file can be walked without reading the bodies, and where a record is damaged, the next mark at which a record
//! verifies is where reading goes on.

use std::io;

use crate::bytes::Input;
use crate::disk::Source;

/// The format this version writes; it knows all before it too. 2 brought columns above their least value (`column.rs`).
pub const FORMAT: u32 = 2;

const MAGIC: [u8; 8] = *b"PerfWtch";

/// Bytes of [`file_header`].
pub(crate) const FILE_HEADER_BYTES: u64 = 16;

/// Begins every record. Its first byte is no UTF-8 and no small varint, so data seldom looks like it.
const MARK: [u8; 4] = [0xd7, b'P', b'W', 0x1a];

/// Mark, kind, two lengths, checksum.
const PREFIX_BYTES: usize = 17;

/// Most bytes of a head: a chunk of 32,768 series has half a megabyte. A record that claims more is damaged.
pub(crate) const MAX_HEAD_BYTES: usize = 16 << 20;

/// Most bytes of a body: 600 rows of 32,768 series at 10 bytes each.
const MAX_BODY_BYTES: usize = 256 << 20;

/// How much is looked through at a time for the next mark.
const SEARCH_BYTES: usize = 64 << 10;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// A page's list of series.
    Page = 1,
    /// Rows.
    Chunk = 2,
    /// Something that happened.
    Event = 3,
    /// Where the records of a finished file are.
    Index = 4,
    /// Where the index is. The last record of a finished file.
    End = 5,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Page, Self::Chunk, Self::Event, Self::Index, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A record as found in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: RecordKind,
    /// Of its mark.
    pub(crate) offset: u64,
    pub(crate) head: Vec<u8>,
    /// Of its body.
    pub(crate) body_offset: u64,
    pub(crate) body_length: u64,
}

impl Record {
    /// Where the next one begins.
    pub(crate) fn end(&self) -> u64 {
        self.body_offset.saturating_add(self.body_length)
    }
}

/// The first bytes of a file: magic, format, checksum.
pub(crate) fn file_header() -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(FORMAT.to_le_bytes());
    header.extend(crc32fast::hash(&header).to_le_bytes());
    header
}

/// The format of a file. None when its header is damaged.
pub(crate) fn file_format(file: &dyn Source) -> io::Result<Option<u32>> {
    let mut header = [0; FILE_HEADER_BYTES as usize];
    match file.read_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let (signed, checksum) = header.split_at(12);
    let format = signed.strip_prefix(&MAGIC).and_then(|format| Input(format).fixed_u32());
    let said = Input(checksum).fixed_u32();
    Ok(format.filter(|_| said.is_some_and(|said| is_sound(crc32fast::hash(signed), said))))
}

/// Appends a record.
pub(crate) fn put_record(out: &mut Vec<u8>, kind: RecordKind, head: &[u8], body: &[u8]) {
    let mut signed = vec![kind as u8];
    signed.extend((head.len() as u32).to_le_bytes());
    signed.extend((body.len() as u32).to_le_bytes());
    out.extend(MARK);
    out.extend(&signed);
    out.extend(checksum(&signed, head).to_le_bytes());
    out.extend(head);
    out.extend(body);
}

/// Bytes of a record before its body.
pub(crate) fn overhead(head: &[u8]) -> u64 {
    (PREFIX_BYTES + head.len()) as u64
}

/// Whether a checksum is what was said. When fuzzed, always: what reads a file must stand whoever made it to do harm, and he
/// would get the checksums right.
pub(crate) fn is_sound(checksum: u32, said: u32) -> bool {
    checksum == said || cfg!(fuzzing)
}

fn checksum(signed: &[u8], head: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(signed);
    hasher.update(head);
    hasher.finalize()
}

/// The record that begins at an offset of a file of this length. None when there is none that verifies and is whole.
pub(crate) fn record_at(file: &dyn Source, offset: u64, length: u64) -> io::Result<Option<Record>> {
    let room = length.saturating_sub(offset);
    if room < PREFIX_BYTES as u64 {
        return Ok(None);
    }
    let mut prefix = [0; PREFIX_BYTES];
    file.read_at(&mut prefix, offset)?;
    let Some((_, head_length, body_length, _)) = take_prefix(&prefix) else { return Ok(None) };
    if ((PREFIX_BYTES + head_length + body_length) as u64) > room {
        return Ok(None);
    }
    let mut head = vec![0; head_length];
    file.read_at(&mut head, offset + PREFIX_BYTES as u64)?;
    Ok(verified(offset, &prefix, head).filter(|record| record.end() <= length))
}

/// As [`record_at`], where it is known how many bytes there are before the body: one read instead of two.
pub(crate) fn known_record(
    file: &dyn Source,
    offset: u64,
    overhead: u64,
    length: u64,
) -> io::Result<Option<Record>> {
    let size = usize::try_from(overhead).unwrap_or(usize::MAX);
    if !(PREFIX_BYTES..=PREFIX_BYTES + MAX_HEAD_BYTES).contains(&size) {
        return Ok(None);
    }
    let mut prefix = vec![0; size];
    file.read_at(&mut prefix, offset)?;
    let head = prefix.split_off(PREFIX_BYTES);
    Ok(verified(offset, &prefix, head).filter(|record| record.end() <= length))
}

/// The record of a prefix and a head. None when they do not verify.
fn verified(offset: u64, prefix: &[u8], head: Vec<u8>) -> Option<Record> {
    let (kind, head_length, body_length, said) = take_prefix(prefix)?;
    let signed = prefix.get(MARK.len()..PREFIX_BYTES - 4)?;
    if head_length != head.len() || !is_sound(checksum(signed, &head), said) {
        return None;
    }
    let body_offset = offset.checked_add(overhead(&head))?;
    Some(Record { kind, offset, head, body_offset, body_length: body_length as u64 })
}

/// Whether what is at an offset looks like what a power cut leaves: a record that was cut off, or nothing but zeros. Not
/// so when a record is there in full length and does not verify.
pub(crate) fn is_cut_off(file: &dyn Source, offset: u64, length: u64) -> io::Result<bool> {
    let mut prefix = vec![0; length.saturating_sub(offset).min(PREFIX_BYTES as u64) as usize];
    file.read_at(&mut prefix, offset)?;
    let Some((_, head_length, body_length, said)) = take_prefix(&prefix) else {
        if prefix.len() < PREFIX_BYTES && prefix.iter().zip(&MARK).all(|(byte, mark)| byte == mark)
        {
            return Ok(true);
        }
        return is_zero(file, offset, length);
    };
    let room = length.saturating_sub(offset);
    let head_end = (PREFIX_BYTES + head_length) as u64;
    if head_end > room {
        return Ok(true);
    }
    let mut head = vec![0; head_length];
    file.read_at(&mut head, offset + PREFIX_BYTES as u64)?;
    let signed = prefix.get(MARK.len()..PREFIX_BYTES - 4).unwrap_or_default();
    Ok(is_sound(checksum(signed, &head), said) && head_end + body_length as u64 > room)
}

fn is_zero(file: &dyn Source, mut offset: u64, length: u64) -> io::Result<bool> {
    let mut window = Vec::new();
    while offset < length {
        window.resize((length - offset).min(SEARCH_BYTES as u64) as usize, 0);
        file.read_at(&mut window, offset)?;
        if window.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        offset += window.len() as u64;
    }
    Ok(true)
}

fn take_prefix(prefix: &[u8]) -> Option<(RecordKind, usize, usize, u32)> {
    let mut input = Input(prefix.strip_prefix(&MARK)?);
    let kind = RecordKind::from_byte(input.byte()?)?;
    let head = usize::try_from(input.fixed_u32()?).ok()?;
    let body = usize::try_from(input.fixed_u32()?).ok()?;
    let sane = head <= MAX_HEAD_BYTES && body <= MAX_BODY_BYTES;
    Some((kind, head, body, input.fixed_u32()?)).filter(|_| sane)
}

/// What a walk through a file found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Where the last record that verifies ends.
    pub(crate) end: u64,
    /// Bytes that were skipped because no record verified there, with one after them that does.
    pub(crate) damaged_bytes: u64,
}

/// Shows every record from an offset on that verifies, in order. What does not is skipped and counted.
pub(crate) fn walk(file: &dyn Source, from: u64, mut each: impl FnMut(Record)) -> io::Result<Walk> {
    let length = file.length()?;
    let mut walk = Walk { end: from, damaged_bytes: 0 };
    let mut offset = from;
    while let Some(record) = match record_at(file, offset, length)? {
        None => search(file, offset, length)?,
        found => found,
    } {
        walk.damaged_bytes += record.offset - walk.end;
        offset = record.end();
        walk.end = offset;
        each(record);
    }
    Ok(walk)
}

/// The next record after a damaged one.
fn search(file: &dyn Source, from: u64, length: u64) -> io::Result<Option<Record>> {
    let mut offset = from;
    let mut window = Vec::new();
    while length.saturating_sub(offset) >= PREFIX_BYTES as u64 {
        let size = (length - offset).min(SEARCH_BYTES as u64);
        window.resize(size as usize, 0);
        file.read_at(&mut window, offset)?;
        let marks = window.windows(MARK.len()).enumerate().filter(|(_, bytes)| *bytes == MARK);
        for (position, _) in marks {
            if let Some(record) = record_at(file, offset + position as u64, length)? {
                return Ok(Some(record));
            }
        }
        // A mark may lie across two windows.
        offset += (size - (MARK.len() as u64 - 1)).max(1);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;

    const BODIES: [&[u8]; 3] = [b"first", b"", b"a third one that is longer"];

    fn file(bytes: &[u8]) -> Arc<dyn Source> {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs::write(&path, bytes).unwrap();
        Arc::new(fs::File::open(&path).unwrap())
    }

    fn whole() -> Vec<u8> {
        let mut bytes = file_header();
        for body in BODIES {
            put_record(&mut bytes, RecordKind::Chunk, &[body.len() as u8], body);
        }
        bytes
    }

    fn heads(bytes: &[u8]) -> (Vec<u8>, Walk) {
        let mut heads = Vec::new();
        let walk =
            walk(&*file(bytes), FILE_HEADER_BYTES, |record| heads.extend(record.head)).unwrap();
        (heads, walk)
    }

    #[test]
    fn records_come_back_in_order() {
        let (heads, walk) = heads(&whole());
        assert_eq!(heads, [5, 0, 26]);
        assert_eq!((walk.end, walk.damaged_bytes), (whole().len() as u64, 0));
        assert_eq!(file_format(&*file(&whole())).unwrap(), Some(FORMAT));
    }

    #[test]
    fn a_file_cut_off_anywhere_keeps_what_was_whole() {
        let whole = whole();
        for length in 0..whole.len() {
            let (heads, walk) = heads(&whole[..length]);
            assert!([5_u8, 0, 26].starts_with(&heads));
            assert!(walk.damaged_bytes == 0 && walk.end <= length.max(16) as u64);
        }
    }

    #[test]
    fn a_flipped_bit_costs_its_record_alone() {
        let whole = whole();
        for bit in FILE_HEADER_BYTES as usize * 8..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (heads, _) = heads(&bytes);
            // A flip in a body is the body's own affair.
            let expected: [&[u8]; 4] = [&[5, 0, 26], &[0, 26], &[5, 26], &[5, 0]];
            assert!(expected.contains(&&heads[..]), "bit {bit}: {heads:?}");
        }
    }

    #[test]
    fn a_flipped_bit_of_the_header_is_seen() {
        for bit in 0..FILE_HEADER_BYTES as usize * 8 {
            let mut bytes = whole();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(file_format(&*file(&bytes)).unwrap(), None);
        }
    }
}
