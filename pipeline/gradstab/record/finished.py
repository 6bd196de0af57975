"""The mark of a study that is finished: recorded, told to storage and shipped, so that another run has nothing to do.

The mark names what it was made of: the declaration, the segments, the stores and the version of gradstab. Where any of
that has changed since, the mark says nothing, and a run looks at everything again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from gradstab.record.segments import segment_paths
from gradstab.study.study import Study
from gradstab.system.durable import replace_file
from gradstab.system.provenance import versions

FILE_NAME = "finished.json"


def mark_finished(folder: Path, study: Study, places: Sequence[str]) -> None:
    """Note that nothing is left to do for a study with these stores.

    Args:
        places: what names the stores and their state, as the URL of a database and the size of a file.
    """
    replace_file(folder / FILE_NAME, json.dumps({"of": _digest(folder, study, places)}), durable=False)


def is_finished(folder: Path, study: Study, places: Sequence[str]) -> bool:
    """Whether the mark is there, and of the study as it is now."""
    try:
        return bool(json.loads((folder / FILE_NAME).read_text())["of"] == _digest(folder, study, places))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(folder: Path, study: Study, places: Sequence[str]) -> str:
    names = [path.name for path in segment_paths(folder)]
    parts = [versions()["gradstab"], study.dump(), names, list(places)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
