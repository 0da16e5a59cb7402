"""What psutil and /proc say of this host, or of a recorded one, by metric and instance."""

from __future__ import annotations

import ctypes
import glob
import mmap
import os
import re
import socket
import struct
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

Key = tuple[str, str]  # a metric's id and, where it has several series, which one
Values = dict[Key, Any]
Looks = tuple[Values, Values]

# Columns of /proc/diskstats that psutil does not know, after the name and the eight of reads and writes.
QUEUE_COLUMNS = ("in_flight", "io_time_ms", "weighted_io_time_ms")
DISCARD_COLUMNS = ("discards", "", "discard_bytes", "discard_time_ms")
FLUSH_COLUMNS = ("flushes", "flush_time_ms")
SECTOR_BYTES = 512
# Lines of /proc/meminfo that psutil does not have, or not on every kernel.
MEMINFO = {
    "Active": "active_bytes",
    "Inactive": "inactive_bytes",
    "Dirty": "dirty_bytes",
    "Writeback": "writeback_bytes",
    "SReclaimable": "slab_reclaimable_bytes",
    "SUnreclaim": "slab_unreclaimable_bytes",
    "Shmem": "shmem_bytes",
    "CommitLimit": "commit_limit_bytes",
    "Committed_AS": "committed_bytes",
    "Zswap": "zswap_pool_bytes",
    "Zswapped": "zswap_stored_bytes",
}
# Chips of psutil.sensors_temperatures() that sit in a processor. The specification's extract_core_temps() is
# left to the reader; docs/metrics.md: cores where the chip has a sensor for each, else what it has.
CPU_CHIPS = re.compile(
    "coretemp|k10temp|zenpower|k8temp|fam15h_power|via_cputemp|cpu[_-]thermal|soc_thermal|cputemp"
)
CPU_ZONES = re.compile(r"x86_pkg_temp|.*cpu.*|.*soc.*")


sysfs = Path("/sys")


def proc(path: str) -> Path:
    return Path(psutil.PROCFS_PATH) / path


