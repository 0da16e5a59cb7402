"""A day's question to PerfWatch, Prometheus and VictoriaMetrics, each with the same day.

The day is yesterday at 5 s, PerfWatch's own default: 17,280 rows of every second series of the recording that
bench/store_peers.py measures sizes with, about as many as PerfWatch keeps of a small host. The recording is repeated,
its counters going on. Counters go by the name of one metric and gauges by another, with a label to tell them apart, so
that each of the three can be asked for seven series in one request. What Prometheus and VictoriaMetrics hold is read
back and compared, and every answer is compared with PerfWatch's. Sizes are not taken from here: an hour that comes again
24 times flatters whoever packs more than an hour at once.
"""

from __future__ import annotations

import json
import subprocess
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from http.client import HTTPConnection
from pathlib import Path
from statistics import mean
from typing import Any
from urllib.parse import urlencode

from peers_stacks import PERFWATCH, Prometheus, Victoria
from run import connect_http, free_port, running
from store_peers import (
    ABSENT,
    RECORDING,
    Samples,
    empty_page_cache,
    measure_prometheus,
    measure_victoria,
    read_recording,
)

INTERVAL_MS = 5_000
DAY_SECONDS = 86_400
ROWS = DAY_SECONDS * 1000 // INTERVAL_MS
EVERY_SERIES = 2
MOST_JITTER_MS = 500
# At most 1,000 points of a day are 720 for PerfWatch. The others are asked for the same.
POINTS = 1_000
STEP_SECONDS = 120
ASKED = (1, 7)

WARM_QUESTIONS = 101
COLD_QUESTIONS = 7
SETTLE_SECONDS = 2  # after a start, for what a server does at first
AGREE = 0.02  # Prometheus extrapolates a rate to the borders of its range

# Metrics of PerfWatch that any counter, and any gauge, can stand for, and the names that it gives them in OpenMetrics.
COUNTER, RATE = "disk.devices.read_count", "disk.devices.read_iops"
GAUGES = {1: "disk.partitions.used_bytes", 100: "disk.partitions.usage_percent"}

# Milliseconds, by who was asked, for how many series, and whether warm or cold.
Times = dict[tuple[str, int, str], list[float]]
Labels = list[str]


@dataclass
class Day:
    start_seconds: int
    labels: Labels
    counters: list[bool]
    samples: Samples  # as Prometheus and VictoriaMetrics get them

    def busiest(self, count: int) -> Labels:
        """Counters that grow most often: a rate of 0 all day would be no question."""
        changes = {
            label: len(set(column))
            for label, column, counter in zip(self.labels, self.samples.columns, self.counters)
            if counter and ABSENT not in column
        }
        return sorted(changes, key=changes.__getitem__, reverse=True)[:count]


@dataclass
class Server:
    command: list[Any]  # a port comes after it
    # More than one where a server can answer in more than one way.
    paths: dict[str, Callable[[Labels], str]]
    rates: Callable[[Any], list[float]]


def measure_day(place: Path, tell: Callable[[str], None]) -> Times:
    tell("giving each store a day")
    day = recorded_day()
    servers = [perfwatch_with(day, place)]
    if not Prometheus.missing():
        measure_prometheus(day.samples, place)
        servers.append(prometheus_with(day, place))
    if not Victoria.missing():
        measure_victoria(day.samples, place)
        servers.append(victoria_with(day, place))
    labels, times = day.busiest(max(ASKED)), Times()
    tell("asking, warm")
    with started(servers) as ports:
        for count in ASKED:
            prove_same(servers, ports, labels[:count])
            for _ in range(WARM_QUESTIONS):
                ask_all(servers, ports, labels[:count], "warm", times)
    tell("asking, cold")
    for count in ASKED * COLD_QUESTIONS:
        if not empty_page_cache(file for file in place.rglob("*") if file.is_file()):
            break
        with started(servers) as ports:
            ask_all(servers, ports, labels[:count], "cold", times)
    return times


