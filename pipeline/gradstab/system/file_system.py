"""Which file system a path lies on, and whether other machines share it."""

from __future__ import annotations

import os
import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
_NETWORK = (
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs", "ocfs2"),
    *("gfs2", "orangefs", "pvfs2", "9p", "virtiofs"),
)
_NETWORK_FUSE = ("sshfs", "glusterfs", "ceph", "lustre", "beegfs", "s3fs", "gcsfuse", "rclone", "juicefs", "moosefs")


def network_file_system(path: Path, mounts: Path | None = None) -> str | None:
    """The type of the network file system that a path lies on, such as ``nfs4``; None for a local one.

    Args:
        path: need not exist yet.
        mounts: the kernel's table of mounted file systems; without one (macOS) no file system counts as a network's.
    """
    wanted, kind, longest = os.path.realpath(path), "", -1
    for place, of_place in _table(mounts or _MOUNTS):
        inside = wanted == place or wanted.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= longest:  # of two at one place the later one covers the earlier
            kind, longest = of_place, len(place)
    fuse = kind.partition(".")[2] if kind.startswith("fuse") else ""
    return kind if kind in _NETWORK or fuse.startswith(_NETWORK_FUSE) else None


def _table(mounts: Path) -> list[tuple[str, str]]:
    """Places and types of all mounts."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    fields = [line.split(" ") for line in lines]
    return [(_unescaped(field[1]), field[2]) for field in fields if len(field) > 2]


def _unescaped(text: str) -> str:
    """A path with the blanks that the kernel writes as ``\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
