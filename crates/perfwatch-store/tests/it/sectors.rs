//! A file of which it is known what is there and what would be after a power cut, in sectors of 512 bytes.
//!
//! Of what was written since the last sync, a power cut leaves each sector new, old or zero, and any length between. A sync
//! that fails writes some sectors and forgets that the others were to be written, as Linux does; some of those are
//! forgotten in memory too.

use std::collections::BTreeSet;

use crate::rng::Rng;

const SECTOR: usize = 512;

/// The file.
#[derive(Clone, Default)]
pub(crate) struct File {
    /// What is read.
    pub(crate) now: Vec<u8>,
    /// What is there after a power cut for certain.
    pub(crate) durable: Vec<u8>,
    /// Sectors that no sync will write any more.
    pub(crate) forgotten: BTreeSet<usize>,
}

impl File {
    fn sectors(&self) -> usize {
        self.now.len().max(self.durable.len()).div_ceil(SECTOR)
    }

    /// A sector of some content, zeros where there is none.
    fn sector(content: &[u8], number: usize) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        let start = (number * SECTOR).min(content.len());
        let part = &content[start..content.len().min(start + SECTOR)];
        sector[..part.len()].copy_from_slice(part);
        sector
    }

    fn put_sector(content: &mut [u8], number: usize, sector: &[u8; SECTOR]) {
        let start = (number * SECTOR).min(content.len());
        let end = content.len().min(start + SECTOR);
        content[start..end].copy_from_slice(&sector[..end - start]);
    }

    /// What is there after a power cut, by chance.
    pub(crate) fn after_power_cut(&self, rng: &mut Rng) -> Vec<u8> {
        let (now, durable) = (self.now.len() as u64, self.durable.len() as u64);
        let length = match rng.below(3) {
            0 => now,
            1 => durable,
            _ => now.min(durable) + rng.below(now.abs_diff(durable) + 1),
        };
        let mut content = vec![0; length as usize];
        for number in 0..self.sectors() {
            let new = Self::sector(&self.now, number);
            let old = Self::sector(&self.durable, number);
            let lucky = !self.forgotten.contains(&number) && rng.one_in(2);
            Self::put_sector(&mut content, number, if new == old || lucky { &new } else { &old });
        }
        content
    }

    /// All of it is written.
    pub(crate) fn sync(&mut self) {
        self.durable.resize(self.now.len(), 0);
        for number in 0..self.sectors() {
            if !self.forgotten.contains(&number) {
                let new = Self::sector(&self.now, number);
                Self::put_sector(&mut self.durable, number, &new);
            }
        }
    }

    /// Some of it is.
    pub(crate) fn fail_to_sync(&mut self, rng: &mut Rng) {
        let mut durable = self.durable.clone();
        durable.resize(self.now.len(), 0);
        for number in 0..self.sectors() {
            let new = Self::sector(&self.now, number);
            let old = Self::sector(&self.durable, number);
            if new == old {
                continue;
            }
            match rng.below(3) {
                0 => Self::put_sector(&mut durable, number, &new),
                1 => drop(self.forgotten.insert(number)),
                _ => {
                    self.forgotten.insert(number);
                    Self::put_sector(&mut self.now, number, &old);
                }
            }
        }
        self.durable = durable;
    }
}
