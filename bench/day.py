#!/usr/bin/env python3
"""Does `perfwatch serve` grow in a day of snapshots every 5 s, with clients that come and go?

    bench/day.py [HOURS]      24 unless given

It runs in a virtual machine whose time is made of the instructions it runs, and in which nobody waits while there is nothing
to do (QEMU, -icount sleep=off): a day takes less than half an hour, and PerfWatch, kernel and clients all believe it. Prints
a row for each hour, then what history holds. The result is put into docs/benchmarks.md by hand.

Needs target/release/perfwatch (cargo build --release), qemu-system-x86 and busybox-static.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
BUSYBOX = Path("/bin/busybox")


def main() -> None:
    hours = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    kernel = subprocess.run([PROJECT / "scripts/guest-kernel", "amd64"], check=True, capture_output=True, text=True)
    with tempfile.TemporaryDirectory() as directory:
        initrd = archive(Path(directory), hours)
        command = ["qemu-system-x86_64", "-M", "q35", "-cpu", "max", "-smp", "1", "-m", "512"]
        command += ["-icount", "shift=1,sleep=off", "-rtc", "clock=vm", "-nodefaults", "-display", "none"]
        command += ["-serial", "stdio", "-no-reboot", "-append", "console=ttyS0 quiet panic=-1"]
        command += ["-kernel", kernel.stdout.strip(), "-initrd", str(initrd)]
        print("| hour | RSS, MB | threads | descriptors |")
        print("| ---: | ---: | ---: | ---: |")
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as guest:
            for line in guest.stdout or ():
                if row := re.match(r"ROW (\d+) (\d+) (\d+) (\d+)", line):
                    hour, rss, threads, descriptors = map(int, row.groups())
                    print(f"| {hour} | {rss / 1024:.2f} | {threads} | {descriptors} |", flush=True)
                elif not line.startswith("Terminated"):
                    print(line, end="", flush=True)


def archive(directory: Path, hours: int) -> Path:
    """What the kernel unpacks into its first file system: busybox, PerfWatch with its libraries, and what to do."""
    root = directory / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin")
    binary = PROJECT / "target/release/perfwatch"
    shutil.copy(binary, root / "bin")
    linked = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout
    for library in re.findall(r"/\S+", linked):
        place = root / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
    init = root / "init"
    init.write_text((Path(__file__).parent / "day_guest.sh").read_text().replace("$HOURS", str(hours)))
    init.chmod(0o755)
    names = subprocess.run(["find", "."], cwd=root, check=True, capture_output=True).stdout
    initrd = directory / "initrd"
    with initrd.open("wb") as file:
        subprocess.run([BUSYBOX, "cpio", "-o", "-H", "newc"], cwd=root, check=True, input=names, stdout=file,
                       stderr=subprocess.DEVNULL)
    return initrd


if __name__ == "__main__":
    main()
