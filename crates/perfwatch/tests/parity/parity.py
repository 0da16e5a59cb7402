#!/usr/bin/env python3
"""Does PerfWatch say what the specification's psutil code says? A test of every metric against psutil.

    parity.py --perfwatch BIN [--load] [--unprivileged]    on this machine, now
    parity.py --perfwatch BIN --fixture DIR                on a tree made by `BIN capture DIR`

Live, psutil and /proc are read right before and right after `BIN snapshot --json --over 1s`, and PerfWatch's
values must lie between the two:

- Counters, states and names: between before and after, so exactly equal where nothing moved. Memory and disk
  space may differ by SLACK, for what PerfWatch itself takes.
- Rates: the counter must have grown at least as much as between two looks inside PerfWatch's window, and at
  most as much as between before and after. No tolerance but for the length of the window (WINDOW_SLACK).
- Counters of protocols, the kernel's figures and its clock are read from /proc and by adjtimex(2) once more, by other code;
  links are asked of psutil, which uses ioctl(2).
- Latencies: the same bounds, of time and count. Null exactly when nothing completed.
- Shares of CPU time: psutil's own percentages over the same window, give or take CPU_POINTS.

--load makes something to see: burnt CPU, a busy file, pages read back that were reclaimed, a busy network interface, sockets in every state that
loopback can be brought to, in different numbers so that no two can be mixed up unseen.

A fixture stands still: what psutil computes from DIR/t1/proc must be equal. Rates, CPU shares, sensors and
the size of file systems are not in it.

What fails is measured again, ROUNDS times in all; only what fails every time is reported. Exit status 1 then.
Needs psutil 7.2.2 (scripts/venv) and, for --load and --unprivileged, root.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import glob
import json
import mmap
import multiprocessing
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psutil

GOLDEN_IDS = Path(__file__).resolve().parents[3] / "perfwatch-metrics" / "golden_ids.txt"

ROUNDS = 3
WINDOW_SECONDS = 1.0
# How far from its timestamps PerfWatch may read a counter, on a machine that is busy with something else.
MARGIN_SECONDS = 0.1
# How much longer or shorter than one second the time between PerfWatch's two readings may be.
WINDOW_SLACK = 0.05
LOOK_EVERY_SECONDS = 0.05
# From the start of the load until it is steady, and 1 s of TCP_LINGER2 is over.
SETTLE_SECONDS = 1.5

# Of all CPUs, and of one: it has half the ticks on two CPUs, and a burner may move to another.
CPU_POINTS = 5.0
CORE_POINTS = 8.0
# psutil rounds percentages to 0.1, PerfWatch to 0.01.
ROUNDING_POINTS = 0.06
# PerfWatch rounds rates to 0.001.
ROUNDING = 0.0006
MIB = 1 << 20

# What may change between a look of psutil and one of PerfWatch, and back again before the next.
SLACK: dict[str, float] = {
    "cpu.frequency_mhz": 1000.0,  # cores change their clock a hundred times a second
    "cpu.temperature_celsius": 5.0,
    "memory.used_bytes": 16 * MIB,
    "memory.available_bytes": 16 * MIB,
    "memory.free_bytes": 16 * MIB,
    "memory.cached_bytes": 16 * MIB,
    "memory.buffers_bytes": MIB // 4,
    "memory.swap_used_bytes": MIB,
    "memory.swap_free_bytes": MIB,
    "memory.usage_percent": 16 * MIB / psutil.virtual_memory().total * 100 + ROUNDING_POINTS,
    # Of the whole host, and everybody else goes on.
    "network.sockets.used": 50,
    "network.sockets.orphaned": 50,
    "network.sockets.tcp_memory_bytes": 4 * MIB,
    "network.sockets.udp_memory_bytes": MIB,
    "network.conntrack.entries": 50,
    "network.conntrack.usage_percent": 0.1 + ROUNDING_POINTS,
    "kernel.open_files": 500,
    "kernel.open_files_percent": 0.1 + ROUNDING_POINTS,
    "kernel.threads": 50,
    "kernel.threads_percent": 0.2 + ROUNDING_POINTS,
    "kernel.clock_offset_ms": 1.0,
    "kernel.clock_max_error_ms": 1.0,
    "memory.active_bytes": 64 * MIB,
    "memory.inactive_bytes": 64 * MIB,
    "memory.dirty_bytes": 64 * MIB,
    "memory.writeback_bytes": 64 * MIB,
    "memory.slab_reclaimable_bytes": 16 * MIB,
    "memory.slab_unreclaimable_bytes": 16 * MIB,
    "memory.shmem_bytes": 16 * MIB,
    "memory.committed_bytes": 64 * MIB,
    "memory.nodes.free_bytes": 16 * MIB,
    "disk.devices.in_flight": 256,  # thousands of times a second
    "disk.partitions.inodes_used": 100,
    "disk.partitions.inodes_usage_percent": 0.1,
    "scheduler.running": 12,  # of the moment, and the load is eight threads
    "scheduler.blocked": 4,
    "scheduler.load1": 1.0,
    "scheduler.load5": 0.3,
    "scheduler.load15": 0.1,
    "disk.partitions.used_bytes": 16 * MIB,
    "disk.partitions.free_bytes": 16 * MIB,
    "disk.partitions.usage_percent": 0.1 + ROUNDING_POINTS,
}

ABSENT = "absent"
# Sections that are a map from a name to the metrics of what has that name.
MAPS = (
    "memory.nodes",
    "memory.zram",
    "network.interfaces",
    "disk.devices",
    "disk.partitions",
    "scheduler.interrupts",
    "scheduler.softirqs",
    "pressure.resources",
    "cgroups.slices",
)
# How counters are called beyond `x` and `x_per_sec`: their rate and its scale; what is counted where they are a time.
RATES = {
    "disk.devices.read_count": ("disk.devices.read_iops", 1.0),
    "disk.devices.write_count": ("disk.devices.write_iops", 1.0),
    "disk.devices.discards": ("disk.devices.discard_iops", 1.0),
    "disk.devices.flushes": ("disk.devices.flush_iops", 1.0),
    "disk.devices.io_time_ms": ("disk.devices.utilization_percent", 0.1),
    "disk.devices.weighted_io_time_ms": ("disk.devices.queue_depth", 0.001),
    "scheduler.interrupts.count": ("scheduler.interrupts.per_sec", 1),
    "scheduler.softirqs.count": ("scheduler.softirqs.per_sec", 1),
    "scheduler.run_queue_wait_us": ("scheduler.run_queue_wait", 1e-6),
    "scheduler.per_core_waited_ns": ("scheduler.per_core_wait", 1e-9),
    "pressure.resources.some_us": ("pressure.resources.some_percent", 1e-4),
    "pressure.resources.full_us": ("pressure.resources.full_percent", 1e-4),
    "cgroups.slices.cpu_us": ("cgroups.slices.cpu_percent", 1e-4),
    "cgroups.slices.throttled_us": ("cgroups.slices.throttled_percent", 1e-4),
}
COUNTS = {
    "disk.devices.read_time_ms": ("disk.devices.read_latency_ms", "disk.devices.read_count"),
    "disk.devices.write_time_ms": ("disk.devices.write_latency_ms", "disk.devices.write_count"),
    "disk.devices.discard_time_ms": ("disk.devices.discard_latency_ms", "disk.devices.discards"),
    "disk.devices.flush_time_ms": ("disk.devices.flush_latency_ms", "disk.devices.flushes"),
}
# Columns of /proc/diskstats that psutil does not know, after the name and the eight of reads and writes.
QUEUE_COLUMNS = ("in_flight", "io_time_ms", "weighted_io_time_ms")
DISCARD_COLUMNS = ("discards", "", "discard_bytes", "discard_time_ms")
FLUSH_COLUMNS = ("flushes", "flush_time_ms")
SECTOR_BYTES = 512
# Lines of /proc/meminfo that psutil does not have, or not on every kernel.
MEMINFO = {
    "Active": "active_bytes",
    "Inactive": "inactive_bytes",
    "Dirty": "dirty_bytes",
    "Writeback": "writeback_bytes",
    "SReclaimable": "slab_reclaimable_bytes",
    "SUnreclaim": "slab_unreclaimable_bytes",
    "Shmem": "shmem_bytes",
    "CommitLimit": "commit_limit_bytes",
    "Committed_AS": "committed_bytes",
    "Zswap": "zswap_pool_bytes",
    "Zswapped": "zswap_stored_bytes",
}
# Sections that psutil does not know of: hardware's own meters, which few hosts have, and performance counters, which
# other tests compare with perf stat.
NOT_OF_PSUTIL = ("self.", "power.", "memory_bandwidth.", "resctrl.", "perf_events.")
# Chips of psutil.sensors_temperatures() that sit in a processor. The specification's extract_core_temps() is
# left to the reader; docs/metrics.md: cores where the chip has a sensor for each, else what it has.
CPU_CHIPS = re.compile(
    "coretemp|k10temp|zenpower|k8temp|fam15h_power|via_cputemp|cpu[_-]thermal|soc_thermal|cputemp"
)
CPU_ZONES = re.compile(r"x86_pkg_temp|.*cpu.*|.*soc.*")

Key = tuple[str, str]  # a metric's id and, where it has several series, which one
Values = dict[Key, Any]
Looks = tuple[Values, Values]
Bounds = dict[Key, tuple[Any, Any]]  # the least and the greatest; (None, x) may be null, (None, None) must be


class Check(NamedTuple):
    metric: str
    instance: str
    low: Any
    high: Any
    got: Any


# --- What psutil and /proc say -----------------------------------------------------------------------------


sysfs = Path("/sys")


def proc(path: str) -> Path:
    return Path(psutil.PROCFS_PATH) / path


def as_text(name: str) -> str:
    """A name of the kernel's as PerfWatch writes it: bytes that are no UTF-8 as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def counters() -> Values:
    """Everything that only grows, also what only rates are made of."""
    waiting = interrupt_lines() | softirqs() | switches() | queues() | pressure() | slices()
    return {key: value for key, value in waiting.items() if value is not None} | (
        interrupts() | interfaces() | devices() | disk_queues() | vmstat() | numa() | protocols()
    )


