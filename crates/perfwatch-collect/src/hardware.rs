//! Hardware that most hosts do not have: looked for once, and then rarely.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How long hardware that is not there, or not allowed, is not looked for again. Drivers are loaded and permissions
/// given, but seldom.
pub const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// Something that is there, or was not when it was last looked for.
#[derive(Debug)]
pub(crate) struct Hardware<T>(Option<Result<T, (Arc<Error>, Instant)>>);

impl<T> Hardware<T> {
    /// Not looked for yet.
    pub(crate) const fn unknown() -> Self {
        Self(None)
    }

    /// What is there. Looks for it where that is due; `now` is the time.
    pub(crate) fn find(
        &mut self,
        now: Instant,
        look: impl FnOnce() -> Result<T, Error>,
    ) -> Result<&mut T, Error> {
        let looked = self.0.take().filter(|looked| match looked {
            Ok(_) => true,
            Err((_, at)) => now.saturating_duration_since(*at) < LOOK_AGAIN,
        });
        let looked = looked.unwrap_or_else(|| look().map_err(|error| (Arc::new(error), now)));
        match self.0.insert(looked) {
            Ok(found) => Ok(found),
            Err((error, _)) => Err(Error::Before(Arc::clone(error))),
        }
    }

    /// It went away: to be looked for at once.
    pub(crate) fn lose(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_looked_for_again_after_a_while() {
        let mut hardware = Hardware::unknown();
        let start = Instant::now();
        let mut looked = Vec::new();
        for seconds in [0, 5, 299, 300, 305, 700] {
            let found = hardware.find(start + Duration::from_secs(seconds), || {
                looked.push(seconds);
                if seconds < 600 { Err(Error::Unavailable("none".to_owned())) } else { Ok(7) }
            });
            assert_eq!(found.ok().copied(), (seconds == 700).then_some(7));
        }
        assert_eq!(looked, [0, 300, 700]);
    }
}
