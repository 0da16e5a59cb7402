//! A disk in memory that loses power, fills up, fails and hangs when told to.
//!
//! What a power cut leaves of a file is in `sectors.rs`. A sync makes a file's content last, `create` its name; whether one
//! that was removed or renamed is back afterwards is left to chance, whatever was done later.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use perfwatch_store::disk::{Disk, Sink, Source};

use crate::rng::Rng;
use crate::sectors::File;

pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EIO: i32 = 5;
const EROFS: i32 = 30;

/// What is asked of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    List,
    Open,
    Read,
    Space,
    Create,
    Append,
    Remove,
    Rename,
    Write,
    Sync,
    Truncate,
}

/// Those that change something.
pub(crate) const CHANGES: [Op; 7] =
    [Op::Create, Op::Append, Op::Remove, Op::Rename, Op::Write, Op::Sync, Op::Truncate];

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimDisk {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

struct Rule {
    ops: Vec<Op>,
    /// So many go well first.
    after: u64,
    /// So many fail then.
    times: u64,
    errno: i32,
}

struct State {
    /// Every file there ever was, by number.
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    /// Names that files once had.
    ghosts: Vec<(String, usize)>,
    rules: Vec<Rule>,
    capacity: Option<u64>,
    blocked: Vec<Op>,
    waiting: usize,
    read_only: bool,
    dead: bool,
    rng: Rng,
    /// Operations so far that change something.
    changes: u64,
    /// Before which of those a picture is to be taken.
    pictures_at: BTreeSet<u64>,
    pictures: Vec<Picture>,
    /// What the test said last about what is acknowledged.
    acknowledged: u64,
    most_bytes: u64,
    failures: u64,
}

/// The disk as it was at one moment.
#[derive(Clone)]
pub(crate) struct Picture {
    names: BTreeMap<String, File>,
    ghosts: Vec<(String, File)>,
    /// What the test had said about what was acknowledged.
    pub(crate) acknowledged: u64,
    /// How many changes came before.
    pub(crate) change: u64,
}

impl Picture {
    /// The disk after a power cut at that moment.
    pub(crate) fn power_cut(&self, seed: u64) -> SimDisk {
        let mut rng = Rng::new(seed);
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (name, file) in &self.names {
            files.insert(name.clone(), file.after_power_cut(&mut rng));
        }
        for (name, file) in &self.ghosts {
            if rng.one_in(2) {
                let content = file.after_power_cut(&mut rng);
                files.entry(name.clone()).or_insert(content);
            }
        }
        SimDisk::holding(files)
    }
}

impl SimDisk {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self::holding(BTreeMap::new())
    }

    /// One with these files, all of them durable.
    pub(crate) fn holding(files: BTreeMap<String, Vec<u8>>) -> Self {
        let (mut all, mut names) = (Vec::new(), BTreeMap::new());
        for (name, content) in files {
            names.insert(name, all.len());
            all.push(File { durable: content.clone(), now: content, forgotten: BTreeSet::new() });
        }
        let state = State {
            files: all,
            names,
            ghosts: Vec::new(),
            rules: Vec::new(),
            capacity: None,
            blocked: Vec::new(),
            waiting: 0,
            read_only: false,
            dead: false,
            rng: Rng::new(1),
            changes: 0,
            pictures_at: BTreeSet::new(),
            pictures: Vec::new(),
            acknowledged: 0,
            most_bytes: 0,
            failures: 0,
        };
        let path = PathBuf::from("/sim");
        let shared = Shared { path, state: Mutex::new(state), changed: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// As an argument for a store or a reader.
    pub(crate) fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Every file and what is in it.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.lock();
        state.names.iter().map(|(name, id)| (name.clone(), state.files[*id].now.clone())).collect()
    }

    /// Ends whoever uses this disk, as kill -9 does: the files as they are, on a new disk.
    pub(crate) fn crash(&self) -> Self {
        self.lock().dead = true;
        self.shared.changed.notify_all();
        Self::holding(self.files())
    }

    /// Ends whoever uses this disk, as a power cut does.
    pub(crate) fn power_cut(&self, seed: u64) -> Self {
        let mut state = self.lock();
        state.dead = true;
        let picture = state.picture();
        drop(state);
        self.shared.changed.notify_all();
        picture.power_cut(seed)
    }

    /// Asks for pictures before these changes.
    pub(crate) fn take_pictures(&self, at: impl IntoIterator<Item = u64>) {
        self.lock().pictures_at.extend(at);
    }

    /// The pictures taken.
    pub(crate) fn pictures(&self) -> Vec<Picture> {
        std::mem::take(&mut self.lock().pictures)
    }

    /// Notes what is acknowledged, for the pictures.
    pub(crate) fn acknowledge(&self, what: u64) {
        self.lock().acknowledged = what;
    }

    /// After so many of these operations, so many fail.
    pub(crate) fn fail(&self, ops: &[Op], after: u64, times: u64, errno: i32) {
        self.lock().rules.push(Rule { ops: ops.to_vec(), after, times, errno });
    }

    /// Nothing fails any more, on purpose.
    pub(crate) fn heal(&self) {
        let mut state = self.lock();
        state.rules.clear();
        state.capacity = None;
        state.read_only = false;
    }

    /// How many operations failed.
    pub(crate) fn failures(&self) -> u64 {
        self.lock().failures
    }

    /// How many operations changed something.
    pub(crate) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Holds so many bytes in all.
    pub(crate) fn limit(&self, bytes: u64) {
        self.lock().capacity = Some(bytes);
    }

    /// The most bytes it ever held.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.lock().most_bytes
    }

    /// Lets nobody write.
    pub(crate) fn make_read_only(&self) {
        self.lock().read_only = true;
    }

    /// Lets these operations wait until [`SimDisk::release`].
    pub(crate) fn block(&self, ops: &[Op]) {
        self.lock().blocked.extend(ops);
    }

    /// Lets everything go on.
    pub(crate) fn release(&self) {
        self.lock().blocked.clear();
        self.shared.changed.notify_all();
    }

    /// Waits until an operation is blocked. False when none is in ten seconds.
    pub(crate) fn wait_until_blocked(&self) -> bool {
        let until = Instant::now() + Duration::from_secs(10);
        let mut state = self.lock();
        while state.waiting == 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Begins an operation.
    fn enter(&self, op: Op) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        while state.blocked.contains(&op) && !state.dead {
            state.waiting += 1;
            self.shared.changed.notify_all();
            state = self.shared.changed.wait(state).unwrap();
            state.waiting -= 1;
        }
        if state.dead {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        if CHANGES.contains(&op) {
            if state.pictures_at.contains(&state.changes) {
                let picture = state.picture();
                state.pictures.push(picture);
            }
            state.changes += 1;
            if state.read_only {
                return Err(io::Error::from_raw_os_error(EROFS));
            }
        }
        Ok(state)
    }

    /// Begins an operation that fails as a whole or not at all.
    fn whole(&self, op: Op) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.enter(op)?;
        match state.fault(op) {
            Some(error) => Err(error),
            None => Ok(state),
        }
    }
}

