"""The file system of a path, read from the kernel's table of mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gradstab.system.file_system import network_file_system

MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb1 /home/local xfs rw 0 0
me@box:/data /mnt/my\\040data fuse.sshfs rw 0 0
/dev/fuse /mnt/plain fuse.ntfs-3g rw 0 0
scratch /scratch lustre rw 0 0
//box/share /covered ext4 rw 0 0
//box/share /covered cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/results", None),
        ("/home/ada/results", "nfs4"),
        ("/homestead", None),
        ("/home/local/results", None),
        ("/mnt/my data/r", "fuse.sshfs"),
        ("/mnt/plain", None),
        ("/scratch/x", "lustre"),
        ("/covered/x", "cifs"),
    ],
)
def test_the_longest_place_above_a_path_counts(tmp_path: Path, path: str, kind: str | None) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert network_file_system(Path(path), tmp_path / "mounts") == kind


def test_a_link_is_followed_to_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(f"/dev/vda1 / ext4 rw 0 0\nserver:/x {tmp_path.resolve()}/far nfs rw 0 0\n")
    (tmp_path / "near").symlink_to(tmp_path / "far")
    assert network_file_system(tmp_path / "near" / "results", tmp_path / "mounts") == "nfs"


def test_without_a_table_every_file_system_is_local(tmp_path: Path) -> None:
    assert network_file_system(Path(os.sep), tmp_path / "none") is None
