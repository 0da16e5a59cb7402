#!/usr/bin/env python3
"""What PerfWatch costs, beside the kernel's own part of it, the specification's code and node_exporter.

    bench/run.py [--rounds 5] [--write]

Prints a page of Markdown, or with --write makes it docs/benchmarks.md. Everything is measured in turn in
every round, and compared within the round: a machine that is slower for a minute is slower for all of them.
Costs are CPU time, user and system, of all threads. Nothing else should run meanwhile. Takes five minutes.

What stands in docs/benchmarks.md between SOAK_START and SOAK_END is written by hand or by other commands, and kept.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any, BinaryIO

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
SOAK_START, SOAK_END = "<!-- soak -->", "<!-- /soak -->"

SAMPLE_BENCH = ("bench", "--no-run", "-p", "perfwatch-collect", "--bench", "sample")
GROWTH_RUNS = 3
FEW_SOCKETS = 100
EXPIRY_DEADLINE_SECONDS = 120  # twice what the kernel keeps a socket in TIME_WAIT

NODE_EXPORTER = "prometheus-node-exporter"  # as Debian names it
NODE_EXPORTER_HINT = f"not installed: `apt install {NODE_EXPORTER}`"
SCRAPES = 20
START_DEADLINE_SECONDS = 10

SERVE_INTERVAL = "500ms"  # the shortest there is
# The first ticks open files, and fill caches and buffers.
SERVE_WARM_UP_TICKS = 4
SERVE_TICKS = 20
# From the frame of one tick's snapshot: sending is over by then, and the next tick is not due yet.
TICK_ENDS_SECONDS = 0.1

SECTIONS = ("cpu", "memory", "network", "disk", "scheduler", "pressure", "kernel")

FLOOR_GOAL = 1.5
PSUTIL_GOAL = 20
# Caches miss more with ten times the items, so linear is not exactly 1; quadratic would be 10.
LINEAR_GOAL = 1.5

Figures = dict[str, float]
Rounds = list[Figures]


def main() -> None:
    options = parse_options()
    # Ends by an exception, so that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    soak_section()  # complains before anything is measured
    python = first_line(ROOT / "scripts" / "venv")
    machine = describe_machine(python)
    bench = build(*SAMPLE_BENCH)
    perfwatch = build("build", "--release")
    values = dict.fromkeys(("sample.values", "sample+json.values", "serve.values"), count_values(perfwatch))
    let_sockets_expire()
    rounds = []
    for number in range(1, options.rounds + 1):
        tell(f"round {number} of {options.rounds}")
        rounds.append(with_cost_of_each(values | measure_round(bench, perfwatch, python)))
    growth = [measure_growth(bench, number) for number in range(1, GROWTH_RUNS + 1)]
    page = render(machine, rounds, growth)
    if options.write:
        PAGE.write_text(page)
        tell(f"wrote {PAGE.relative_to(ROOT)}")
    else:
        print(page, end="")


def parse_options() -> argparse.Namespace:
    summary, _, details = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take the median of (default 5)")
    parser.add_argument("--write", action="store_true", help="rewrite docs/benchmarks.md")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def tell(text: str) -> None:
    print(f"bench/run.py: {text}", file=sys.stderr, flush=True)


# Measuring


def build(*arguments: str) -> Path:
    """Builds, and returns the executable. Rounds run it without cargo, which costs time of its own."""
    command = ["cargo", *arguments, "--locked", "--message-format=json-render-diagnostics"]
    messages = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    executables = [json.loads(line).get("executable") for line in messages.splitlines()]
    return Path(next(filter(None, executables)))


def run_json(*command: str | Path) -> dict[str, Any]:
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output)


def measure_round(bench: Path, perfwatch: Path, python: str) -> Figures:
    figures = run_json(bench) | run_json(python, ROOT / "bench" / "psutil_spec.py")
    if shutil.which(NODE_EXPORTER):
        figures |= measure_node_exporter()
    return figures | measure_serve(perfwatch)


def with_cost_of_each(figures: Figures) -> Figures:
    """Adds what one value costs, where it is known how many there are."""
    each = {name: figures[name] / figures[f"{name}.values"] for name in figures if f"{name}.values" in figures}
    return figures | {f"{name}.each": cost for name, cost in each.items()}


def measure_node_exporter() -> Figures:
    port = free_port()
    command = [NODE_EXPORTER, f"--web.listen-address=127.0.0.1:{port}"]
    with running(command, stderr=subprocess.DEVNULL) as process:
        connection = connect_http(port)
        scrape(connection)  # the first one finds out what there is
        start = cpu_time_us(process.pid)
        answers = [scrape(connection) for _ in range(SCRAPES)]
        spent = cpu_time_us(process.pid) - start
        connection.close()
        return {
            "node_exporter": spent / SCRAPES,
            "node_exporter.values": sum(not line.startswith("#") for line in answers[-1].splitlines()),
            "node_exporter.rss_mb": resident_mb(process.pid),
        }


def serve_command(perfwatch: Path, data: str) -> list[str | Path]:
    arguments = ["--no-auth", "--interval", SERVE_INTERVAL, "--listen", "127.0.0.1:0", "--data", data]
    return [perfwatch, "serve", *arguments]


def measure_serve(perfwatch: Path) -> Figures:
    """A tick of `perfwatch serve` as users run it: sampling, JSON and sending it to one WebSocket client."""
    with (
        tempfile.TemporaryDirectory(dir=ROOT / "target") as data,
        running(serve_command(perfwatch, data), stderr=subprocess.PIPE, text=True) as process,
    ):
        with socket.create_connection(("127.0.0.1", serving_port(process)), timeout=10) as client:
            ticks = live_ticks(client)
            wait_until_tick(ticks, next(ticks) + SERVE_WARM_UP_TICKS)
            first, start = next(ticks), cpu_time_after_tick(process.pid)
            last = wait_until_tick(ticks, first + SERVE_TICKS)
            spent = cpu_time_after_tick(process.pid) - start
        return {"serve": spent / (last - first), "serve.rss_mb": resident_mb(process.pid)}


@contextmanager
def running(command: list[Any], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def connect_http(port: int) -> http.client.HTTPConnection:
    """Connects as soon as there is someone to answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while True:
        try:
            connection.connect()
            return connection
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def scrape(connection: http.client.HTTPConnection) -> str:
    """One connection for all scrapes, as Prometheus has it; uncompressed, which is cheaper to answer."""
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{NODE_EXPORTER} answered {answer.status}")
    return text


