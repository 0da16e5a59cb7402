#!/usr/bin/env python3
"""What others need to store what PerfWatch stores, and how SQLite holds up as the file it is stored in.

    bench/store_peers.py [--recording FILE.bin.zst] [--flips 300] [--json FILE]

Puts the recording into each store, at 1 s (all rows) and at 5 s (every fifth), asks for some of it back, and
prints bytes per sample: bytes of files by samples present. SQLite is measured as a container: ten rows at a
time are committed as a hot blob, and 512 rows become one blob of columns for every 64 series. Of that file it
also prints what ingesting wrote to the device, what one flipped bit does, and how long quick_check takes.

Needs the Python package zstandard; peers that are not installed are reported missing. Takes half a minute and
0.5 GB under target/. Emptying the page cache takes root. Sizes can be quoted; times hold for one machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from operator import sub
from pathlib import Path
from statistics import mean
from typing import Any
from urllib.parse import urlencode

from run import ROOT, connect_http, first_line, free_port, running, table

try:
    import zstandard
except ImportError:
    sys.exit("bench/store_peers.py: needs zstandard, in a venv: `pip install zstandard==0.25.0`")

RECORDING = ROOT / "crates" / "perfwatch-store" / "benches" / "host1hz.bin.zst"
ABSENT = -(2**63)
# Where the recording is moved to: a block of Prometheus and a month of VictoriaMetrics begin here, so neither
# pays for a second one, and it is past by any clock (VictoriaMetrics drops what is to come).
START_MS = 1_704_067_200_000
EVERY = {"1s": 1, "5s": 5}

SEED = 1
PROVED_SERIES = 5
DEADLINE_SECONDS = 120

ROWS_PER_HOT = 10
ROWS_PER_BLOCK = 512
SERIES_PER_PAGE = 64
TIMES_PAGE = -1  # the times of a block are a page of their own
MONTH_BYTES = 470_000_000  # 30 days at 1 s, of the prototype that the design was measured with
KEYS = "page, start_ms, rows"
SELECT = f"SELECT id, {KEYS}, columns FROM block"
INSERT = f"INSERT INTO block ({KEYS}, columns)"
OUTCOMES = {
    "error": "(a) an error",
    "keys": "(b) rows gone or their keys changed, and no error",
    "blob": "(c) a blob changed, and zstd complains",
    "blob_unnoticed": "(c) a blob changed, and zstd does not notice",
    "nothing": "(d) nothing",
}

Figures = dict[str, Any]
Points = list[tuple[int, float]]


@dataclass
class Samples:
    interval: str
    names: list[str]
    scales: list[int]
    times_ms: array[int]
    columns: list[array[int]]  # as recorded: the kernel's integers, and gauges × scale

    def count(self) -> int:
        return sum(len(column) - column.count(ABSENT) for column in self.columns)

    def points(self) -> Iterator[tuple[str, Points]]:
        """Series as others hold them: floats where there is a scale."""
        for name, scale, column in zip(self.names, self.scales, self.columns):
            present = ((ms, value) for ms, value in zip(self.times_ms, column) if value != ABSENT)
            yield name, [(ms, value if scale == 1 else value / scale) for ms, value in present]


def main() -> None:
    options = parse_options()
    # Ends by an exception, so that what was started is stopped and what was written is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    (ROOT / "target").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="store_peers-", dir=ROOT / "target") as directory:
        figures = measure(options, Path(directory))
    print(render(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def parse_options() -> argparse.Namespace:
    summary, _, details = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recording", type=Path, default=RECORDING, help="with FILE.bin.names beside it")
    parser.add_argument("--flips", type=int, default=300, help="bits to flip, one at a time (default 300)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args()


def tell(text: str) -> None:
    print(f"bench/store_peers.py: {text}", file=sys.stderr, flush=True)


def measure(options: argparse.Namespace, directory: Path) -> Figures:
    figures: Figures = {"json": {}, "prometheus": {}, "victoriametrics": {}, "sqlite": {}}
    for samples in read_recording(options.recording):
        interval, place = samples.interval, directory / samples.interval
        place.mkdir()
        tell(f"{interval}: {len(samples.times_ms)} rows, {samples.count()} samples")
        figures["json"][interval] = measure_json(samples)
        for package, program, measure_peer in (
            ("prometheus", "promtool", measure_prometheus),
            ("victoria-metrics", "victoria-metrics", measure_victoria),
        ):
            peer = figures[package.replace("-", "")]
            if shutil.which(program):
                peer["version"] = first_line("dpkg-query", "--show", "--showformat=${Version}", package)
                peer[interval] = measure_peer(samples, place)
            else:
                peer["missing"] = f"not installed: `apt-get install {package}`"
        figures["sqlite"]["version"] = sqlite3.sqlite_version
        figures["sqlite"][interval] = measure_sqlite(samples, place / "metrics.db")
    tell("flipped bits and quick_check")
    database = directory / "1s" / "metrics.db"
    figures["sqlite"]["bit_flips"] = flip_bits(database, options.flips)
    figures["sqlite"]["quick_check"] = measure_quick_check(database)
    return figures


def read_recording(path: Path) -> Iterator[Samples]:
    """Rows of little-endian i64: the time in ns, then all values. Others hold times in ms, so here all do."""
    lines = path.with_suffix(".names").read_text().splitlines()
    _, scales, recorded = zip(*(line.split(" ", 2) for line in lines))
    # What Prometheus allows in a name, for all alike.
    names = [re.sub(r"[^a-zA-Z0-9_:]", "_", name) for name in recorded]
    cells = array("q", zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read())
    width = len(names) + 1
    if len(cells) % width or len(set(names)) != len(names):
        sys.exit(f"{path}: does not fit its names")
    times = array("q", (START_MS + (ns - cells[0]) // 1_000_000 for ns in cells[::width]))
    for interval, every in EVERY.items():
        columns = [cells[column::width][::every] for column in range(1, width)]
        yield Samples(interval, names, [int(scale) for scale in scales], times[::every], columns)


def sizes(samples: Samples, **size_bytes: int) -> Figures:
    per_sample = {f"{part}_bytes_per_sample": size / samples.count() for part, size in size_bytes.items()}
    return {f"{part}_bytes": size for part, size in size_bytes.items()} | per_sample


def size_of(*directories: Path) -> int:
    return sum(file.stat().st_size for top in directories for file in top.rglob("*") if file.is_file())


def prove(samples: Samples, total: int, read_back: Callable[[str], Points]) -> None:
    """A store that lost samples would look good."""
    if total != samples.count():
        raise RuntimeError(f"{total} samples were stored, of {samples.count()}")
    chosen = random.Random(SEED).sample(samples.names, PROVED_SERIES)
    for name, expected in samples.points():
        if name not in chosen:
            continue
        found = read_back(name)
        # promtool reads times as float seconds and cuts them, which may lose the last ms.
        same = (v == w and abs(t - u) <= 1 for (t, v), (u, w) in zip(found, expected))
        if len(found) != len(expected) or not all(same):
            raise RuntimeError(f"{name} did not come back as it was")


def measure_json(samples: Samples) -> Figures:
    rows: dict[int, dict[str, float]] = {ms: {"time_ms": ms} for ms in samples.times_ms}
    for name, points in samples.points():
        for ms, value in points:
            rows[ms][name] = value
    size = sum(len(json.dumps(row, separators=(",", ":")) + "\n") for row in rows.values())
    return {"samples": samples.count()} | sizes(samples, file=size)


def measure_prometheus(samples: Samples, place: Path) -> Figures:
    text, data = place / "openmetrics.txt", place / "prometheus"
    with text.open("w") as file:
        for name, points in samples.points():
            file.writelines(f"{name} {value} {ms // 1000}.{ms % 1000:03}\n" for ms, value in points)
        file.write("# EOF\n")
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q", text, data], check=True)
    text.unlink()
    (data / "wal").mkdir()  # a dump asks for one

    def read_back(name: str) -> Points:
        command = ["promtool", "tsdb", "dump", f"--match={name}", data]
        dump = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return [(int(ms), float(v)) for _, v, ms in (line.rsplit(" ", 2) for line in dump.splitlines())]

    metas = list(data.glob("*/meta.json"))
    prove(samples, sum(json.loads(meta.read_text())["stats"]["numSamples"] for meta in metas), read_back)
    whole, chunks = size_of(*(m.parent for m in metas)), size_of(*(m.parent / "chunks" for m in metas))
    index = sum((meta.parent / "index").stat().st_size for meta in metas)
    return sizes(samples, file=whole, data=chunks, index=index)


def measure_victoria(samples: Samples, place: Path) -> Figures:
    data, port = place / "victoria", free_port()
    listen = f"-httpListenAddr=127.0.0.1:{port}"
    command = ["victoria-metrics", f"-storageDataPath={data}", listen, "-retentionPeriod=100y"]
    with running([*command, "-loggerLevel=ERROR"]) as process:
        connection = connect_http(port)
        connection.sock.settimeout(DEADLINE_SECONDS)
        for name, points in samples.points():
            if points:
                times, values = zip(*points)
                # Lines of text would come in pieces, and stay in them.
                family, _, labels = name.partition("{")
                metric = {"__name__": family} | dict(re.findall(r'(\w+)="(.*?)"', labels))
                ask(connection, "/api/v1/import", json.dumps({"metric": metric, "values": values, "timestamps": times}))
        ask(connection, "/internal/force_flush")
        ask(connection, "/internal/force_merge")
        total = wait_until_merged(connection)

        def read_back(name: str) -> Points:
            query = {"match[]": name, "start": START_MS // 1000}
            parts = map(json.loads, ask(connection, f"/api/v1/export?{urlencode(query)}").splitlines())
            return sorted(point for part in parts for point in zip(part["timestamps"], part["values"]))

        prove(samples, total, read_back)
        connection.close()
        # It ends in its own way, so that nothing stays in memory.
        process.terminate()
        process.wait(DEADLINE_SECONDS)
    stored, index = size_of(data / "data"), size_of(data / "indexdb")
    return sizes(samples, file=stored + index, data=stored, index=index)


def ask(connection: http.client.HTTPConnection, path: str, body: str | None = None) -> str:
    connection.request("POST" if body else "GET", path, body)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status >= http.HTTPStatus.BAD_REQUEST:
        raise RuntimeError(f"VictoriaMetrics answered {answer.status} to {path}: {text}")
    return text


def wait_until_merged(connection: http.client.HTTPConnection) -> int:
    """The merge goes on after the answer, until one part holds all. Returns the samples in it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        metrics = ask(connection, "/metrics")
        parts, rows = (
            sum(map(int, re.findall(rf'^{metric}{{type="storage/\w+"}} (\d+)', metrics, re.MULTILINE)))
            for metric in ("vm_parts", "vm_rows")
        )
        if re.search("^vm_active_force_merges 0$", metrics, re.MULTILINE):
            if parts == 1:
                return rows
            # Parts that were being merged when it was asked were left out.
            ask(connection, "/internal/force_merge")
        time.sleep(0.2)
    raise RuntimeError("VictoriaMetrics did not merge what it was given")


