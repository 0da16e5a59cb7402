#!/usr/bin/env python3
"""What the specification's own collection costs: the peer that PerfWatch is measured against.

    psutil_spec.py [ITERATIONS]
    psutil_spec.py --every SECONDS

Makes the psutil calls of the specification's collection code, one section after the other, with the rates its
tables ask for, and reads /proc/interrupts, huge pages and /proc/vmstat, which its tables take from /proc.
Prints JSON: `psutil`, microseconds of CPU time (user and system) per collection, and `psutil.values`, how
many numbers one holds. With --every it collects until it is stopped, at whole multiples of the interval, and prints each
collection as a line of JSON.
Needs psutil 7.2.2 (scripts/venv).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from run import count_numbers

DEFAULT_ITERATIONS = 100
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Processors' own drivers, whose readings are labelled by core.
CPU_CHIPS = ("coretemp", "k10temp")
RATES_OF_VMSTAT = ("pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault")

Values = dict[str, Any]


def rate(now: float, before: float | None, seconds: float) -> float | None:
    """Growth per second; none at the first look and when the counter started anew."""
    if before is None or seconds <= 0 or now < before:
        return None
    return (now - before) / seconds


def latency(counters: Values, before: Values, way: str) -> float | None:
    """Milliseconds per request that completed since the last look."""
    if not before:
        return None
    count = counters[f"{way}_count"] - before[f"{way}_count"]
    return (counters[f"{way}_time"] - before[f"{way}_time"]) / count if count > 0 else None


class Clock:
    """Seconds since the last look."""

    def __init__(self) -> None:
        self.previous: float | None = None

    def lap(self) -> float:
        now = time.time()
        seconds = now - (self.previous or now)
        self.previous = now
        return seconds


def collect_cpu() -> Values:
    usage = psutil.cpu_percent(interval=None)
    per_core = psutil.cpu_percent(interval=None, percpu=True)
    times = psutil.cpu_times_percent(interval=None)
    frequencies = psutil.cpu_freq(percpu=True)
    return {
        "usage_percent": usage,
        "per_core": per_core,
        "user": times.user,
        "system": times.system,
        "idle": times.idle,
        "iowait": times.iowait,
        "irq": times.irq,
        "softirq": times.softirq,
        "frequency_mhz": [frequency.current for frequency in frequencies],
        "temperature_celsius": core_temperatures(),
        "interrupts": interrupts(),
    }


def core_temperatures() -> list[float]:
    chips = psutil.sensors_temperatures()
    return [sensor.current for chip in CPU_CHIPS for sensor in chips.get(chip, [])]


def interrupts() -> int:
    """Sum of all per-CPU columns. A row has fewer of them where it is not counted per CPU (ERR, MIS)."""
    header, *rows = Path("/proc/interrupts").read_text().splitlines()
    cpus = len(header.split())
    return sum(int(field) for row in rows for field in row.split()[1 : 1 + cpus] if field.isdigit())


def huge_pages() -> dict[str, int]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = [line.split() for line in lines if line.startswith("HugePages_")]
    return {name.rstrip(":"): int(value) for name, value in fields}


class Memory:
    def __init__(self) -> None:
        self.clock = Clock()
        self.before: dict[str, int] = {}

    def collect(self) -> Values:
        memory = psutil.virtual_memory()
        swap = psutil.swap_memory()
        pages = huge_pages()
        return {
            "usage_percent": memory.percent,
            "total_bytes": memory.total,
            "used_bytes": memory.used,
            "available_bytes": memory.available,
            "free_bytes": memory.free,
            "cached_bytes": memory.cached,
            "buffers_bytes": memory.buffers,
            "swap_total_bytes": swap.total,
            "swap_used_bytes": swap.used,
            "swap_free_bytes": swap.free,
            "hugepages_total": pages.get("HugePages_Total", 0),
            "hugepages_free": pages.get("HugePages_Free", 0),
            "hugepages_reserved": pages.get("HugePages_Rsvd", 0),
        } | self.bandwidth()

    def bandwidth(self) -> Values:
        seconds = self.clock.lap()
        lines = Path("/proc/vmstat").read_text().splitlines()
        now = {name: int(value) for name, value in map(str.split, lines)}
        rates = {name: rate(now[name], self.before.get(name), seconds) or 0.0 for name in RATES_OF_VMSTAT}
        self.before = now
        return {f"{name}_per_sec": value for name, value in rates.items()} | {
            "page_io_bytes_per_sec": (rates["pgpgin"] + rates["pgpgout"]) * 1024,
            "swap_io_bytes_per_sec": (rates["pswpin"] + rates["pswpout"]) * PAGE_BYTES,
        }


class Network:
    def __init__(self) -> None:
        self.clock = Clock()
        self.before: dict[str, Values] = {}

    def collect(self) -> Values:
        seconds = self.clock.lap()
        interfaces = {}
        for name, counters in psutil.net_io_counters(pernic=True).items():
            if name == "lo":
                continue
            now = counters._asdict()
            interfaces[name] = self.interface(now, self.before.get(name, {}), seconds)
            self.before[name] = now
        connections = count_connections(psutil.net_connections(kind="inet"))
        return {"interfaces": interfaces, "connections": connections}

    @staticmethod
    def interface(now: Values, before: Values, seconds: float) -> Values:
        moved = ("bytes_sent", "bytes_recv", "packets_sent", "packets_recv")
        return {
            **{name: now[name] for name in moved},
            **{f"{name}_per_sec": rate(now[name], before.get(name), seconds) for name in moved},
            "errors_in": now["errin"],
            "errors_out": now["errout"],
            "drops_in": now["dropin"],
            "drops_out": now["dropout"],
        }


def count_connections(connections: list[Any]) -> dict[str, int]:
    # psutil gives UDP sockets no state.
    states = Counter(connection.status for connection in connections)
    return {
        "tcp_established": states[psutil.CONN_ESTABLISHED],
        "tcp_time_wait": states[psutil.CONN_TIME_WAIT],
        "tcp_close_wait": states[psutil.CONN_CLOSE_WAIT],
        "tcp_listen": states[psutil.CONN_LISTEN],
        "udp_count": states[psutil.CONN_NONE],
    }


class Disk:
    def __init__(self) -> None:
        self.clock = Clock()
        self.before: dict[str, Values] = {}

    def collect(self) -> Values:
        seconds = self.clock.lap()
        devices = {}
        for name, counters in psutil.disk_io_counters(perdisk=True).items():
            if name.startswith("loop"):
                continue
            now = counters._asdict()
            devices[name] = self.device(now, self.before.get(name, {}), seconds)
            self.before[name] = now
        return {"devices": devices, "partitions": partitions()}

    @staticmethod
    def device(now: Values, before: Values, seconds: float) -> Values:
        figures: Values = {}
        for way in ("read", "write"):
            figures |= {
                f"{way}_bytes": now[f"{way}_bytes"],
                f"{way}_bytes_per_sec": rate(now[f"{way}_bytes"], before.get(f"{way}_bytes"), seconds),
                f"{way}_count": now[f"{way}_count"],
                f"{way}_iops": rate(now[f"{way}_count"], before.get(f"{way}_count"), seconds),
                f"{way}_time_ms": now[f"{way}_time"],
                f"{way}_latency_ms": latency(now, before, way),
            }
        return figures


def partitions() -> Values:
    found = {}
    for partition in psutil.disk_partitions():
        if "loop" in partition.device:
            continue
        usage = psutil.disk_usage(partition.mountpoint)
        found[partition.mountpoint] = {
            "device": partition.device,
            "fstype": partition.fstype,
            "mountpoint": partition.mountpoint,
            "total_bytes": usage.total,
            "used_bytes": usage.used,
            "free_bytes": usage.free,
            "usage_percent": usage.percent,
        }
    return found


def main() -> None:
    memory, network, disk = Memory(), Network(), Disk()

    def collect() -> list[Values]:
        return [collect_cpu(), memory.collect(), network.collect(), disk.collect()]

    if sys.argv[1:2] == ["--every"]:
        collect_every(int(sys.argv[2]), collect)
    else:
        measure(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_ITERATIONS, collect)


def collect_every(seconds: int, collect: Callable[[], list[Values]]) -> None:
    while True:
        print(json.dumps(collect()), flush=True)
        time.sleep(seconds - time.time() % seconds)


def measure(iterations: int, collect: Callable[[], list[Values]]) -> None:
    # Imports, caches of psutil and the first look of every rate are not what is measured.
    for _ in range(iterations // 10 + 1):
        snapshot = collect()
    start = time.process_time_ns()
    for _ in range(iterations):
        snapshot = collect()
    microseconds = (time.process_time_ns() - start) / 1000 / iterations
    print(json.dumps({"psutil": microseconds, "psutil.values": count_numbers(snapshot)}))


if __name__ == "__main__":
    main()
