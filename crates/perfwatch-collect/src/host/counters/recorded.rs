//! Counters of a recording, and how they come into one.
//!
//! A recording has a file `perf_counters`, a line for each counter: PMU, event, CPU, and what reading it gave: value,
//! time enabled and time running in ns, or `errno` and the number of an error, which opening it gives as well.
//!
//! ```text
//! power energy-pkg 0 1840700269 5000123456 5000123456
//! uncore_imc_0 cas_count_read 24 errno 13
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::{Count, Counter, Counters, Wanted};
use crate::parse::{lines, number, words};

/// Where a recording has its counters.
const FILE: &str = "perf_counters";

/// Those of a recording.
#[derive(Debug)]
pub(in crate::host) struct Recorded {
    file: PathBuf,
}

impl Recorded {
    pub(in crate::host) fn new(dir: &Path) -> Self {
        Self { file: dir.join(FILE) }
    }
}

impl Counters for Recorded {
    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Counter>> {
        let mut counter = RecordedCounter { file: self.file.clone(), wanted: wanted.clone() };
        match counter.read() {
            Ok(_) => Ok(Box::new(counter)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Errno::NOENT.into()),
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug)]
struct RecordedCounter {
    file: PathBuf,
    wanted: Wanted,
}

impl Counter for RecordedCounter {
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn read(&mut self) -> io::Result<Count> {
        let text = fs::read(&self.file).unwrap_or_default();
        let Wanted { pmu, event, cpu, .. } = &self.wanted;
        for (_, line) in lines(&text) {
            let mut words = words(line);
            if words.next() != Some(pmu.as_bytes())
                || words.next() != Some(event.as_bytes())
                || words.next().and_then(number) != Some(u64::from(*cpu))
            {
                continue;
            }
            let mut numbers = words.map(|word| number(word).ok_or(word));
            return match [numbers.next(), numbers.next(), numbers.next()] {
                [Some(Ok(value)), Some(Ok(enabled_ns)), Some(Ok(running_ns))] => {
                    Ok(Count { value, enabled_ns, running_ns })
                }
                [Some(Err(b"errno")), Some(Ok(errno)), _] => {
                    Err(io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or_default()))
                }
                _ => Err(ErrorKind::InvalidData.into()),
            };
        }
        Err(ErrorKind::UnexpectedEof.into())
    }
}

/// Counters that stay open until this is dropped: who asks twice gets the one that runs already, so that recordings of
/// two instants count from one start.
#[derive(Debug)]
pub(in crate::host) struct Kept {
    counters: Arc<dyn Counters>,
    open: Mutex<BTreeMap<Wanted, Shared>>,
}

#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Box<dyn Counter>>>);

impl Kept {
    pub(in crate::host) fn new(counters: Arc<dyn Counters>) -> Self {
        Self { counters, open: Mutex::default() }
    }
}

impl Counters for Kept {
    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Counter>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = open.get(wanted) {
            return Ok(Box::new(counter.clone()));
        }
        let counter = Shared(Arc::new(Mutex::new(self.counters.open(wanted)?)));
        open.insert(wanted.clone(), counter.clone());
        Ok(Box::new(counter))
    }
}

impl Counter for Shared {
    fn read(&mut self) -> io::Result<Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read()
    }
}

/// Counters whose answers are written down, as [`Recorded`] reads them.
#[derive(Debug)]
pub(in crate::host) struct Written {
    counters: Arc<dyn Counters>,
    record: Arc<Record>,
}

#[derive(Debug)]
struct Record {
    file: PathBuf,
    lines: Mutex<BTreeMap<Wanted, String>>,
}

impl Written {
    pub(in crate::host) fn new(counters: Arc<dyn Counters>, dir: &Path) -> Self {
        let record = Record { file: dir.join(FILE), lines: Mutex::default() };
        Self { counters, record: Arc::new(record) }
    }
}

impl Record {
    /// The newest answer of each counter is what stands in the file.
    fn write(&self, wanted: &Wanted, answer: Result<&Count, &io::Error>) -> io::Result<()> {
        let Wanted { pmu, event, cpu, .. } = wanted;
        let line = match answer {
            Ok(Count { value, enabled_ns, running_ns }) => {
                format!("{pmu} {event} {cpu} {value} {enabled_ns} {running_ns}\n")
            }
            Err(error) => match error.raw_os_error() {
                Some(errno) => format!("{pmu} {event} {cpu} errno {errno}\n"),
                None => String::new(),
            },
        };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.insert(wanted.clone(), line);
        fs::write(&self.file, lines.values().map(String::as_str).collect::<String>())
    }
}

impl Counters for Written {
    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Counter>> {
        let counter = self.counters.open(wanted).or_else(|error| {
            self.record.write(wanted, Err(&error))?;
            Err(error)
        })?;
        let record = Arc::clone(&self.record);
        Ok(Box::new(WrittenCounter { counter, wanted: wanted.clone(), record }))
    }
}

#[derive(Debug)]
struct WrittenCounter {
    counter: Box<dyn Counter>,
    wanted: Wanted,
    record: Arc<Record>,
}

impl Counter for WrittenCounter {
    fn read(&mut self) -> io::Result<Count> {
        let answer = self.counter.read();
        self.record.write(&self.wanted, answer.as_ref())?;
        answer
    }
}