def interfaces() -> Values:
    values: Values = {}
    for name, io in psutil.net_io_counters(pernic=True, nowrap=False).items():
        if name == "lo":
            continue
        fields = {"errors_in": io.errin, "errors_out": io.errout}
        fields |= {"drops_in": io.dropin, "drops_out": io.dropout}
        for field in ("bytes_sent", "bytes_recv", "packets_sent", "packets_recv"):
            fields[field] = getattr(io, field)
        values |= rows("network.interfaces", name, fields)
    return values


# Counters of TCP (of both families) and of UDP (of each), by the kernel's name.
TCP = {"OutSegs": "segments_sent", "RetransSegs": "retransmits", "OutRsts": "resets_sent"}
TCP_EXT = {"ListenOverflows": "listen_overflows", "ListenDrops": "listen_drops"}
TCP_EXT |= {"TCPBacklogDrop": "backlog_drops", "SyncookiesSent": "syn_cookies_sent"}
TCP_EXT |= {"TCPMemoryPressures": "memory_pressures"}
UDP = {"InDatagrams": "datagrams_in", "OutDatagrams": "datagrams_out", "NoPorts": "no_ports"}
UDP |= {"InErrors": "in_errors", "RcvbufErrors": "receive_buffer_errors", "SndbufErrors": "send_buffer_errors"}


