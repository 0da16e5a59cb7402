"""The monitors that bench/peers.py sets beside each other: how each is started, asked and counted.

Each runs in control groups of version 2. The kernel charges a group with the CPU time of all that ever ran in it, in
microseconds: plugins, helpers and what has ended. Memory is the sum of PSS, in which a page that several processes share
counts once.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from run import NODE_EXPORTER, ROOT, count_numbers, free_port, live_ticks
from soak import PONG, TICKS_PER_PONG

PERFWATCH = ROOT / "target" / "release" / "perfwatch"
STOP_SECONDS = 30  # Netdata takes four to write what it has

# What a page of node_exporter tells about node_exporter.
ABOUT_ITSELF = re.compile(r"(go|process|promhttp|node_scrape|node_exporter)_")
# Charts of Netdata about itself, and about processes, their users and groups.
NETDATA_OTHER = ("netdata.", "apps.", "users.", "usergroups.", "groups.")
# Parts of Glances' answer that are about processes, itself, or were told before.
GLANCES_OTHER = ("processlist", "processcount", "alert", "amps", "psutilversion")

# What Netdata does at least as PerfWatch does: it reads /proc and /sys of the host and keeps that.
NETDATA_LEAN = {
    "plugins": dict.fromkeys(
        (
            "apps",
            "cgroups",
            "charts.d",
            "enable running new plugins",
            "idlejitter",
            "netdata monitoring",
            "nfacct",
            "perf",
            "slabinfo",
            "statsd",
            "tc",
        ),
        "no",
    ),
    "health": {"enabled": "no"},
}
NETDATA_WITHOUT_ML = {"ml": {"enabled": "no"}}


class Group:
    """A control group, and the process that was started in it."""

    numbers = itertools.count()

    def __init__(self, command: list[Any], **options: Any) -> None:
        # Netdata watches any group that is not named like this, PerfWatch those at the top: what measures them must not
        # give them more to measure.
        self.path = cgroup_mount() / f"peers-{os.getpid()}.slice" / f"{next(self.numbers)}.slice"
        self.path.mkdir(parents=True)
        procs = self.path / "cgroup.procs"
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options
        self.process = subprocess.Popen(command, preexec_fn=lambda: procs.write_text("0"), **options)

    def cpu_us(self) -> int:
        return int(re.search(r"^usage_usec (\d+)", (self.path / "cpu.stat").read_text(), re.MULTILINE)[1])

    def pss_mb(self) -> float:
        total = 0
        for pid in (self.path / "cgroup.procs").read_text().split():
            with suppress(OSError):  # it may have ended
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1])
        return total * 1024 / 1e6

    def stop(self) -> None:
        """In its own way first, so that what it has in memory gets to the disk."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        (self.path / "cgroup.kill").write_text("1")
        self.process.wait()
        while (self.path / "cgroup.procs").read_text():
            time.sleep(0.01)
        self.path.rmdir()
        with suppress(OSError):  # others are in it
            self.path.parent.rmdir()


def cgroup_mount() -> Path:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise RuntimeError("no control groups of version 2 are mounted")