def as_text(name: str) -> str:
    """A name of the kernel's as PerfWatch writes it: bytes that are no UTF-8 as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def counters() -> Values:
    """Everything that only grows, also what only rates are made of."""
    waiting = interrupt_lines() | softirqs() | switches() | queues() | pressure() | slices()
    return {key: value for key, value in waiting.items() if value is not None} | (
        interrupts() | interfaces() | devices() | disk_queues() | vmstat() | numa() | protocols()
    )


def interfaces() -> Values:
    values: Values = {}
    for name, io in psutil.net_io_counters(pernic=True, nowrap=False).items():
        if name == "lo":
            continue
        fields = {"errors_in": io.errin, "errors_out": io.errout}
        fields |= {"drops_in": io.dropin, "drops_out": io.dropout}
        for field in ("bytes_sent", "bytes_recv", "packets_sent", "packets_recv"):
            fields[field] = getattr(io, field)
        values |= rows("network.interfaces", name, fields)
    return values


# Counters of TCP (of both families) and of UDP (of each), by the kernel's name.
TCP = {"OutSegs": "segments_sent", "RetransSegs": "retransmits", "OutRsts": "resets_sent"}
TCP_EXT = {"ListenOverflows": "listen_overflows", "ListenDrops": "listen_drops"}
TCP_EXT |= {"TCPBacklogDrop": "backlog_drops", "SyncookiesSent": "syn_cookies_sent"}
TCP_EXT |= {"TCPMemoryPressures": "memory_pressures"}
UDP = {"InDatagrams": "datagrams_in", "OutDatagrams": "datagrams_out", "NoPorts": "no_ports"}
UDP |= {"InErrors": "in_errors", "RcvbufErrors": "receive_buffer_errors", "SndbufErrors": "send_buffer_errors"}


def protocols() -> Values:
    """By the names that the files themselves give their numbers."""
    named: Counter[str] = Counter()
    for file in ("net/snmp", "net/netstat"):
        lines = proc(file).read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            protocol, *columns = names.split()
            found = map(int, values.split()[1:])
            named.update({protocol + name: value for name, value in zip(columns, found)})
    if proc("net/snmp6").exists():
        named.update({name: int(value) for name, value in map(str.split, proc("net/snmp6").open())})
    values: Values = {}
    for title, protocol, names in (("tcp", "Tcp:", TCP), ("tcp", "TcpExt:", TCP_EXT)):
        values |= {(f"network.{title}.{field}", ""): named.get(protocol + name) for name, field in names.items()}
    values |= {(f"network.udp.{field}", ""): named[f"Udp:{name}"] + named[f"Udp6{name}"] for name, field in UDP.items()}
    columns = zip(*([int(word, 16) for word in line.split()[:3]] for line in proc("net/softnet_stat").open()))
    sums = [sum(column) % 2**32 for column in columns]
    return values | {
        (f"network.softnet.{field}", ""): total
        for field, total in zip(("processed", "dropped", "squeezed"), sums)
    }


def sockets() -> Values:
    text = proc("net/sockstat").read_text()
    found = re.search(r"sockets: used (\d+)\nTCP: .* orphan (\d+) .* mem (\d+)\nUDP: .* mem (\d+)", text)
    assert found, text
    used, orphaned, tcp_pages, udp_pages = map(int, found.groups())
    return {
        ("network.sockets.used", ""): used,
        ("network.sockets.orphaned", ""): orphaned,
        ("network.sockets.tcp_memory_bytes", ""): tcp_pages * mmap.PAGESIZE,
        ("network.sockets.udp_memory_bytes", ""): udp_pages * mmap.PAGESIZE,
    }


def conntrack() -> Values:
    directory = proc("sys/net/netfilter")
    if not (directory / "nf_conntrack_count").exists():
        return {}
    entries, limit = (int((directory / f"nf_conntrack_{name}").read_text()) for name in ("count", "max"))
    return {
        ("network.conntrack.entries", ""): entries,
        ("network.conntrack.limit", ""): limit,
        ("network.conntrack.usage_percent", ""): entries / limit * 100,
    }


def links() -> Values:
    """psutil asks by ioctl, PerfWatch by netlink and by files."""
    duplexes = {psutil.NIC_DUPLEX_FULL: "full", psutil.NIC_DUPLEX_HALF: "half"}
    values: Values = {}
    for name, link in psutil.net_if_stats().items():
        if name == "lo":
            continue
        directory = Path("/sys/class/net") / name
        fields = {"link_up": link.isup, "operstate": (directory / "operstate").read_text().strip()}
        fields["carrier_changes"] = int((directory / "carrier_changes").read_text())
        fields["link_bytes_per_sec"] = link.speed * 125_000 if link.isup and link.speed else None
        fields["duplex"] = duplexes.get(link.duplex) if link.isup else None
        values |= rows("network.interfaces", name, fields)
    return values


def kernel_files() -> Values:
    open_files, _, limit = map(int, proc("sys/fs/file-nr").read_text().split())
    threads = int(proc("loadavg").read_text().split()[3].split("/")[1])
    most = min(int(proc(f"sys/kernel/{name}").read_text()) for name in ("pid_max", "threads-max"))
    return {
        ("kernel.boot_id", ""): proc("sys/kernel/random/boot_id").read_text().strip(),
        ("kernel.open_files", ""): open_files,
        ("kernel.open_files_limit", ""): limit,
        ("kernel.open_files_percent", ""): round(open_files / limit * 100, 2),
        ("kernel.threads", ""): threads,
        ("kernel.threads_limit", ""): most,
        ("kernel.threads_percent", ""): round(threads / most * 100, 2),
        ("kernel.entropy_bits", ""): int(proc("sys/kernel/random/entropy_avail").read_text()),
    }


def running_kernel() -> Values:
    """The clock by adjtimex: modes and its padding, offset, freq, maxerror, esterror (all longs), status."""
    time_error, sta_nano = 5, 0x2000
    timex = ctypes.create_string_buffer(512)
    state = ctypes.CDLL(None).adjtimex(timex)
    offset, _, max_error, _, status = struct.unpack_from("4qi", timex, 8)
    controllers = glob.glob("/sys/devices/system/edac/mc/mc*")
    errors = {
        field: sum(int(Path(controller, file).read_text()) for controller in controllers) if controllers else None
        for field, file in (("corrected", "ce_count"), ("uncorrected", "ue_count"))
    }
    return kernel_files() | {
        ("kernel.uptime_seconds", ""): int(time.clock_gettime(time.CLOCK_BOOTTIME)),
        ("kernel.release", ""): os.uname().release,
        ("kernel.version", ""): os.uname().version,
        ("kernel.clock_synchronized", ""): state != time_error,
        ("kernel.clock_offset_ms", ""): offset / (1e6 if status & sta_nano else 1e3),
        ("kernel.clock_max_error_ms", ""): max_error / 1e3,
        ("kernel.hardware_errors_corrected", ""): errors["corrected"],
        ("kernel.hardware_errors_uncorrected", ""): errors["uncorrected"],
    }


def devices() -> Values:
    values: Values = {}
    for name, io in psutil.disk_io_counters(perdisk=True, nowrap=False).items():
        if name.startswith("loop"):
            continue
        fields = {"read_time_ms": io.read_time, "write_time_ms": io.write_time}
        for field in ("read_bytes", "write_bytes", "read_count", "write_count"):
            fields[field] = getattr(io, field)
        values |= rows("disk.devices", name, fields)
    return values


def disk_queues() -> Values:
    """What psutil leaves out of /proc/diskstats. Null where the kernel has no such columns."""
    values: Values = {}
    for line in proc("diskstats").read_text().splitlines():
        _, _, name, *words = line.split()
        if name.startswith("loop"):
            continue
        numbers = [int(word) for word in words]
        fields: dict[str, Any] = dict.fromkeys(("reads_merged", "writes_merged"))
        if len(numbers) > 4:
            fields = {"reads_merged": numbers[1], "writes_merged": numbers[5]}
        rest = numbers[8:]
        for columns in (QUEUE_COLUMNS, DISCARD_COLUMNS, FLUSH_COLUMNS):
            known, rest = rest[: len(columns)], rest[len(columns) :]
            fields |= zip(columns, known or [None] * len(columns))
        del fields[""]
        if fields["discard_bytes"] is not None:
            fields["discard_bytes"] *= SECTOR_BYTES
        values |= rows("disk.devices", name, fields)
    return values


def numa() -> Values:
    """Counters of each node."""
    values: Values = {}
    for directory in sysfs.glob("devices/system/node/node[0-9]*"):
        counts = dict(line.split() for line in (directory / "numastat").read_text().splitlines())
        fields = {name: int(counts[f"numa_{name}"]) for name in ("hit", "miss", "foreign")}
        values |= rows("memory.nodes", directory.name.removeprefix("node"), fields)
    return values


def node_sizes() -> Values:
    values: Values = {}
    for directory in sysfs.glob("devices/system/node/node[0-9]*"):
        kilobytes = dict(re.findall(r"(\w+): +(\d+) kB", (directory / "meminfo").read_text()))
        fields = {"total_bytes": int(kilobytes["MemTotal"]) * 1024, "free_bytes": int(kilobytes["MemFree"]) * 1024}
        values |= rows("memory.nodes", directory.name.removeprefix("node"), fields)
    return values


def zram() -> Values:
    values: Values = {}
    for file in sysfs.glob("block/zram[0-9]*/mm_stat"):
        data, compressed, used = map(int, file.read_text().split()[:3])
        fields = {"data_bytes": data, "compressed_bytes": compressed, "used_bytes": used}
        values |= rows("memory.zram", file.parent.name, fields)
    return values


def rows(section: str, name: str, fields: dict[str, Any]) -> Values:
    return {(f"{section}.{field}", as_text(name)): value for field, value in fields.items()}


def interrupts() -> Values:
    """Sum of the columns of all CPUs. ERR and MIS count errors, in a single column."""
    header, *lines = proc("interrupts").read_text().splitlines()
    cpus = len(header.split())
    total = 0
    for line in lines:
        label, _, rest = line.strip().partition(":")
        if label in ("ERR", "MIS", "Err"):
            continue
        total += sum(int(word) for word in rest.split()[:cpus] if word.isdigit())
    return {("cpu.interrupts", ""): total}


def interrupt_lines() -> Values:
    """Lines that have fired, by number and what follows two blanks at the end, or by short name and text."""
    header, *lines = proc("interrupts").read_text().splitlines()
    cpus = len(header.split())
    values: Values = {}
    for line in lines:
        label, _, rest = line.strip("\n").partition(":")
        label = label.strip()
        counts = [int(word) for word in rest.split()[:cpus] if word.isdigit()]
        text = re.sub(rf"^(\s*\d+){{{len(counts)}}}", "", rest)
        if label.isdigit():
            text = "" if text.endswith(" ") else re.split(r"\s{2,}", text)[-1]
        if sum(counts) and label not in ("ERR", "MIS", "Err"):
            name = f"{label}: {text.strip()}" if text.strip() else label
            values["scheduler.interrupts.count", name] = sum(counts)
    return values


def softirqs() -> Values:
    _, *lines = proc("softirqs").read_text().splitlines()
    rows = {name.strip(): sum(map(int, counts.split())) for name, _, counts in (line.partition(":") for line in lines)}
    return {("scheduler.softirqs.count", name): count for name, count in rows.items() if count}


def switches() -> Values:
    forks = re.search(r"^processes (\d+)$", proc("stat").read_text(), re.M)
    return {
        ("scheduler.context_switches", ""): psutil.cpu_stats().ctx_switches,
        ("scheduler.forks", ""): forks and int(forks[1]),
    }


def loads() -> Values:
    one, five, fifteen, *_ = proc("loadavg").read_text().split()
    values: Values = {("scheduler.load1", ""): float(one), ("scheduler.load5", ""): float(five)}
    values["scheduler.load15", ""] = float(fifteen)
    for name in ("running", "blocked"):
        found = re.search(rf"^procs_{name} (\d+)$", proc("stat").read_text(), re.M)
        values[f"scheduler.{name}", ""] = found and int(found[1])
    return values


def queues() -> Values:
    """Time waited for CPUs, which kernels without CONFIG_SCHEDSTATS do not tell."""
    if not proc("schedstat").exists():
        names = ("run_queue_wait_us", "run_queue_wait", "per_core_wait")
        return {(f"scheduler.{name}", ""): None for name in names}
    rows = re.findall(r"^cpu(\d+)(?: \d+){7} (\d+) \d+$", proc("schedstat").read_text(), re.M)
    values: Values = {("scheduler.per_core_waited_ns", cpu): int(waited) for cpu, waited in rows}
    values["scheduler.run_queue_wait_us", ""] = sum(int(waited) for _, waited in rows) // 1000
    return values


def pressure() -> Values:
    values: Values = {}
    for file in proc("pressure").glob("*"):
        totals = dict(re.findall(r"^(some|full) .*total=(\d+)$", file.read_text(), re.M))
        for kind in ("some", "full"):
            total = totals.get(kind)
            values[f"pressure.resources.{kind}_us", file.name] = total and int(total)
            if total is None:
                values[f"pressure.resources.{kind}_percent", file.name] = None
    return values


def slices() -> Values:
    """Control groups directly below the root, of whichever version has the cpu controller."""
    root = Path("/sys/fs/cgroup")
    v1 = next((root / name for name in ("cpu", "cpu,cpuacct") if (root / name / "cpu.shares").exists()), None)
    unified = (root / "cgroup.controllers").exists()
    values: Values = {}
    for file in (root if unified else v1 or root / "none").glob("*/cpu.stat"):
        stat = {name: int(value) for name, value in map(str.split, file.read_text().splitlines())}
        fields = {"periods": stat.get("nr_periods"), "throttled_periods": stat.get("nr_throttled")}
        if unified:
            fields |= {"cpu_us": stat.get("usage_usec"), "throttled_us": stat.get("throttled_usec")}
        else:
            usage = root / "cpuacct" / file.parent.name / "cpuacct.usage"
            fields["cpu_us"] = int(usage.read_text()) // 1000 if usage.exists() else None
            fields["throttled_us"] = stat["throttled_time"] // 1000
        for counter in ("cpu", "throttled"):
            if fields[f"{counter}_us"] is None:
                fields[f"{counter}_percent"] = None
        values |= rows("cgroups.slices", file.parent.name, fields)
    return values


def limits() -> Values:
    """What cpufreq keeps to, and thermal throttles of Intel's, each core and each package once."""
    values: Values = {}
    cpus, counts = Path("/sys/devices/system/cpu"), {}
    for cpu in sorted(cpus.glob("cpu[0-9]*"), key=lambda cpu: int(cpu.name[3:])):
        if (cpu / "cpufreq/scaling_max_freq").exists():
            mhz = int((cpu / "cpufreq/scaling_max_freq").read_text()) / 1000
            values["cpu.frequency_limit_mhz", cpu.name[3:]] = mhz
            values["cpu.governor", cpu.name[3:]] = (cpu / "cpufreq/scaling_governor").read_text().strip()
        if (cpu / "thermal_throttle").exists():
            package, core = ((cpu / "topology" / name).read_text() for name in ("physical_package_id", "core_id"))
            for key, kind in (((package, core), "core"), ((package, None), "package")):
                counts.setdefault(key, int((cpu / f"thermal_throttle/{kind}_throttle_count").read_text()))
    if not values:
        values = {("cpu.frequency_limit_mhz", ""): None, ("cpu.governor", ""): None}
    values["cpu.throttles", ""] = sum(counts.values()) if counts else None
    return values


