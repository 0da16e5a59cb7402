"""Something to see: burnt CPU, a busy file, memory that is short, a busy interface, sockets in every state."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import multiprocessing
import os
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

MIB = 1 << 20


def burn(parent: int, niceness: int) -> None:
    os.nice(niceness)
    while os.getppid() == parent:  # not after a parent that was killed
        sum(range(100_000))


def keep_disk_busy(parent: int) -> None:
    """Writes and syncs a file, and reads it back from the disk page by page: every page is a major fault."""
    size = 32 * mmap.PAGESIZE
    with tempfile.TemporaryFile(dir="/var/tmp") as file:  # /tmp may be in memory
        os.ftruncate(file.fileno(), size)
        while os.getppid() == parent:
            os.pwrite(file.fileno(), os.urandom(size), 0)
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            with mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) as pages:
                pages.madvise(mmap.MADV_RANDOM)
                sum(pages[:: mmap.PAGESIZE])


@contextlib.contextmanager
def small_memory() -> Iterator[Path | None]:
    """A control group of 16 MiB, or None where none can be made."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root) / f"pwparity{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                (group / limit).write_text(str(16 * MIB))
            except OSError:
                group.rmdir()
                continue
            try:
                yield group
            finally:
                group.rmdir()
            return
    print("parity: no memory cgroup; nothing may be read twice", file=sys.stderr)
    yield None


def keep_memory_short(parent: int, group: Path) -> None:
    """Reads a file again and again that is larger than the memory it may have: what was reclaimed comes back."""
    (group / "cgroup.procs").write_text(str(os.getpid()))
    with tempfile.TemporaryFile(dir="/var/tmp") as file:
        for _ in range(32):
            file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())
        while os.getppid() == parent:
            for place in range(0, 32 * MIB, MIB):
                os.pread(file.fileno(), MIB, place)
                time.sleep(0.01)


def keep_network_busy(parent: int, ready: Any) -> None:
    """An interface of our own, gone with its descriptor, with other numbers in each direction."""
    tunsetiff, siocgifflags, siocsifflags = 0x400454CA, 0x8913, 0x8914
    iff_up, iff_tun, iff_no_pi = 0x1, 0x1, 0x1000
    name = b"pwparity%d" % (os.getpid() % 10_000)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, tunsetiff, struct.pack("16sH22x", name, iff_tun | iff_no_pi))
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    request = fcntl.ioctl(link, siocgifflags, struct.pack("16sH22x", name, 0))
    flags = struct.unpack_from("16xH", request)[0]
    fcntl.ioctl(link, siocsifflags, struct.pack("16sH22x", name, flags | iff_up))
    link.bind((name.decode(), 0x0800))
    ready.set()
    nonsense = b"\x45" + bytes(99)  # counted by the interface, then thrown away: no valid header
    while os.getppid() == parent:
        for _ in range(3):
            os.write(tun, nonsense)
        with contextlib.suppress(OSError):
            os.write(tun, b"\xff")  # neither IPv4 nor IPv6: a drop on receipt
        with contextlib.suppress(OSError):
            for _ in range(2):
                link.send(nonsense * 5)
        with contextlib.suppress(OSError):
            os.read(tun, 1500)  # one of two is sent: the queue fills, then every other one is a drop
        time.sleep(0.002)


# What keep_protocols_busy() makes grow.
MOVED = ["network.softnet.processed", "network.tcp.segments_sent", "network.tcp.resets_sent"]
MOVED += ["network.tcp.listen_overflows", "network.tcp.listen_drops"]
MOVED += [f"network.udp.{name}" for name in ("datagrams_in", "datagrams_out", "no_ports", "in_errors")]
MOVED += ["network.udp.receive_buffer_errors"]


def keep_protocols_busy(parent: int) -> None:
    """Datagrams read, to nobody, and to a buffer that nobody empties; connections refused, and to a full queue."""
    families = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
    pairs = []
    for family, address in families:
        crowded = socket.create_server((address, 0), family=family, backlog=0)
        full = socket.create_connection(crowded.getsockname()[:2])
        read, unread, nobody = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(3))
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for receiver in (read, unread, nobody):
            receiver.bind((address, 0))
        closed = nobody.getsockname()
        nobody.close()
        pairs.append((family, crowded, full, read, unread, closed))
    while os.getppid() == parent:
        for family, crowded, _full, read, unread, closed in pairs:
            sender = socket.socket(family, socket.SOCK_DGRAM)
            for target in (read.getsockname(), unread.getsockname(), closed):
                with contextlib.suppress(OSError):  # the refusal of the datagram before
                    sender.sendto(bytes(500), target)
            read.recv(1000)
            for target in (crowded.getsockname(), closed):
                client = socket.socket(family)
                client.setblocking(False)
                with contextlib.suppress(OSError):
                    client.connect_ex(target)
                client.close()
            sender.close()
        time.sleep(0.01)


