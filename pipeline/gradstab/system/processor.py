"""Who made the processor."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_LINUX = Path("/proc/cpuinfo")


@cache
def is_amd(file: Path = _LINUX) -> bool:
    """Whether the processor is AMD's, as Linux tells it; False where there is no such file.

    Args:
        file: Linux' list of processors, of which the first is read.
    """
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == "vendor_id":
                    return value.strip() == "AuthenticAMD"
    except OSError:
        pass
    return False
