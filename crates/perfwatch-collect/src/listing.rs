//! Things of a kind that sysfs has a directory for each: `node0`, `node1`; `zram0`. Their files stay open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Problem};
use crate::host::{Host, KernelFile};

/// How often things are looked for anew. One that went is seen at once.
const FIND_AGAIN: Duration = Duration::from_secs(60);

/// The kind: things are called `name` and a number.
#[derive(Debug)]
pub(crate) struct Kind<const FILES: usize> {
    /// Below the root of sysfs.
    pub(crate) directory: &'static str,
    pub(crate) name: &'static str,
    /// Whether one is reported by its number, or by its whole name.
    pub(crate) by_number: bool,
    /// What is read of each.
    pub(crate) files: [&'static str; FILES],
    /// Most things that are read, those of the lowest numbers. Each costs its files at every tick.
    pub(crate) limit: usize,
}

/// Those that there are.
#[derive(Debug)]
pub(crate) struct Listing<const FILES: usize> {
    host: Arc<Host>,
    kind: &'static Kind<FILES>,
    things: Vec<Thing<FILES>>,
    truncated: bool,
    /// None when they are to be looked for.
    found_at: Option<Instant>,
}

#[derive(Debug)]
struct Thing<const FILES: usize> {
    name: String,
    files: [KernelFile; FILES],
}

impl<const FILES: usize> Listing<FILES> {
    /// Not looked for yet.
    pub(crate) fn new(host: &Arc<Host>, kind: &'static Kind<FILES>) -> Self {
        let host = Arc::clone(host);
        Self { host, kind, things: Vec::new(), truncated: false, found_at: None }
    }

    /// Shows each: how it is reported, and its files. What cannot be read is a problem of `part`, unless it went. Says whether
    /// the limit cut some off.
    pub(crate) fn read(
        &mut self,
        part: &str,
        problems: &mut Vec<Problem>,
        mut read: impl FnMut(&str, &mut [KernelFile; FILES]) -> Result<(), Error>,
    ) -> bool {
        let now = Instant::now();
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < FIND_AGAIN;
        if !self.found_at.is_some_and(is_fresh) {
            match self.find() {
                Ok(()) => self.found_at = Some(now),
                Err(error) => {
                    self.things.clear();
                    problems.push(Problem::new(part, &error));
                }
            }
        }
        for thing in &mut self.things {
            match read(&thing.name, &mut thing.files) {
                Err(error) if error.is_gone() => self.found_at = None,
                Err(error) => {
                    problems.push(Problem::new(format!("{part}.{}", thing.name), &error));
                }
                Ok(()) => {}
            }
        }
        self.truncated
    }

    /// Those that stay keep their files.
    fn find(&mut self) -> Result<(), Error> {
        let Kind { directory, name: stem, by_number, files, limit } = self.kind;
        let number = |entry: &String| {
            let number = entry.strip_prefix(stem).filter(|number| !number.is_empty())?;
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.to_owned())
        };
        let names = self.host.sysfs_names(directory)?;
        let numbers: Vec<_> = names.iter().filter_map(number).collect();
        self.truncated = numbers.len() > *limit;
        let mut earlier = std::mem::take(&mut self.things);
        for number in numbers.into_iter().take(*limit) {
            let open = |file: &str| self.host.sysfs(&format!("{directory}/{stem}{number}/{file}"));
            let name = if *by_number { number.clone() } else { format!("{stem}{number}") };
            let known = earlier.iter().position(|thing| thing.name == name);
            let thing = known
                .map(|place| earlier.swap_remove(place))
                .unwrap_or_else(|| Thing { name, files: files.map(open) });
            self.things.push(thing);
        }
        Ok(())
    }
}