def protocols() -> Values:
    """By the names that the files themselves give their numbers."""
    named: Counter[str] = Counter()
    for file in ("net/snmp", "net/netstat"):
        lines = proc(file).read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            protocol, *columns = names.split()
            found = map(int, values.split()[1:])
            named.update({protocol + name: value for name, value in zip(columns, found)})
    if proc("net/snmp6").exists():
        named.update({name: int(value) for name, value in map(str.split, proc("net/snmp6").open())})
    values: Values = {}
    for title, protocol, names in (("tcp", "Tcp:", TCP), ("tcp", "TcpExt:", TCP_EXT)):
        values |= {(f"network.{title}.{field}", ""): named.get(protocol + name) for name, field in names.items()}
    values |= {(f"network.udp.{field}", ""): named[f"Udp:{name}"] + named[f"Udp6{name}"] for name, field in UDP.items()}
    columns = zip(*([int(word, 16) for word in line.split()[:3]] for line in proc("net/softnet_stat").open()))
    sums = [sum(column) % 2**32 for column in columns]
    return values | {
        (f"network.softnet.{field}", ""): total
        for field, total in zip(("processed", "dropped", "squeezed"), sums)
    }


def sockets() -> Values:
    text = proc("net/sockstat").read_text()
    found = re.search(r"sockets: used (\d+)\nTCP: .* orphan (\d+) .* mem (\d+)\nUDP: .* mem (\d+)", text)
    assert found, text
    used, orphaned, tcp_pages, udp_pages = map(int, found.groups())
    return {
        ("network.sockets.used", ""): used,
        ("network.sockets.orphaned", ""): orphaned,
        ("network.sockets.tcp_memory_bytes", ""): tcp_pages * mmap.PAGESIZE,
        ("network.sockets.udp_memory_bytes", ""): udp_pages * mmap.PAGESIZE,
    }


def conntrack() -> Values:
    directory = proc("sys/net/netfilter")
    if not (directory / "nf_conntrack_count").exists():
        return {}
    entries, limit = (int((directory / f"nf_conntrack_{name}").read_text()) for name in ("count", "max"))
    return {
        ("network.conntrack.entries", ""): entries,
        ("network.conntrack.limit", ""): limit,
        ("network.conntrack.usage_percent", ""): entries / limit * 100,
    }


def links() -> Values:
    """psutil asks by ioctl, PerfWatch by netlink and by files."""
    duplexes = {psutil.NIC_DUPLEX_FULL: "full", psutil.NIC_DUPLEX_HALF: "half"}
    values: Values = {}
    for name, link in psutil.net_if_stats().items():
        if name == "lo":
            continue
        directory = Path("/sys/class/net") / name
        fields = {"link_up": link.isup, "operstate": (directory / "operstate").read_text().strip()}
        fields["carrier_changes"] = int((directory / "carrier_changes").read_text())
        fields["link_bytes_per_sec"] = link.speed * 125_000 if link.isup and link.speed else None
        fields["duplex"] = duplexes.get(link.duplex) if link.isup else None
        values |= rows("network.interfaces", name, fields)
    return values


def bounds_of_links(rates: Bounds, known: Values) -> Bounds:
    """Of devices and bonds of some alone: the speed of others is no limit."""
    bounds: Bounds = {}
    for (metric, name), speed in known.items():
        if metric != "network.interfaces.link_bytes_per_sec":
            continue
        directory = Path("/sys/class/net") / name
        means_it = (directory / "device").exists() or (directory / "bonding").exists()
        low, high = 0.0, 0.0
        for way in ("sent", "recv"):
            least, most = rates[f"network.interfaces.bytes_{way}_per_sec", name]
            low, high = max(low, least), max(high, most)
        share = (low / speed * 100 - 0.001, high / speed * 100 + 0.001) if speed and means_it else (None, None)
        bounds["network.interfaces.link_utilization_percent", name] = share
    return bounds


def bounds_of_retransmits(inner: Looks, outer: Looks) -> Bounds:
    sent = [growth(looks, "network.tcp.segments_sent", "") for looks in (inner, outer)]
    again = [growth(looks, "network.tcp.retransmits", "") for looks in (inner, outer)]
    low = max(0.0, again[0] / sent[1] * 100 - ROUNDING_POINTS) if sent[0] else None
    high = None if not sent[1] else again[1] / sent[0] * 100 + ROUNDING_POINTS if sent[0] else 100.0
    return {("network.tcp.retransmit_percent", ""): (low, high)}


def kernel_files() -> Values:
    open_files, _, limit = map(int, proc("sys/fs/file-nr").read_text().split())
    threads = int(proc("loadavg").read_text().split()[3].split("/")[1])
    most = min(int(proc(f"sys/kernel/{name}").read_text()) for name in ("pid_max", "threads-max"))
    return {
        ("kernel.boot_id", ""): proc("sys/kernel/random/boot_id").read_text().strip(),
        ("kernel.open_files", ""): open_files,
        ("kernel.open_files_limit", ""): limit,
        ("kernel.open_files_percent", ""): round(open_files / limit * 100, 2),
        ("kernel.threads", ""): threads,
        ("kernel.threads_limit", ""): most,
        ("kernel.threads_percent", ""): round(threads / most * 100, 2),
        ("kernel.entropy_bits", ""): int(proc("sys/kernel/random/entropy_avail").read_text()),
    }


def running_kernel() -> Values:
    """The clock by adjtimex: modes and its padding, offset, freq, maxerror, esterror (all longs), status."""
    time_error, sta_nano = 5, 0x2000
    timex = ctypes.create_string_buffer(512)
    state = ctypes.CDLL(None).adjtimex(timex)
    offset, _, max_error, _, status = struct.unpack_from("4qi", timex, 8)
    controllers = glob.glob("/sys/devices/system/edac/mc/mc*")
    errors = {
        field: sum(int(Path(controller, file).read_text()) for controller in controllers) if controllers else None
        for field, file in (("corrected", "ce_count"), ("uncorrected", "ue_count"))
    }
    return kernel_files() | {
        ("kernel.uptime_seconds", ""): int(time.clock_gettime(time.CLOCK_BOOTTIME)),
        ("kernel.release", ""): os.uname().release,
        ("kernel.version", ""): os.uname().version,
        ("kernel.clock_synchronized", ""): state != time_error,
        ("kernel.clock_offset_ms", ""): offset / (1e6 if status & sta_nano else 1e3),
        ("kernel.clock_max_error_ms", ""): max_error / 1e3,
        ("kernel.hardware_errors_corrected", ""): errors["corrected"],
        ("kernel.hardware_errors_uncorrected", ""): errors["uncorrected"],
    }


