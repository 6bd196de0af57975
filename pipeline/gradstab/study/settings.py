"""Where results, storage and tracking are, and where each setting came from.

The order is: flag, environment, mlflow.env, study file, default.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from gradstab.errors import UsageError
from gradstab.system.storage_url import (
    Postgresql,
    SqliteFile,
    Storage,
    Tracking,
    anchored,
    parse_storage,
    parse_tracking,
    without_password,
)

if TYPE_CHECKING:
    from gradstab.study.study import Study

ENV_FILE = "mlflow.env"
MOST_SQLITE_BYTES = 480  # SQLite itself takes 512, with the names of the files that it keeps beside a database
DEFAULT = "default"  # the origin of a setting that nobody made

Value_co = TypeVar("Value_co", covariant=True)
Default = TypeVar("Default")


@dataclass(frozen=True)
class Setting(Generic[Value_co]):
    """A value and where it came from."""

    value: Value_co
    origin: str


@dataclass(frozen=True)
class ResultsSettings:
    """Where results and MLflow are. No study is needed to know that.

    Attributes:
        results: folder that holds one folder for each study.
        tracking: MLflow's tracking store.
        mlflow_env: names and values of mlflow.env that the environment does not set itself.
    """

    results: Setting[Path]
    tracking: Setting[Tracking]
    mlflow_env: dict[str, str]

    def results_root(self) -> Path:
        return self.results.value

    def artifact_folder(self) -> Path | None:
        """Where MLflow shall keep the artifacts of a database. None for other stores, which decide it themselves."""
        match self.tracking.value:
            case SqliteFile(path=path):
                return path.parent / "artifacts"
            case Postgresql():
                return self.results.value / "mlflow" / "artifacts"
        return None


@dataclass(frozen=True)
class Settings(ResultsSettings):
    """The four places that a run depends on, each with its origin.

    Attributes:
        storage: Optuna's storage.
        ray_address: Ray cluster, or None for Ray in this process.
    """

    storage: Setting[Storage]
    ray_address: Setting[str | None]

    def shown(self) -> dict[str, str]:
        """Each setting with its origin, for the user. Passwords are hidden."""
        named: dict[str, Setting[object]] = {
            "results": self.results,
            "tracking": self.tracking,
            "storage": self.storage,
            "ray": self.ray_address,
        }
        return {
            name: f"{without_password(str(setting.value or 'in this process'))} ({setting.origin})"
            for name, setting in named.items()
        }


def results_setting(flag: str | None) -> Setting[Path]:
    """The results folder as an absolute path: it must not depend on the current folder."""
    if flag is not None:
        return Setting(Path(flag).resolve(), "--results")
    if os.environ.get("GRADSTAB_RESULTS"):
        return Setting(Path(os.environ["GRADSTAB_RESULTS"]).resolve(), "GRADSTAB_RESULTS")
    from platformdirs import user_data_path

    return Setting(user_data_path("gradstab"), DEFAULT)


def resolve_results_settings(
    results_flag: str | None, study: Study | None = None, study_folder: Path | None = None
) -> ResultsSettings:
    """Where results and MLflow are, by the order of precedence.

    Raises:
        UsageError: the tracking URI is not valid, or mlflow.env cannot be read.
    """
    results = results_setting(results_flag)
    here = Path.cwd()
    env_path, env = read_env_file([study_folder, here])
    origin = f"{ENV_FILE} in {env_path.parent}" if env_path else ENV_FILE
    tracking = _first(
        ("MLFLOW_TRACKING_URI", anchored(os.environ.get("MLFLOW_TRACKING_URI", ""), here)),
        (origin, anchored(env.get("MLFLOW_TRACKING_URI", ""), env_path.parent if env_path else here)),
        ("study file", anchored(study.tracking.uri or "", here) if study else None),
        default=f"sqlite:///{results.value / 'mlflow' / 'mlflow.db'}",
    )
    if tracking.origin == DEFAULT and "?" in tracking.value:
        raise UsageError(
            f"the results folder must have a path without '?', which would end the address of MLflow's database in it, "
            f"got {results.value}: choose another folder, or set MLFLOW_TRACKING_URI"
        )
    name = "tracking.uri in the study file" if tracking.origin == "study file" else "MLFLOW_TRACKING_URI"
    parsed = parse_tracking(tracking.value, name)
    if isinstance(parsed, SqliteFile) and (length := len(os.fsencode(parsed.path))) > MOST_SQLITE_BYTES:
        raise UsageError(
            f"MLflow's database must have a path of at most {MOST_SQLITE_BYTES} bytes, which is what SQLite takes, "
            f"got {length} in {parsed.path}: choose a results folder with a shorter path, or set MLFLOW_TRACKING_URI"
        )
    return ResultsSettings(
        results=results,
        tracking=Setting(parsed, tracking.origin),
        mlflow_env={name: value for name, value in env.items() if name not in os.environ},
    )


def resolve_settings(
    study: Study, study_folder: Path | None, results_flag: str | None, address_flag: str | None = None
) -> Settings:
    """Every setting of a study, by the order of precedence.

    Raises:
        UsageError: the storage URL or the tracking URI is not valid, or mlflow.env cannot be read.
    """
    found = resolve_results_settings(results_flag, study, study_folder)
    here = Path.cwd()
    storage = _first(
        ("OPTUNA_STORAGE", anchored(os.environ.get("OPTUNA_STORAGE", ""), here)),
        ("study file", anchored(study.storage or "", here)),
        default=f"journal:{found.results.value / study.name / 'optuna.journal'}",
    )
    name = "storage in the study file" if storage.origin == "study file" else "OPTUNA_STORAGE"
    return Settings(
        results=found.results,
        tracking=found.tracking,
        storage=Setting(parse_storage(storage.value, name), storage.origin),
        ray_address=_first(
            ("--address", address_flag),
            ("RAY_ADDRESS", os.environ.get("RAY_ADDRESS")),
            ("study file", study.resources.address),
            default=None,
        ),
        mlflow_env=found.mlflow_env,
    )


def read_env_file(starts: list[Path | None]) -> tuple[Path | None, dict[str, str]]:
    """The nearest mlflow.env at or above one of the folders, and its MLFLOW_* values."""
    for start in starts:
        for folder in [start, *start.parents] if start is not None else []:
            path = folder / ENV_FILE
            if path.is_file():
                from dotenv import dotenv_values

                values = dotenv_values(stream=io.StringIO(_text(path)))
                return path, {name: value for name, value in values.items() if name.startswith("MLFLOW_") and value}
    return None, {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} must be UTF-8 text: {error.reason} at byte {error.start}") from None


def _first(*candidates: tuple[str, str | None], default: Default) -> Setting[str | Default]:
    """The first candidate that has a value, or the default."""
    for origin, value in candidates:
        if value:
            return Setting(value, origin)
    return Setting(default, DEFAULT)
