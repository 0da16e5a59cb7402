//! An errand whose last answer is worth showing for a while, with its age.

use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::State;

use super::{Answer, FRESH, Slow};
use crate::error::{Error, Problem};
use crate::host::Host;

/// An older value is no longer shown: three times the longest interval.
const MAX_AGE: Duration = Duration::from_secs(180);

/// What an errand found, or why nothing.
pub(crate) type Finding<T> = Result<T, Error>;

/// An errand whose last answer is worth showing for a while.
#[derive(Debug)]
pub(crate) struct Lasting<T> {
    part: &'static str,
    errand: Arc<Slow<Finding<T>>>,
    /// The last answer, and when it was sent for.
    last: Option<(Instant, Finding<T>)>,
}

impl<T: Default + Clone + Send + 'static> Lasting<T> {
    /// An errand of `host`, whose problems are those of `part`.
    pub(crate) fn new(
        host: &Host,
        part: &'static str,
        work: impl FnMut() -> Finding<T> + Send + 'static,
    ) -> Self {
        let errand = Slow::new(work);
        host.errands().add(&errand);
        Self { part, errand, last: None }
    }

    /// The newest value, and what is to be said of it. What this host does not have is an empty value.
    pub(crate) fn look(&mut self, problems: &mut Vec<Problem>) -> Option<T> {
        let mut say = |state, reason| {
            problems.push(Problem { part: self.part.to_owned(), state, reason, fix: None });
        };
        match self.errand.take() {
            Some(Answer { outcome: Ok(found), asked, .. }) => self.last = Some((asked, found)),
            Some(Answer { outcome: Err(panic), .. }) => {
                self.last = None;
                say(State::Failed, format!("reading them panicked: {panic}"));
                return None;
            }
            None => {}
        }
        let age =
            self.last.as_ref().map(|(asked, _)| asked.elapsed()).filter(|age| *age <= MAX_AGE);
        let (Some(age), Some((_, found))) = (age, &self.last) else {
            say(State::Late, "their files have not answered".to_owned());
            return None;
        };
        match found {
            Ok(value) => {
                if age > FRESH {
                    let age = age.as_secs_f64();
                    say(
                        State::Late,
                        format!("their files are slow to answer: the values are {age:.1} s old"),
                    );
                }
                Some(value.clone())
            }
            Err(error) => {
                problems.push(Problem::new(self.part, error));
                (error.state() == State::Unavailable).then(T::default)
            }
        }
    }
}
