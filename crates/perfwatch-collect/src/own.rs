//! The `self` section: what PerfWatch itself takes.

use std::sync::Arc;
use std::time::Duration;

use perfwatch_metrics::own::{OwnMetrics, OwnProcess};
use rustix::time::{ClockId, clock_gettime};

use crate::collector::{Collector, Report};
use crate::error::{Error, Malformed};
use crate::host::{Host, KernelFile};
use crate::parse::number;
use crate::rate::scaled_per_second;

/// What the kernel says of this process.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OwnReading {
    cpu_us: u64,
    threads: u64,
    rss_bytes: u64,
    descriptors: Option<u64>,
}

/// Collects [`OwnMetrics`].
#[derive(Debug)]
pub struct Own {
    host: Arc<Host>,
    stat: KernelFile,
}

impl Collector for Own {
    const NAME: &'static str = "self";
    type Reading = OwnReading;
    type Metrics = OwnMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self { host: Arc::clone(host), stat: host.procfs("self/stat") }
    }

    fn read(&mut self, into: &mut OwnReading) -> Result<(), Error> {
        if !self.host.is_live() {
            let why = "a recording has no process that measures it";
            return Err(Error::Unavailable(why.to_owned()));
        }
        let (threads, pages) = self.stat.parse(parse_stat)?;
        let rss_bytes = pages.saturating_mul(self.host.page_bytes());
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu_us = cpu.tv_sec.unsigned_abs() * 1_000_000 + cpu.tv_nsec.unsigned_abs() / 1000;
        *into = OwnReading { cpu_us, threads, rss_bytes, descriptors: self.host.descriptors() };
        Ok(())
    }

    fn derive(before: Option<(&OwnReading, Duration)>, now: &OwnReading) -> Report<OwnMetrics> {
        let cpu_percent = before.and_then(|(before, elapsed)| {
            scaled_per_second(1e-4, before.cpu_us, now.cpu_us, elapsed)
        });
        let process = OwnProcess {
            cpu_us: now.cpu_us,
            cpu_percent,
            rss_bytes: now.rss_bytes,
            threads: now.threads,
            descriptors: now.descriptors,
            clients: None,
            frames_skipped: None,
            store_bytes: None,
            store_bytes_per_sample: None,
        };
        let metrics = OwnMetrics { process, collectors: Default::default() };
        Report { metrics, problems: Vec::new(), truncated: false }
    }
}

/// Threads and resident pages of /proc/self/stat: fields 20 and 24 of proc_pid_stat(5). The name in the second is in
/// parentheses and may hold anything.
pub fn parse_stat(text: &[u8]) -> Result<(u64, u64), Malformed> {
    let rest = text.iter().rposition(|byte| *byte == b')').and_then(|end| text.get(end + 1..));
    // The third is the first one after it.
    let mut fields = crate::parse::words(rest.unwrap_or_default()).skip(17);
    let threads = fields.next().and_then(number);
    let pages = fields.nth(3).and_then(number);
    threads.zip(pages).ok_or_else(|| Malformed::at(0, "no threads and pages".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_no_field() {
        let stat = b"7 (a) b ) S 1 7 7 0 -1 4194304 9 8 7 6 5 4 3 2 20 0 3 0 100 4096 321 18446744073709551615\n";
        assert_eq!(parse_stat(stat), Ok((3, 321)));
        assert!(parse_stat(b"").is_err());
        assert!(parse_stat(b"7 (a) S 1 2").is_err());
    }
}
