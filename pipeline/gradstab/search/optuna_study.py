"""The Optuna study of a study: opened or created, and refused if it belongs to another declaration."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from gradstab.errors import UsageError
from gradstab.system.storage_url import Storage

FINGERPRINT_ATTRIBUTE = "gs.fingerprint"
BEGAN_IN_ATTRIBUTE = "gs.began_in"  # the version under which the fingerprint was made
METRIC_NAME = "margin"


def open_study(storage: BaseStorage, name: str, sampler: BaseSampler) -> optuna.Study:
    """Open the Optuna study of that name, or create it; it maximizes the margin."""
    # not load_if_exists, which writes a record into a journal at every opening
    if name in optuna.get_all_study_names(storage):
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    study = optuna.create_study(storage=storage, study_name=name, sampler=sampler, direction="maximize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([METRIC_NAME])  # what plots and optuna-dashboard call the value
    return study


def require_same_study(
    study: optuna.Study, place: Storage, fingerprints: Mapping[str, str], began_in: str | None
) -> None:
    """Refuse a different study of the same name: storage may be shared with other users.

    Args:
        study: the opened study; a new one is marked with the fingerprint.
        place: where it is stored, for the sentence.
        fingerprints: of the declaration, by the version in which it may have begun.
        began_in: the version in which it began, if that is known.

    Raises:
        UsageError: the study has another fingerprint.
    """
    known = study.user_attrs.get(FINGERPRINT_ATTRIBUTE)
    if known is None and fingerprints:
        version = began_in or list(fingerprints)[-1]
        study.set_user_attr(FINGERPRINT_ATTRIBUTE, fingerprints[version])
        study.set_user_attr(BEGAN_IN_ATTRIBUTE, version)
    elif fingerprints and known not in fingerprints.values():
        raise UsageError(
            f"{place} holds another study of the name {study.study_name!r}: its space, recipe or seed differ. "
            "Give this study another --name, or use another storage"
        )
