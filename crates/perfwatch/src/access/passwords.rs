//! Passwords: hashed with Argon2id, a few at a time, at a cost in memory and CPU time that is bounded whoever asks.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::secret::{Secret, random};

/// 19 MiB, two passes, one lane: OWASP's Password Storage Cheat Sheet.
const MEMORY_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Blocks of 1 KiB that memory is asked for, of which no more than needed are touched: glibc gives what is larger than 32
/// MiB back as soon as it is free, and keeps what is smaller, for every thread that ever hashed.
const RESERVED_BLOCKS: usize = 33 << 10;

/// Shortest and longest password, in bytes. Hashing reads all of it.
pub(crate) const MIN_BYTES: usize = 8;
pub(crate) const MAX_BYTES: usize = 1024;

/// Hashes that are computed at a time: 38 MiB.
pub(crate) const MAX_HASHES: usize = 2;

/// Those that wait for their turn. More are refused.
const MAX_WAITING: usize = 16;

/// The hash of a password that nobody knows: who asks for a user that is not there waits as long as for one that is.
static NOBODY: LazyLock<Option<Secret>> = LazyLock::new(|| {
    let password = super::secret::new_secret("").ok()?;
    hash(password.reveal()).ok()
});

/// Why a password was not hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Too short or too long.
    #[error("a password has 8 to 1,024 bytes")]
    Length,
    /// Too many wait.
    #[error("too many passwords are being checked")]
    Busy,
    /// No memory or no random bytes.
    #[error("the password could not be hashed")]
    Failed,
}

/// Hashes a new password.
pub(crate) fn hash(password: &str) -> Result<Secret, Error> {
    if !(MIN_BYTES..=MAX_BYTES).contains(&password.len()) {
        return Err(Error::Length);
    }
    let salt: [u8; 16] = random().map_err(|_| Error::Failed)?;
    let failed = |_| Error::Failed;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| Error::Failed)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(|_| Error::Failed)?,
        salt: Some(Salt::new(&salt).map_err(failed)?),
        hash: Some(argon2id(password, &salt, params)?),
    };
    Ok(hash.to_string().into())
}

/// Whether a password is the one of this hash. None: of nobody's, which takes as long.
fn verify(password: &str, hash: Option<&Secret>) -> Result<bool, Error> {
    // Made at the first comparison, whichever that is.
    let nobody = NOBODY.as_ref();
    let known = hash.or(nobody).ok_or(Error::Failed)?;
    let parsed = PasswordHash::new(known.reveal()).map_err(|_| Error::Failed)?;
    let params = Params::try_from(&parsed).map_err(|_| Error::Failed)?;
    // Whoever forges a file of accounts takes no more memory and time with it than a hash of ours does.
    let is_ours = parsed.algorithm == Algorithm::Argon2id.ident()
        && parsed.version == Some(Version::V0x13.into())
        && params.m_cost() <= MEMORY_KIB
        && params.t_cost() <= PASSES
        && params.p_cost() <= LANES;
    let (Some(salt), Some(right), true) = (parsed.salt, parsed.hash, is_ours) else {
        return Err(Error::Failed);
    };
    // Outputs are compared in a time that does not depend on them.
    let same = argon2id(password, &salt, params)? == right;
    Ok(same && hash.is_some())
}

fn argon2id(password: &str, salt: &[u8], params: Params) -> Result<Output, Error> {
    let count = params.block_count();
    let mut memory = Vec::new();
    memory.try_reserve_exact(count.max(RESERVED_BLOCKS)).map_err(|_| Error::Failed)?;
    memory.resize(count, Block::new());
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut output, &mut memory)
        .map_err(|_| Error::Failed)?;
    Output::new(&output).map_err(|_| Error::Failed)
}

/// The places for hashing.
#[derive(Debug)]
pub(crate) struct Hashing {
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Default for Hashing {
    fn default() -> Self {
        let running = Arc::new(Semaphore::new(MAX_HASHES));
        Self { running, waiting: Semaphore::new(MAX_HASHES + MAX_WAITING) }
    }
}

impl Hashing {
    /// Hashes a new password when it is its turn.
    pub(crate) async fn hash(&self, password: Secret) -> Result<Secret, Error> {
        self.in_turn(move || hash(password.reveal())).await
    }

