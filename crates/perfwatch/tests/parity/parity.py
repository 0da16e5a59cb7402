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
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psutil

import host
import load
from host import Key, Looks, Values
from load import MIB

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
# Sections that psutil does not know of: hardware's own meters, which few hosts have, and performance counters, which
# other tests compare with perf stat.
NOT_OF_PSUTIL = ("self.", "power.", "memory_bandwidth.", "resctrl.", "perf_events.")
Bounds = dict[Key, tuple[Any, Any]]  # the least and the greatest; (None, x) may be null, (None, None) must be


class Check(NamedTuple):
    metric: str
    instance: str
    low: Any
    high: Any
    got: Any


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
        values |= host.temperature_values(list(zip(names, celsius)))
    return values


def snapshot_command(arguments: argparse.Namespace) -> list[str]:
    command = [arguments.perfwatch, "snapshot", "--json"]
    if arguments.fixture:
        tree = arguments.fixture / "t1"
        roots = ["--path.procfs", tree / "proc", "--path.sysfs", tree / "sys", "--path.rootfs", tree]
        return [*command, "--over", "100ms", *map(str, roots)]
    as_nobody = ["setpriv", "--reuid", "65534", "--clear-groups"] if arguments.unprivileged else []
    return [*as_nobody, *command, "--over", f"{WINDOW_SECONDS:.0f}s"]


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


def bounds_of_shares(shares: Values) -> Bounds:
    bounds: Bounds = {}
    for key, share in shares.items():
        points = CORE_POINTS if key[0].startswith("cpu.per_core") else CPU_POINTS
        bounds[key] = (max(0.0, share - points), min(100.0, share + points))
    return bounds


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


def require_moves(inner: Looks) -> None:
    """A counter that stood still would go untested unseen."""
    if still := [metric for metric in load.MOVED if growth(inner, metric, "") == 0]:
        print(f"parity: the load did not move {', '.join(still)}", file=sys.stderr)


def run_live(arguments: argparse.Namespace) -> list[Check]:
    before = host.everything()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(snapshot_command(arguments), stdout=output)
        host.cpu_shares()  # psutil counts from here
        started = time.monotonic()
        looks: list[tuple[float, Values, float]] = []
        # The last look must not delay the one of cpu_shares().
        while time.monotonic() < started + WINDOW_SECONDS - 2 * LOOK_EVERY_SECONDS:
            looks.append((time.time(), host.counters(), time.time()))
            time.sleep(LOOK_EVERY_SECONDS)
        status = process.wait()
        shares = host.cpu_shares()
        after = host.everything()
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
    host.sysfs = arguments.fixture / "t1" / "sys"
    with tempfile.TemporaryDirectory() as copy:
        psutil.PROCFS_PATH = f"{copy}/proc"
        shutil.copytree(arguments.fixture / "t1" / "proc", psutil.PROCFS_PATH)
        if not host.proc("self/mounts").exists() and host.proc("1/mounts").exists():
            # psutil reads its own mount table, PerfWatch that of process 1.
            host.proc("self").mkdir(exist_ok=True)
            shutil.copy(host.proc("1/mounts"), host.proc("self/mounts"))
        # psutil looks a /dev/root up on the running machine, which is not the recorded one.
        psutil._psplatform.RootFsDeviceFinder.find = lambda _self: None
        parts: dict[str, Callable[[], Values]] = {
            "meminfo": host.memory,
            "interrupts": host.interrupts,
            "softirqs": host.softirqs,
            "loadavg": host.loads,
            "stat": host.switches,
            "schedstat": host.queues,
            "pressure/cpu": host.pressure,
            "net/dev": host.interfaces,
            "vmstat": host.vmstat,
            "diskstats": lambda: host.devices() | host.disk_queues(),
            "net/tcp": host.connections_of_fixture,
            "net/netstat": host.protocols,
            "net/sockstat": host.sockets,
            "sys/net/netfilter": host.conntrack,
            "sys/fs/file-nr": host.kernel_files,
            "self/mounts": lambda: host.partitions(sizes=False),
        }
        values: Values = host.numa() | host.node_sizes() | host.zram()
        for file, read in parts.items():
            if host.proc(file).exists():
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
            stack.enter_context(load.workers(stack.enter_context(load.small_memory())))
            held = load.hold_sockets()  # after the workers: a socket that they share would not close
            time.sleep(SETTLE_SECONDS)
            load.require_states()
        checks = rounds(run_live, arguments)
        del held
    return 1 if report(checks) else 0


if __name__ == "__main__":
    sys.exit(main())