@contextlib.contextmanager
def limited_group(processes: list[Any]) -> Iterator[None]:
    """A control group below the root that may use a fifth of a CPU, with one process that wants all of it."""
    root = Path("/sys/fs/cgroup")
    v1 = [root / name for name in ("cpu", "cpuacct", "cpu,cpuacct") if (root / name).is_dir()]
    unified = (root / "cgroup.controllers").exists()
    controllers = [root] if unified else [directory.resolve() for directory in v1]
    groups = [directory / f"pwparity-cpu{os.getpid()}" for directory in dict.fromkeys(controllers)]
    try:
        for group in groups:
            group.mkdir()
            if (group / "cpu.max").exists():
                (group / "cpu.max").write_text("20000 100000")
            if (group / "cpu.cfs_quota_us").exists():
                (group / "cpu.cfs_quota_us").write_text("20000")
            for process in processes:
                (group / "cgroup.procs").write_text(str(process.pid))
    except OSError as error:
        print(f"parity: no control group of our own: {error}", file=sys.stderr)
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()
        for group in filter(Path.exists, groups):
            group.rmdir()


@contextlib.contextmanager
def workers(group: Path | None) -> Iterator[None]:
    context = multiprocessing.get_context("fork")
    ready, parent = context.Event(), os.getpid()
    jobs = [(burn, (parent, 0)), (burn, (parent, 10)), (keep_disk_busy, (parent,))]
    jobs.append((keep_protocols_busy, (parent,)))
    if group:
        jobs.append((keep_memory_short, (parent, group)))
    has_tun = os.access("/dev/net/tun", os.R_OK | os.W_OK)
    if has_tun:
        jobs.append((keep_network_busy, (parent, ready)))
    processes = [context.Process(target=job, args=args, daemon=True) for job, args in jobs]
    held_back = context.Process(target=burn, args=(parent, 0), daemon=True)
    for process in [*processes, held_back]:
        process.start()
    try:
        if not (has_tun and ready.wait(5)):
            print("parity: no network interface of our own; the host's may be idle", file=sys.stderr)
        with limited_group([held_back]):
            yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def pair(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection(listener.getsockname()[:2])
    return client, listener.accept()[0]


def hold_sockets() -> list[socket.socket]:
    """Sockets of every state in numbers of their own. They stay as they are while the list is held, but for
    those of TIME_WAIT and FIN_WAIT2 without an owner, which the kernel keeps for 60 s."""
    held = []
    for family, address, few in ((socket.AF_INET, "127.0.0.1", 0), (socket.AF_INET6, "::1", 1)):
        listeners = [socket.create_server((address, 0), family=family) for _ in range(4 + few)]
        listener = listeners[0]
        held += listeners
        for _ in range(5 + few):  # ESTABLISHED, twice
            held += pair(listener)
        for _ in range(3 + few):  # FIN_WAIT2 with an owner, and CLOSE_WAIT
            client, server = pair(listener)
            client.shutdown(socket.SHUT_WR)
            held += [client, server]
        for _ in range(6 + few):  # FIN_WAIT2 without: `tw` of sockstat counts it; and CLOSE_WAIT
            client, server = pair(listener)
            client.close()
            held.append(server)
        for _ in range(2 + few):  # CLOSE_WAIT alone: that FIN_WAIT2 ends within SETTLE_SECONDS
            client, server = pair(listener)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, 1)
            client.close()
            held.append(server)
        for _ in range(7 + few):  # TIME_WAIT
            client, server = pair(listener)
            client.close()
            server.close()
        crowded = socket.create_server((address, 0), family=family, backlog=0)
        held.append(crowded)
        for _ in range(3 + few):  # SYN_SENT, all but the first: the second finds the backlog full
            client = socket.socket(family)
            client.setblocking(False)
            client.connect_ex(crowded.getsockname())
            held.append(client)
        for _ in range(2 + few):
            udp = socket.socket(family, socket.SOCK_DGRAM)
            udp.bind((address, 0))
            held.append(udp)
        held.append(socket.socket(family, socket.SOCK_DGRAM))  # not bound: counts nowhere
    return held


def require_states() -> None:
    """A state that could not be made would go untested unseen."""
    found = {connection.status for connection in psutil.net_connections(kind="tcp")}
    wanted = {psutil.CONN_ESTABLISHED, psutil.CONN_TIME_WAIT, psutil.CONN_CLOSE_WAIT, psutil.CONN_LISTEN}
    wanted |= {psutil.CONN_FIN_WAIT2, psutil.CONN_SYN_SENT}
    if missing := wanted - found:
        sys.exit(f"parity: the load has no socket in {', '.join(sorted(missing))}")
