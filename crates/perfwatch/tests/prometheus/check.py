#!/usr/bin/env python3
"""Does /metrics say what the snapshot says, in a way that others understand? Nothing here was written by the exporter's
authors but this script: the parsers are prometheus_client's, promtool and Prometheus are Debian's, and so is the
node_exporter that names are compared with.

    check.py parse URL              both formats, parsed; labels and values as in URL/api/v1/snapshot
    check.py promtool URL           promtool check metrics; with --own there is nothing to remark but bits, without it remarks on
                                    nothing but what node_exporter calls memory, counters of protocols and bits
    check.py node URL               names, types, labels and values beside a running node_exporter's
    check.py scrape URL [URL…]      a real Prometheus scrapes for a while (--seconds); what it then knows equals the
                                    snapshots of the first URL, and every expression of the dashboard has an answer

--token is sent as a bearer token with what is asked here, --scrape-token by Prometheus, which has it from a file. Exit status 1 when something is wrong.
"""

from __future__ import annotations

import argparse
import calendar
import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client import parser as text_parser

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
DASHBOARD = Path(__file__).parents[4] / "dist/grafana/perfwatch.json"
CATALOG = Path(__file__).parents[4] / "docs/metrics.md"

# What is told of an object: the label that names it, and how each of its fields is called. A factor follows where the
# unit is another.
TOLD = {
    "cpu": (
        None,
        {
            "usage_percent": ("perfwatch_cpu_usage_ratio", 0.01),
            "softirq": ("perfwatch_cpu_softirq_ratio", 0.01),
            "interrupts": ("perfwatch_cpu_interrupts_total", 1),
        },
    ),
    "memory": (
        None,
        {
            "total_bytes": ("node_memory_MemTotal_bytes", 1),
            "free_bytes": ("node_memory_MemFree_bytes", 1),
            "swap_total_bytes": ("node_memory_SwapTotal_bytes", 1),
            "hugepages_total": ("node_memory_HugePages_Total", 1),
            "used_bytes": ("perfwatch_memory_used_bytes", 1),
            "available_bytes": ("perfwatch_memory_available_bytes", 1),
            "pgpgin_per_sec": ("perfwatch_memory_pgpgin_bytes_per_second", 1024),
            "pgfault_per_sec": ("perfwatch_memory_pgfault_per_second", 1),
            "committed_bytes": ("node_memory_Committed_AS_bytes", 1),
            "oom_kills": ("node_vmstat_oom_kill", 1),
            "direct_reclaims": ("perfwatch_memory_direct_reclaims_total", 1),
        },
    ),
    "memory.nodes": (
        "node",
        {
            "total_bytes": ("node_memory_numa_MemTotal", 1),
            "hit": ("node_memory_numa_numa_hit_total", 1),
            "hit_per_sec": ("perfwatch_memory_nodes_hit_pages_per_second", 1),
        },
    ),
    "network.connections": (
        None,
        {
            "tcp_established": ("perfwatch_network_connections_tcp_established", 1),
            "udp_count": ("perfwatch_network_connections_udp", 1),
        },
    ),
    "network.interfaces": (
        "device",
        {
            "bytes_recv": ("node_network_receive_bytes_total", 1),
            "bytes_sent": ("node_network_transmit_bytes_total", 1),
            "packets_recv": ("node_network_receive_packets_total", 1),
            "errors_in": ("node_network_receive_errs_total", 1),
            "drops_out": ("node_network_transmit_drop_total", 1),
            "carrier_changes": ("node_network_carrier_changes_total", 1),
            "link_bytes_per_sec": ("node_network_speed_bytes", 1),
        },
    ),
    "network.tcp": (
        None,
        {
            "segments_sent": ("node_netstat_Tcp_OutSegs", 1),
            "retransmits": ("node_netstat_Tcp_RetransSegs", 1),
            "listen_overflows": ("node_netstat_TcpExt_ListenOverflows", 1),
            "backlog_drops": ("perfwatch_network_tcp_backlog_drops_total", 1),
        },
    ),
    "network.udp": (None, {"receive_buffer_errors": ("perfwatch_network_udp_receive_buffer_errors_total", 1)}),
    "network.softnet": (None, {"squeezed": ("perfwatch_network_softnet_squeezed_total", 1)}),
    "network.conntrack": (None, {"entries": ("node_nf_conntrack_entries", 1)}),
    "network.sockets": (None, {"tcp_memory_bytes": ("node_sockstat_TCP_mem_bytes", 1)}),
    "kernel": (
        None,
        {
            "uptime_seconds": ("perfwatch_kernel_uptime_seconds", 1),
            "open_files": ("node_filefd_allocated", 1),
            "threads_percent": ("perfwatch_kernel_threads_ratio", 0.01),
            "clock_synchronized": ("node_timex_sync_status", 1),
            "clock_max_error_ms": ("perfwatch_kernel_clock_max_error_seconds", 0.001),
        },
    ),
    "disk.devices": (
        "device",
        {
            "read_bytes": ("node_disk_read_bytes_total", 1),
            "write_bytes": ("node_disk_written_bytes_total", 1),
            "read_count": ("node_disk_reads_completed_total", 1),
            "write_time_ms": ("node_disk_write_time_seconds_total", 0.001),
            "io_time_ms": ("node_disk_io_time_seconds_total", 0.001),
            "flushes": ("node_disk_flush_requests_total", 1),
            "utilization_percent": ("perfwatch_disk_devices_utilization_ratio", 0.01),
            "queue_depth": ("perfwatch_disk_devices_queue_depth", 1),
        },
    ),
    "disk.partitions": (
        "mountpoint",
        {
            "total_bytes": ("node_filesystem_size_bytes", 1),
            "free_bytes": ("node_filesystem_avail_bytes", 1),
            "usage_percent": ("perfwatch_disk_partitions_usage_ratio", 0.01),
            "inodes_used": ("perfwatch_disk_partitions_inodes_used", 1),
            "inodes_usage_percent": ("perfwatch_disk_partitions_inodes_usage_ratio", 0.01),
            "read_only": ("node_filesystem_readonly", 1),
        },
    ),
}