# SQLite


class Varints(dict[int, bytes]):
    """Zig-zag varints. Short ones are remembered: nearly all are."""

    def __missing__(self, value: int) -> bytes:
        rest, encoded = value << 1 if value >= 0 else ~(value << 1), bytearray()
        while rest > 0x7F:
            encoded.append(rest & 0x7F | 0x80)
            rest >>= 7
        encoded.append(rest)
        if len(encoded) <= 2:
            self[value] = bytes(encoded)
        return bytes(encoded)


VARINTS = Varints()


def encode(values: Iterable[int]) -> bytes:
    return b"".join(map(VARINTS.__getitem__, values))


def deltas(values: Sequence[int]) -> list[int]:
    return [values[0], *map(sub, values[1:], values)]


def encode_columns(columns: Iterable[array[int]]) -> bytes:
    """Each begins with its order: 1 for delta, 2 for delta of delta. Absent is a value like any other."""
    encoded = b""
    for column in columns:
        first = deltas(column)
        encoded += min(b"\1" + encode(first), b"\2" + encode(deltas(first)), key=len)
    return zstandard.compress(encoded, 3)


def decode_columns(blob: bytes, rows: int) -> Iterator[list[int]]:
    data = iter(zstandard.decompress(blob))
    for order in data:
        values = []
        for _ in range(rows):
            value = shift = 0
            while (byte := next(data)) > 0x7F:
                value |= (byte & 0x7F) << shift
                shift += 7
            value |= byte << shift
            values.append(~(value >> 1) if value & 1 else value >> 1)
        for _ in range(order):
            values = list(accumulate(values))
        yield values