def serving_port(process: subprocess.Popen[str]) -> int:
    """The port that `perfwatch serve` was given, from its log."""
    for line in process.stderr or []:
        if address := re.search(r"serving at http://127\.0\.0\.1:(\d+)", line):
            return int(address[1])
    raise RuntimeError("perfwatch serve ended before it served")


def live_ticks(client: socket.socket) -> Iterator[int]:
    """The number of every snapshot of the live stream, as it arrives."""
    client.sendall(
        b"GET /api/v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    stream = client.makefile("rb")
    status = stream.readline()
    if b" 101 " not in status:
        raise RuntimeError(f"no live stream: {status!r}")
    while stream.readline().strip():
        pass
    while True:
        message = read_text_frame(stream)
        if message["type"] == "snapshot":
            yield message["seq"]


def read_text_frame(stream: BinaryIO) -> dict[str, Any]:
    """RFC 6455, 5.2: a server's frames are not masked, and PerfWatch sends each message in one."""
    while True:
        first, length = read_exactly(stream, 2)
        if length == 126:
            length = int.from_bytes(read_exactly(stream, 2), "big")
        elif length == 127:
            length = int.from_bytes(read_exactly(stream, 8), "big")
        payload = read_exactly(stream, length)
        if first & 0x0F == 1:
            return json.loads(payload)


def read_exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise RuntimeError("the live stream ended")
    return data


def wait_until_tick(ticks: Iterator[int], wanted: int) -> int:
    return next(tick for tick in ticks if tick >= wanted)


def cpu_time_after_tick(pid: int) -> float:
    time.sleep(TICK_ENDS_SECONDS)
    return cpu_time_us(pid)


def cpu_time_us(pid: int) -> float:
    """CPU time of all threads of a process, ended ones too.

    /proc/PID/stat counts in hundredths of a second, which is thirty ticks of PerfWatch, and schedstat of each
    thread forgets those that ended. The clock of the process has neither fault; its id is made from the pid
    (MAKE_PROCESS_CPUCLOCK with CPUCLOCK_SCHED in the kernel's posix-timers_types.h), as libc does.
    """
    return time.clock_gettime_ns(~pid << 3 | 2) / 1000


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)[1]) * 1024 / 1e6