# What differs between two looks at a busy host is not compared, only bracketed by one before and one after.
SLOW_OR_GROWING = re.compile(
    r"_total$|^node_vmstat_|^node_filesystem_(size|files$|readonly|device_error)|^node_boot_"
    r"|^node_netstat_(?!Tcp_CurrEstab)|^node_network_|^node_filefd_maximum|_conntrack_entries_limit|^node_(timex|entropy)_"
)
# Those that are computed from others or that every process changes: bracketed with room.
ROOM = 0.02

problems: list[str] = []


def wrong(text: str) -> None:
    problems.append(text)


def get(url: str, arguments: argparse.Namespace | None = None, accept: str = "*/*") -> tuple[str, str]:
    """An answer's body, and its type."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    if arguments is not None and arguments.token:
        request.add_header("Authorization", f"Bearer {arguments.token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def families(text: str, parser) -> dict:
    """By name."""
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def our_families(text: str, parser) -> dict:
    """By name. An answer that has one twice, or without help, is wrong."""
    count = 0
    for family in parser.text_string_to_metric_families(text):
        count += 1
        if not family.documentation:
            wrong(f"{family.name} has no help")
    found = families(text, parser)
    if count != len(found):
        wrong(f"{count} families have {len(found)} names")
    return found


def values(found: dict) -> dict:
    """By name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in found.values()
        for sample in family.samples
    }


def is_partition(device: str) -> bool:
    """node_exporter's own default."""
    pattern = r"(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+"
    return re.fullmatch(pattern, device) is not None


def expected(snapshot: dict):
    """Name, labels and value of everything in TOLD that a snapshot has."""
    for path, (label, fields) in TOLD.items():
        place = snapshot
        for word in path.split("."):
            place = (place or {}).get(word)
        objects = {None: place} if label is None else place
        for name, fields_of in (objects or {}).items():
            if name == "all others" or (path == "disk.devices" and is_partition(name)):
                continue
            for field, (metric, factor) in fields.items():
                value = (fields_of or {}).get(field)
                if value is not None:
                    yield metric, label, name, value * factor