class Stack:
    """A monitor with everything it needs to collect and keep. Ends what it started."""

    name: str
    packages: tuple[str, ...] = ()  # Debian's
    programs: tuple[str, ...] = ()

    def __init__(self, place: Path, seconds: int) -> None:
        """Starts it, to collect every so many seconds and to keep what it keeps in `place`."""
        self.place, self.seconds, self.groups = place, seconds, dict[str, Group]()
        self.port = free_port()
        place.mkdir(mode=0o755)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        raise NotImplementedError

    def has_value(self) -> bool:
        """Whether it answers how much memory is in use. Raises where nobody answers yet."""
        raise NotImplementedError

    def attend(self) -> None:
        """Gives it a client, if it has one."""

    def values(self) -> tuple[float, float]:
        """How many numbers it collects in an interval, and how many are about the host as a whole."""
        raise NotImplementedError

    def stored(self) -> list[Path]:
        """Where the samples are, after the end. Other files, of a size that does not grow with them, are left out."""
        return []

    def run(self, part: str, command: list[Any], **options: Any) -> Group:
        self.groups[part] = Group(command, **options)
        return self.groups[part]

    def ask(self, path: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read()

    def ask_json(self, path: str) -> Any:
        return json.loads(self.ask(path))

    def stop(self) -> None:
        for group in self.groups.values():
            group.stop()
        self.groups.clear()

    @classmethod
    def missing(cls) -> str | None:
        if all(shutil.which(program) for program in cls.programs):
            return None
        return f"not installed: `apt-get install --no-install-recommends {' '.join(cls.packages)}`"


class PerfWatch(Stack):
    """Collects, keeps, and sends each snapshot to one client, who takes it: so nobody can say that it was not asked."""

    name = "PerfWatch"

    def start(self) -> None:
        arguments = ["--no-auth", "--interval", f"{self.seconds}s", "--listen", f"127.0.0.1:{self.port}"]
        self.run("perfwatch", [PERFWATCH, "serve", *arguments, "--data", self.place / "data"])

    def has_value(self) -> bool:
        return self.ask_json("/api/v1/snapshot")["memory"]["used_bytes"] is not None

    def attend(self) -> None:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=60)

        def take() -> None:
            with suppress(OSError, RuntimeError):  # the end
                for count, _ in enumerate(live_ticks(client), start=1):
                    if count % TICKS_PER_PONG == 0:
                        client.sendall(PONG)

        threading.Thread(target=take, daemon=True).start()

    def values(self) -> tuple[float, float]:
        snapshot = self.ask_json("/api/v1/snapshot")
        count = count_numbers([snapshot[section] for section in snapshot["status"]])
        return count, count

    def stored(self) -> list[Path]:
        return [self.place / "data"]


class Netdata(Stack):
    """As Debian sets it up, but for where its files are and its port."""

    name = "Netdata"
    packages = ("netdata",)
    programs = ("netdata",)
    settings: dict[str, dict[str, str]] = {}

    def start(self) -> None:
        directories = {kind: self.place / kind for kind in ("cache", "lib", "log")}
        for directory in directories.values():
            directory.mkdir()
            shutil.chown(directory, "netdata")
        settings = {
            "global": {"run as user": "netdata"},
            "directories": directories,
            "db": {"update every": self.seconds},
            "web": {"bind to": "127.0.0.1", "default port": self.port},
        } | self.settings
        lines = []
        for section, entries in settings.items():
            lines += [f"[{section}]", *(f"{name} = {value}" for name, value in entries.items())]
        config = self.place / "netdata.conf"
        config.write_text("\n".join(lines) + "\n")
        self.run("netdata", ["netdata", "-D", "-c", config], env=os.environ | {"DISABLE_TELEMETRY": "1"})

    def has_value(self) -> bool:
        rows = self.ask_json("/api/v1/data?chart=system.ram&points=1&after=-1")["data"]
        return any(value for row in rows for value in row[1:])

    def values(self) -> tuple[float, float]:
        host = other = 0.0
        for chart in self.ask_json("/api/v1/charts")["charts"].values():
            count = len(chart["dimensions"]) * self.seconds / chart["update_every"]
            if chart["id"].startswith(NETDATA_OTHER):
                other += count
            else:
                host += count
        return host + other, host

    def stored(self) -> list[Path]:
        return list(self.place.glob("cache/dbengine*"))


class NetdataWithoutMl(Netdata):
    name = "Netdata (ML off)"
    settings = NETDATA_WITHOUT_ML


class NetdataLean(Netdata):
    name = "Netdata (the host alone)"
    settings = NETDATA_LEAN | NETDATA_WITHOUT_ML


class NodeExporter(Stack):
    """Does nothing by itself: it collects when it is asked."""

    name = "node_exporter"
    packages = (NODE_EXPORTER,)
    programs = (NODE_EXPORTER,)

    def start(self) -> None:
        self.run("node_exporter", [NODE_EXPORTER, f"--web.listen-address=127.0.0.1:{self.port}"])

    def has_value(self) -> bool:
        return b"\nnode_memory_MemFree_bytes " in self.ask("/metrics")

    def values(self) -> tuple[float, float]:
        lines = self.ask("/metrics").decode().splitlines()
        samples = [line for line in lines if not line.startswith("#")]
        return len(samples), sum(not ABOUT_ITSELF.match(line) for line in samples)


