"""A study's report: a folder with one page, its pictures, the region and the trials, made from segments alone."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gradstab.display.numbers import point_text
from gradstab.errors import GradstabError
from gradstab.record.certificate import read_certificate
from gradstab.record.shipping_order import load_order
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.report.findings import Findings, study_findings
from gradstab.report.interval_table import IntervalRow
from gradstab.report.page import Origin, report_page
from gradstab.report.pictures import all_pictures, wide_maps
from gradstab.report.wording import certificate_text, predicted_text, volume_text
from gradstab.results.rejudge import criterion_changes
from gradstab.results.results import Results
from gradstab.results.span_words import spans_text
from gradstab.stability.region import Regions
from gradstab.system.durable import replace_files

FOLDER = "report"


def default_folder(results: Results, name: str = FOLDER) -> Path:
    """Where a report is written; under another criterion beside the study's own report, which is shipped to MLflow."""
    changed = criterion_changes(results.study.criterion, results.criterion)
    return results.folder.path / "-".join([name, *(item.replace("=", "-").replace(",", "-") for item in changed)])


@single_threaded_blas
def make_report(results: Results, folder: Path | None = None) -> Path:
    """Write the report of a study and return the path of its page; nothing is trained, and Optuna is not touched.

    Args:
        results: the study, judged by its own criterion or another.
        folder: where the report goes; by default `report` in the study's folder, and beside it, in a folder named by
            the criterion, where that is not the study's own. Its files are replaced one by one, each at once, the page
            last; other files stay.

    Raises:
        UsageError: no trial was measured yet.
        StorageError: the folder cannot be written.
    """
    folder = default_folder(results) if folder is None else folder
    # forecasts were checked against the study's own bands: for others they certify nothing
    own = results.criterion == results.study.criterion
    certificate = read_certificate(results.folder.path) if own else None
    findings = study_findings(results)
    pictures = all_pictures(findings)
    html = report_page(findings, pictures, certificate, _origin(results))
    files: dict[str, bytes] = {each.name: each.png for each in pictures}
    maps = wide_maps(findings)
    files |= {each.name: each.png for each in maps}
    told = {
        "certificate": certificate_text(results, certificate),
        "maps": [{"held": each.held, "file": each.name} for each in maps],
    }
    files["region.json"] = json.dumps(region_data(findings) | told, indent=1, default=str).encode()
    files["trials.csv"] = results.trials.to_csv().encode()
    files["trials.parquet"] = results.trials.to_parquet()
    files["index.html"] = html.encode()
    replace_files(folder, files)
    return folder / "index.html"


def region_data(findings: Findings) -> dict[str, Any]:
    """What a script reads: volumes, pieces, intervals, contributions, theory and health, as JSON types."""
    results = findings.results
    return {
        "schema_version": 1,
        "study": results.study.name,
        "study_id": results.folder.study_id(),
        "question": results.study.question,
        "answer": list(findings.answer),
        "recommended": list(findings.recommended),
        "num_trials": len(results.measured.numbers),
        "verdicts": dict(results.verdicts()),
        "criterion": results.criterion.model_dump(mode="json") | {"responses": list(results.judged_by)},
        "regions": {judged.name: _regions_data(judged.regions) for judged in findings.judged},
        "intervals": [
            {"axis": row.judged.axis, **asdict(row.judged), "R_alone": asdict(row.ratio)["region"]}
            | {"theory": None if row.theory is None else asdict(row.theory), "words": _words(row)}
            for row in findings.rows
        ],
        "contributions": [asdict(each) for each in findings.contributions],
        "theory": asdict(findings.theory),
        "health": [asdict(each) | {"noise_agrees": each.noise_agrees} for each in findings.health],
    }


def _words(row: IntervalRow) -> dict[str, str]:
    """An interval as the page and the terminal say it, for programs that show it elsewhere."""
    judged = row.judged
    return {
        "where": point_text(judged.held),
        "region": spans_text(judged.region),
        "safe": spans_text(judged.safe),
        "gradients": spans_text(row.ratio.region),
        "theory": predicted_text(row.theory),
    }


def _regions_data(regions: Regions) -> dict[str, Any]:
    return {
        "volume": asdict(regions.volume),
        "volume_words": volume_text(regions.volume),
        "core_volume": regions.core_volume,
        "misclassified_volume": regions.misclassified_volume,
        "resolution": regions.resolution,
        "parts": [
            {
                "choices": part.choices,
                "volume": asdict(part.volume),
                "core_volume": part.core_volume,
                "extent": {name: asdict(extent) for name, extent in part.extent.items()},
            }
            for part in regions.parts
        ],
    }


def _origin(results: Results) -> Origin:
    folder = results.folder
    try:
        job = load_order(folder.path)
    except GradstabError:  # results may have been copied without it
        return Origin(folder.source_name(), {}, None, folder.path.name)
    return Origin(folder.source_name(), job.versions, job.git_commit, folder.path.name)
