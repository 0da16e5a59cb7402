//! Small segments to large ones, without what is damaged, what is there twice and what need not be kept any more.
//!
//! What is new is written and durable before what it replaces is removed; a crash between the two leaves rows twice,
//! which have the same numbers. New files get greater numbers in the order of their rows, and the newest is written
//! first, so that at every moment the later of two files has the greater number.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::backup::{COPY_BYTES, Opened, Place, copy, distinct};
use crate::chunk::{BLOCK_LEVEL, COMMIT_LEVEL, Chunk, ChunkBuilder};
use crate::disk::{Directory, Disk};
use crate::error::{Error, Result};
use crate::file::{FileKind, FileName, TIERS};
use crate::opener::{Body, Opener};
use crate::output::Output;
use crate::recent::Recent;
use crate::recover::recover;
use crate::retention::Options;
use crate::writer::Writer;

/// What compacting did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the whole directory before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
    /// Files before.
    pub files_before: u64,
    /// And after.
    pub files_after: u64,
    /// Chunks that stood for rows which others stand for too.
    pub duplicates: u64,
    /// Frames and lists of series that could not be read.
    pub damaged: u64,
    /// Segments whose time was over, or for which there was no more room.
    pub expired: u64,
}

/// Compacts a directory. Fails when another process has it.
pub fn compact(path: &Path, options: &Options) -> Result<Compacted> {
    compact_on(&(Arc::new(Directory::own(path)?) as Arc<dyn Disk>), options)
}

fn compact_on(disk: &Arc<dyn Disk>, options: &Options) -> Result<Compacted> {
    let mut done = Compacted::default();
    (done.files_before, done.bytes_before) = size(&**disk)?;
    let recent = Arc::new(Recent::new(options.commit_interval));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut writer, _, found) = recover(disk, &recent, options, now.as_secs())?;
    // A clock that was wrong for a while, then or now, must not cost the history.
    let newest = found.newest.unwrap_or_default().min(now.as_nanos() as i64);
    let (files, _) = size(&**disk)?;
    writer.expire(newest)?;
    writer.make_room(0, newest)?;
    done.expired = files.saturating_sub(size(&**disk)?.0);
    for tier in 0..TIERS.len() as u8 {
        merge(&mut writer, tier, &mut done)?;
    }
    (done.files_after, done.bytes_after) = size(&**disk)?;
    Ok(done)
}

/// Files of a directory and their bytes.
fn size(disk: &dyn Disk) -> Result<(u64, u64)> {
    let doing = || Error::io("reading", disk.path());
    let (mut files, mut bytes) = (0, 0);
    for name in disk.list().map_err(doing())? {
        if FileName::parse(&name).is_some() {
            files += 1;
            bytes += disk.open(&name).and_then(|file| file.length()).map_err(doing())?;
        }
    }
    Ok((files, bytes))
}

/// What becomes one segment: the files it replaces, and the chunks of them that are kept.
#[derive(Default)]
struct Run {
    files: Vec<usize>,
    chunks: Vec<Place>,
    bytes: u64,
    is_damaged: bool,
}

/// Merges the segments of a tier.
fn merge(writer: &mut Writer, tier: u8, done: &mut Compacted) -> Result<()> {
    let disk = Arc::clone(&writer.disk);
    let mut files = Opened::all(&*disk)?;
    files.retain(|file| file.name.kind == FileKind::Segment(tier));
    let all: usize = files.iter().map(|file| file.index.chunks.len()).sum();
    let kept = distinct(&files, tier);
    done.duplicates += (all - kept.len()) as u64;
    let mut opener = Opener::new().map_err(Error::io("reading", disk.path()))?;
    let runs = runs(writer, tier, &files, &kept, &mut opener)?;
    // What comes after a new file must be newer by number too.
    let first = runs.iter().position(|run| run.files.len() != 1 || run.is_damaged);
    let Some(first) = first else { return Ok(()) };
    let new = runs.get(first..).unwrap_or_default();
    let number = writer.next_number;
    writer.next_number = number.saturating_add(new.len() as u64);
    let mut names: Vec<_> = (number..).zip(new).collect();
    while let Some((number, run)) = names.pop() {
        if !run.chunks.is_empty() {
            let name = FileName { number, kind: FileKind::Segment(tier) };
            let output = Output::create(&*disk, name)?;
            let written = write(output, &*disk, &files, run, &mut opener, done);
            if written.is_err() {
                // It is a copy as far as it goes.
                let _ = disk.remove(&name.to_string());
            }
            written?;
        }
        for file in run.files.iter().filter_map(|number| files.get(*number)) {
            let text = file.name.to_string();
            disk.remove(&text).map_err(Error::io("removing", disk.path_of(&text)))?;
        }
    }
    writer.forget(tier);
    Ok(())
}