class Scraper(Stack):
    """A store that scrapes a node_exporter of its own."""

    def start(self) -> None:
        self.exporter = NodeExporter(self.place / "exporter", self.seconds)
        self.groups |= self.exporter.groups
        config = self.place / "scrape.yml"
        config.write_text(
            f"global: {{scrape_interval: {self.seconds}s}}\n"
            f"scrape_configs: [{{job_name: node, static_configs: [{{targets: ['127.0.0.1:{self.exporter.port}']}}]}}]\n"
        )
        self.start_store(config, self.place / "data")

    def start_store(self, config: Path, data: Path) -> None:
        raise NotImplementedError

    def values(self) -> tuple[float, float]:
        return self.exporter.values()


class Prometheus(Scraper):
    name = "Prometheus + node_exporter"
    packages = ("prometheus", NODE_EXPORTER)
    programs = ("prometheus", NODE_EXPORTER)

    def start_store(self, config: Path, data: Path) -> None:
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        self.run("prometheus", ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}", listen])

    def has_value(self) -> bool:
        return bool(self.ask_json("/api/v1/query?query=node_memory_MemFree_bytes")["data"]["result"])

    def stored(self) -> list[Path]:
        return [self.place / "data"]


class Victoria(Scraper):
    name = "VictoriaMetrics + node_exporter"
    packages = ("victoria-metrics", NODE_EXPORTER)
    programs = ("victoria-metrics", NODE_EXPORTER)

    def start_store(self, config: Path, data: Path) -> None:
        listen = f"-httpListenAddr=127.0.0.1:{self.port}"
        command = ["victoria-metrics", f"-promscrape.config={config}", f"-storageDataPath={data}", listen]
        self.run("victoria-metrics", [*command, "-loggerLevel=ERROR"])

    def has_value(self) -> bool:
        # A query has, by default, nothing of the last 30 s; an export has what is there.
        return bool(self.ask(f"/api/v1/export?{urlencode({'match[]': 'node_memory_MemFree_bytes'})}"))

    def stored(self) -> list[Path]:
        return [self.place / "data" / part for part in ("data", "indexdb")]


class Glances(Stack):
    """Its web server collects when it is asked, so it has a client who asks for everything once in an interval."""

    name = "Glances (web server)"
    packages = ("glances", "python3-bottle")
    programs = ("glances",)  # python3-bottle has none

    def start(self) -> None:
        arguments = ["--webserver", "--bind", "127.0.0.1", "--port", self.port, "--time", self.seconds]
        # A sample of the last second would be given again.
        arguments += ["--cached-time", 0, "--disable-check-update"]
        self.run("glances", ["glances", *map(str, arguments)], cwd=self.place)

    def has_value(self) -> bool:
        return self.ask_json("/api/3/mem")["used"] > 0

    def attend(self) -> None:
        def ask() -> None:
            with suppress(OSError):  # the end
                for _ in paced(self.seconds):
                    self.ask("/api/3/all")

        threading.Thread(target=ask, daemon=True).start()

    def values(self) -> tuple[float, float]:
        everything = self.ask_json("/api/3/all")
        host = {part: value for part, value in everything.items() if part not in GLANCES_OTHER}
        return count_numbers(everything), count_numbers(host)


class Psutil(Stack):
    """The specification's own code, with each collection written as JSON. Keeps nothing and serves nobody."""

    name = "psutil (specification's code)"

    def start(self) -> None:
        python, program = ROOT / "target" / "venv" / "bin" / "python", ROOT / "bench" / "psutil_spec.py"
        command = [python, program, "--every", str(self.seconds)]
        self.newest = b""
        process = self.run("psutil", command, stdout=subprocess.PIPE).process

        def take() -> None:
            for line in process.stdout:
                self.newest = line

        threading.Thread(target=take, daemon=True).start()

    def has_value(self) -> bool:
        return bool(self.newest)

    def values(self) -> tuple[float, float]:
        count = count_numbers(json.loads(self.newest))
        return count, count


def paced(seconds: int) -> Iterator[None]:
    while True:
        time.sleep(seconds - time.time() % seconds)
        yield


def netdata_has_ml() -> bool:
    if not shutil.which("netdata"):
        return False
    info = subprocess.run(["netdata", "-W", "buildinfo"], check=True, capture_output=True, text=True).stdout
    return bool(re.search(r"Machine Learning:\s+YES", info))


def stacks() -> list[type[Stack]]:
    """Those that collect by themselves."""
    without_ml = [NetdataWithoutMl] if netdata_has_ml() else []
    return [PerfWatch, Netdata, *without_ml, NetdataLean, Prometheus, Victoria, Glances, Psutil]