def vmstat() -> Values:
    lines = proc("vmstat").read_text().splitlines()
    counts = {name: int(value) for name, value in map(str.split, lines)}
    names = ("pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault")
    values: Values = {(f"memory.{name}", ""): counts[name] for name in names if name in counts}
    values["memory.oom_kills", ""] = counts.get("oom_kill")
    values["memory.compact_stalls", ""] = counts.get("compact_stall")
    for metric, pattern in (("direct_reclaims", "allocstall"), ("refaults", r"workingset_refault")):
        lines_of = [value for name, value in counts.items() if name.startswith(pattern)]
        values[f"memory.{metric}", ""] = sum(lines_of) if lines_of else None
    if "pgpgin" in counts:
        values["memory.page_io_bytes", ""] = (counts["pgpgin"] + counts["pgpgout"]) * 1024
    if "pswpin" in counts:
        values["memory.swap_io_bytes", ""] = (counts["pswpin"] + counts["pswpout"]) * mmap.PAGESIZE
    return values


def memory() -> Values:
    lines = (line.partition(":") for line in proc("meminfo").read_text().splitlines())
    meminfo = {name: int(rest.split()[0]) for name, _, rest in lines}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old kernels lack fields; psutil says so, and 0
        ram = psutil.virtual_memory()
        # Without these lines psutil would ask the running kernel, whatever PROCFS_PATH says.
        swap = psutil.swap_memory() if "SwapTotal" in meminfo else None
    values: Values = {
        ("memory.usage_percent", ""): ram.percent,
        ("memory.total_bytes", ""): ram.total,
        ("memory.used_bytes", ""): ram.used,
        ("memory.available_bytes", ""): ram.available,
        ("memory.free_bytes", ""): ram.free,
        # PerfWatch says null, not 0, of what the kernel does not tell.
        ("memory.cached_bytes", ""): ram.cached if "Cached" in meminfo else None,
        ("memory.buffers_bytes", ""): ram.buffers if "Buffers" in meminfo else None,
        ("memory.hugepages_total", ""): meminfo.get("HugePages_Total"),
        ("memory.hugepages_free", ""): meminfo.get("HugePages_Free"),
        ("memory.hugepages_reserved", ""): meminfo.get("HugePages_Rsvd"),
    }
    for name, field in MEMINFO.items():
        values[f"memory.{field}", ""] = meminfo[name] * 1024 if name in meminfo else None
    for field in ("total", "used", "free"):
        values[f"memory.swap_{field}_bytes", ""] = getattr(swap, field, None)
    return values