    /// Compares a password with a hash when it is its turn. None: with nobody's.
    pub(crate) async fn verify(
        &self,
        password: Secret,
        hash: Option<Secret>,
    ) -> Result<bool, Error> {
        // None is so long. Finding out costs as much as with any other, for failures are cheap to nobody.
        let (password, hash) = match password.reveal().len() {
            0..=MAX_BYTES => (password, hash),
            _ => (String::new().into(), None),
        };
        self.in_turn(move || verify(password.reveal(), hash.as_ref())).await
    }

    /// A place that was used rests for as long as it was: all of them together never take more than a core.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Error::Busy)?;
        let place = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Error::Busy)?;
        let (done, answer) = tokio::sync::oneshot::channel();
        // Goes on when whoever asked has gone away, and keeps its place meanwhile.
        tokio::spawn(async move {
            let began = Instant::now();
            let outcome = tokio::task::spawn_blocking(work).await;
            // Nobody may wait for it any more.
            let _ = done.send(outcome.unwrap_or(Err(Error::Failed)));
            sleep(began.elapsed()).await;
            drop(place);
        });
        answer.await.unwrap_or(Err(Error::Failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2id_with_its_parameters_and_fits_one_password() {
        let kept = hash("correct horse").unwrap();
        assert!(kept.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept.reveal());
        assert_eq!(verify("correct horse", Some(&kept)), Ok(true));
        assert_eq!(verify("correct hors", Some(&kept)), Ok(false));
        assert_eq!(verify("correct horse", None), Ok(false));
        assert_ne!(kept.reveal(), hash("correct horse").unwrap().reveal(), "salted");
    }

    #[test]
    fn what_is_too_short_or_too_long_is_no_password() {
        for length in [0, MIN_BYTES - 1, MAX_BYTES + 1] {
            assert_eq!(hash(&"x".repeat(length)).map(|_| ()), Err(Error::Length), "{length}");
        }
    }

    #[tokio::test]
    async fn the_longest_password_fits_and_what_is_longer_fits_none() {
        let (hashing, longest) = (Hashing::default(), "x".repeat(MAX_BYTES));
        let kept = hash(&longest).unwrap();
        let fits =
            async |password: String| hashing.verify(password.into(), Some(kept.clone())).await;
        assert_eq!(fits(longest.clone()).await, Ok(true));
        assert_eq!(fits(longest + "x").await, Ok(false));
    }

    #[test]
    fn a_hash_that_is_not_as_we_make_them_fits_nothing() {
        let kept = hash("correct horse").unwrap();
        for (ours, other) in [
            ("argon2id", "argon2i"),
            ("v=19", "v=16"),
            ("$v=19", ""),
            ("m=19456", "m=19457"),
            ("t=2", "t=3"),
            ("p=1", "p=2"),
        ] {
            let other = kept.reveal().replace(ours, other).into();
            assert_eq!(verify("correct horse", Some(&other)), Err(Error::Failed), "{ours}");
        }
    }

    #[tokio::test]
    async fn all_places_together_take_a_core_at_most() {
        const WORK: std::time::Duration = std::time::Duration::from_millis(20);
        const TURNS: u32 = 10;
        let (hashing, began) = (Arc::new(Hashing::default()), Instant::now());
        let mut turns = tokio::task::JoinSet::new();
        for _ in 0..TURNS {
            let hashing = Arc::clone(&hashing);
            let work = || {
                std::thread::sleep(WORK);
                Ok(())
            };
            turns.spawn(async move { hashing.in_turn(work).await });
        }
        assert!(turns.join_all().await.into_iter().all(|done| done.is_ok()));
        // Each works for as long as it rests, two at a time: but for the last two rests.
        assert!(began.elapsed() >= WORK * (TURNS - 1), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn beyond_those_that_wait_everybody_is_refused() {
        let hashing = Hashing::default();
        let places = hashing.running.acquire_many(MAX_HASHES as u32).await.unwrap();
        let tries =
            (0..MAX_HASHES + MAX_WAITING + 5).map(|_| hashing.verify("x".to_owned().into(), None));
        let mut tries: Vec<_> = tries.map(Box::pin).collect();
        let mut refused = 0;
        for one in &mut tries {
            refused += usize::from(at_once(one).await == Some(Err(Error::Busy)));
        }
        assert_eq!(refused, 5);
        drop(places);
    }

    /// What a future says at once, if anything.
    async fn at_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            said = future => Some(said),
            () = std::future::ready(()) => None,
        }
    }
}
