"""What has to be installed for each of the monitors, in bytes: bench/peers.py prints it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from peers_stacks import PERFWATCH, Glances, Netdata, NodeExporter, PerfWatch, Prometheus, Psutil, Victoria
from run import ROOT, first_line
from store_peers import size_of

# Of the programs alone, and of everything that is installed for them.
Sizes = dict[str, tuple[int, int]]


@dataclass
class Package:
    kib: int
    base: bool
    needs: list[list[str]]  # each: one of these


def measure_sizes(place: Path) -> Sizes:
    """Bytes of the programs alone, and of all that must be installed for them on a Debian with nothing but its base."""
    packing = [ROOT / "scripts" / "package", "--binary", PERFWATCH, place / "package"]
    subprocess.run(packing, check=True, stdout=subprocess.DEVNULL)
    (deb,) = (place / "package").glob("*.deb")
    kib = int(first_line("dpkg-deb", "--field", deb, "Installed-Size"))
    sizes: Sizes = {PerfWatch.name: (PERFWATCH.stat().st_size, kib * 1024)}
    packages = installed_packages()
    base = closure(packages, [name for name, package in packages.items() if package.base])
    programs = {
        Netdata: ["/usr/sbin/netdata", *map(str, Path("/usr/lib/netdata/plugins.d").glob("*.plugin"))],
        NodeExporter: ["/usr/bin/prometheus-node-exporter"],
        Prometheus: ["/usr/bin/prometheus", "/usr/bin/prometheus-node-exporter"],
        Victoria: ["/usr/bin/victoria-metrics", "/usr/bin/prometheus-node-exporter"],
        Glances: [],
    }
    for stack, files in programs.items():
        if not stack.missing():
            wanted = closure(packages, list(stack.packages)) - base
            size = sum(packages[name].kib for name in wanted) * 1024
            sizes[stack.name] = (sum(Path(file).stat().st_size for file in files), size)
    (psutil,) = (ROOT / "target" / "venv").glob("lib/python*/site-packages/psutil")
    python = sum(packages[name].kib for name in closure(packages, ["python3"]) - base) * 1024
    sizes[Psutil.name] = (0, python + size_of(psutil))
    return sizes


def installed_packages() -> dict[str, Package]:
    """By name, and by what they provide."""
    fields = ("db:Status-Status", "Package", "Installed-Size", "Essential", "Priority", "Pre-Depends", "Depends", "Provides")
    form = "\t".join(f"${{{name}}}" for name in fields) + "\n"
    command = ["dpkg-query", "--show", f"--showformat={form}"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    packages: dict[str, Package] = {}
    provided: dict[str, Package] = {}
    for line in output.splitlines():
        status, name, size, essential, priority, *needs, provides = line.split("\t")
        if status != "installed":
            continue
        package = Package(
            int(size or 0),
            essential == "yes" or priority in ("required", "important"),
            [[bare_name(one) for one in need.split("|")] for need in ",".join(needs).split(",") if need.strip()],
        )
        packages[name] = package
        # Weighs nothing, and needs who provides it.
        provided |= {bare_name(each): Package(0, False, [[name]]) for each in provides.split(",") if each.strip()}
    return provided | packages


def bare_name(dependency: str) -> str:
    """`python3:any (>= 3.9)` is python3."""
    return re.split(r"[\s:(]", dependency.strip())[0]


def closure(packages: dict[str, Package], names: list[str]) -> set[str]:
    """What these need, themselves included; of alternatives the first that is installed."""
    found, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name in packages and name not in found:
            found.add(name)
            waiting += [next((one for one in need if one in packages), "") for need in packages[name].needs]
    return found