def measure_sqlite(samples: Samples, path: Path) -> Figures:
    pages = {TIMES_PAGE: [samples.times_ms]}
    for first in range(0, len(samples.columns), SERIES_PER_PAGE):
        pages[first] = samples.columns[first : first + SERIES_PER_PAGE]
    rows = list(zip(samples.times_ms, *samples.columns))
    before = io_bytes("write_bytes")
    connection = connect(path)
    # What the file is made like comes before the first table.
    for setting in ("page_size=4096", "auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute("CREATE TABLE hot (id INTEGER PRIMARY KEY, rows BLOB)")
    # No index: ids count up, page by page of each block, and so tell where one is.
    connection.execute(f"CREATE TABLE block (id INTEGER PRIMARY KEY, {KEYS}, columns)")
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        stop = min(start + ROWS_PER_BLOCK, len(rows))
        # The last rows of a block need not be hot first.
        for hot in range(start, stop - ROWS_PER_HOT, ROWS_PER_HOT):
            blob = zstandard.compress(b"".join(map(encode, rows[hot : hot + ROWS_PER_HOT])), 1)
            connection.execute("INSERT INTO hot (rows) VALUES (?)", [blob])
        connection.execute("BEGIN")
        for page, columns in pages.items():
            blob = encode_columns(column[start:stop] for column in columns)
            connection.execute(f"{INSERT} VALUES (?, ?, ?, ?)", [page, rows[start][0], stop - start, blob])
        connection.execute("DELETE FROM hot")
        connection.execute("COMMIT")
    free = ask_one(connection, "PRAGMA freelist_count") * ask_one(connection, "PRAGMA page_size")
    blobs = ask_one(connection, "SELECT sum(length(columns)) FROM block")
    connection.close()
    # Counted are pages of files that this process made dirty; the file system's own journal is not in it.
    # None where nothing is counted, as on tmpfs.
    per_row = (io_bytes("write_bytes") - before) / len(rows) or None
    prove_sqlite(pages, path)
    return sizes(samples, file=path.stat().st_size, data=blobs, free=free) | {
        "write_bytes_per_row": per_row,
        "write_bytes_per_86400_rows": per_row and per_row * 86_400,
    }


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    # A blob that a flipped bit made a text is another value, and not an error of Python's for bad UTF-8.
    connection.text_factory = lambda data: ("text", data)
    return connection


def ask_one(connection: sqlite3.Connection, query: str) -> int:
    return connection.execute(query).fetchone()[0]


def io_bytes(counter: str) -> int:
    return int(re.search(rf"^{counter}: (\d+)", Path("/proc/self/io").read_text(), re.MULTILINE)[1])


def read(path: Path, query: str = SELECT, values: Sequence[Any] = ()) -> list[tuple[Any, ...]] | None:
    """None if SQLite finds the file damaged."""
    with closing(connect(path)) as connection:
        try:
            return connection.execute(query, values).fetchall()
        except (sqlite3.DatabaseError, MemoryError):  # a wrong length may be a very great one
            return None


def prove_sqlite(pages: dict[int, list[array[int]]], path: Path) -> None:
    decoded: dict[int, list[list[int]]] = {page: [[] for _ in columns] for page, columns in pages.items()}
    for _, page, _, rows, blob in read(path):
        for column, values in zip(decoded[page], decode_columns(blob, rows), strict=True):
            column.extend(values)
    if decoded != {page: [column.tolist() for column in columns] for page, columns in pages.items()}:
        raise RuntimeError("what SQLite holds does not decode to what it was given")


def flip_bits(path: Path, flips: int) -> Figures:
    """What a reader of all rows sees after one bit of the file changed."""
    chance = random.Random(SEED)
    whole, undamaged = path.read_bytes(), read(path)
    outcomes, noticed, intact_shares = Counter[str](), Counter[str](), []
    for _ in range(flips):
        bit = chance.randrange(len(whole) * 8)
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with tempfile.TemporaryDirectory(dir=path.parent) as directory:
            copy = Path(directory) / path.name
            copy.write_bytes(damaged)
            outcome = compare(copy, undamaged)
            outcomes[outcome] += 1
            noticed[outcome] += not passes_quick_check(copy)
            if outcome == "error":
                intact = [read(copy, f"{SELECT} WHERE id = ?", row[:1]) == [row] for row in undamaged]
                intact_shares.append(mean(intact))
    return {
        "flips": flips,
        "outcomes": {outcome: outcomes[outcome] for outcome in OUTCOMES},
        "quick_check_fails": {outcome: noticed[outcome] for outcome in OUTCOMES},
        "intact_after_error_mean": mean(intact_shares) if intact_shares else None,
        "nothing_intact_after_error": intact_shares.count(0),
    }


def compare(path: Path, undamaged: list[tuple[Any, ...]]) -> str:
    found = read(path)
    if found is None:
        return "error"
    if found == undamaged:
        return "nothing"
    if [row[:-1] for row in found] != [row[:-1] for row in undamaged]:
        return "keys"
    try:
        for *_, blob in found:
            zstandard.decompress(blob)
    except (zstandard.ZstdError, TypeError):  # a text is no blob
        return "blob"
    return "blob_unnoticed"


def passes_quick_check(path: Path) -> bool:
    return read(path, "SELECT quick_check = 'ok' FROM pragma_quick_check") == [(True,)]


def measure_quick_check(path: Path) -> Figures:
    """A start must not take more than a second: may it check the file of a month?"""
    month = path.with_name("month.db")
    shutil.copy(path, month)
    connection = connect(month)
    connection.execute("PRAGMA synchronous = OFF")
    last = ask_one(connection, "SELECT max(id) FROM block")
    while ask_one(connection, "PRAGMA page_count") * ask_one(connection, "PRAGMA page_size") < MONTH_BYTES:
        connection.execute(f"{INSERT} SELECT {KEYS}, columns FROM block WHERE id <= ? ORDER BY id", [last])
    connection.close()
    figures: Figures = {"file_bytes": month.stat().st_size, "cold_seconds": None}
    if empty_page_cache([month]):
        before = io_bytes("read_bytes")
        figures["cold_seconds"] = time_quick_check(month)
        figures["cold_read_bytes"] = io_bytes("read_bytes") - before
    return figures | {"warm_seconds": time_quick_check(month)}


def empty_page_cache(paths: Iterable[Path]) -> bool:
    """False without root. What a hypervisor caches stays, so a cold time may be too short."""
    for path in paths:
        with path.open("rb+") as file:
            os.fsync(file.fileno())  # dirty pages would not be dropped
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def time_quick_check(path: Path) -> float:
    start = time.perf_counter()
    if not passes_quick_check(path):
        raise RuntimeError("quick_check found fault with a file that has none")
    return time.perf_counter() - start


# Reporting


def render(figures: Figures) -> str:
    sqlite = figures["sqlite"]
    flips, check = sqlite["bit_flips"], sqlite["quick_check"]
    intact, cold = flips["intact_after_error_mean"], check["cold_seconds"]
    return "\n".join([
        table(
            ("bytes per sample", *EVERY),
            *size_rows(figures["json"], "JSON rows"),
            *size_rows(figures["prometheus"], "Prometheus, block", data="chunks", index="index"),
            *size_rows(figures["victoriametrics"], "VictoriaMetrics, merged", data="data", index="indexdb"),
            *size_rows(sqlite, "SQLite, file", data="blobs of columns", free="free pages, once hot rows"),
        ),
        "",
        *(f"SQLite at {interval} wrote {describe_writes(sqlite[interval])}" for interval in EVERY),
        "",
        table(
            (f"one bit of the 1s file flipped, {flips['flips']} times", "cases", "quick_check fails"),
            *(
                (text, str(flips["outcomes"][name]), str(flips["quick_check_fails"][name]))
                for name, text in OUTCOMES.items()
            ),
        ),
        "",
        "rows intact after an error: " + ("no error" if intact is None else f"{intact:.1%} on average"),
        f"errors after which no row is: {flips['nothing_intact_after_error']}",
        f"quick_check of {check['file_bytes'] / 1e6:.0f} MB: {check['warm_seconds']:.2f} s warm, "
        + ("cold needs root" if cold is None else f"{cold:.2f} s cold"),
    ])


def size_rows(figures: Figures, store: str, **parts: str) -> list[tuple[str, ...]]:
    if missing := figures.get("missing"):
        return [(store, missing, "")]
    names = {"file": f"{store} ({figures['version']})" if "version" in figures else store}
    names |= {part: f"– {text}" for part, text in parts.items()}
    return [
        (name, *(f"{figures[interval][f'{part}_bytes_per_sample']:.3f}" for interval in EVERY))
        for part, name in names.items()
    ]


def describe_writes(figures: Figures) -> str:
    if (per_row := figures["write_bytes_per_row"]) is None:
        return "what this file system does not count"
    per_day_mb = figures["write_bytes_per_86400_rows"] / 1e6
    return f"{per_row:,.0f} bytes a row, {per_day_mb:,.0f} MB for 86,400 rows"


if __name__ == "__main__":
    main()
