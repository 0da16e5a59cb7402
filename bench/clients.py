#!/usr/bin/env python3
"""What `perfwatch serve` does for its clients: a thousand live ones, bad ones, and requests beside node_exporter's.

    bench/clients.py [--rounds 3] [--write]

Prints a section of Markdown, or with --write puts it into docs/benchmarks.md, between CLIENTS_START and CLIENTS_END.
Needs wrk; with prometheus-node-exporter it compares. Nothing else should run meanwhile. Takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

from run import (
    NODE_EXPORTER,
    NODE_EXPORTER_HINT,
    PAGE,
    ROOT,
    build,
    cpu_time_us,
    first_line,
    free_port,
    resident_mb,
    running,
    serving_port,
    table,
    verdict,
)

CLIENTS_START, CLIENTS_END = "<!-- clients -->", "<!-- /clients -->"

LOAD_BENCH = ("bench", "--no-run", "-p", "perfwatch", "--bench", "load")

HISTORY_SECONDS = 120  # what series are asked from, at 1 s
WRK_SECONDS = 5
CONNECTIONS = (1, 16)
START_DEADLINE_SECONDS = 10
SERIES = (
    "cpu.usage_percent",
    "cpu.per_core",
    "memory.used_bytes",
    "network.interfaces.*.bytes_recv_per_sec",
    "network.interfaces.*.bytes_sent_per_sec",
    "disk.devices.*.read_bytes_per_sec",
    "disk.devices.*.write_bytes_per_sec",
)
SERIES_PATH = "/api/v1/series?from=now-2m&points=120&" + "&".join(f"select={quote(name)}" for name in SERIES)
PATHS = {
    "/api/v1/snapshot": "/api/v1/snapshot",
    "/api/v1/series, 7 selectors, 2 min at 1 s": SERIES_PATH,
    "/metrics": "/metrics",
}
PEER = "node_exporter /metrics"

DELIVERY_GOAL_MS = 500
CLIENT_GOAL_KIB = 64
STALL_GOAL = 1.10
HEAD_DEADLINE_SECONDS = 10

Figures = dict[str, Any]
Rounds = list[dict[str, Figures]]


def main() -> None:
    options = parse_options()
    if not shutil.which("wrk"):
        sys.exit("bench/clients.py: wrk is not installed: `apt install wrk`")
    before, after = around_section()  # complains before anything is measured
    load, perfwatch = build(*LOAD_BENCH), build("build", "--release")
    scenarios = measure_load(load)
    rounds = measure_requests(perfwatch, options.rounds)
    section = render(scenarios, rounds)
    if options.write:
        PAGE.write_text(f"{before}{CLIENTS_START}\n{section}{CLIENTS_END}{after}")
    else:
        print(section, end="")


def parse_options() -> argparse.Namespace:
    summary, _, details = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of requests to take the median of (default 3)")
    parser.add_argument("--write", action="store_true", help="rewrite the section of docs/benchmarks.md")
    return parser.parse_args()


def around_section() -> tuple[str, str]:
    before, start, rest = PAGE.read_text().partition(CLIENTS_START)
    _, end, after = rest.partition(CLIENTS_END)
    if not start or not end:
        sys.exit(f"{PAGE.relative_to(ROOT)} has no {CLIENTS_START} … {CLIENTS_END} to replace")
    return before, after


# Measuring


def measure_load(load: Path) -> dict[str, Figures]:
    output = subprocess.run([load], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {line["scenario"]: line["figures"] for line in map(json.loads, output.splitlines())}


def measure_requests(perfwatch: Path, count: int) -> Rounds:
    with serving(perfwatch) as (process, url), peer() as (peer_process, peer_url):
        time.sleep(HISTORY_SECONDS)
        targets = {name: (process, url + path) for name, path in PATHS.items()}
        if peer_process:
            targets[PEER] = (peer_process, f"{peer_url}/metrics")
        targets = {name: target for name, target in targets.items() if answers(target[1])}
        return [
            {
                f"{name}, {connections}": wrk(*target, connections)
                for connections in CONNECTIONS
                for name, target in targets.items()
            }
            for _ in range(count)
        ]


@contextmanager
def serving(perfwatch: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as data:
        command = [perfwatch, "serve", "--no-auth", "--interval", "1s", "--listen", "127.0.0.1:0", "--data", data]
        with running(command, stderr=subprocess.PIPE, text=True) as process:
            yield process, f"http://127.0.0.1:{serving_port(process)}"


@contextmanager
def peer() -> Iterator[tuple[subprocess.Popen[bytes] | None, str]]:
    if not shutil.which(NODE_EXPORTER):
        yield None, ""
        return
    port = free_port()
    with running([NODE_EXPORTER, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL) as process:
        yield process, f"http://127.0.0.1:{port}"


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=START_DEADLINE_SECONDS) as answer:
            return bool(answer.read())
    except URLError as error:
        print(f"bench/clients.py: left out: {url}: {error}", file=sys.stderr)
        return False


def wrk(process: subprocess.Popen[Any], url: str, connections: int) -> Figures:
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{WRK_SECONDS}s"]
    spent = cpu_time_us(process.pid)
    output = subprocess.run([*command, "--latency", url], check=True, stdout=subprocess.PIPE, text=True).stdout
    spent = cpu_time_us(process.pid) - spent
    if re.search(r"Non-2xx|Socket errors", output):
        raise RuntimeError(f"{url} failed: {output}")
    requests, read = re.search(r"(\d+) requests in [\d.]+s, ([\d.]+[KMG]?B) read", output).groups()
    return {
        "per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),
        "p50_ms": latency_ms(output, 50),
        "p99_ms": latency_ms(output, 99),
        "cpu_us": spent / int(requests),
        "kib": binary_bytes(read) / int(requests) / 1024,
        "rss_mb": resident_mb(process.pid),
    }


def latency_ms(output: str, percent: int) -> float:
    value, unit = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)$", output, re.MULTILINE).groups()
    return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def binary_bytes(text: str) -> float:
    value, unit = re.fullmatch(r"([\d.]+)([KMG]?)B", text).groups()
    return float(value) * 1024 ** " KMG".index(unit or " ")


# Rendering


def render(scenarios: dict[str, Figures], rounds: Rounds) -> str:
    commit = first_line("git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*")
    return f"""## Clients