def recorded_day() -> Day:
    _, recording = read_recording(RECORDING)
    kinds = [line.split(" ", 1)[0] for line in RECORDING.with_suffix(".names").read_text().splitlines()]
    start = (int(time.time()) // DAY_SECONDS - 1) * DAY_SECONDS
    rows = len(recording.times_ms)
    repeats = range(ROWS // rows + 1)
    times, labels, counters, columns, scales, names = array("q"), Labels(), [], [], [], []
    for row in range(ROWS):
        late = recording.times_ms[row % rows] - recording.times_ms[0] - row % rows * INTERVAL_MS
        times.append(start * 1000 + row * INTERVAL_MS + min(max(late, 0), MOST_JITTER_MS))
    for number in range(0, len(kinds), EVERY_SERIES):
        column, scale = recording.columns[number], recording.scales[number]
        counter = kinds[number] == "c" and min(column) >= 0
        grown = column[-1] - column[0] if counter else 0
        repeated = (v if v == ABSENT else v + grown * repeat for repeat in repeats for v in column)
        columns.append(array("q", repeated)[:ROWS])
        labels.append(f"s{number}")
        counters.append(counter)
        scales.append(scale)
        names.append(f'{plain(COUNTER if counter else GAUGES[scale])}{{of="s{number}"}}')
    return Day(start, labels, counters, Samples("a day at 5 s", names, scales, times, columns))


def plain(metric: str) -> str:
    return metric.replace(".", "_")


def perfwatch_with(day: Day, place: Path) -> Server:
    data = place / "perfwatch"
    command = [PERFWATCH, "import", "--data", data, "-"]
    importing = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    importing.stdin.writelines(export_lines(day))
    importing.stdin.close()
    if importing.wait():
        raise RuntimeError("perfwatch import failed")

    def path(labels: Labels) -> str:
        span = {"from": day.start_seconds * 1000, "to": (day.start_seconds + DAY_SECONDS) * 1000, "points": POINTS}
        selectors = [("select", f'{RATE}{{device="{label}"}}') for label in labels]
        return "/api/v1/series?" + urlencode([*span.items(), *selectors])

    command = [PERFWATCH, "serve", "--no-auth", "--interval", "60s", "--data", data, "--listen"]
    return Server(command, {"PerfWatch": path}, lambda answer: [mean_of(each["avg"]) for each in answer["series"]])


def export_lines(day: Day) -> Iterator[str]:
    """As `perfwatch export` writes them."""
    samples = day.samples
    keys = [
        json.dumps(f'{COUNTER}{{device="{label}"}}' if counter else f'{GAUGES[scale]}{{mountpoint="{label}"}}')
        for label, counter, scale in zip(day.labels, day.counters, samples.scales)
    ]
    yield '{"perfwatch_export":1}\n'
    before = None
    for row, ms in enumerate(samples.times_ms):
        moment = datetime.fromtimestamp(ms // 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        values = ",".join([
            f"{key}:{column[row] if scale == 1 else column[row] / scale}"
            for key, scale, column in zip(keys, samples.scales, samples.columns)
            if column[row] != ABSENT
        ])
        covered_ns = 0 if before is None else (ms - before) * 1_000_000
        head = f'"time":"{moment}.{ms % 1000:03}Z","section":"disk","covered_ns":{covered_ns}'
        yield f'{{{head},"values":{{{values}}}}}\n'
        before = ms


def mean_of(values: list[float | None]) -> float:
    return mean(value for value in values if value is not None)


def prometheus_with(day: Day, place: Path) -> Server:
    config = place / "prometheus.yml"
    config.write_text("")
    data = f"--storage.tsdb.path={place / 'prometheus'}"
    command = ["prometheus", f"--config.file={config}", data, "--web.listen-address"]
    return Server(command, {"Prometheus": range_query(day)}, rates_of_matrix)


def victoria_with(day: Day, place: Path) -> Server:
    data = f"-storageDataPath={place / 'victoria'}"
    command = ["victoria-metrics", data, "-retentionPeriod=100y", "-loggerLevel=ERROR", "-httpListenAddr"]
    # What it worked out once for a range that is over, it has in memory.
    paths = {
        "VictoriaMetrics": range_query(day, nocache=1),
        "VictoriaMetrics (asked again)": range_query(day),
    }
    return Server(command, paths, rates_of_matrix)


def range_query(day: Day, **more: int) -> Callable[[Labels], str]:
    def path(labels: Labels) -> str:
        query = f'rate({plain(COUNTER)}{{of=~"{"|".join(labels)}"}}[{STEP_SECONDS}s])'
        first, last = day.start_seconds + STEP_SECONDS, day.start_seconds + DAY_SECONDS
        span = {"start": first, "end": last, "step": STEP_SECONDS}
        return "/api/v1/query_range?" + urlencode({"query": query} | span | more)

    return path


def rates_of_matrix(answer: Any) -> list[float]:
    return [mean(float(value) for _, value in each["values"]) for each in answer["data"]["result"]]


@contextmanager
def started(servers: list[Server]) -> Iterator[list[int]]:
    ports = [free_port() for _ in servers]
    with ExitStack() as stack:
        processes = []
        for server, port in zip(servers, ports):
            *command, option = server.command
            listen = f"{option}=127.0.0.1:{port}"
            processes.append(stack.enter_context(running([*command, listen], stderr=subprocess.DEVNULL)))
        for port in ports:
            connect_http(port).close()
        time.sleep(SETTLE_SECONDS)
        yield ports
        # In their own way: they are started again with what they have.
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def prove_same(servers: list[Server], ports: list[int], labels: Labels) -> None:
    """An answer to another question would be fast, too."""
    expected: list[float] = []
    for server, port in zip(servers, ports):
        connection = connect_http(port)
        for name, path in server.paths.items():
            _, body = timed(connection, path(labels))
            found = sorted(server.rates(json.loads(body)))
            expected = expected or found
            same = (abs(one - other) <= AGREE * abs(other) for one, other in zip(found, expected))
            if len(found) != len(labels) or not all(same):
                raise RuntimeError(f"{name} answers {found}, and not {expected}")


def ask_all(servers: list[Server], ports: list[int], labels: Labels, state: str, times: Times) -> None:
    for server, port in zip(servers, ports):
        connection = connect_http(port)
        # After a cold question the next one is not.
        paths = list(server.paths.items())[: 1 if state == "cold" else None]
        for name, path in paths:
            spent_ms, _ = timed(connection, path(labels))
            times.setdefault((name, len(labels), state), []).append(spent_ms)
        connection.close()


def timed(connection: HTTPConnection, path: str) -> tuple[float, bytes]:
    start = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    spent_ms = (time.perf_counter() - start) * 1000
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status}")
    return spent_ms, body
