//! The system calls that have no safe binding, and all of the project's unsafe code.
//!
//! `perf_event_open(2)` takes a struct that has grown with the kernel and says its own size. A kernel that is older than
//! the size takes it all the same while what it does not know is zero, so one size serves all. Reading a counter needs
//! nothing of this: it is `read(2)` on its descriptor.

#![allow(
    unsafe_code,
    reason = "perf_event_open, its ioctls, adjtimex and pre_exec have no safe binding"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// A read brings the time for which the counter was enabled.
pub const FORMAT_TOTAL_TIME_ENABLED: u64 = 1 << 0;
/// A read brings the time for which it ran on the hardware: less than enabled when counters had to take turns.
pub const FORMAT_TOTAL_TIME_RUNNING: u64 = 1 << 1;
/// A read of a leader brings its whole group: how many, the times, and each value in the order of opening.
pub const FORMAT_GROUP: u64 = 1 << 3;

/// Counts only once it is enabled. Of a group, the leader alone needs it.
pub const FLAG_DISABLED: u64 = 1 << 0;
/// Leaves out what happens in user space.
pub const FLAG_EXCLUDE_USER: u64 = 1 << 4;
/// Leaves out what happens in the kernel.
pub const FLAG_EXCLUDE_KERNEL: u64 = 1 << 5;
/// Leaves out what guests of this host do.
pub const FLAG_EXCLUDE_GUEST: u64 = 1 << 20;

/// What to count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attr {
    /// `type`: a generic one (0 hardware, 1 software, 2 tracepoint, 3 cache, 4 raw), or the number in
    /// `/sys/bus/event_source/devices/<pmu>/type`.
    pub kind: u32,
    /// Which event of that type.
    pub config: u64,
    /// More of it, for PMUs that ask for more.
    pub config1: u64,
    /// Still more of it.
    pub config2: u64,
    /// What a read brings: `FORMAT_` bits.
    pub read_format: u64,
    /// `FLAG_` bits, in the order of the kernel's bit field.
    pub flags: u64,
}

/// Where to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// A process, 0 for this one. None: whatever runs, which takes CAP_PERFMON or perf_event_paranoid below 1, and a CPU.
    pub pid: Option<u32>,
    /// A CPU. None: wherever the process runs.
    pub cpu: Option<u32>,
}

/// `struct perf_event_attr` of linux/perf_event.h, as large as PERF_ATTR_SIZE_VER7 (Linux 5.16).
#[repr(C)]
#[derive(Debug, Default)]
struct RawAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clock_id: i32,
    sample_regs_intr: u64,
    aux_watermark: u32,
    sample_max_stack: u16,
    reserved_2: u16,
    aux_sample_size: u32,
    reserved_3: u32,
    sig_data: u64,
}

/// PERF_ATTR_SIZE_VER7.
const ATTR_BYTES: usize = 128;
const _: () = assert!(size_of::<RawAttr>() == ATTR_BYTES);

/// PERF_FLAG_FD_CLOEXEC.
const OPEN_CLOEXEC: libc::c_ulong = 1 << 3;