Written by `bench/clients.py --write` at {commit}. Clients and server share this machine's two CPUs.

{live_table(scenarios)}

Delivery is the time from the beginning of a sample (the snapshot's `timestamp`) to the last byte at a client, over 30 s; what
sampling takes is in it, and that a thousand clients are served in a row. Memory is what RSS grew by from 10 clients
to 1,010, divided by 1,000.

{stall_paragraph(scenarios["stalled"])}

{dribble_paragraph(scenarios["dribbling"])}

**Requests**, by wrk on one thread, {WRK_SECONDS} s each, medians of {len(rounds)} rounds. CPU is what the server took for an answer, user and system.

{request_table(rounds)}

PerfWatch answers with its newest sample, of which JSON and text are written once and not for each request; node_exporter collects anew for every
scrape. So this compares answers and not collecting, which is under Compared.
"""


def live_table(scenarios: dict[str, Figures]) -> str:
    rows = [("1,000 live clients at 1 Hz", "HTTP", "HTTPS", "goal", "")]
    plain, tls = scenarios["clients"], scenarios["clients-tls"]
    rows.append(("snapshots delivered, missed", *(f"{each['delivered']:,}, {each['missed']}" for each in (plain, tls)), "", ""))
    rows.append(("delivery, median, ms", *(f"{each['p50_ms']:.1f}" for each in (plain, tls)), "", ""))
    worst = max(plain["p99_ms"], tls["p99_ms"])
    rows.append(
        (
            "delivery, p99, ms",
            *(f"{each['p99_ms']:.1f}" for each in (plain, tls)),
            f"≤ {DELIVERY_GOAL_MS}",
            verdict(worst <= DELIVERY_GOAL_MS),
        )
    )
    most = max(plain["kib_per_client"], tls["kib_per_client"])
    rows.append(
        (
            "RSS of a client, KiB",
            *(f"{each['kib_per_client']:.1f}" for each in (plain, tls)),
            f"≤ {CLIENT_GOAL_KIB}",
            verdict(most <= CLIENT_GOAL_KIB),
        )
    )
    rows.append(("CPU of the server, % of one", *(f"{each['cpu_percent']:.1f}" for each in (plain, tls)), "", ""))
    return table(*rows)


def stall_paragraph(figures: Figures) -> str:
    ratios = [each["p99_during_ms"] / each["p99_before_ms"] for each in figures["rounds"]]
    middle = median(ratios)
    missed = sum(each["missed"] for each in figures["rounds"])
    return (
        f"**Who does not read**: {figures['stalled']} of {figures['clients']:,} clients stop reading. The p99 of the others, who missed "
        f"{missed} snapshots, is then {middle:.2f} times what it was before (median of {len(ratios)} rounds, "
        f"{min(ratios):.2f}–{max(ratios):.2f}; goal ≤ {STALL_GOAL:.2f}: {verdict(middle <= STALL_GOAL)})."
    )


def dribble_paragraph(figures: Figures) -> str:
    first, last = figures["closed_after_s"]
    met = figures["failed"] == 0 and first >= HEAD_DEADLINE_SECONDS - 0.5 and last <= HEAD_DEADLINE_SECONDS + 1
    return (
        f"**Who dribbles**: {figures['connections']:,} connections send a byte of a head a second. They were closed after "
        f"{first:.1f} to {last:.1f} s (deadline {HEAD_DEADLINE_SECONDS} s). Meanwhile {figures['requests_meanwhile']} snapshots were asked for, "
        f"each over a new connection, in {figures['request_p50_ms']:.1f} ms (median; longest {figures['request_max_ms']:.1f}), and "
        f"{figures['failed']} failed: {verdict(met)}. RSS rose from {figures['alone_kib'] / 1024:.1f} to at most "
        f"{figures['peak_kib'] / 1024:.1f} MiB."
    )


def request_table(rounds: Rounds) -> str:
    rows = [("", "connections", "requests/s", "median, ms", "p99, ms", "CPU, µs", "KiB", "RSS, MB")]
    for key in rounds[0]:
        name, _, connections = key.rpartition(", ")
        middle = {figure: median(each[key][figure] for each in rounds) for figure in rounds[0][key]}
        rows.append(
            (
                name,
                connections,
                f"{middle['per_second']:,.0f}",
                f"{middle['p50_ms']:.2f}",
                f"{middle['p99_ms']:.2f}",
                f"{middle['cpu_us']:,.0f}",
                f"{middle['kib']:.1f}",
                f"{middle['rss_mb']:.1f}",
            )
        )
    if not any(key.startswith(PEER) for key in rounds[0]):
        rows.append((PEER, NODE_EXPORTER_HINT, "", "", "", "", "", ""))
    return table(*rows)


if __name__ == "__main__":
    main()