def devices() -> Values:
    values: Values = {}
    for name, io in psutil.disk_io_counters(perdisk=True, nowrap=False).items():
        if name.startswith("loop"):
            continue
        fields = {"read_time_ms": io.read_time, "write_time_ms": io.write_time}
        for field in ("read_bytes", "write_bytes", "read_count", "write_count"):
            fields[field] = getattr(io, field)
        values |= rows("disk.devices", name, fields)
    return values


def disk_queues() -> Values:
    """What psutil leaves out of /proc/diskstats. Null where the kernel has no such columns."""
    values: Values = {}
    for line in proc("diskstats").read_text().splitlines():
        _, _, name, *words = line.split()
        if name.startswith("loop"):
            continue
        numbers = [int(word) for word in words]
        fields: dict[str, Any] = dict.fromkeys(("reads_merged", "writes_merged"))
        if len(numbers) > 4:
            fields = {"reads_merged": numbers[1], "writes_merged": numbers[5]}
        rest = numbers[8:]
        for columns in (QUEUE_COLUMNS, DISCARD_COLUMNS, FLUSH_COLUMNS):
            known, rest = rest[: len(columns)], rest[len(columns) :]
            fields |= zip(columns, known or [None] * len(columns))
        del fields[""]
        if fields["discard_bytes"] is not None:
            fields["discard_bytes"] *= SECTOR_BYTES
        values |= rows("disk.devices", name, fields)
    return values


def numa() -> Values:
    """Counters of each node."""
    values: Values = {}
    for directory in sysfs.glob("devices/system/node/node[0-9]*"):
        counts = dict(line.split() for line in (directory / "numastat").read_text().splitlines())
        fields = {name: int(counts[f"numa_{name}"]) for name in ("hit", "miss", "foreign")}
        values |= rows("memory.nodes", directory.name.removeprefix("node"), fields)
    return values


def node_sizes() -> Values:
    values: Values = {}
    for directory in sysfs.glob("devices/system/node/node[0-9]*"):
        kilobytes = dict(re.findall(r"(\w+): +(\d+) kB", (directory / "meminfo").read_text()))
        fields = {"total_bytes": int(kilobytes["MemTotal"]) * 1024, "free_bytes": int(kilobytes["MemFree"]) * 1024}
        values |= rows("memory.nodes", directory.name.removeprefix("node"), fields)
    return values


def zram() -> Values:
    values: Values = {}
    for file in sysfs.glob("block/zram[0-9]*/mm_stat"):
        data, compressed, used = map(int, file.read_text().split()[:3])
        fields = {"data_bytes": data, "compressed_bytes": compressed, "used_bytes": used}
        values |= rows("memory.zram", file.parent.name, fields)
    return values


def rows(section: str, name: str, fields: dict[str, Any]) -> Values:
    return {(f"{section}.{field}", as_text(name)): value for field, value in fields.items()}


def interrupts() -> Values:
    """Sum of the columns of all CPUs. ERR and MIS count errors, in a single column."""
    header, *lines = proc("interrupts").read_text().splitlines()
    cpus = len(header.split())
    total = 0
    for line in lines:
        label, _, rest = line.strip().partition(":")
        if label in ("ERR", "MIS", "Err"):
            continue
        total += sum(int(word) for word in rest.split()[:cpus] if word.isdigit())
    return {("cpu.interrupts", ""): total}


def interrupt_lines() -> Values:
    """Lines that have fired, by number and what follows two blanks at the end, or by short name and text."""
    header, *lines = proc("interrupts").read_text().splitlines()
    cpus = len(header.split())
    values: Values = {}
    for line in lines:
        label, _, rest = line.strip("\n").partition(":")
        label = label.strip()
        counts = [int(word) for word in rest.split()[:cpus] if word.isdigit()]
        text = re.sub(rf"^(\s*\d+){{{len(counts)}}}", "", rest)
        if label.isdigit():
            text = "" if text.endswith(" ") else re.split(r"\s{2,}", text)[-1]
        if sum(counts) and label not in ("ERR", "MIS", "Err"):
            name = f"{label}: {text.strip()}" if text.strip() else label
            values["scheduler.interrupts.count", name] = sum(counts)
    return values


def softirqs() -> Values:
    _, *lines = proc("softirqs").read_text().splitlines()
    rows = {name.strip(): sum(map(int, counts.split())) for name, _, counts in (line.partition(":") for line in lines)}
    return {("scheduler.softirqs.count", name): count for name, count in rows.items() if count}


def switches() -> Values:
    forks = re.search(r"^processes (\d+)$", proc("stat").read_text(), re.M)
    return {
        ("scheduler.context_switches", ""): psutil.cpu_stats().ctx_switches,
        ("scheduler.forks", ""): forks and int(forks[1]),
    }


def loads() -> Values:
    one, five, fifteen, *_ = proc("loadavg").read_text().split()
    values: Values = {("scheduler.load1", ""): float(one), ("scheduler.load5", ""): float(five)}
    values["scheduler.load15", ""] = float(fifteen)
    for name in ("running", "blocked"):
        found = re.search(rf"^procs_{name} (\d+)$", proc("stat").read_text(), re.M)
        values[f"scheduler.{name}", ""] = found and int(found[1])
    return values


def queues() -> Values:
    """Time waited for CPUs, which kernels without CONFIG_SCHEDSTATS do not tell."""
    if not proc("schedstat").exists():
        names = ("run_queue_wait_us", "run_queue_wait", "per_core_wait")
        return {(f"scheduler.{name}", ""): None for name in names}
    rows = re.findall(r"^cpu(\d+)(?: \d+){7} (\d+) \d+$", proc("schedstat").read_text(), re.M)
    values: Values = {("scheduler.per_core_waited_ns", cpu): int(waited) for cpu, waited in rows}
    values["scheduler.run_queue_wait_us", ""] = sum(int(waited) for _, waited in rows) // 1000
    return values


