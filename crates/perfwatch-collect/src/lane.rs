//! A thread of its own for something that may not answer in time, or ever.
//!
//! One question is outstanding at most. Whoever asks waits until its own deadline and goes on; an answer that
//! comes later is there for the next look, with the number of the question it belongs to.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Instant;

/// Stack of a thread that samples. The deepest parsers need a tenth of it.
pub(crate) const STACK_BYTES: usize = 256 << 10;

/// The thread, seen from the one who asks.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    questions: SyncSender<u64>,
    answers: Receiver<Answer<T>>,
    outstanding: Option<Instant>,
}

/// What a lane answered.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// The number of the question.
    pub(crate) number: u64,
    /// The answer, or what the panic said.
    pub(crate) outcome: Result<T, String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Still at work on a question that was put at this time.
    Late(Instant),
    /// No question is outstanding.
    NotAsked,
}

impl<T: Send + 'static> Lane<T> {
    /// Starts the thread. A panic in `work` is an answer; the thread lives on.
    pub(crate) fn spawn(
        name: &str,
        mut work: impl FnMut() -> T + Send + 'static,
    ) -> io::Result<Self> {
        let (questions, asked) = sync_channel::<u64>(1);
        let (answer, answers) = sync_channel(1);
        thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(move || {
            for number in asked {
                let outcome =
                    catch_unwind(AssertUnwindSafe(&mut work)).map_err(|panic| said(panic.as_ref()));
                if answer.send(Answer { number, outcome }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, answers, outstanding: None })
    }

    /// Puts a question, unless one is still outstanding. Never waits.
    pub(crate) fn ask(&mut self, number: u64) {
        if self.outstanding.is_some() {
            return;
        }
        match self.questions.try_send(number) {
            Ok(()) => self.outstanding = Some(Instant::now()),
            // The thread is gone only while the process ends; then nobody waits for an answer.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// Waits for the outstanding answer until `deadline`.
    pub(crate) fn answer(&mut self, deadline: Instant) -> Result<Answer<T>, Silence> {
        let asked = self.outstanding.ok_or(Silence::NotAsked)?;
        match self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(answer) => {
                self.outstanding = None;
                Ok(answer)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(Silence::Late(asked))
            }
        }
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_panic_is_an_answer_and_the_thread_lives_on() {
        let mut calls = 0;
        let mut lane = Lane::spawn("test", move || {
            calls += 1;
            assert!(calls > 1, "the first call fails");
            calls
        })
        .unwrap();
        lane.ask(1);
        let outcome = lane.answer(soon()).unwrap().outcome;
        assert_eq!(outcome.unwrap_err(), "the first call fails");
        lane.ask(2);
        assert_eq!(lane.answer(soon()).unwrap().outcome, Ok(2));
    }

    #[test]
    fn a_late_answer_keeps_its_number() {
        let (release, gate) = mpsc::channel::<()>();
        let mut lane = Lane::spawn("test", move || gate.recv().is_ok()).unwrap();
        assert!(matches!(lane.answer(soon()), Err(Silence::NotAsked)));
        lane.ask(7);
        assert!(matches!(lane.answer(Instant::now()), Err(Silence::Late(_))));
        lane.ask(8); // not put: 7 is outstanding
        release.send(()).unwrap();
        assert_eq!(lane.answer(soon()).unwrap().number, 7);
        assert!(matches!(lane.answer(soon()), Err(Silence::NotAsked)));
    }
}
