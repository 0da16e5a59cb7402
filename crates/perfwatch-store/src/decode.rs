//! Decoding what a question needs of many chunks, on two threads where there is much of it: most of an answer's time is spent
//! here, in zstd above all.
//!
//! The work is cut in two by time. Each thread has points of its own for the time that its share is from, and those are merged in
//! order, which gives the same as one thread would.

use std::io;
use std::sync::Arc;
use std::thread;

use crate::chunk::GroupHead;
use crate::group::{Group, Place};
use crate::layout::Page;
use crate::opener::{Body, Opener};
use crate::parts::OpenPart;
use crate::plan::Plan;
use crate::summary::Summary;

/// Threads that decode for one question, the one that asks included. More would not let a small host do anything else
/// meanwhile.
const THREADS: usize = 2;

/// Rows, counted for each series, that are worth a thread: below, decoding takes less than a millisecond, and to wake a
/// thread up to a fifth of one.
const ROWS_WORTH_A_THREAD: usize = 8_192;

/// A group of a chunk of which something is wanted.
pub(crate) struct Task<'a> {
    pub(crate) part: &'a OpenPart,
    pub(crate) tier: u8,
    pub(crate) group: &'a GroupHead,
    pub(crate) body: Body<'a>,
    pub(crate) pages: Vec<Option<Arc<Page>>>,
    /// Where the series that are wanted stand in the group, and where in the answer.
    pub(crate) wanted: Vec<(Place, usize)>,
}

impl Task<'_> {
    fn rows(&self) -> usize {
        self.wanted.len() * self.group.rows
    }

    /// Merges what it has into the points. Returns how many series could not be read.
    fn run(
        &self,
        plan: &Plan,
        points: &mut [Vec<Summary>],
        opener: &mut Opener,
    ) -> io::Result<u64> {
        let pages = self.pages.clone();
        let Some(mut group) = Group::open(self.tier, self.group, &self.body, pages, opener)? else {
            return Ok(self.wanted.len() as u64);
        };
        let mut damaged = 0;
        for (at, place) in &self.wanted {
            match (group.summaries(*at, opener)?, points.get_mut(*place)) {
                (Some(summaries), Some(points)) => plan.put(points, &group.axis.times, &summaries),
                _ => damaged += 1,
            }
        }
        Ok(damaged)
    }
}

/// What went wrong, and where.
type Failed<'a> = (&'a OpenPart, io::Error);

/// Merges what these groups have, oldest first, into the points. Returns how much could not be read.
pub(crate) fn decode<'a>(
    tasks: &[Task<'a>],
    plan: &Plan,
    points: &mut [Vec<Summary>],
) -> Result<u64, Failed<'a>> {
    let (first, second) = tasks.split_at(middle(tasks));
    if second.is_empty() {
        return run(first, plan, points);
    }
    let series = points.len();
    let begins = second.iter().map(|task| task.group.min_time).min().unwrap_or(plan.from);
    let later = plan.rest_from(begins);
    let decode_later = || {
        let mut points = vec![later.nothing(); series];
        run(second, &later, &mut points).map(|damaged| (points, damaged))
    };
    thread::scope(|scope| {
        let helper = thread::Builder::new().name("decode".to_owned());
        let helper = helper.spawn_scoped(scope, decode_later);
        let damaged = run(first, plan, points)?;
        let (more, more_damaged) = match helper.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => done?,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // No thread to be had: it takes longer.
            Err(_) => decode_later()?,
        };
        for (points, more) in points.iter_mut().zip(&more) {
            let since = points.len().saturating_sub(more.len());
            let points = points.get_mut(since..).unwrap_or_default();
            points.iter_mut().zip(more).for_each(|(point, later)| point.merge(later));
        }
        Ok(damaged + more_damaged)
    })
}

/// How many tasks the first thread gets: those of half of the rows, or all.
fn middle(tasks: &[Task<'_>]) -> usize {
    let all: usize = tasks.iter().map(Task::rows).sum();
    if all < THREADS * ROWS_WORTH_A_THREAD {
        return tasks.len();
    }
    let mut rows = 0;
    let reaches_half = |task: &Task<'_>| {
        rows += task.rows();
        rows >= all / THREADS
    };
    tasks.iter().position(reaches_half).map_or(tasks.len(), |last| last + 1)
}

fn run<'a>(
    tasks: &[Task<'a>],
    plan: &Plan,
    points: &mut [Vec<Summary>],
) -> Result<u64, Failed<'a>> {
    let Some(first) = tasks.first() else { return Ok(0) };
    let mut opener = Opener::new().map_err(|error| (first.part, error))?;
    let mut damaged = 0;
    for task in tasks {
        damaged += task.run(plan, points, &mut opener).map_err(|error| (task.part, error))?;
    }
    Ok(damaged)
}
