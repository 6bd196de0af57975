"""Writes docker/lock-*.txt: every package of the images with its version and the SHA-256 of its files.

Usage: python docker/lock.py [NAME ...]      where pip reaches PyPI, for Linux on x86-64 and ARM, CPython 3.11

Versions are those of constraints.txt. PyTorch's CPU wheels are on an index of their own, so lock-torch-cpu.txt is
written by hand: https://download.pytorch.org/whl/cpu/torch/ shows the hash of each file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
# of the glibc of Debian 12 and older ones, newest first, as pip in the image prefers them
GLIBC = [f"manylinux_2_{minor}" for minor in range(36, 4, -1)]
LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
MACHINES = ("x86_64", "aarch64")
# torch and what its GPU wheels bring: an image for CPUs has other ones, or none
GPU = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
SETTINGS_OF_THIS_MACHINE = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT")


def platforms(machine: str) -> list[str]:
    """The names of Linux on a machine that a wheel may carry."""
    found = []
    for name in GLIBC:
        found.append(f"{name}_{machine}")
        if legacy := LEGACY.get(int(name.rpartition("_")[2])):
            found.append(f"{legacy}_{machine}")
    return [*found, f"linux_{machine}"]


def chosen(requirements: str, machine: str) -> dict[str, tuple[str, str]]:
    """Name -> version and hash of what pip would install there, for requirements one a line."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS_OF_THIS_MACHINE}
    environment["PIP_CONFIG_FILE"] = os.devnull
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder) / "wanted.txt", Path(folder) / "report.json"
        wanted.write_text(requirements)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "--target", folder, "--only-binary=:all:", "--python-version=3.11"]
        command += ["--implementation=cp", *(f"--platform={name}" for name in platforms(machine))]
        command += ["--constraint", str(ROOT / "constraints.txt"), "--requirement", str(wanted)]
        done = subprocess.run(command, env=environment, check=False)
        if done.returncode:
            sys.exit(f"pip must find wheels of every package for {machine}, but ended with {done.returncode}")
        answer = json.loads(report.read_text())
    found = {}
    for package in answer["install"]:
        name = re.sub(r"[-_.]+", "-", package["metadata"]["name"]).lower()
        found[name] = (package["metadata"]["version"], package["download_info"]["archive_info"]["hashes"]["sha256"])
    return found


def lines(requirements: str) -> dict[str, str]:
    """Name -> its line of a lock file, which holds on both machines."""
    per_machine = [chosen(requirements, machine) for machine in MACHINES]
    found = {}
    for name in sorted(set().union(*per_machine)):
        here = [each[name] for each in per_machine if name in each]
        (version,) = {version for version, _ in here}
        hashes = sorted({digest for _, digest in here})
        found[name] = " ".join([f"{name}=={version}", *(f"--hash=sha256:{digest}" for digest in hashes)])
    return found


def write(name: str, found: list[str]) -> None:
    """Write one lock file."""
    place = HERE / f"lock-{name}.txt"
    place.write_text("\n".join([f"# written by docker/lock.py {name}", *found]) + "\n")
    print(f"{place.name}: {len(found)} packages")


def main(names: list[str]) -> None:
    """Write the lock files of these names."""

    def asked(*arguments: str) -> str:
        command = [sys.executable, str(HERE / "requirements.py"), *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    if "worker" in names:
        found = lines(asked("cluster"))
        write("worker", [line for name, line in found.items() if not GPU.fullmatch(name)])
        write("torch-cuda", [line for name, line in found.items() if GPU.fullmatch(name)])
    if "server" in names:
        write("server", list(lines(asked("--only", "server")).values()))
    if "build" in names:
        write("build", list(lines(asked("--build")).values()))


if __name__ == "__main__":
    main(sys.argv[1:] or ["worker", "server", "build"])
