"""Where results, storage and tracking are, and where each setting came from.

The order is: flag, environment, mlflow.env, study file, default."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

from gradstab.errors import UsageError
from gradstab.study.study import Study
from gradstab.system.storage_url import anchored, without_password

ENV_FILE = "mlflow.env"


@dataclass(frozen=True)
class Setting:
    """A value and where it came from."""

    value: str | None
    origin: str


@dataclass(frozen=True)
class Settings:
    """The four places that a run depends on, each with its origin.

    Attributes:
        results: folder that holds one folder per study.
        tracking: MLflow tracking URI.
        storage: Optuna storage: ``journal:PATH``, ``sqlite:///PATH`` or ``postgresql://...``.
        ray_address: Ray cluster, or None for Ray in this process.
        mlflow_env: names and values of mlflow.env that the environment does not set itself.
    """

    results: Setting
    tracking: Setting
    storage: Setting
    ray_address: Setting
    mlflow_env: dict[str, str]

    def results_root(self) -> Path:
        return Path(self.results.value or ".")

    def shown(self) -> dict[str, str]:
        """Each setting with its origin, passwords hidden, for display."""
        named = {"results": self.results, "tracking": self.tracking, "storage": self.storage, "ray": self.ray_address}
        return {
            name: f"{without_password(setting.value or 'in this process')} ({setting.origin})"
            for name, setting in named.items()
        }


def results_setting(flag: str | None) -> Setting:
    """The results folder as an absolute path: it must not depend on the current folder."""
    if flag is not None:
        return Setting(str(Path(flag).resolve()), "--results")
    if os.environ.get("GRADSTAB_RESULTS"):
        return Setting(str(Path(os.environ["GRADSTAB_RESULTS"]).resolve()), "GRADSTAB_RESULTS")
    from platformdirs import user_data_path

    return Setting(str(user_data_path("gradstab")), "default")


def resolve_settings(
    study: Study | None, study_folder: Path | None, results_flag: str | None, address_flag: str | None = None
) -> Settings:
    """Every setting by the order of precedence."""
    results = results_setting(results_flag)
    root = Path(results.value or ".")
    here = Path.cwd()
    env_path, env = read_env_file([study_folder, here])
    origin = f"{ENV_FILE} in {env_path.parent}" if env_path else ENV_FILE
    default_storage = f"journal:{root / study.name / 'optuna.journal'}" if study else None
    return Settings(
        results=results,
        tracking=_first(
            ("MLFLOW_TRACKING_URI", anchored(os.environ.get("MLFLOW_TRACKING_URI", ""), here)),
            (origin, anchored(env.get("MLFLOW_TRACKING_URI", ""), env_path.parent if env_path else here)),
            ("study file", anchored(study.tracking.uri or "", here) if study else None),
            ("default", f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"),
        ),
        storage=_first(
            ("OPTUNA_STORAGE", anchored(os.environ.get("OPTUNA_STORAGE", ""), here)),
            ("study file", anchored(study.storage or "", here) if study else None),
            ("default", default_storage),
        ),
        ray_address=_first(
            ("--address", address_flag),
            ("RAY_ADDRESS", os.environ.get("RAY_ADDRESS")),
            ("study file", study.resources.address if study else None),
            ("default", None),
        ),
        mlflow_env={name: value for name, value in env.items() if name not in os.environ},
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
        raise UsageError(f"{path} must be readable, but: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} must be UTF-8 text, but: {error.reason} at byte {error.start}") from None


def _first(*candidates: tuple[str, str | None]) -> Setting:
    for origin, value in candidates[:-1]:
        if value:
            return Setting(value, origin)
    origin, value = candidates[-1]
    return Setting(value, origin)