def connections() -> Values:
    found = psutil.net_connections(kind="inet")
    tcp = Counter(connection.status for connection in found if connection.type == socket.SOCK_STREAM)
    udp = sum(connection.type == socket.SOCK_DGRAM for connection in found)
    return connection_values(tcp, udp)


def connections_of_fixture() -> Values:
    """psutil's parser, without its set: rows of a recorded table have no process to tell them apart."""
    parse = psutil._psplatform.NetConnections.process_inet
    tcp: Counter[str] = Counter()
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        table = parse(str(proc(f"net/{name}")), family, socket.SOCK_STREAM, {})
        tcp.update(status for *_, status, _pid in table)
    # The table of UDP sockets is not recorded, but how many are in it is.
    inuse = re.compile(r"^UDP6?: inuse (\d+)", re.M)
    files = [proc("net/sockstat"), proc("net/sockstat6")]
    udp = sum(int(count) for file in files if file.exists() for count in inuse.findall(file.read_text()))
    return connection_values(tcp, udp)


def connection_values(tcp: Counter[str], udp: int) -> Values:
    return {
        ("network.connections.tcp_established", ""): tcp[psutil.CONN_ESTABLISHED],
        ("network.connections.tcp_time_wait", ""): tcp[psutil.CONN_TIME_WAIT],
        ("network.connections.tcp_close_wait", ""): tcp[psutil.CONN_CLOSE_WAIT],
        ("network.connections.tcp_listen", ""): tcp[psutil.CONN_LISTEN],
        ("network.connections.udp_count", ""): udp,
    }


