#!/usr/bin/env python3
"""PerfWatch beside its peers: what they cost, hold, write and take, on one machine in one run.

    bench/peers.py [--windows 3] [--beside TEXT] [--write]

Prints a section of Markdown, or with --write puts it into docs/benchmarks.md, between PEERS_START and PEERS_END. All
stacks (bench/peers_stacks.py) collect beside each other, first every second and then every five; then each is started
several times by itself; then three of them are asked the same question about the same day (bench/peers_day.py).

Needs root, control groups of version 2, target/release/perfwatch (cargo build --release), scripts/venv, and zstandard in
the Python that runs it (the venv's with `pip install zstandard==0.25.0`, say); from Debian, what is to be compared:

    apt-get install --no-install-recommends netdata glances python3-bottle prometheus prometheus-node-exporter \\
        victoria-metrics

A peer that is not there is named and left out. Takes a quarter of an hour and 1 GB under /var/tmp. Everything that is
started is stopped at the end.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from operator import gt, lt
from pathlib import Path
from statistics import median
from typing import Any

from peers_day import ASKED, COLD_QUESTIONS, WARM_QUESTIONS, Times, measure_day
from peers_sizes import Sizes, measure_sizes
from peers_stacks import NodeExporter, PerfWatch, Stack, netdata_has_ml, stacks
from run import PAGE, ROOT, first_line, table
from store_peers import size_of

PEERS_START, PEERS_END = "<!-- peers -->", "<!-- /peers -->"

PRIORITY = -10  # what else runs on this machine is not what is compared
SCRATCH = "/var/tmp"  # on a disk, which /tmp often is not
INTERVALS = (1, 5)
SETTLE_SECONDS = 45  # Netdata looks around for half a minute
WINDOW_SECONDS = {1: 120, 5: 50}  # the longer ones so that stores begin to pack
STARTS = 3
START_DEADLINE_SECONDS = 60
POLL_SECONDS = 0.001

PART = "– "  # what begins the row of a part


@dataclass
class Live:
    """What a stack did in the windows of one interval."""

    values: float = 0
    host_values: float = 0
    # One of each for a window.
    cpu_percent: list[float] = field(default_factory=list)
    part_percent: dict[str, list[float]] = field(default_factory=dict)
    pss_mb: list[float] = field(default_factory=list)
    stored_bytes: int = 0
    ticks: float = 0


Lives = dict[int, dict[str, Live]]
Starts = dict[str, list[float]]


def main() -> None:
    options = parse_options()
    if os.geteuid():
        sys.exit("bench/peers.py: needs root, for control groups and to empty the page cache")
    os.nice(PRIORITY)
    # Ends by an exception, so that what was started is stopped and what was written is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    before, after = around_section()  # complains before anything is measured
    subprocess.run([ROOT / "scripts" / "venv"], check=True, stdout=subprocess.DEVNULL)
    chosen = [stack for stack in stacks() if not stack.missing()]
    for stack in stacks():
        if stack.missing():
            tell(f"left out: {stack.name}: {stack.missing()}")
    machine = describe_machine(options.beside)
    with tempfile.TemporaryDirectory(prefix="peers-", dir=SCRATCH) as directory:
        place = Path(directory)
        place.chmod(0o755)  # Netdata is another user
        lives = {seconds: measure_live(chosen, place, seconds, options.windows) for seconds in INTERVALS}
        exporter = [] if NodeExporter.missing() else [NodeExporter]
        starts = measure_starts([*chosen, *exporter], place)
        sizes = measure_sizes(place)
        day = measure_day(place, tell)
    section = render(machine, lives, starts, sizes, day)
    if options.write:
        PAGE.write_text(f"{before}{PEERS_START}\n{section}{PEERS_END}{after}")
        tell(f"wrote {PAGE.relative_to(ROOT)}")
    else:
        print(section, end="")


def parse_options() -> argparse.Namespace:
    summary, _, details = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--windows", type=int, default=3, help="windows to take the median of (default 3)")
    parser.add_argument("--beside", default="", metavar="TEXT", help="what else ran meanwhile, for the reader")
    parser.add_argument("--write", action="store_true", help="rewrite the section of docs/benchmarks.md")
    options = parser.parse_args()
    if options.windows < 1:
        parser.error("--windows must be at least 1")
    return options


def around_section() -> tuple[str, str]:
    before, start, rest = PAGE.read_text().partition(PEERS_START)
    _, end, after = rest.partition(PEERS_END)
    if not start or not end:
        sys.exit(f"{PAGE.relative_to(ROOT)} has no {PEERS_START} … {PEERS_END} to replace")
    return before, after


def tell(text: str) -> None:
    print(f"bench/peers.py: {text}", file=sys.stderr, flush=True)


def describe_machine(beside: str) -> list[str]:
    model = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    packages = [package for stack in stacks() if not stack.missing() for package in stack.packages]
    versions = [f"{package} {installed_version(package)}" for package in dict.fromkeys(packages)]
    psutil = first_line(ROOT / "target" / "venv" / "bin" / "python", "-c", "import psutil; print(psutil.__version__)")
    left_out = [f"{stack.name}: {stack.missing()}" for stack in stacks() if stack.missing()]
    processes = sum(entry.name.isdigit() for entry in Path("/proc").iterdir())
    return [
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} logical CPUs, kernel {platform.release()}",
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M UTC}, {processes} processes at the start, load average {os.getloadavg()[0]:.2f}",
        *([f"meanwhile: {beside}"] if beside else []),
        f"PerfWatch {first_line('git', '-C', ROOT, 'describe', '--always', '--dirty', '--exclude=*')}",
        f"from Debian: {', '.join(versions)}; from PyPI: psutil {psutil}",
        *(f"left out: {each}" for each in left_out),
    ]


def installed_version(package: str) -> str:
    return first_line("dpkg-query", "--show", "--showformat=${Version}", package)


# Measuring


def measure_live(chosen: list[type[Stack]], place: Path, seconds: int, windows: int) -> dict[str, Live]:
    """All at once, so that whatever else this machine does meanwhile is the same for all."""
    lives = {stack.name: Live() for stack in chosen}
    with ExitStack() as cleanup:
        running = []
        for number, stack in enumerate(chosen):
            running.append(stack(place / f"live-{seconds}-{number}", seconds))
            cleanup.callback(running[-1].stop)
        began = time.monotonic()
        for stack in running:
            wait_for_value(stack)
            stack.attend()
        tell(f"all at {seconds} s, settling")
        time.sleep(SETTLE_SECONDS)
        for number in range(1, windows + 1):
            tell(f"all at {seconds} s, window {number} of {windows}")
            measure_window(running, lives, seconds)
        for stack in running:
            live = lives[stack.name]
            live.values, live.host_values = stack.values()
            live.ticks = (time.monotonic() - began) / seconds
        for stack in running:
            stack.stop()
            lives[stack.name].stored_bytes = size_of(*stack.stored())
    return lives


def measure_window(running: list[Stack], lives: dict[str, Live], seconds: int) -> None:
    spent = {stack.name: {part: -group.cpu_us() for part, group in stack.groups.items()} for stack in running}
    start = time.monotonic()
    time.sleep(WINDOW_SECONDS[seconds])
    took_us = (time.monotonic() - start) * 1e6
    for stack in running:
        live, parts = lives[stack.name], spent[stack.name]
        for part, group in stack.groups.items():
            parts[part] += group.cpu_us()
            live.part_percent.setdefault(part, []).append(parts[part] / took_us * 100)
        live.cpu_percent.append(sum(parts.values()) / took_us * 100)
    for stack in running:
        lives[stack.name].pss_mb.append(sum(group.pss_mb() for group in stack.groups.values()))


def wait_for_value(stack: Stack) -> None:
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while time.monotonic() < deadline:
        # Nobody listens yet, or has nothing yet: 503 and 404 are such answers, and so is one without rows.
        with suppress(OSError, ValueError, LookupError):
            if stack.has_value():
                return
        time.sleep(POLL_SECONDS)
    raise RuntimeError(f"{stack.name} has no value after {START_DEADLINE_SECONDS} s")


def measure_starts(chosen: list[type[Stack]], place: Path) -> Starts:
    starts: Starts = {}
    for number in range(1, STARTS + 1):
        tell(f"start {number} of {STARTS}")
        for index, stack in enumerate(chosen):
            start = time.monotonic()
            running = stack(place / f"start-{number}-{index}", 1)
            try:
                wait_for_value(running)
                starts.setdefault(stack.name, []).append(time.monotonic() - start)
            finally:
                running.stop()
    return starts


# Reporting

# Markdown has one line for a paragraph.
INTRODUCTION = """\
By `bench/peers.py --write`, in one run on one machine. Every stack collects the host it runs on and, where it can,
keeps that; all of them at once, so that whatever else the machine does is the same for all. CPU is user and system
time of every process of a stack, those that ended included, as the kernel charges its control group. Memory is the
sum of PSS at the end of a window, in which a page that processes share counts once. A ratio is computed within a
window; figures are medians of the windows. The script and all it starts have a higher priority than the rest (nice
-10). Below each table stands who is better than PerfWatch there, whoever it is.""".replace("\n", " ")

ML = "Netdata runs with its defaults, and once more without machine learning."
NO_ML = "Debian builds Netdata without machine learning and without its cloud, so its defaults have ML off."

LIVE_NOTES = """\
- They do not do the same. PerfWatch, Netdata, and Prometheus and VictoriaMetrics, each with a node_exporter to
 scrape, collect and keep. PerfWatch sends each snapshot to a WebSocket client as well; those others have nobody to
 serve, which is cheaper. Glances keeps nothing: its web server collects when it is asked, and is asked for
 everything once an interval. psutil keeps nothing and serves nobody: it runs the specification's code and writes
 each collection as a line of JSON.