/// Cuts the segments of a tier into runs that become one each.
fn runs(
    writer: &Writer,
    tier: u8,
    files: &[Opened],
    kept: &[Place],
    opener: &mut Opener,
) -> Result<Vec<Run>> {
    let doing = || Error::io("reading", writer.disk.path());
    let mut order: Vec<usize> = (0..files.len()).collect();
    let first_seq = |number: &usize| {
        let chunks = kept.iter().filter(|(of, _)| of == number);
        chunks.map(|(_, meta)| meta.first_seq).min()
    };
    order.sort_by_cached_key(first_seq);
    let mut runs: Vec<Run> = Vec::new();
    for number in order {
        let Some(file) = files.get(number) else { continue };
        let chunks: Vec<Place> = kept.iter().filter(|(of, _)| *of == number).copied().collect();
        let bytes = chunks.iter().map(|(_, meta)| meta.head_length + meta.body_length).sum();
        let mut is_damaged = chunks.len() < file.index.chunks.len()
            || file.index.damaged_bytes + file.index.loose_bytes > 0;
        for (_, meta) in &chunks {
            is_damaged |= damage(file, meta, opener).map_err(doing())? > 0;
        }
        let times = |run: &Run| {
            let all = || run.chunks.iter().chain(&chunks).map(|(_, meta)| meta);
            let (min, max) =
                (all().map(|meta| meta.min_time).min(), all().map(|meta| meta.max_time).max());
            max.zip(min).map_or(0, |(max, min)| max.saturating_sub(min))
        };
        let fits = |run: &&mut Run| {
            run.bytes + bytes <= writer.limits.segment_bytes()
                && times(run) <= writer.limits.segment_span(tier)
        };
        match runs.last_mut().filter(fits) {
            Some(run) => {
                run.files.push(number);
                run.chunks.extend(chunks);
                run.bytes += bytes;
                run.is_damaged |= is_damaged;
            }
            None => runs.push(Run { files: vec![number], chunks, bytes, is_damaged }),
        }
    }
    Ok(runs)
}

/// How much of a chunk cannot be read.
fn damage(file: &Opened, meta: &crate::index::Meta, opener: &mut Opener) -> std::io::Result<u64> {
    let Some((head, offset)) = meta.head(&*file.file)? else { return Ok(1) };
    let mut damaged = opener.verify(&Body::File { file: &*file.file, offset }, &head)?;
    for id in head.groups.iter().flat_map(|group| group.pages()) {
        damaged += u64::from(file.index.page(&*file.file, id)?.is_none());
    }
    Ok(damaged)
}

fn write(
    mut output: Output,
    disk: &dyn Disk,
    files: &[Opened],
    run: &Run,
    opener: &mut Opener,
    done: &mut Compacted,
) -> Result<()> {
    let doing = || Error::io("reading", disk.path());
    let mut piece: Vec<Place> = Vec::new();
    let mut bytes = 0;
    for (number, meta) in &run.chunks {
        let Some(file) = files.get(*number) else { continue };
        let damaged = damage(file, meta, opener).map_err(doing())?;
        if damaged == 0 {
            piece.push((*number, *meta));
            bytes += meta.head_length + meta.body_length;
        }
        if damaged > 0 || bytes >= COPY_BYTES {
            copy(disk, &mut output, files, &piece)?;
            piece.clear();
            bytes = 0;
        }
        if damaged > 0 {
            done.damaged += damaged;
            if let Some(chunk) = salvage(file, meta, opener).map_err(doing())? {
                output.append(disk, [&chunk])?;
            }
        }
    }
    copy(disk, &mut output, files, &piece)?;
    output.finish(disk)
}

/// A chunk of what can be read of one. None when that is nothing.
fn salvage(
    file: &Opened,
    meta: &crate::index::Meta,
    opener: &mut Opener,
) -> std::io::Result<Option<Chunk>> {
    let Some((head, offset)) = meta.head(&*file.file)? else { return Ok(None) };
    let body = Body::File { file: &*file.file, offset };
    let level = if file.name.kind == FileKind::Hot(0) { COMMIT_LEVEL } else { BLOCK_LEVEL };
    let mut builder = ChunkBuilder::new(head.tier, (head.first_seq, head.last_seq), level)?;
    let mut any = false;
    for group in &head.groups {
        let Some(axis) = opener.axis(&body, group)? else { continue };
        builder.group(&group.name, &axis, group.lead)?;
        any = true;
        for (number, id) in group.pages().enumerate() {
            let page = file.index.page(&*file.file, id)?;
            let opened = opener.page(&body, group, number)?;
            let Some((page, columns)) = page.zip(opened) else { continue };
            let values: Option<Vec<_>> =
                (0..columns.count()).map(|index| columns.values(index, group.height())).collect();
            if let Some(values) = values {
                builder.page(&Arc::new(page), &values)?;
            }
        }
    }
    Ok(any.then(|| builder.finish()))
}

#[cfg(test)]
mod tests;