def compare(snapshot: dict, told: dict, where: str) -> int:
    """Every value of the snapshot beside what was told. Returns how many there were."""
    by_label: dict = {}
    for (metric, labels), value in told.items():
        for label, name in [*labels, (None, None)]:
            by_label[metric, label, name] = value
    count = 0
    for metric, label, name, value in expected(snapshot):
        count += 1
        found = by_label.get((metric, label, name))
        if found is None or abs(found - value) > abs(value) * 1e-12:
            wrong(f"{where}: {metric} of {name!r} is {found}, and {value} in the snapshot")
    return count


def snapshot_with_metrics(url: str, arguments: argparse.Namespace) -> tuple[dict, str, str]:
    """A snapshot and both formats of it: asked for until no tick came between."""
    for _ in range(20):
        before = get(f"{url}/api/v1/snapshot", arguments)[0]
        text, kind = get(f"{url}/metrics", arguments)
        strict, strict_kind = get(f"{url}/metrics", arguments, OPENMETRICS)
        if get(f"{url}/api/v1/snapshot", arguments)[0] == before:
            if not kind.startswith("text/plain; version=0.0.4"):
                wrong(f"text is of type {kind}")
            if not strict_kind.startswith("application/openmetrics-text; version=1.0.0"):
                wrong(f"OpenMetrics is of type {strict_kind}")
            return json.loads(before), text, strict
    raise SystemExit("no two requests within a tick")


def parse(arguments: argparse.Namespace) -> None:
    snapshot, text, strict = snapshot_with_metrics(arguments.urls[0], arguments)
    # A label may hold what Python takes for a line's end: the parsers are given lines that end in a line feed alone.
    plain = values(our_families(text, text_parser))
    open_metrics = values(our_families(strict, openmetrics_parser))
    process = {key for key in plain if key[0].startswith("process_")}
    for key in plain.keys() | open_metrics.keys():
        if key not in process and plain.get(key) != open_metrics.get(key):
            wrong(f"{key}: {plain.get(key)} as text, {open_metrics.get(key)} as OpenMetrics")
    count = compare(snapshot, plain, "text")
    count += compare(snapshot, open_metrics, "OpenMetrics")
    partitions = snapshot["disk"]["partitions"] or {}
    names = {dict(labels).get("mountpoint") for (metric, labels) in plain if metric == "node_filesystem_readonly"}
    if names != set(partitions):
        wrong(f"mount points: {names ^ set(partitions)}")
    interfaces = snapshot["network"]["interfaces"] or {}
    metric = "perfwatch_network_interfaces_sent_bytes_per_second"
    names = {dict(labels).get("interface") for (name, labels) in plain if name == metric}
    rates = {name for name, interface in interfaces.items() if interface["bytes_sent_per_sec"] is not None}
    if names != rates:
        wrong(f"interfaces: {names ^ rates}")
    print(f"{len(plain)} series in two formats, {count} values compared")


def promtool(arguments: argparse.Namespace) -> None:
    text, _ = get(f"{arguments.urls[0]}/metrics", arguments)
    output = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    remarks = (output.stdout + output.stderr).splitlines()
    capitals = "metric names should be written in 'snake_case' not 'camelCase'"
    # Entropy is measured in bits, whatever the base unit.
    bits = re.compile(r"\w+_entropy_(available_)?bits use base unit")
    remarks = [line for line in remarks if not bits.match(line)]
    if not arguments.own:
        named_so = ("node_memory_", "node_netstat_")
        remarks = [line for line in remarks if not (line.startswith(named_so) and line.endswith(capitals))]
    # 3: there are remarks, and nothing is wrong otherwise.
    if output.returncode not in (0, 3):
        wrong(f"promtool: exit status {output.returncode}")
    for line in remarks:
        wrong(f"promtool: {line}")