- {ml} It also follows processes by application, user and group, control groups, and itself, and evaluates alarms,
 which PerfWatch does not. "The host alone" is Netdata with all that off (`NETDATA_LEAN` in bench/peers_stacks.py):
 what comes closest to PerfWatch's work of all that is here. It reads no states of sockets, for which PerfWatch asks
 the kernel by netlink and which are two fifths of what a sample costs (see Growth); PerfWatch has none of IPv6's
 counters and few of the connection tracker.
- Values are the numbers of one answer, counted alike; of the host are those that are not about processes, users or
 the monitor. Values of a kind are cheap: Glances tells two dozen of each of a hundred processes.
- Prometheus and VictoriaMetrics are made to scrape many hosts. For one host, most of the cost is node_exporter,
 which collects anew for each scrape and writes text.
- Stores have been up for minutes only. Prometheus grows with the two hours that it holds in memory, VictoriaMetrics
 with its caches; what becomes of PerfWatch is under Soak.""".replace("\n ", " ")

DISK_NOTES = """\
After minutes this is mostly what is not packed yet: Prometheus's write-ahead log, which holds two hours;
PerfWatch's hot file, of which 360 to 720 rows become a block; Netdata's pages of 1,024 values, which are not full,
and whose values are 32-bit numbers, rounded. Not counted are files that do not grow with the samples: Netdata's of
SQLite, caches of VictoriaMetrics. What a value takes in the end is under Storage, where `bench/store_peers.py`
gives PerfWatch, Prometheus and VictoriaMetrics the same recording. VictoriaMetrics packs up to 8,192 values of a
series at once, of which that hour at 1 s is half: with days of data it may take less than there. Netdata takes in
no recording.""".replace("\n", " ")

DAY_NOTES = """\
Each has the same day at 5 s, 17,280 rows of 474 series, and is asked for the rates of counters in steps of two
minutes, 720 points; the answers are compared and agree. Prometheus and VictoriaMetrics work rates out from the
samples. PerfWatch reads its sums of minutes, in pages of 16 series that it unpacks anew for each question, and its
answer has the least, the greatest and the number of samples of each step besides. "Asked again": VictoriaMetrics
remembers what it worked out for a range that is over; the other figures are without that. Cold is the first
question to a server that was started 2 s ago, with the page cache empty before; what starting takes is not in it.
The day is an hour of the recording, repeated, which VictoriaMetrics packs into less than a real one. Netdata cannot
be given a day; node_exporter, Glances and psutil have none.""".replace("\n", " ")

START_NOTES = """\
The first value is how much memory is in use, asked for over HTTP every millisecond; of psutil it is the first line.
All collect every second. Prometheus waits 5 s before it has its targets. VictoriaMetrics finds a new series some 10
s after it came: it was asked by its export, as its queries leave out the last 30 s unless told otherwise. Netdata
looks around first. Programs are the executables alone, with Netdata's plugins; Glances and psutil are Python.
Installed is what Debian's packages and all they need take, recommended ones left out, on a system that has nothing
but the packages of the priorities required and important; of Prometheus's, 223 MB are one library of time zones for
its old page. PerfWatch is a release build with its page in it, stripped, and its own package.""".replace("\n", " ")


@dataclass(frozen=True)
class Column:
    title: str
    show: Callable[[Any], str]
    better: Callable[[float, float], bool] | None = None  # than PerfWatch


def number(digits: int = 0) -> Callable[[float], str]:
    return lambda value: f"{value:,.{digits}f}"


def render(machine: list[str], lives: Lives, starts: Starts, sizes: Sizes, day: Times) -> str:
    windows = len(lives[INTERVALS[0]][PerfWatch.name].cpu_percent)
    minutes = " and ".join(f"{lives[seconds][PerfWatch.name].ticks * seconds / 60:.0f}" for seconds in INTERVALS)
    return "\n\n".join([
        "## Peers",
        INTRODUCTION,
        "\n".join(f"- {line}" for line in machine),
        *(
            f"**Every {describe(seconds)}**, {windows} windows of {WINDOW_SECONDS[seconds]} s:\n\n"
            + live_table(lives[seconds], seconds)
            for seconds in INTERVALS
        ),
        LIVE_NOTES.format(ml=ML if netdata_has_ml() else NO_ML),
        f"**Disk**, what the stores hold after those {minutes} minutes:",
        disk_table(lives),
        DISK_NOTES,
        f"**A day's question**, over HTTP, in ms; medians of {WARM_QUESTIONS} warm and {COLD_QUESTIONS} cold:",
        day_table(day),
        DAY_NOTES,
        f"**From the start to the first value**, medians of {STARTS} starts, **and sizes**:",
        start_table(starts, sizes),
        START_NOTES,
    ]) + "\n"


def describe(seconds: int) -> str:
    return "second" if seconds == 1 else f"{seconds} s"


def compared(columns: list[Column], rows: dict[str, list[Any]]) -> str:
    """A table with PerfWatch's row, and below it who is better than that, in what."""
    lines = [("", *(column.title for column in columns))]
    for name, values in rows.items():
        lines.append((name, *("" if value is None else column.show(value) for column, value in zip(columns, values))))
    own = rows[PerfWatch.name]
    peers = {name: values for name, values in rows.items() if not name.startswith(PART)}
    better = []
    for index, column in enumerate(columns):
        if column.better and own[index] is not None:
            names = [
                name
                for name, values in peers.items()
                if values[index] is not None and column.better(values[index], own[index])
            ]
            better.append(f"{column.title}: {', '.join(names) or 'nobody'}")
    return f"{table(*lines)}\n\nBetter than PerfWatch here – {'; '.join(better)}."


