//! The lines of `statvfs` and `clock` in a recording, written by a capture and read back.

use std::io::{self, Write};

use crate::parse;
use crate::perf::sys::ClockState;

/// What statvfs said, in units of `fragment_bytes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileSystemBlocks {
    /// `f_frsize`.
    pub fragment_bytes: u64,
    /// `f_blocks`: size.
    pub blocks: u64,
    /// `f_bfree`: free, for root.
    pub free: u64,
    /// `f_bavail`: free, for everybody else.
    pub available: u64,
    /// `f_files` and `f_ffree`. None in recordings made before they were asked for.
    pub inodes: Option<[u64; 2]>,
}

/// A line for a file system.
pub(super) fn statvfs_line(mountpoint: &[u8], said: &FileSystemBlocks) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    for &byte in mountpoint {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => write!(line, "\\{byte:03o}")?,
            _ => line.push(byte),
        }
    }
    let FileSystemBlocks { fragment_bytes, blocks, free, available, inodes } = said;
    write!(line, " {fragment_bytes} {blocks} {free} {available}")?;
    if let Some([all, free]) = inodes {
        write!(line, " {all} {free}")?;
    }
    line.push(b'\n');
    Ok(line)
}

/// What the lines say of a file system, if they do.
pub(super) fn read_statvfs(lines: &str, mountpoint: &[u8]) -> Option<FileSystemBlocks> {
    let mut name = Vec::new();
    for line in lines.lines() {
        let mut words = parse::words(line.as_bytes());
        parse::unescape_octal(words.next().unwrap_or_default(), &mut name);
        if name == mountpoint {
            let mut numbers = words.map(|word| parse::number(word).unwrap_or_default());
            let mut next = || numbers.next();
            return Some(FileSystemBlocks {
                fragment_bytes: next().unwrap_or_default(),
                blocks: next().unwrap_or_default(),
                free: next().unwrap_or_default(),
                available: next().unwrap_or_default(),
                inodes: next().zip(next()).map(|(all, free)| [all, free]),
            });
        }
    }
    None
}

/// The line for the clock.
pub(super) fn clock_line(state: &ClockState) -> String {
    let ClockState { synchronized, offset_ns, max_error_us } = state;
    format!("{} {offset_ns} {max_error_us}\n", u8::from(*synchronized))
}

/// What it says of the clock.
pub(super) fn read_clock(line: &str) -> Option<ClockState> {
    let mut words = line.split_ascii_whitespace();
    Some(ClockState {
        synchronized: words.next()? == "1",
        offset_ns: words.next()?.parse().ok()?,
        max_error_us: words.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let said = FileSystemBlocks {
            fragment_bytes: 4096,
            blocks: 100,
            free: 20,
            available: 10,
            inodes: Some([7, 3]),
        };
        let before = FileSystemBlocks { inodes: None, ..said };
        let mut lines = statvfs_line(b"/a b\\c\n", &said).unwrap();
        lines.extend(statvfs_line("/é".as_bytes(), &before).unwrap());
        let lines = String::from_utf8(lines).unwrap();
        assert_eq!(read_statvfs(&lines, b"/a b\\c\n"), Some(said));
        assert_eq!(read_statvfs(&lines, "/é".as_bytes()), Some(before));
        assert_eq!(read_statvfs(&lines, b"/"), None);
        let clock = ClockState { synchronized: true, offset_ns: -5, max_error_us: 9 };
        let read = read_clock(&clock_line(&clock)).unwrap();
        assert_eq!((read.synchronized, read.offset_ns, read.max_error_us), (true, -5, 9));
        assert!(read_clock("1 2").is_none());
    }
}
