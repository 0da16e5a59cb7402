//! Work that may not come back in time, or ever: a read that hangs, a mount whose server is gone.
//!
//! An errand is run by one thread at a time and never twice at once. Whoever needs its answer takes what has come
//! and never waits.

mod lasting;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::cost::{self, Cost};

pub(crate) use lasting::{Finding, Lasting};

/// An answer that is older is said to be, wherever it is shown.
pub(crate) const FRESH: Duration = Duration::from_millis(500);

/// Something that is run at every tick.
pub trait Errand: Send + Sync {
    /// Runs it, unless it is under way already.
    fn run(&self);
    /// How long it took when it came back last. None if it never did.
    fn last_took(&self) -> Option<Duration>;
}

/// An errand with an answer.
pub(crate) struct Slow<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    /// None while it is under way. Is told whether its last answer was left lying.
    work: Option<Box<dyn FnMut(bool) -> T + Send>>,
    under_way_since: Option<Instant>,
    /// The newest answer that was not taken yet.
    answer: Option<Answer<T>>,
    last_took: Option<Duration>,
}

/// What an errand brought.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// When it was sent for: what it brought is no older.
    pub(crate) asked: Instant,
    /// How long it took.
    pub(crate) took: Duration,
    /// What it cost.
    pub(crate) cost: Cost,
    /// The answer, or what a panic said.
    pub(crate) outcome: Result<T, String>,
}

impl<T: Send + 'static> Slow<T> {
    /// An errand that was not run yet.
    pub(crate) fn new(mut work: impl FnMut() -> T + Send + 'static) -> Arc<Self> {
        Self::told(move |_| work())
    }

    /// The same, of work that is told whether nobody took its last answer.
    pub(crate) fn told(work: impl FnMut(bool) -> T + Send + 'static) -> Arc<Self> {
        let state = State {
            work: Some(Box::new(work)),
            under_way_since: None,
            answer: None,
            last_took: None,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// The newest answer, once.
    pub(crate) fn take(&self) -> Option<Answer<T>> {
        self.lock().answer.take()
    }

    /// The newest answer, once, if it was sent for since then. An older one is left lying.
    pub(crate) fn take_since(&self, then: Instant) -> Option<Answer<T>> {
        self.lock().answer.take_if(|answer| answer.asked >= then)
    }

    /// Since when nobody took what was sent for.
    pub(crate) fn late_since(&self) -> Option<Instant> {
        let state = self.lock();
        state.under_way_since.or(state.answer.as_ref().map(|answer| answer.asked))
    }

    /// Since when it is under way.
    pub(crate) fn under_way_since(&self) -> Option<Instant> {
        self.lock().under_way_since
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The work runs outside the lock, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Errand for Slow<T> {
    fn run(&self) {
        let asked = Instant::now();
        let (mut work, left_lying) = {
            let mut state = self.lock();
            let Some(work) = state.work.take() else { return };
            state.under_way_since = Some(asked);
            (work, state.answer.is_some())
        };
        let (outcome, cost) = cost::of(|| catch_unwind(AssertUnwindSafe(|| work(left_lying))));
        let outcome = outcome.map_err(|panic| said(panic.as_ref()));
        let mut state = self.lock();
        state.work = Some(work);
        state.under_way_since = None;
        let took = asked.elapsed();
        state.answer = Some(Answer { asked, took, cost, outcome });
        state.last_took = Some(took);
    }

    fn last_took(&self) -> Option<Duration> {
        self.lock().last_took
    }
}

impl<T> fmt::Debug for Slow<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slow")
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// The errands of a host's collectors, to be run before the collectors at every tick. An errand is forgotten when
/// its collector drops it.
#[derive(Default)]
pub struct Errands(Mutex<Vec<Weak<dyn Errand>>>);

impl Errands {
    /// Adds one.
    pub(crate) fn add<T: Send + 'static>(&self, errand: &Arc<Slow<T>>) {
        let weak: Weak<Slow<T>> = Arc::downgrade(errand);
        self.lock().push(weak);
    }

    /// All that somebody still wants.
    pub fn wanted(&self) -> Vec<Arc<dyn Errand>> {
        let mut errands = self.lock();
        errands.retain(|errand| errand.strong_count() > 0);
        errands.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn Errand>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Errands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Errands")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer_and_the_errand_can_be_run_again() {
        let mut runs = 0;
        let errand = Slow::new(move || {
            runs += 1;
            assert!(runs > 1, "the first run fails");
            runs
        });
        errand.run();
        assert_eq!(errand.take().unwrap().outcome, Err("the first run fails".to_owned()));
        errand.run();
        assert_eq!(errand.take().unwrap().outcome, Ok(2));
        assert!(errand.take().is_none());
    }

    #[test]
    fn an_errand_that_nobody_holds_is_forgotten() {
        let errands = Errands::default();
        let kept = Slow::new(|| 1);
        errands.add(&kept);
        errands.add(&Slow::new(|| 2));
        assert_eq!(errands.wanted().len(), 1);
    }
}