@contextlib.contextmanager
def running(command: list[str], ready: str):
    """A program that answers at this URL, and ends with the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    log: list[str] = []
    threading.Thread(target=lambda: log.extend(process.stderr), daemon=True).start()
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                get(ready)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} does not answer:\n{''.join(log[-20:])}") from None
                time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def node(arguments: argparse.Namespace) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus-node-exporter", "--collector.meminfo_numa", f"--web.listen-address={address}"]
    with running(command, f"http://{address}/"):
        before = families(get(f"http://{address}/metrics")[0], text_parser)
        # A sample that was taken after that.
        taken = time.time()
        while True:
            ours = our_families(get(f"{arguments.urls[0]}/metrics", arguments)[0], text_parser)
            if ours["perfwatch_sample_timestamp_seconds"].samples[0].value > taken:
                break
            time.sleep(0.05)
        after = families(get(f"http://{address}/metrics")[0], text_parser)
    low, high = values(before), values(after)
    compared = bracketed = 0
    for name, family in ours.items():
        if not name.startswith("node_"):
            continue
        theirs = before.get(name)
        if theirs is None:
            wrong(f"node_exporter has no {name}")
            continue
        if theirs.type != family.type:
            wrong(f"{name} is of type {family.type}, node_exporter's of {theirs.type}")
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            if key not in low or key not in high:
                wrong(f"node_exporter has no {sample.name}{sample.labels}")
                continue
            compared += 1
            least, greatest = sorted((low[key], high[key]))
            if SLOW_OR_GROWING.search(sample.name):
                bracketed += 1
                # node_exporter multiplies, which costs a last digit.
                if not least * (1 - 1e-12) <= sample.value <= greatest * (1 + 1e-12):
                    wrong(f"{key}: {sample.value} is not from {least} to {greatest}")
            elif name.startswith("node_memory_"):
                room = ROOM * max(greatest, low["node_memory_MemTotal_bytes", ()])
                if not least - room <= sample.value <= greatest + room:
                    wrong(f"{key}: {sample.value} is not about {least} to {greatest}")
    if bracketed < 80:
        wrong(f"only {bracketed} values were bracketed")
    left_out = sorted(
        name
        for name in before
        if re.match(r"node_(cpu_(?!scaling|frequency)|memory|vmstat|disk|filesystem)", name) and name not in ours
    )
    print(f"{compared} series are node_exporter's, {bracketed} with their values; it also has {left_out}")


class Frames(threading.Thread):
    """Every snapshot while it runs, by its time."""

    def __init__(self, url: str, arguments: argparse.Namespace) -> None:
        super().__init__(daemon=True)
        self.url, self.arguments = url, arguments
        self.by_time: dict[str, dict] = {}
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            try:
                snapshot = json.loads(get(f"{self.url}/api/v1/snapshot", self.arguments)[0])
            except urllib.error.HTTPError as error:
                # There is none yet.
                if error.code == 503:
                    continue
                raise
            self.by_time[snapshot["timestamp"]] = snapshot


def seconds(timestamp: str) -> float:
    """Of ISO 8601 in UTC."""
    whole, _, rest = timestamp.rstrip("Z").partition(".")
    epoch = time.strptime(whole, "%Y-%m-%dT%H:%M:%S")
    return calendar.timegm(epoch) + float(f"0.{rest or 0}")


def expressions() -> list[str]:
    """Of every panel, variable and annotation of the dashboard, with the variables filled in."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    found += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            inside = re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])
            found.append(inside[1])
    return found


