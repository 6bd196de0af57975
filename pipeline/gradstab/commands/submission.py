"""What travels with a submitted study: its file, data beside it, and the settings that hold on the cluster too."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gradstab.execution import job_entry
from gradstab.study.data_spec import Npz
from gradstab.study.settings import Settings
from gradstab.study.study import Study
from gradstab.system.storage_url import without_password

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TRAVELLING = ("OPTUNA_STORAGE", "GRADSTAB_DRAIN_SECONDS")
_SECRET_WORDS = ("PASSWORD", "TOKEN", "SECRET", "USERNAME", "KEY")


def pack_parcel(study: Study, source: Path | None, folder: Path) -> str:
    """Fill `folder` with what the job runs in; returns the name of the study file in it.

    A data file in the study file's folder, or below it, travels, and so do modules there that a Python study imports;
    any other path must be one that the cluster sees.
    """
    shutil.copy(job_entry.__file__, folder)
    if source is None:
        import yaml

        (folder / f"{study.name}.yaml").write_text(yaml.safe_dump(study.dump(), sort_keys=False))
        return f"{study.name}.yaml"
    shutil.copy(source, folder)
    here = source.parent
    for beside in _imported_siblings(source):
        copied = folder / beside.relative_to(here)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(beside, copied)
    if isinstance(study.data, Npz) and study.data.path.is_relative_to(here):
        beside = folder / study.data.path.relative_to(here)
        beside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(study.data.path, beside)
    return source.name


def travelling_settings(settings: Settings, environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Variables of the job, the plain ones and the secret ones: MLFLOW_* of mlflow.env and of the environment, the
    Optuna storage, and what a job is given to drain.

    The results folder is a path of the cluster's, and stays. What names this machine alone (a loopback address, a
    file) gives way to what the cluster has set itself.
    """
    named = {
        **settings.mlflow_env,
        **{name: value for name, value in environment.items() if name.startswith("MLFLOW_")},
        **{name: environment[name] for name in _TRAVELLING if name in environment},
    }
    plain: dict[str, str] = {}
    secret: dict[str, str] = {}
    for name, value in sorted(named.items()):
        hidden = any(word in name for word in _SECRET_WORDS) or without_password(value) != value
        prefix = job_entry.IF_UNSET if _names_this_machine(value) else ""
        (secret if hidden else plain)[f"{prefix}{name}"] = value
    return plain, secret


def write_secrets(variables: Mapping[str, str], attempt: int, folder: Path) -> None:
    """Put secret variables into a parcel; the job takes them out, so that each attempt needs a parcel of its own."""
    if variables:
        path = folder / job_entry.SECRETS
        path.touch(mode=0o600)
        path.write_text(json.dumps({"variables": dict(variables), "attempt": attempt}))


def _imported_siblings(source: Path) -> set[Path]:
    """Python files in the source's folder that it imports, and those that they import; all of a package's."""
    here, found, unread = source.parent, {source}, [source] if source.suffix == ".py" else []
    while unread:
        tree = ast.parse(unread.pop().read_bytes())
        names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        for top in {name.partition(".")[0] for name in names} - {"gradstab"}:  # this package travels by itself
            package = here / top
            files = package.rglob("*.py") if (package / "__init__.py").is_file() else [here / f"{top}.py"]
            new = {file for file in files if file.is_file()} - found
            found |= new
            unread += new
    return found - {source}


def _names_this_machine(value: str) -> bool:
    scheme, separator, _ = value.partition(":")
    if scheme in ("sqlite", "journal", "file"):
        return True
    return bool(separator) and "://" in value and urlsplit(value).hostname in _LOOPBACK
