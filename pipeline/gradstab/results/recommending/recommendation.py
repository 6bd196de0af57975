"""What a study recommends: the largest safe value of an axis, a clip threshold, the initial scale and the depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradstab.display.templates import render
from gradstab.errors import UsageError
from gradstab.results.recommending.clip_advice import ClipAdvice
from gradstab.results.recommending.lacking_trials import LackingTrials, planned
from gradstab.stability.region_at import RegionAt
from gradstab.stability.safe_end import SafeEnd
from gradstab.stability.safe_end_moves import Move
from gradstab.study.axes import AnyAxis, Value
from gradstab.study.plan_file import python_text, require_new_file, write_study_file, yaml_text
from gradstab.study.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from gradstab.record.study_folder import StudyFolder

_TEMPLATES = Path(__file__).parent.parent / "templates"


@dataclass(frozen=True, repr=False)
class Recommendation:
    """What to set, with intervals and n. Printed, it reads as `gradstab recommend` does.

    Attributes:
        study: its name.
        num_trials: measured trials behind it.
        at: the axes that were given.
        largest: the largest safe value of an axis; None where the study does not vary it.
        moves: how that moves with each other axis.
        clip: at which threshold to clip; None where nothing is trained.
        region: the region at the given place, as `gradstab region` has it.
        needs: which trials are lacking; empty where those of the study suffice.
        sentences: all of it in plain sentences, each with its figure. What depends on a choice that is left open is
            one sentence with a line for each value of the choice, each beginning with "- ".
        text: the sentences and their tables.
    """

    study: str
    num_trials: int
    at: Mapping[str, Value]
    largest: SafeEnd | None
    moves: tuple[Move, ...]
    clip: ClipAdvice | None
    region: RegionAt
    needs: tuple[LackingTrials, ...]
    sentences: tuple[str, ...]
    text: str
    folder: StudyFolder

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Recommendation of {self.study}: {len(self.sentences)} sentences from {self.num_trials} trials>"

    def _repr_html_(self) -> str:
        return render(_TEMPLATES, "recommendation.html", sentences=self.sentences, study=self.study)

    def to_frame(self) -> pd.DataFrame:
        """One row for each figure: what it is, at which value of which other axis, the figure and its 90 % interval."""
        import pandas as pd

        columns = ["what", "with_axis", "at_value", "value", "low", "high", "n"]
        return pd.DataFrame(self._rows(), columns=columns)

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        if self.largest is not None:
            name = f"largest safe {self.largest.axis}"
            ends: list[tuple[str | None, Value | None, SafeEnd]] = [(None, None, self.largest)]
            ends += [(move.axis, value, end) for move in self.moves for value, end in move.levels]
            rows += [
                {
                    "what": name,
                    "with_axis": axis,
                    "at_value": value,
                    "value": end.value,
                    "low": end.low,
                    "high": end.high,
                }
                for axis, value, end in ends
            ]
            rows += [
                {
                    "what": f"slope of {name}",
                    "with_axis": move.axis,
                    "value": move.slope.per_decade,
                    "low": move.slope.low,
                    "high": move.slope.high,
                }
                for move in self.moves
                if move.slope is not None
            ]
        rows = [row | {"n": self.num_trials} for row in rows]
        if self.clip is not None and self.clip.threshold is not None:
            n = self.clip.num_trainings
            rows.append({"what": "clip threshold", "value": self.clip.threshold, "n": n})
            rows.append({"what": "share of steps clipped", "value": self.clip.share, "n": n})
            if (saved := self.clip.saved) is not None:
                interval = {"low": saved.low, "high": saved.high, "n": saved.of}
                rows.append({"what": "saved by clipping", "value": saved.number, **interval})
            if (cost := self.clip.cost) is not None:
                interval = {"low": cost.low, "high": cost.high, "n": cost.num_places}
                rows.append({"what": "change of T by clipping", "value": cost.change, **interval})
        return rows

    def data(self) -> dict[str, Any]:
        """The recommendation for scripts, as JSON types."""
        return {
            "study": self.study,
            "num_trials": self.num_trials,
            "at": dict(self.at),
            "sentences": list(self.sentences),
            "largest": None if self.largest is None else asdict(self.largest),
            "moves": [asdict(move) for move in self.moves],
            "clip": None if self.clip is None else asdict(self.clip),
            "region": {"point": self.region.point, "p_next": self.region.p_next},
            "needs": [
                {"sentence": need.sentence, "trials": need.trials, "axes": {n: asdict(a) for n, a in need.axes.items()}}
                for need in self.needs
            ],
        }

    def plan(self) -> Study | None:
        """The study with the trials that are lacking; None where those at hand suffice."""
        if not self.needs:
            return None
        return planned(self.folder.study(), self._axes(), self._trials())

    def write_plan(self, path: str | Path) -> Study:
        """Write the study of the lacking trials into a new file, and read it back.

        Raises:
            UsageError: nothing is lacking, or the file cannot hold the study.
        """
        path, study = Path(path), self.plan()
        if study is None:
            raise UsageError(f"the trials of {self.study} suffice: there is nothing to plan")
        require_new_file(study, path)
        comment = f"Written by gradstab recommend {self.study}.\n" + "\n".join(need.sentence for need in self.needs)
        if study.import_paths:
            text = python_text(self._own_source(), study, self._axes(), comment)
        else:
            text = yaml_text(study, comment)
        write_study_file(path, text, study)
        return study

    def _axes(self) -> dict[str, AnyAxis]:
        return {name: axis for need in self.needs for name, axis in need.axes.items()}

    def _trials(self) -> int:
        return max(need.trials for need in self.needs)

    def _own_source(self) -> str:
        name = self.folder.source_name()
        if not name.endswith(".py"):
            raise UsageError(
                f"the study {self.study} was declared in Python without a file, so no file can be planned from it: "
                f"change its space and budget there"
            )
        return (self.folder.path / name).read_text(encoding="utf-8")