def live_table(lives: dict[str, Live], seconds: int) -> str:
    columns = [
        Column("values", number(), gt),
        Column("of the host", number(), gt),
        Column("CPU, % of one", number(2), lt),
        Column("least", number(2)),
        Column("greatest", number(2)),
        Column("times PerfWatch", number(1)),
        Column("CPU for 1,000 values a second, %", number(2), lt),
        Column("memory, MB", number(1), lt),
    ]
    own = lives[PerfWatch.name].cpu_percent
    rows: dict[str, list[Any]] = {}
    for name, live in lives.items():
        each = median(live.cpu_percent) / (live.values / seconds / 1000)
        rows[name] = [live.values, live.host_values, *spread(live.cpu_percent, own), each, median(live.pss_mb)]
        if exporter := name.endswith(f"+ {NodeExporter.name}") and live.part_percent[NodeExporter.name]:
            part = f"{PART}the exporter for {name.partition(' ')[0]} alone"
            rows[part] = [None, None, *spread(exporter, own), None, None]
    return compared(columns, rows)


def spread(percent: list[float], own: list[float]) -> list[float]:
    """Median, least and greatest, and how many times PerfWatch's, within each window."""
    times = median(one / other for one, other in zip(percent, own))
    return [median(percent), min(percent), max(percent), times]