impl State {
    fn fault(&mut self, op: Op) -> Option<io::Error> {
        let mut errno = None;
        for rule in self.rules.iter_mut().filter(|rule| rule.ops.contains(&op)) {
            if rule.after > 0 {
                rule.after -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                errno = Some(rule.errno);
            }
        }
        self.failures += u64::from(errno.is_some());
        errno.map(io::Error::from_raw_os_error)
    }

    fn picture(&self) -> Picture {
        let file = |(name, id): (&String, &usize)| (name.clone(), self.files[*id].clone());
        Picture {
            names: self.names.iter().map(file).collect(),
            ghosts: self.ghosts.iter().map(|(name, id)| file((name, id))).collect(),
            acknowledged: self.acknowledged,
            change: self.changes,
        }
    }

    fn bytes(&self) -> u64 {
        self.names.values().map(|id| self.files[*id].now.len() as u64).sum()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for SimDisk {
    fn path(&self) -> &Path {
        &self.shared.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.whole(Op::List)?.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let id = *self.whole(Op::Open)?.names.get(name).ok_or_else(not_found)?;
        Ok(Arc::new(Handle { disk: self.clone(), id }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Sink>> {
        let mut state = self.whole(Op::Create)?;
        if state.names.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let id = state.files.len();
        state.files.push(File::default());
        state.names.insert(name.to_owned(), id);
        Ok(Box::new(Handle { disk: self.clone(), id }))
    }

    fn append(&self, name: &str) -> io::Result<Box<dyn Sink>> {
        let id = *self.whole(Op::Append)?.names.get(name).ok_or_else(not_found)?;
        Ok(Box::new(Handle { disk: self.clone(), id }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.whole(Op::Remove)?;
        let id = state.names.remove(name).ok_or_else(not_found)?;
        state.ghosts.push((name.to_owned(), id));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.whole(Op::Rename)?;
        let id = state.names.remove(from).ok_or_else(not_found)?;
        state.ghosts.push((from.to_owned(), id));
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        let state = self.whole(Op::Space)?;
        let all = state.capacity.unwrap_or(1 << 40);
        Ok((all.saturating_sub(state.bytes()), all))
    }
}

/// A file that is open.
struct Handle {
    disk: SimDisk,
    id: usize,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.id)
    }
}

impl Source for Handle {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.id].now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.whole(Op::Read)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(buffer.len());
        let part = end.and_then(|end| state.files[self.id].now.get(start..end));
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn will_need(&self, _offset: u64, _length: u64) {}
}

impl Sink for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.enter(Op::Write)?;
        let room = state.capacity.map_or(u64::MAX, |all| all.saturating_sub(state.bytes()));
        let mut failed = state.fault(Op::Write);
        let mut part = match &failed {
            Some(_) => state.rng.below(bytes.len() as u64 + 1),
            None => bytes.len() as u64,
        };
        if part > room {
            part = room;
            failed = Some(io::Error::from_raw_os_error(ENOSPC));
        }
        state.files[self.id].now.extend(&bytes[..part as usize]);
        state.most_bytes = state.most_bytes.max(state.bytes());
        failed.map_or(Ok(()), Err)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.enter(Op::Sync)?;
        let failed = state.fault(Op::Sync);
        let State { files, rng, .. } = &mut *state;
        match failed {
            None => files[self.id].sync(),
            Some(_) => files[self.id].fail_to_sync(rng),
        }
        failed.map_or(Ok(()), Err)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.disk.whole(Op::Truncate)?;
        state.files[self.id].now.truncate(length as usize);
        Ok(())
    }
}