def partitions(*, sizes: bool) -> Values:
    # A mount that a later one covers, even a tmpfs, cannot be asked for its size: disk_usage() would tell the
    # size of what covers it under the name of what is covered. PerfWatch leaves it out.
    visible = {part.mountpoint: part for part in psutil.disk_partitions(all=True)}
    values: Values = {}
    for part in psutil.disk_partitions():
        if "loop" in part.device or visible[part.mountpoint] != part:
            continue
        fields = {
            "device": as_text(part.device),
            "fstype": as_text(part.fstype),
            "mountpoint": as_text(part.mountpoint),
            "read_only": "ro" in part.opts.split(","),
        }
        if sizes:
            usage = psutil.disk_usage(part.mountpoint)
            fields |= {"total_bytes": usage.total, "used_bytes": usage.used, "free_bytes": usage.free}
            fields["usage_percent"] = usage.percent
            fields |= inodes(os.statvfs(part.mountpoint))
        values |= rows("disk.partitions", part.mountpoint, fields)
    return values


def inodes(answer: os.statvfs_result) -> dict[str, Any]:
    if answer.f_files == 0:
        return dict.fromkeys(("inodes_total", "inodes_used", "inodes_usage_percent"))
    used = answer.f_files - answer.f_ffree
    percent = used / answer.f_files * 100
    return {"inodes_total": answer.f_files, "inodes_used": used, "inodes_usage_percent": percent}


