"""Whose processor it is, as Linux tells it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from gradstab.system.processor import is_amd


@pytest.mark.parametrize(
    ("text", "amd"),
    [
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\n", True),
        ("processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: AuthenticAMD\n", False),
        ("processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\n", False),
        ("", False),
    ],
)
def test_the_vendor_is_read(text: str, amd: bool, tmp_path: Path):
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert is_amd(file) is amd


def test_a_system_without_the_file_is_not_amds(tmp_path: Path):
    assert is_amd(tmp_path / "nothing") is False


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux alone has the file")
def test_this_machine_is_amds_only_if_its_file_says_so():
    assert is_amd() is ("AuthenticAMD" in Path("/proc/cpuinfo").read_text()), platform.processor()
