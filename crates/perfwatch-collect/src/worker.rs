//! A collector on a thread of its own, asked at every tick, with a deadline.
//!
//! An answer carries the number of its tick. One that comes late is dropped, never taken for the current one;
//! the reading behind it still counts as the previous one, so the next rates are over the right time.

use std::io;
use std::time::{Duration, Instant};

use crate::collector::Report;
use crate::error::Error;
use crate::lane::{Lane, Silence};

type Timed<M> = (Duration, Result<Report<M>, Error>);

/// The thread, seen from the sampler.
#[derive(Debug)]
pub(crate) struct Worker<M> {
    lane: Lane<Timed<M>>,
}

/// How a collector did at one tick.
#[derive(Debug)]
pub(crate) enum Outcome<M> {
    Collected {
        report: Report<M>,
        duration: Duration,
    },
    Failed {
        error: Error,
        duration: Duration,
    },
    Panicked(String),
    /// No answer yet to the question put at this time.
    Late(Instant),
}

impl<M: Send + 'static> Worker<M> {
    /// Starts the thread.
    pub(crate) fn spawn(
        name: &str,
        mut collect: impl FnMut() -> Result<Report<M>, Error> + Send + 'static,
    ) -> io::Result<Self> {
        let timed = move || {
            let start = Instant::now();
            let outcome = collect();
            (start.elapsed(), outcome)
        };
        Ok(Self { lane: Lane::spawn(name, timed)? })
    }

    /// Asks for a tick, unless the collector is still busy with an earlier one.
    pub(crate) fn ask(&mut self, tick: u64) {
        // An answer to an earlier tick came after its deadline: nobody wants it any more.
        drop(self.lane.answer(Instant::now()));
        self.lane.ask(tick);
    }

    /// Waits for the answer to `tick` until `deadline`.
    pub(crate) fn answer(&mut self, tick: u64, deadline: Instant) -> Outcome<M> {
        let asked = match self.lane.answer(deadline) {
            Ok(answer) if answer.number == tick => {
                return match answer.outcome {
                    Ok((duration, Ok(report))) => Outcome::Collected { report, duration },
                    Ok((duration, Err(error))) => Outcome::Failed { error, duration },
                    Err(panic) => Outcome::Panicked(panic),
                };
            }
            // The answer to an earlier tick came while this one waited; the next tick asks again.
            Ok(_) | Err(Silence::NotAsked) => Instant::now(),
            Err(Silence::Late(asked)) => asked,
        };
        Outcome::Late(asked)
    }
}
