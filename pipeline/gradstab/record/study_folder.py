"""The results folder of a study: where everything lies in it, who runs the study, and whether it is still the same."""

from __future__ import annotations

import json
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradstab.errors import StorageError, StudyError, UsageError
from gradstab.record.segments import segment_numbers, segment_paths
from gradstab.study.data_spec import file_of
from gradstab.study.differences import differences
from gradstab.study.origin import FROM_RECORD
from gradstab.study.study import FINGERPRINTED, Study
from gradstab.study.versions import FIRST_VERSION
from gradstab.system.durable import replace_file
from gradstab.system.file_lock import hold_lock, holder_of
from gradstab.system.versioned_json import read_versioned

SCHEMA_VERSION = 1


class StudyFolder:
    """The durable state of one study. Every path in the folder is named here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.declaration = path / "study.json"
        self.lock_file = path / "lock"
        self.attempts = path / "attempts.jsonl"
        self.report_page = path / "report" / "index.html"

    @classmethod
    def of(cls, results_root: Path, name: str) -> StudyFolder:
        return cls(results_root / name)

    def exists(self) -> bool:
        return self.declaration.is_file()

    def study(self) -> Study:
        """The study as it was last declared here.

        Raises:
            StorageError: this version of gradstab does not know everything that the declaration says.
        """
        return self._validated(self._read()["study"])

    def began_in(self) -> str:
        """The version of gradstab in which the study began, as far as its fingerprint depends on it."""
        return str(self._read().get("began_in", FIRST_VERSION))

    def with_known_data(self, study: Study) -> Study:
        """The study with its data file known as this folder knows it: by its content, or by its path in old studies."""
        data = self._read()["study"].get("data", {}) if self.exists() else {}
        return study if data.get("type") == "npz" and "sha256" not in data else study.with_data_hash()

    def study_id(self) -> str:
        """The study's unique id, which it got when its folder was made."""
        return str(self._read()["study_id"])

    def source_name(self) -> str:
        """The name of the file that holds the study as the user wrote it, or of study.json where there is none."""
        declared = sorted(self.path.glob("declared.*"))
        return declared[0].name if declared else self.declaration.name

    def holder(self) -> str | None:
        """Which process runs the study now, in words; None if none does."""
        return holder_of(self.lock_file)

    def has_fresh_report(self) -> bool:
        """Whether there is a report, made since the last trial was recorded."""
        newest = max((path.stat().st_mtime for path in segment_paths(self.path)), default=0.0)
        return self.report_page.exists() and self.report_page.stat().st_mtime > newest

    def num_bytes(self) -> int:
        """The size on disk. The folder may be written to meanwhile."""
        total = 0
        for folder, _, names in os.walk(self.path):
            for name in names:
                with suppress(FileNotFoundError):
                    total += (Path(folder) / name).stat().st_size
        return total

    def num_recorded(self) -> int:
        """How many trials are recorded, from the heads of the segments."""
        return len({number for path in segment_paths(self.path) for number in segment_numbers(path)})

    def claim(
        self, study: Study, source: Path | None, study_id: str | None = None, began_in: str | None = None
    ) -> None:
        """Make the folder this study's, or check that it is. Budget, resources and tracking may have changed.

        Args:
            study_id: the id of a study that is known already, because its folder was lost.
            began_in: the version in which that study began; by default it begins now.

        Raises:
            UsageError: the folder holds a study whose fingerprinted parts differ; the sentence lists them.
            StorageError: this version of gradstab does not know everything that the folder's declaration says.
        """
        if not self.exists():
            made = {
                "study_id": study_id or uuid.uuid4().hex,
                "created": datetime.now(UTC).isoformat(),
                "began_in": began_in or study.versions()[-1],
            }
            self._write(made, study, source)
            return
        known = self._read()
        declared = known["study"]
        path = file_of(study.data)
        if path is not None and "sha256" in declared.get("data", {}):  # the file may have moved since
            declared = {**declared, "data": {**declared["data"], "path": str(path)}}
        before = self._validated(declared)
        version = self.began_in()
        if before.fingerprint(version) != study.fingerprint(version):
            changed = differences(before.fingerprinted(version), study.fingerprinted(version))
            listed = "\n".join(f"  - {line}" for line in changed)
            parts = ", ".join(FINGERPRINTED)
            raise UsageError(
                f"the study {study.name!r} must keep its {parts} once it has begun, but these changed:\n{listed}\n"
                f"Undo the change, or give the new study a name of its own: --name {study.name}-2"
            )
        if before != study or declared != known["study"]:
            self._write(known, study, source)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, because only one process may run a study.

        Raises:
            StudyHeldError: another process holds it; the sentence says which.
        """
        make_folder(self.path)
        with hold_lock(self.lock_file, f"the study {self.path.name!r}"):
            yield

    def _read(self) -> dict[str, Any]:
        content = read_versioned(self.declaration, SCHEMA_VERSION)
        if content is None:
            raise UsageError(
                f"there is no study {self.path.name!r} in {self.path.parent}: gradstab list shows the ones there"
            )
        return content

    def _validated(self, declared: dict[str, Any]) -> Study:
        try:
            return Study.model_validate(declared, context=FROM_RECORD)
        except StudyError as error:
            began_in = self.began_in()
            raise StorageError(
                f"{self.declaration} must hold a study that this version of gradstab knows, but: {error.faults[0]}. "
                f"The study began in version {began_in}; if a version newer than this one wrote it, update gradstab"
            ) from None

    def _write(self, known: dict[str, Any], study: Study, source: Path | None) -> None:
        version = known.get("began_in", FIRST_VERSION)
        content = {**known, "schema_version": SCHEMA_VERSION, "study": study.dump(version)}
        if source is not None:
            copy = self.path / f"declared{source.suffix.lower()}"
            for older in self.path.glob("declared.*"):
                if older != copy:
                    older.unlink()
            # a file that its owner keeps from others stays so
            private = not source.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
            replace_file(copy, source.read_text(encoding="utf-8"), durable=True, private=private)
        replace_file(self.declaration, json.dumps(content, indent=2), durable=True)


def make_folder(path: Path) -> None:
    """Create a folder and its parents.

    Raises:
        StorageError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"the results folder {path} cannot be created: {error.strerror}") from None


def study_folders(results_root: Path) -> list[StudyFolder]:
    """The folders of all studies of a results root, by name."""
    if not results_root.is_dir():
        return []
    return [folder for path in sorted(results_root.iterdir()) if (folder := StudyFolder(path)).exists()]