def scrape(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        job = {
            "job_name": "perfwatch",
            "static_configs": [{"targets": [urllib.parse.urlparse(url).netloc for url in arguments.urls]}],
        }
        if arguments.scrape_token:
            (place / "token").write_text(arguments.scrape_token)
            job["authorization"] = {"type": "Bearer", "credentials_file": "token"}
        settings = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}
        # JSON is YAML too.
        (place / "prometheus.yml").write_text(json.dumps(settings))
        subprocess.run(["promtool", "check", "config", place / "prometheus.yml"], check=True, capture_output=True)
        base = f"http://127.0.0.1:{free_port()}"
        command = [
            "prometheus",
            f"--config.file={place}/prometheus.yml",
            f"--storage.tsdb.path={place}/data",
            f"--web.listen-address={base.removeprefix('http://')}",
        ]
        frames = Frames(arguments.urls[0], arguments)
        frames.start()
        with running(command, f"{base}/-/ready"):
            time.sleep(arguments.seconds)
            frames.over.set()
            frames.join()
            look(base, arguments, frames)


def look(base: str, arguments: argparse.Namespace, frames: Frames) -> None:
    def query(expression: str) -> list[dict]:
        answer = get(f"{base}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")[0]
        return json.loads(answer)["data"]["result"]

    instance = urllib.parse.urlparse(arguments.urls[0]).netloc
    window = f"{arguments.seconds + 30}s"
    for series in query(f"min_over_time(up[{window}])"):
        if series["value"][1] != "1" and arguments.seconds < 100:
            wrong(f"a scrape of {series['metric']['instance']} failed")
    by_time = {seconds(timestamp): snapshot for timestamp, snapshot in frames.by_time.items()}
    # All samples of a scrape have its time, and one of them says of which snapshot they are.
    scrapes: dict[float, dict] = {}
    for series in query(f'{{instance="{instance}",__name__!~"scrape_.*|up"}}[{window}]'):
        labels = dict(series["metric"])
        name = labels.pop("__name__")
        labels.pop("instance"), labels.pop("job")
        for at, value in series["values"]:
            scrapes.setdefault(at, {})[name, tuple(sorted(labels.items()))] = float(value)
    compared = values_compared = 0
    for at, told in scrapes.items():
        taken = told.get(("perfwatch_sample_timestamp_seconds", ()))
        snapshot = next((one for time_of, one in by_time.items() if taken and abs(time_of - taken) < 1e-6), None)
        if snapshot is not None:
            compared += 1
            values_compared += compare(snapshot, told, f"scrape at {at}")
    if compared < min(arguments.seconds // 2, len(scrapes) - 2):
        wrong(f"only {compared} of {len(scrapes)} scrapes could be compared")

    known = CATALOG.read_text()
    present = {series["metric"]["__name__"] for series in query('{__name__!=""}')}
    answered = 0
    for expression in expressions():
        filled = expression.replace("$__rate_interval", "10s").replace('job="$job"', 'job="perfwatch"')
        filled = filled.replace("$interface", ".*").replace("$disk", ".*").replace('instance="$instance"', 'instance!=""')
        if "$" in filled:
            wrong(f"a variable that nobody knows: {filled}")
        # For each host alone, as the dashboard asks.
        results = []
        for url in arguments.urls:
            one = filled.replace('instance!=""', f'instance="{urllib.parse.urlparse(url).netloc}"')
            try:
                results += query(one)
            except urllib.error.HTTPError as error:
                wrong(f"{one}: {error.read().decode()}")
        names = set(re.findall(r"\b(?:node|perfwatch|process)_\w+", filled))
        for name in names - present:
            if f"`{name}`" not in known:
                wrong(f"{expression}: there is no metric {name}")
        may_be_empty = "> 0" in expression or names - present
        if results:
            answered += 1
        elif not may_be_empty:
            wrong(f"{expression}: no answer")
    print(
        f"{compared} of {len(scrapes)} scrapes compared with their snapshots, {values_compared} values; "
        f"{answered} of {len(expressions())} expressions of the dashboard have an answer"
    )
    if answered < len(expressions()) * 0.8:
        wrong(f"only {answered} expressions have an answer")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("check", choices=["parse", "promtool", "node", "scrape"])
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--token", default="")
    parser.add_argument("--scrape-token", default="")
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--seconds", type=int, default=20)
    arguments = parser.parse_args()
    globals()[arguments.check](arguments)
    for problem in problems[:40]:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