/// Opens a counter. It belongs to the group of `group`, its leader, and then only counts while that does. Its
/// descriptor is closed on exec.
pub fn open(attr: &Attr, target: Target, group: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let mut raw = RawAttr {
        kind: attr.kind,
        size: ATTR_BYTES as u32,
        config: attr.config,
        config1: attr.config1,
        config2: attr.config2,
        read_format: attr.read_format,
        // A C bit field begins at the other end where bytes do.
        flags: if cfg!(target_endian = "big") { attr.flags.reverse_bits() } else { attr.flags },
        ..RawAttr::default()
    };
    let number = |number: Option<u32>| match number {
        Some(number) => libc::c_int::try_from(number).map_err(|_| io::ErrorKind::InvalidInput),
        None => Ok(-1),
    };
    let (pid, cpu) = (number(target.pid)?, number(target.cpu)?);
    let leader = group.map_or(-1, |leader| leader.as_raw_fd());
    // SAFETY: the kernel reads ATTR_BYTES at the first argument, which a live RawAttr is long, and writes there at most
    // the size it would have wanted. The other arguments are plain numbers, each as wide as a register.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw mut raw,
            libc::c_long::from(pid),
            libc::c_long::from(cpu),
            libc::c_long::from(leader),
            OPEN_CLOEXEC,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = libc::c_int::try_from(answer).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `_IO('$', 0)` and its like of linux/perf_event.h.
const IOC_ENABLE: libc::Ioctl = libc::_IO(b'$' as u32, 0);
const IOC_DISABLE: libc::Ioctl = libc::_IO(b'$' as u32, 1);
const IOC_RESET: libc::Ioctl = libc::_IO(b'$' as u32, 3);
const IOC_ID: libc::Ioctl = libc::_IOR::<*mut u64>(b'$' as u32, 7);

/// Lets a counter count, and its group if it leads one.
pub fn enable(counter: impl AsFd) -> io::Result<()> {
    order(counter.as_fd(), IOC_ENABLE)
}

/// Lets a counter and its group stand still.
pub fn disable(counter: impl AsFd) -> io::Result<()> {
    order(counter.as_fd(), IOC_DISABLE)
}

/// Sets the values of a counter and its group to 0. Times go on.
pub fn reset(counter: impl AsFd) -> io::Result<()> {
    order(counter.as_fd(), IOC_RESET)
}

/// The number by which the kernel knows a counter.
pub fn id(counter: impl AsFd) -> io::Result<u64> {
    let mut id = 0_u64;
    // SAFETY: the descriptor is open while it is borrowed, and the kernel writes a u64 where one lives.
    let answer = unsafe { libc::ioctl(counter.as_fd().as_raw_fd(), IOC_ID, &raw mut id) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(id) }
}

fn order(counter: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<()> {
    /// The order is for the whole group.
    const IOC_FLAG_GROUP: libc::c_ulong = 1;
    // SAFETY: the descriptor is open while it is borrowed, and these requests take a number and touch no memory.
    let answer = unsafe { libc::ioctl(counter.as_raw_fd(), request, IOC_FLAG_GROUP) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What the kernel says of its clock: adjtimex(2), asked and not set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockState {
    /// Whether something keeps it right: the state is not TIME_ERROR.
    pub synchronized: bool,
    /// How far it was off when it was last compared, in ns, and is being brought back.
    pub offset_ns: i64,
    /// How far it is off at most, in µs, as those who keep it right reckon.
    pub max_error_us: i64,
}

/// Asks for the state of the clock. Anybody may.
#[allow(clippy::useless_conversion, reason = "a long has 32 bits elsewhere")]
pub fn clock_state() -> io::Result<ClockState> {
    /// The clock is not to be relied on.
    const TIME_ERROR: libc::c_int = 5;
    /// `offset` is in ns, else in µs.
    const STA_NANO: libc::c_int = 0x2000;
    let mut raw = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the kernel reads and writes one timex where one lives. All of it is zero, `modes` too: nothing is set.
    let state = unsafe { libc::adjtimex(raw.as_mut_ptr()) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: numbers alone, which zeroes are, whatever the kernel wrote over them.
    let timex = unsafe { raw.assume_init() };
    let unit_ns = if timex.status & STA_NANO == 0 { 1000 } else { 1 };
    Ok(ClockState {
        synchronized: state != TIME_ERROR,
        offset_ns: i64::from(timex.offset).saturating_mul(unit_ns),
        max_error_us: timex.maxerror.into(),
    })
}

/// Has the kernel kill the command's process when the **thread** that starts it ends: it is to be started by one that lasts
/// as long as it is wanted.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = getpid();
    let ask = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the kernel knew what to do then.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    // SAFETY: between fork and exec only system calls are made: nothing is allocated, no lock is taken.
    unsafe { command.pre_exec(ask) }
}

#[cfg(test)]
#[allow(clippy::print_stderr, reason = "what was skipped is said")]
mod tests {
    use std::process::Stdio;

    use super::*;

    /// This process's own page faults in user space: anybody may count them below perf_event_paranoid 3.
    fn own_faults(group: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
        let attr = Attr {
            kind: 1,
            config: 2,
            read_format: FORMAT_GROUP,
            flags: FLAG_DISABLED | FLAG_EXCLUDE_KERNEL,
            ..Attr::default()
        };
        open(&attr, Target { pid: Some(0), cpu: None }, group)
    }

    fn counts(counter: &OwnedFd) -> Vec<u64> {
        let mut bytes = [0; 64];
        let length = rustix::io::read(counter, &mut bytes).unwrap();
        bytes[..length]
            .chunks_exact(8)
            .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
            .collect()
    }

    fn fault() {
        drop(std::hint::black_box(vec![1_u8; 8 << 20]));
    }

    #[test]
    fn a_group_is_opened_enabled_reset_and_disabled() {
        let leader = match own_faults(None) {
            Ok(leader) => leader,
            Err(error) => return eprintln!("SKIPPED: a counter's life: {error}"),
        };
        let member = own_faults(Some(leader.as_fd())).unwrap();
        assert_ne!(id(&leader).unwrap(), id(&member).unwrap());
        fault();
        assert_eq!(counts(&leader), [2, 0, 0], "disabled when opened");
        enable(&leader).unwrap();
        fault();
        disable(&leader).unwrap();
        let counted = counts(&leader);
        assert!(counted[1] > 0 && counted[1] == counted[2], "{counted:?}");
        fault();
        assert_eq!(counts(&leader), counted, "disabled again");
        reset(&leader).unwrap();
        assert_eq!(counts(&leader), [2, 0, 0]);
    }

    #[test]
    fn the_clock_is_asked_and_not_set() {
        let first = clock_state().unwrap();
        let second = clock_state().unwrap();
        // Its error grows by half a millisecond a second while nobody compares it.
        assert!(first.max_error_us >= 0 && second.max_error_us >= 0, "{first:?} {second:?}");
        assert!(first.offset_ns.abs() <= 500_000_000, "the kernel corrects half a second at most");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let target = Target { pid: Some(0), cpu: None };
        let nonsense = Attr { kind: u32::MAX, ..Attr::default() };
        assert!(open(&nonsense, target, None).is_err());
        let nobody = Target { pid: Some(u32::MAX), ..target };
        let error = open(&Attr { kind: 1, ..Attr::default() }, nobody, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let no_counter = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        assert!(enable(&no_counter).is_err() && id(&no_counter).is_err());
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a process is what the test is about")]
    fn a_child_dies_with_the_thread_that_started_it() {
        let mut child = std::thread::spawn(|| {
            let mut cat = Command::new("cat");
            cat.stdin(Stdio::piped()).stdout(Stdio::null());
            die_with_parent(&mut cat).spawn().unwrap()
        })
        .join()
        .unwrap();
        // Its stdin is still open here, so nothing else ends it.
        let input = child.stdin.take();
        let status = child.wait().unwrap();
        drop(input);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }
}