def disk_table(lives: Lives) -> str:
    columns = [
        Column(f"{what}, every {describe(seconds)}", number(2), lt)
        for seconds in INTERVALS
        for what in ("KB a sample", "bytes a value")
    ]
    rows: dict[str, list[Any]] = {}
    for seconds in INTERVALS:
        for name, live in lives[seconds].items():
            if live.stored_bytes:
                sample = live.stored_bytes / live.ticks
                rows.setdefault(name, []).extend((sample / 1000, sample / live.values))
    return compared(columns, rows)


def day_table(day: Times) -> str:
    columns: list[Column] = []
    rows: dict[str, list[Any]] = {}
    for state in ("warm", "cold"):
        for count in ASKED:
            columns += [Column(f"{count} series, {state}", number(1), lt), Column("least–greatest", str)]
            for name in dict.fromkeys(name for name, _, _ in day):
                spent = day.get((name, count, state))
                figures = (median(spent), f"{min(spent):.1f}–{max(spent):.1f}") if spent else (None, None)
                rows.setdefault(name, []).extend(figures)
    return compared(columns, rows)


def start_table(starts: Starts, sizes: Sizes) -> str:
    columns = [
        Column("to the first value, ms", number(), lt),
        Column("least", number()),
        Column("greatest", number()),
        Column("programs, MB", number(1), lt),
        Column("installed, MB", number(1), lt),
    ]
    rows: dict[str, list[Any]] = {}
    for name, seconds in starts.items():
        spent = [each * 1000 for each in seconds]
        programs, installed = sizes.get(name, (0, 0))
        rows[name] = [median(spent), min(spent), max(spent), programs / 1e6 or None, installed / 1e6 or None]
    return compared(columns, rows)


if __name__ == "__main__":
    main()