def pressure() -> Values:
    values: Values = {}
    for file in proc("pressure").glob("*"):
        totals = dict(re.findall(r"^(some|full) .*total=(\d+)$", file.read_text(), re.M))
        for kind in ("some", "full"):
            total = totals.get(kind)
            values[f"pressure.resources.{kind}_us", file.name] = total and int(total)
            if total is None:
                values[f"pressure.resources.{kind}_percent", file.name] = None
    return values


def slices() -> Values:
    """Control groups directly below the root, of whichever version has the cpu controller."""
    root = Path("/sys/fs/cgroup")
    v1 = next((root / name for name in ("cpu", "cpu,cpuacct") if (root / name / "cpu.shares").exists()), None)
    unified = (root / "cgroup.controllers").exists()
    values: Values = {}
    for file in (root if unified else v1 or root / "none").glob("*/cpu.stat"):
        stat = {name: int(value) for name, value in map(str.split, file.read_text().splitlines())}
        fields = {"periods": stat.get("nr_periods"), "throttled_periods": stat.get("nr_throttled")}
        if unified:
            fields |= {"cpu_us": stat.get("usage_usec"), "throttled_us": stat.get("throttled_usec")}
        else:
            usage = root / "cpuacct" / file.parent.name / "cpuacct.usage"
            fields["cpu_us"] = int(usage.read_text()) // 1000 if usage.exists() else None
            fields["throttled_us"] = stat["throttled_time"] // 1000
        for counter in ("cpu", "throttled"):
            if fields[f"{counter}_us"] is None:
                fields[f"{counter}_percent"] = None
        values |= rows("cgroups.slices", file.parent.name, fields)
    return values


def limits() -> Values:
    """What cpufreq keeps to, and thermal throttles of Intel's, each core and each package once."""
    values: Values = {}
    cpus, counts = Path("/sys/devices/system/cpu"), {}
    for cpu in sorted(cpus.glob("cpu[0-9]*"), key=lambda cpu: int(cpu.name[3:])):
        if (cpu / "cpufreq/scaling_max_freq").exists():
            mhz = int((cpu / "cpufreq/scaling_max_freq").read_text()) / 1000
            values["cpu.frequency_limit_mhz", cpu.name[3:]] = mhz
            values["cpu.governor", cpu.name[3:]] = (cpu / "cpufreq/scaling_governor").read_text().strip()
        if (cpu / "thermal_throttle").exists():
            package, core = ((cpu / "topology" / name).read_text() for name in ("physical_package_id", "core_id"))
            for key, kind in (((package, core), "core"), ((package, None), "package")):
                counts.setdefault(key, int((cpu / f"thermal_throttle/{kind}_throttle_count").read_text()))
    if not values:
        values = {("cpu.frequency_limit_mhz", ""): None, ("cpu.governor", ""): None}
    values["cpu.throttles", ""] = sum(counts.values()) if counts else None
    return values


def vmstat() -> Values:
    lines = proc("vmstat").read_text().splitlines()
    counts = {name: int(value) for name, value in map(str.split, lines)}
    names = ("pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault")
    values: Values = {(f"memory.{name}", ""): counts[name] for name in names if name in counts}
    values["memory.oom_kills", ""] = counts.get("oom_kill")
    values["memory.compact_stalls", ""] = counts.get("compact_stall")
    for metric, pattern in (("direct_reclaims", "allocstall"), ("refaults", r"workingset_refault")):
        lines_of = [value for name, value in counts.items() if name.startswith(pattern)]
        values[f"memory.{metric}", ""] = sum(lines_of) if lines_of else None
    if "pgpgin" in counts:
        values["memory.page_io_bytes", ""] = (counts["pgpgin"] + counts["pgpgout"]) * 1024
    if "pswpin" in counts:
        values["memory.swap_io_bytes", ""] = (counts["pswpin"] + counts["pswpout"]) * mmap.PAGESIZE
    return values


def memory() -> Values:
    lines = (line.partition(":") for line in proc("meminfo").read_text().splitlines())
    meminfo = {name: int(rest.split()[0]) for name, _, rest in lines}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old kernels lack fields; psutil says so, and 0
        ram = psutil.virtual_memory()
        # Without these lines psutil would ask the running kernel, whatever PROCFS_PATH says.
        swap = psutil.swap_memory() if "SwapTotal" in meminfo else None
    values: Values = {
        ("memory.usage_percent", ""): ram.percent,
        ("memory.total_bytes", ""): ram.total,
        ("memory.used_bytes", ""): ram.used,
        ("memory.available_bytes", ""): ram.available,
        ("memory.free_bytes", ""): ram.free,
        # PerfWatch says null, not 0, of what the kernel does not tell.
        ("memory.cached_bytes", ""): ram.cached if "Cached" in meminfo else None,
        ("memory.buffers_bytes", ""): ram.buffers if "Buffers" in meminfo else None,
        ("memory.hugepages_total", ""): meminfo.get("HugePages_Total"),
        ("memory.hugepages_free", ""): meminfo.get("HugePages_Free"),
        ("memory.hugepages_reserved", ""): meminfo.get("HugePages_Rsvd"),
    }
    for name, field in MEMINFO.items():
        values[f"memory.{field}", ""] = meminfo[name] * 1024 if name in meminfo else None
    for field in ("total", "used", "free"):
        values[f"memory.swap_{field}_bytes", ""] = getattr(swap, field, None)
    return values


def connections() -> Values:
    found = psutil.net_connections(kind="inet")
    tcp = Counter(connection.status for connection in found if connection.type == socket.SOCK_STREAM)
    udp = sum(connection.type == socket.SOCK_DGRAM for connection in found)
    return connection_values(tcp, udp)


