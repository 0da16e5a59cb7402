#!/usr/bin/env python3
"""Does `perfwatch serve` grow? Runs it at 1 s with one WebSocket client and prints what it holds, minute by minute.

    bench/soak.py [MINUTES]      30 unless given

Needs target/release/perfwatch (cargo build --release). The first minutes warm caches up; what matters is the
difference between a late and an early row. The result is put into docs/benchmarks.md by hand.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from run import cpu_time_us, live_ticks, resident_mb, running, serving_port

PERFWATCH = Path(__file__).resolve().parents[1] / "target" / "release" / "perfwatch"
TICKS_PER_MINUTE = 60
# An empty pong, masked with zeros (RFC 6455): a client that gives no sign of life is let go.
PONG = bytes([0x8A, 0x80, 0, 0, 0, 0])
TICKS_PER_PONG = 20


def main() -> None:
    minutes = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    command = [PERFWATCH, "serve", "--no-auth", "--interval", "1s", "--listen", "127.0.0.1:0", "--data"]
    with (
        tempfile.TemporaryDirectory(dir=PERFWATCH.parent) as data,
        running([*command, data], stderr=subprocess.PIPE, text=True) as process,
    ):
        with socket.create_connection(("127.0.0.1", serving_port(process)), timeout=30) as client:
            print("| minute | RSS, MB | threads | descriptors | CPU, % of one |")
            print("| ---: | ---: | ---: | ---: | ---: |")
            before = cpu_time_us(process.pid)
            for count, _ in enumerate(live_ticks(client), start=1):
                if count % TICKS_PER_PONG == 0:
                    client.sendall(PONG)
                if count % TICKS_PER_MINUTE == 0:
                    now = cpu_time_us(process.pid)
                    print(row(process.pid, count // TICKS_PER_MINUTE, now - before), flush=True)
                    before = now
                if count == minutes * TICKS_PER_MINUTE:
                    return


def row(pid: int, minute: int, spent_us: float) -> str:
    threads, descriptors = (len(os.listdir(f"/proc/{pid}/{table}")) for table in ("task", "fd"))
    percent = spent_us / 1e6 / TICKS_PER_MINUTE * 100
    return f"| {minute} | {resident_mb(pid):.2f} | {threads} | {descriptors} | {percent:.3f} |"


if __name__ == "__main__":
    main()