def frequencies() -> Values:
    """Per logical CPU, as PerfWatch has it; psutil has one per cpufreq policy, which several may share."""
    found = [frequency.current for frequency in psutil.cpu_freq(percpu=True)]
    if found and len(found) != os.cpu_count():
        found = [min(found) + (max(found) - min(found)) / 2] * (os.cpu_count() or 1)
    return {("cpu.frequency_mhz", str(cpu)): mhz for cpu, mhz in enumerate(found)}


def temperatures() -> Values:
    of_hwmon = bool(glob.glob("/sys/class/hwmon/hwmon*/temp*_input"))
    found: list[tuple[str, float]] = []
    for chip, sensors in psutil.sensors_temperatures().items():
        if not (CPU_CHIPS if of_hwmon else CPU_ZONES).fullmatch(chip):
            continue
        cores = [sensor for sensor in sensors if sensor.label.startswith("Core ")]
        for number, sensor in enumerate(cores or sensors, 1):
            label = sensor.label or f"temp{number}"
            found.append((f"{chip} {label}" if of_hwmon else chip, sensor.current))
    return temperature_values(found)


def temperature_values(found: list[tuple[str, Any]]) -> Values:
    """Both lists by name, since psutil's order of sensors is another."""
    values: Values = {}
    for place, (name, celsius) in enumerate(sorted(found, key=lambda sensor: sensor[0])):
        values["cpu.temperature_sensors", str(place)] = name
        values["cpu.temperature_celsius", str(place)] = celsius
    return values


def cpu_shares() -> Values:
    """Shares of the time since the last call, as psutil computes them."""
    times = psutil.cpu_times_percent(interval=None)
    values: Values = {("cpu.usage_percent", ""): psutil.cpu_percent(interval=None)}
    for core, share in enumerate(psutil.cpu_percent(interval=None, percpu=True)):
        values["cpu.per_core", str(core)] = share
    for mode in ("user", "system", "idle", "iowait", "irq", "softirq", "nice", "steal"):
        values[f"cpu.{mode}", ""] = getattr(times, mode)
    values["cpu.guest", ""] = times.guest + times.guest_nice
    for core, times in enumerate(psutil.cpu_times_percent(interval=None, percpu=True)):
        for mode in ("user", "system", "iowait", "irq", "softirq", "steal"):
            values[f"cpu.per_core_{mode}", str(core)] = getattr(times, mode)
    return values


def everything() -> Values:
    """All but rates, shares and latencies, which need two looks."""
    slow = connections() | partitions(sizes=True) | frequencies() | temperatures() | limits()
    absent = queues() | pressure() | slices()  # and what of these is there
    of_network = links() | sockets() | conntrack()
    of_memory = memory() | node_sizes() | zram()
    return slow | of_memory | of_network | loads() | running_kernel() | absent | counters()