def connections_of_fixture() -> Values:
    """psutil's parser, without its set: rows of a recorded table have no process to tell them apart."""
    parse = psutil._psplatform.NetConnections.process_inet
    tcp: Counter[str] = Counter()
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        table = parse(str(proc(f"net/{name}")), family, socket.SOCK_STREAM, {})
        tcp.update(status for *_, status, _pid in table)
    # The table of UDP sockets is not recorded, but how many are in it is.
    inuse = re.compile(r"^UDP6?: inuse (\d+)", re.M)
    files = [proc("net/sockstat"), proc("net/sockstat6")]
    udp = sum(int(count) for file in files if file.exists() for count in inuse.findall(file.read_text()))
    return connection_values(tcp, udp)


def connection_values(tcp: Counter[str], udp: int) -> Values:
    return {
        ("network.connections.tcp_established", ""): tcp[psutil.CONN_ESTABLISHED],
        ("network.connections.tcp_time_wait", ""): tcp[psutil.CONN_TIME_WAIT],
        ("network.connections.tcp_close_wait", ""): tcp[psutil.CONN_CLOSE_WAIT],
        ("network.connections.tcp_listen", ""): tcp[psutil.CONN_LISTEN],
        ("network.connections.udp_count", ""): udp,
    }


def partitions(*, sizes: bool) -> Values:
    # A mount that a later one covers, even a tmpfs, cannot be asked for its size: disk_usage() would tell the
    # size of what covers it under the name of what is covered. PerfWatch leaves it out.
    visible = {part.mountpoint: part for part in psutil.disk_partitions(all=True)}
    values: Values = {}
    for part in psutil.disk_partitions():
        if "loop" in part.device or visible[part.mountpoint] != part:
            continue
        fields = {
            "device": as_text(part.device),
            "fstype": as_text(part.fstype),
            "mountpoint": as_text(part.mountpoint),
            "read_only": "ro" in part.opts.split(","),
        }
        if sizes:
            usage = psutil.disk_usage(part.mountpoint)
            fields |= {"total_bytes": usage.total, "used_bytes": usage.used, "free_bytes": usage.free}
            fields["usage_percent"] = usage.percent
            fields |= inodes(os.statvfs(part.mountpoint))
        values |= rows("disk.partitions", part.mountpoint, fields)
    return values


def inodes(answer: os.statvfs_result) -> dict[str, Any]:
    if answer.f_files == 0:
        return dict.fromkeys(("inodes_total", "inodes_used", "inodes_usage_percent"))
    used = answer.f_files - answer.f_ffree
    percent = used / answer.f_files * 100
    return {"inodes_total": answer.f_files, "inodes_used": used, "inodes_usage_percent": percent}


def frequencies() -> Values:
    """Per logical CPU, as PerfWatch has it; psutil has one per cpufreq policy, which several may share."""
    found = [frequency.current for frequency in psutil.cpu_freq(percpu=True)]
    if found and len(found) != os.cpu_count():
        found = [min(found) + (max(found) - min(found)) / 2] * (os.cpu_count() or 1)
    return {("cpu.frequency_mhz", str(cpu)): mhz for cpu, mhz in enumerate(found)}


def temperatures() -> Values:
    of_hwmon = bool(glob.glob("/sys/class/hwmon/hwmon*/temp*_input"))
    found: list[tuple[str, float]] = []
    for chip, sensors in psutil.sensors_temperatures().items():
        if not (CPU_CHIPS if of_hwmon else CPU_ZONES).fullmatch(chip):
            continue
        cores = [sensor for sensor in sensors if sensor.label.startswith("Core ")]
        for number, sensor in enumerate(cores or sensors, 1):
            label = sensor.label or f"temp{number}"
            found.append((f"{chip} {label}" if of_hwmon else chip, sensor.current))
    return temperature_values(found)


def temperature_values(found: list[tuple[str, Any]]) -> Values:
    """Both lists by name, since psutil's order of sensors is another."""
    values: Values = {}
    for place, (name, celsius) in enumerate(sorted(found, key=lambda sensor: sensor[0])):
        values["cpu.temperature_sensors", str(place)] = name
        values["cpu.temperature_celsius", str(place)] = celsius
    return values


def cpu_shares() -> Values:
    """Shares of the time since the last call, as psutil computes them."""
    times = psutil.cpu_times_percent(interval=None)
    values: Values = {("cpu.usage_percent", ""): psutil.cpu_percent(interval=None)}
    for core, share in enumerate(psutil.cpu_percent(interval=None, percpu=True)):
        values["cpu.per_core", str(core)] = share
    for mode in ("user", "system", "idle", "iowait", "irq", "softirq", "nice", "steal"):
        values[f"cpu.{mode}", ""] = getattr(times, mode)
    values["cpu.guest", ""] = times.guest + times.guest_nice
    for core, times in enumerate(psutil.cpu_times_percent(interval=None, percpu=True)):
        for mode in ("user", "system", "iowait", "irq", "softirq", "steal"):
            values[f"cpu.per_core_{mode}", str(core)] = getattr(times, mode)
    return values


def everything() -> Values:
    """All but rates, shares and latencies, which need two looks."""
    slow = connections() | partitions(sizes=True) | frequencies() | temperatures() | limits()
    absent = queues() | pressure() | slices()  # and what of these is there
    of_network = links() | sockets() | conntrack()
    of_memory = memory() | node_sizes() | zram()
    return slow | of_memory | of_network | loads() | running_kernel() | absent | counters()


# --- What PerfWatch says -----------------------------------------------------------------------------------


@cache
def golden_ids() -> list[str]:
    return [metric for metric in GOLDEN_IDS.read_text().split() if not metric.startswith(NOT_OF_PSUTIL)]


def flatten(snapshot: dict[str, Any]) -> Values:
    """The snapshot's JSON by id and instance. An id that is not in it is ABSENT."""
    values: Values = {}
    for metric in golden_ids():
        section, _, field = metric.rpartition(".")
        found: Any = snapshot
        for step in section.split("."):
            found = (found or {}).get(step)
        if section in MAPS:
            for name, row in (found or {}).items():
                values[metric, name] = row.get(field, ABSENT)
        elif isinstance(found, dict) and isinstance(found.get(field), list):
            values |= {(metric, str(place)): value for place, value in enumerate(found[field])}
        elif found is not None:
            values[metric, ""] = found.get(field, ABSENT)
    cpu = snapshot.get("cpu") or {}
    names, celsius = cpu.get("temperature_sensors") or [], cpu.get("temperature_celsius") or []
    if len(names) == len(celsius):
        values |= temperature_values(list(zip(names, celsius)))
    return values


