"""Why a pack failed: every kind comes back from its text, and every text of an older version reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab.record.failure import Failure, FailureKind
from gradstab.record.segments import read_segment, write_segment
from tests.fakes import make_record

OLD_REASONS = {
    "oom: CUDA out of memory. Tried to allocate 20.00 GiB.": FailureKind.OUT_OF_MEMORY,
    "oom: memory was exhausted": FailureKind.OUT_OF_MEMORY,
    "oom: Ray killed the worker because its node ran low on memory": FailureKind.OUT_OF_MEMORY,
    "worker lost: ActorDiedError: The actor died unexpectedly before finishing this task.": FailureKind.WORKER_LOST,
    "worker lost": FailureKind.WORKER_LOST,
    "node lost: gpu-box": FailureKind.NODE_LOST,
    "hang: no result within 120 s": FailureKind.HUNG,
    "ValueError: width must be even": FailureKind.ERROR,
    "LookupError": FailureKind.ERROR,
    "the worker was lost": FailureKind.ERROR,
    "failed": FailureKind.ERROR,
    "oomph: a word that only begins like one": FailureKind.ERROR,
    "": FailureKind.ERROR,
}

details = st.text(st.characters(codec="utf-8"), max_size=40)
texts = details | st.builds("{}{}{}".format, st.sampled_from(FailureKind), st.sampled_from(["", ":", ": "]), details)


@pytest.mark.parametrize(("text", "kind"), OLD_REASONS.items())
def test_a_reason_of_an_older_version_has_the_kind_that_it_was_written_for(text: str, kind: FailureKind) -> None:
    assert Failure.parse(text).kind is kind


@given(kind=st.sampled_from(FailureKind), detail=details)
def test_every_kind_comes_back_from_its_text(kind: FailureKind, detail: str) -> None:
    # an exception's reason is its type's name, a colon and its message
    failure = Failure(kind, f"LookupError: {detail}" if kind is FailureKind.ERROR else detail)
    assert Failure.parse(str(failure)) == failure


@given(texts)
def test_every_text_reads_and_stays_as_it_was(text: str) -> None:
    assert str(Failure.parse(text)) == text


@given(texts)
def test_an_error_that_would_read_as_another_kind_cannot_be_made(text: str) -> None:
    if Failure.parse(text).kind is FailureKind.ERROR:
        assert str(Failure(FailureKind.ERROR, text)) == text
    else:
        with pytest.raises(ValueError, match="must not begin like another kind"):
            Failure(FailureKind.ERROR, text)


def test_a_segment_keeps_every_kind_and_holds_the_text_that_version_0_1_0_reads(tmp_path) -> None:
    reasons = list(OLD_REASONS)
    path = write_segment(tmp_path, 0, [make_record(number, failure=text) for number, text in enumerate(reasons)])
    assert [record.failure for record in read_segment(path)] == [Failure.parse(text) for text in reasons]
    with np.load(path, allow_pickle=False) as file:
        head = json.loads(file["head"].tobytes())
    assert [entry["failure"] for entry in head["records"]] == reasons