def measure_growth(bench: Path, number: int) -> Figures:
    # "Few" sockets are not few while those of the run before are there.
    let_sockets_expire()
    tell(f"growth, run {number} of {GROWTH_RUNS}")
    return run_json(bench, "growth")


def let_sockets_expire() -> None:
    """Waits until hardly a socket is in TIME_WAIT, where thousands stay for a minute after a growth run."""
    deadline = time.monotonic() + EXPIRY_DEADLINE_SECONDS
    if time_wait_sockets() > FEW_SOCKETS:
        tell("waiting for sockets in TIME_WAIT to expire")
    while time_wait_sockets() > FEW_SOCKETS:
        if time.monotonic() > deadline:
            tell(f"{time_wait_sockets()} sockets in TIME_WAIT: some program opens and closes many, going on")
            return
        time.sleep(1)


def time_wait_sockets() -> int:
    return int(re.search(r"^TCP:.* tw (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)[1])


def count_values(perfwatch: Path) -> int:
    snapshot = run_json(perfwatch, "snapshot", "--json")
    return count_numbers([snapshot[section] for section in snapshot["status"]])


def count_numbers(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return sum(map(count_numbers, value))
    return isinstance(value, (int, float))


def first_line(*command: str | Path) -> str:
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return output.partition("\n")[0]


def describe_machine(python: str) -> dict[str, str]:
    model = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processes = sum(entry.name.isdigit() for entry in Path("/proc").iterdir())
    installed = shutil.which(NODE_EXPORTER)
    return {
        "CPU": f"{model[1] if model else platform.machine()}, {os.cpu_count()} logical CPUs",
        "kernel": platform.release(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "at the start": f"{processes} processes, load average {os.getloadavg()[0]:.2f}",
        "PerfWatch": first_line("git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"),
        "rustc": first_line("rustc", "--version"),
        "psutil": first_line(python, "-c", "import psutil; print(psutil.__version__)"),
        "Python": first_line(python, "-c", "import platform; print(platform.python_version())"),
        "node_exporter": first_line(NODE_EXPORTER, "--version") if installed else NODE_EXPORTER_HINT,
    }


# Reporting


def render(machine: dict[str, str], rounds: Rounds, growth: Rounds) -> str:
    return "\n\n".join([
        "# Benchmarks",
        INTRODUCTION.format(count=len(rounds)),
        f"```sh\nbench/run.py --rounds {len(rounds)} --write\n```",
        "\n".join(f"- {name}: {value}" for name, value in machine.items()),
        "## Compared",
        comparison_table(rounds),
        COMPARISON_NOTES,
        "## CPU time",
        cost_table(rounds),
        COST_NOTES,
        "## For what is delivered",
        value_table(rounds),
        VALUE_NOTES,
        "## Growth",
        growth_table(growth),
        GROWTH_NOTES.format(runs=GROWTH_RUNS, goal=LINEAR_GOAL),
        f"{SOAK_START}{soak_section()}{SOAK_END}",
    ]) + "\n"


# Markdown has one line for a paragraph.
INTRODUCTION = """\
Written by the command below, but for Soak and what follows it. Costs are CPU time, user and system, of all threads
of a process. Each of {count} rounds measured everything in turn; figures are medians of the rounds, with
the least and the greatest. Times hold for this machine on that day only: what can be quoted are the ratios,
each computed within a round.""".replace("\n", " ")

COMPARISON_NOTES = """\
- The floor is a bare `pread` of the same files of /proc and /sys, the same netlink dump and one `statvfs`, with
 nothing parsed and nothing kept: what is over 1 is PerfWatch's own. Floor and sample are measured one after
 the other, so a ratio near 1 may fall below it.
- psutil runs the specification's own code, for the specification's values; the sample has four times as
 many. Against psutil the difference is mostly one call. `net_connections` reads /proc/net/tcp and tcp6 (what
 that alone costs stands under Growth) and looks through the descriptors of every process for the owners of
 the sockets. PerfWatch only counts, with the kernel's counters and a netlink dump of three states. The
 kernel walks its table of sockets for both, for psutil twice and in a slower way: where that table is
 smaller, so is the ratio. A program that must name the owners needs what psutil does.
- node_exporter does another job: it runs all its default collectors, delivers several times the values, and
 text and HTTP are in its cost, so compare it with sample + JSON or with a tick rather than with sample. It
 works out no rates, and leaves out /proc/interrupts and the states of sockets (its collectors interrupts
 and tcpstat are off by default), which are most of the cost of a sample; PerfWatch leaves out what only
 few hosts need, such as NFS, ZFS, bonding and InfiniBand.
- Sample, psutil and node_exporter run back to back, with warm caches. A tick of `perfwatch serve` is what
 one costs in earnest: woken every 500 ms, with caches that others have used since, JSON written and sent to
 one WebSocket client. The bare reads cost more then, too: the floor read every 500 ms is beside it. The last
 two rows set such ticks against peers with warm caches, which is the most cautious comparison here: peers that
 slept between collections would cost more too.""".replace("\n ", " ")

COST_NOTES = """\
Medians of the rounds. `sample` is a whole snapshot with all threads, made and dropped; `sample + JSON` also
writes it as JSON.""".replace("\n", " ")

VALUE_NOTES = """\
Counted are numbers: of PerfWatch those of all sections in `perfwatch snapshot --json`,
nulls and names left out; of psutil what the specification wants; of node_exporter every sample of its answer, those about
itself included. node_exporter delivers the most values. They are not of equal worth or cost: many of its
are of a kind, from one short read. RSS is that of the process at the end of a round.""".replace("\n", " ")

GROWTH_NOTES = """\
Medians of {runs} runs. CPUs, interfaces and disks are made up, in recorded trees of ordinary files: what it
takes the kernel to write so long a /proc is not in it. The goal is linear growth: an item may cost at most
{goal} times an item of the row before (caches miss more; at quadratic growth the factor would be that of
the items). Sockets are real, both ends of connections over loopback, and have no row to compare with.
PerfWatch's whole network collector stands beside reading /proc/net/tcp and tcp6, which is part of what
psutil does.""".replace("\n", " ")


def table(*rows: tuple[str, ...]) -> str:
    header, *body = rows
    rule = ("---", *("---:" for _ in header[1:]))
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *body))


def comparison_table(rounds: Rounds) -> str:
    return table(
        ("ratio", "median", "min–max", "goal", ""),
        ratio_row("sample / floor", rounds, "sample", "floor", most=FLOOR_GOAL),
        ratio_row("sample + JSON / floor", rounds, "sample+json", "floor"),
        *(
            ratio_row(f"{section} / its floor", rounds, f"collect.{section}", f"floor.{section}")
            for section in SECTIONS
        ),
        ratio_row("psutil / sample", rounds, "psutil", "sample"),
        ratio_row("psutil / sample, for each value", rounds, "psutil.each", "sample.each", least=PSUTIL_GOAL),
        ratio_row("node_exporter / sample", rounds, "node_exporter", "sample"),
        ratio_row("node_exporter / sample, for each value", rounds, "node_exporter.each", "sample.each"),
        ratio_row("node_exporter / sample + JSON", rounds, "node_exporter", "sample+json"),
        ratio_row("a tick of `perfwatch serve` / floor, every 500 ms", rounds, "serve", "floor.paced"),
        ratio_row("a tick of `perfwatch serve` / sample + JSON", rounds, "serve", "sample+json"),
        ratio_row("psutil / a tick of `perfwatch serve`", rounds, "psutil", "serve"),
        ratio_row("node_exporter / a tick of `perfwatch serve`", rounds, "node_exporter", "serve"),
    )


def ratio_row(
    name: str, rounds: Rounds, above: str, below: str, most: float | None = None, least: float | None = None
) -> tuple[str, ...]:
    ratios = [figures[above] / figures[below] for figures in rounds if above in figures]
    if not ratios:
        return (name, NODE_EXPORTER_HINT, "", "", "")
    middle = median(ratios)
    span = f"{min(ratios):.2f}–{max(ratios):.2f}"
    if most is not None:
        return (name, f"{middle:.2f}", span, f"≤ {most}", verdict(middle <= most))
    if least is not None:
        return (name, f"{middle:.2f}", span, f"≥ {least}", verdict(middle >= least))
    return (name, f"{middle:.2f}", span, "", "")


def verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def cost_table(rounds: Rounds) -> str:
    names = {
        "floor": "floor",
        "floor.paced": "floor, read every 500 ms",
        **{f"floor.{section}": f"floor of {section}" for section in SECTIONS},
        **{f"collect.{section}": f"collector of {section}" for section in SECTIONS},
        "sample": "sample",
        "sample+json": "sample + JSON",
        "serve": "a tick of `perfwatch serve`, one WebSocket client attached",
        "psutil": "psutil, a collection",
        "node_exporter": "node_exporter, a scrape",
    }
    return table(
        ("", "CPU time, µs", "min–max"), *(cost_row(name, rounds, key) for key, name in names.items())
    )


def cost_row(name: str, rounds: Rounds, key: str) -> tuple[str, ...]:
    costs = [figures[key] for figures in rounds if key in figures]
    if not costs:
        return (name, NODE_EXPORTER_HINT, "")
    return (name, f"{median(costs):,.1f}", f"{min(costs):,.1f}–{max(costs):,.1f}")


def value_table(rounds: Rounds) -> str:
    return table(
        ("", "values", "CPU time, µs", "µs per 1,000 values", "RSS, MB"),
        value_row("PerfWatch, sample", rounds, "sample"),
        value_row("PerfWatch, sample + JSON", rounds, "sample+json"),
        value_row("PerfWatch, a tick of `perfwatch serve`", rounds, "serve"),
        value_row("psutil", rounds, "psutil"),
        value_row("node_exporter", rounds, "node_exporter"),
    )


def value_row(name: str, rounds: Rounds, key: str) -> tuple[str, ...]:
    if key not in rounds[0]:
        return (name, NODE_EXPORTER_HINT, "", "", "")
    cost = median(figures[key] for figures in rounds)
    values = median(figures[f"{key}.values"] for figures in rounds)
    resident = [figures[f"{key}.rss_mb"] for figures in rounds if f"{key}.rss_mb" in figures]
    return (
        name,
        f"{values:.0f}",
        f"{cost:,.0f}",
        f"{cost / values * 1000:,.0f}",
        f"{median(resident):.1f}" if resident else "",
    )


def growth_table(growth: Rounds) -> str:
    rows = [("what", "items", "CPU time, µs", "µs per item", "against the row before", "")]
    per_item: dict[str, float] = {}
    for key in sorted(growth[0], key=what_and_count):
        what, count = what_and_count(key)
        cost = median(figures[key] for figures in growth)
        if not count:
            rows.append((what, "few", f"{cost:,.1f}", "", "", ""))
            continue
        before, per_item[what] = per_item.get(what), cost / count
        compared = ("", "")
        if before:
            ratio = per_item[what] / before
            compared = (f"{ratio:.2f}", verdict(ratio <= LINEAR_GOAL))
        rows.append((what, f"{count:,}", f"{cost:,.1f}", f"{per_item[what]:.3f}", *compared))
    return table(*rows)


def what_and_count(key: str) -> tuple[str, int]:
    """`sockets 10000: /proc/net/tcp` is 10000 of `sockets: /proc/net/tcp`; few are 0."""
    what, count, how = re.fullmatch(r"(\w+) +(\d+|few)(.*)", key).groups()
    return what + how, int(count) if count.isdigit() else 0


def soak_section() -> str:
    """What stands between the markers now."""
    if not PAGE.exists():
        return "\n## Soak\n\nNot run yet.\n"
    section = re.search(f"{SOAK_START}(.*){SOAK_END}", PAGE.read_text(), re.DOTALL)
    if not section:
        sys.exit(f"{PAGE.relative_to(ROOT)} has no {SOAK_START} … {SOAK_END} to keep")
    return section[1]


if __name__ == "__main__":
    main()