def snapshot_command(arguments: argparse.Namespace) -> list[str]:
    command = [arguments.perfwatch, "snapshot", "--json"]
    if arguments.fixture:
        tree = arguments.fixture / "t1"
        roots = ["--path.procfs", tree / "proc", "--path.sysfs", tree / "sys", "--path.rootfs", tree]
        return [*command, "--over", "100ms", *map(str, roots)]
    as_nobody = ["setpriv", "--reuid", "65534", "--clear-groups"] if arguments.unprivileged else []
    return [*as_nobody, *command, "--over", f"{WINDOW_SECONDS:.0f}s"]


# --- Bounds ------------------------------------------------------------------------------------------------


def bounds_between(before: Values, after: Values) -> Bounds:
    """Bounds of what a look in between may have seen."""
    bounds: Bounds = {}
    for key in before.keys() & after.keys():
        low, high = before[key], after[key]
        if None not in (low, high):
            low, high = min(low, high), max(low, high)
            if slack := SLACK.get(key[0]):  # no slack, for it may be a string
                low, high = min(low, max(0, low - slack)), high + slack
        bounds[key] = (low, high)
    return bounds


def growth(looks: Looks, metric: str, instance: str) -> float:
    before, after = looks
    return after[metric, instance] - before[metric, instance]


def seen_by_all(inner: Looks, outer: Looks) -> set[Key]:
    return set(outer[0]) & set(outer[1]) & set(inner[0]) & set(inner[1])


def bounds_of_rates(inner: Looks, outer: Looks, seconds: float) -> Bounds:
    bounds: Bounds = {}
    for metric, instance in seen_by_all(inner, outer):
        rate, scale = RATES.get(metric, (f"{metric}_per_sec", 1.0))
        if rate not in golden_ids():
            continue
        if outer[0][metric, instance] is None:
            bounds[rate, instance] = (None, None)
            continue
        low = growth(inner, metric, instance) * scale / (seconds * (1 + WINDOW_SLACK)) - ROUNDING
        high = growth(outer, metric, instance) * scale / (seconds * (1 - WINDOW_SLACK)) + ROUNDING
        bounds[rate, instance] = (low, high)
    return bounds


def bounds_of_latencies(inner: Looks, outer: Looks) -> Bounds:
    bounds: Bounds = {}
    for metric, name in seen_by_all(inner, outer):
        latency, count = COUNTS.get(metric, (None, None))
        if latency is None:
            continue
        if outer[0][metric, name] is None:
            bounds[latency, name] = (None, None)
            continue
        least, most = growth(inner, count, name), growth(outer, count, name)
        # The kernel counts nanoseconds and shows whole milliseconds.
        shortest, longest = growth(inner, metric, name) - 1, growth(outer, metric, name) + 1
        low = max(0.0, shortest / most) if least else None
        high = None if not most else longest / least if least else float("inf")
        bounds[latency, name] = (low, high)
    return bounds


def bounds_of_shares(shares: Values) -> Bounds:
    bounds: Bounds = {}
    for key, share in shares.items():
        points = CORE_POINTS if key[0].startswith("cpu.per_core") else CPU_POINTS
        bounds[key] = (max(0.0, share - points), min(100.0, share + points))
    return bounds


# --- Comparing ---------------------------------------------------------------------------------------------


def holds(check: Check) -> bool:
    if check.got == ABSENT or ABSENT in (check.low, check.high):
        return False
    if check.got is None or check.high is None:
        return check.got is None and check.low is None
    return (check.low is None or check.low <= check.got) and check.got <= check.high


def compare(bounds: Bounds, got: Values, metrics: list[str]) -> list[Check]:
    """A check of every series that either side has; one that the other lacks fails."""
    checks = []
    for metric in metrics:
        instances = {name for known in (bounds, got) for found, name in known if found == metric}
        if not instances:
            # Both lists are empty: a host without such a sensor, device or interface.
            checks.append(Check(metric, "", "none", "none", "none"))
        for name in sorted(instances):
            low, high = bounds.get((metric, name), (ABSENT, ABSENT))
            checks.append(Check(metric, name, low, high, got.get((metric, name), ABSENT)))
    return checks


def run_live(arguments: argparse.Namespace) -> list[Check]:
    before = everything()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(snapshot_command(arguments), stdout=output)
        cpu_shares()  # psutil counts from here
        started = time.monotonic()
        looks: list[tuple[float, Values, float]] = []
        # The last look must not delay the one of cpu_shares().
        while time.monotonic() < started + WINDOW_SECONDS - 2 * LOOK_EVERY_SECONDS:
            looks.append((time.time(), counters(), time.time()))
            time.sleep(LOOK_EVERY_SECONDS)
        status = process.wait()
        shares = cpu_shares()
        after = everything()
        output.seek(0)
        text = output.read()
    if status:
        sys.exit(f"parity: {' '.join(snapshot_command(arguments))} ended with status {status}")
    snapshot = json.loads(text)
    end = datetime.fromisoformat(snapshot["timestamp"].replace("Z", "+00:00")).timestamp()
    seconds = (snapshot["interval_ms"] + snapshot["lateness_ms"]) / 1000
    earliest, latest = end - seconds + MARGIN_SECONDS, end - MARGIN_SECONDS
    within = [look for began, look, ended in looks if earliest <= began and ended <= latest]
    if len(within) < 2:
        sys.exit("parity: no two looks fell into PerfWatch's window: this machine is too busy to tell")
    inner, outer = (within[0], within[-1]), (before, after)
    bounds = bounds_between(before, after) | bounds_of_shares(shares)
    rates = bounds_of_rates(inner, outer, seconds)
    bounds |= rates | bounds_of_latencies(inner, outer) | bounds_of_retransmits(inner, outer)
    bounds |= bounds_of_links(rates, before)
    if arguments.load:
        require_moves(inner)
    return compare(bounds, flatten(snapshot), golden_ids())


def run_fixture(arguments: argparse.Namespace) -> list[Check]:
    global sysfs
    sysfs = arguments.fixture / "t1" / "sys"
    with tempfile.TemporaryDirectory() as copy:
        psutil.PROCFS_PATH = f"{copy}/proc"
        shutil.copytree(arguments.fixture / "t1" / "proc", psutil.PROCFS_PATH)
        if not proc("self/mounts").exists() and proc("1/mounts").exists():
            # psutil reads its own mount table, PerfWatch that of process 1.
            proc("self").mkdir(exist_ok=True)
            shutil.copy(proc("1/mounts"), proc("self/mounts"))
        # psutil looks a /dev/root up on the running machine, which is not the recorded one.
        psutil._psplatform.RootFsDeviceFinder.find = lambda _self: None
        parts: dict[str, Callable[[], Values]] = {
            "meminfo": memory,
            "interrupts": interrupts,
            "softirqs": softirqs,
            "loadavg": loads,
            "stat": switches,
            "schedstat": queues,
            "pressure/cpu": pressure,
            "net/dev": interfaces,
            "vmstat": vmstat,
            "diskstats": lambda: devices() | disk_queues(),
            "net/tcp": connections_of_fixture,
            "net/netstat": protocols,
            "net/sockstat": sockets,
            "sys/net/netfilter": conntrack,
            "sys/fs/file-nr": kernel_files,
            "self/mounts": lambda: partitions(sizes=False),
        }
        values: Values = numa() | node_sizes() | zram()
        for file, read in parts.items():
            if proc(file).exists():
                values |= read()
    output = subprocess.run(snapshot_command(arguments), check=True, stdout=subprocess.PIPE).stdout
    bounds: Bounds = {key: (value, value) for key, value in values.items()}
    for (metric, instance), value in values.items():
        if metric.startswith("network.conntrack") and isinstance(value, float):
            bounds[metric, instance] = (value - ROUNDING_POINTS, value + ROUNDING_POINTS)
    percent = values["memory.usage_percent", ""]
    bounds["memory.usage_percent", ""] = (percent - ROUNDING_POINTS, percent + ROUNDING_POINTS)
    recorded = {metric for metric, _ in values} - {rate for rate, _ in RATES.values()}
    metrics = [metric for metric in golden_ids() if metric in recorded]
    return compare(bounds, flatten(json.loads(output)), metrics)


# --- Load --------------------------------------------------------------------------------------------------


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


def require_moves(inner: Looks) -> None:
    """A counter that stood still would go untested unseen."""
    if still := [metric for metric in MOVED if growth(inner, metric, "") == 0]:
        print(f"parity: the load did not move {', '.join(still)}", file=sys.stderr)


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


# --- Reporting ---------------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def report(checks: list[Check]) -> int:
    """Prints a line for each metric, with its worst instance, else that with the most to show. Returns how
    many differ."""

    def telling(check: Check) -> tuple[bool, float]:
        return not holds(check), check.got if isinstance(check.got, (int, float)) else -1.0

    metrics = dict.fromkeys(check.metric for check in checks)
    differing = 0
    print(f"{'metric':52} {'psutil':>34} {'perfwatch':>16}")
    for metric in metrics:
        worst = max((check for check in checks if check.metric == metric), key=telling)
        differing += not holds(worst)
        name = f"{metric}{{{worst.instance}}}" if worst.instance else metric
        low, high = shown(worst.low), shown(worst.high)
        expected = low if low == high else f"{low} .. {high}"
        print(f"{name:52} {expected:>34} {shown(worst.got):>16}  {'ok' if holds(worst) else 'DIFFERS'}")
    print(f"parity: {len(metrics)} metrics compared, {differing} differ")
    return differing


def rounds(run: Callable[[argparse.Namespace], list[Check]], arguments: argparse.Namespace) -> list[Check]:
    """Measures until every metric held once. One that held in an earlier round stands as it was then."""

    def moved(checks: list[Check]) -> bool:
        """Sockets that come or go meanwhile, as when those of an earlier run expire, hide an error."""
        sockets = [check for check in checks if check.metric.startswith("network.connections")]
        return any(check.low != check.high for check in sockets)

    settled: dict[str, list[Check]] = {}
    for _ in range(ROUNDS):
        found: dict[str, list[Check]] = {}
        for check in run(arguments):
            found.setdefault(check.metric, []).append(check)
        for metric, checks in found.items():
            known = settled.get(metric)
            if known is None or moved(known) or not (all(map(holds, known)) or moved(checks)):
                settled[metric] = checks
        unsure = [name for name, checks in settled.items() if moved(checks) or not all(map(holds, checks))]
        if not unsure:
            break
        print(f"parity: not sure yet of {', '.join(unsure)}", file=sys.stderr)
    return [check for checks in settled.values() for check in checks]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares PerfWatch with psutil, metric by metric.")
    parser.add_argument("--perfwatch", required=True, help="the binary")
    parser.add_argument("--load", action="store_true", help="make something to see")
    parser.add_argument("--unprivileged", action="store_true", help="run PerfWatch as user 65534")
    parser.add_argument("--fixture", type=Path, help="a tree of t0 and t1 instead of this machine")
    arguments = parser.parse_args()
    if arguments.fixture:
        return 1 if report(run_fixture(arguments)) else 0
    with contextlib.ExitStack() as stack:
        held = []
        if arguments.load:
            stack.enter_context(workers(stack.enter_context(small_memory())))
            held = hold_sockets()  # after the workers: a socket that they share would not close
            time.sleep(SETTLE_SECONDS)
            require_states()
        checks = rounds(run_live, arguments)
        del held
    return 1 if report(checks) else 0


if __name__ == "__main__":
    sys.exit(main())
