"""Segments come back as they were written, or are refused: never half of one, never another's bytes."""

from __future__ import annotations

import dataclasses
import os
import resource

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradstab.errors import StorageError
from gradstab.record.segments import (
    CorruptSegmentError,
    Record,
    read_segment,
    segment_index,
    segment_numbers,
    segment_paths,
    write_segment,
)
from gradstab.record.statistics.layers import ProbeStatistic
from gradstab.record.statistics.registry import STATISTICS
from tests.fakes import make_mixed_records, make_record


def assert_same(left: Record, right: Record) -> None:
    plain = {field.name for field in dataclasses.fields(Record)} - {"trajectory"}
    assert {name: getattr(left, name) for name in plain} == {name: getattr(right, name) for name in plain}
    if left.trajectory is None or right.trajectory is None:
        assert left.trajectory is right.trajectory
        return
    assert left.trajectory.nonfinite_step == right.trajectory.nonfinite_step
    np.testing.assert_array_equal(left.trajectory.probe_step_P, right.trajectory.probe_step_P)
    for name, array in left.trajectory.series.items():
        found = right.trajectory.series[name]
        assert found.dtype == array.dtype
        assert found.tobytes() == array.tobytes(), name  # NaN and infinity included


def test_records_of_different_depths_come_back_bit_for_bit(tmp_path):
    records = [*make_mixed_records(6), make_record(6, point={"depth": 1, "init_scale": 0.1}), make_record(7, point={"depth": 33, "steps": 0})]  # fmt: skip
    path = write_segment(tmp_path, 4, records)
    assert segment_index(path) == 4
    assert segment_paths(tmp_path) == [path]
    assert segment_numbers(path) == [record.number for record in records]
    for left, right in zip(records, read_segment(path), strict=True):
        assert_same(left, right)


def test_what_is_known_of_a_module_comes_back(tmp_path):
    plain = make_record(0)
    assert plain.trajectory is not None
    trajectory = dataclasses.replace(plain.trajectory, taps=("blocks.0", "blocks.1"), target_loss=1.25)
    module = dataclasses.replace(make_record(1), trajectory=trajectory, code="a hash")
    first, second = read_segment(write_segment(tmp_path, 0, [plain, module]))
    assert first.trajectory is not None
    assert second.trajectory is not None
    assert (first.trajectory.taps, first.trajectory.target_loss, first.code) == ((), None, None)
    assert second.trajectory.taps == ("blocks.0", "blocks.1")
    assert (second.trajectory.target_loss, second.code) == (1.25, "a hash")


def test_a_segment_is_a_plain_npz(tmp_path):
    path = write_segment(tmp_path, 0, [make_record(0)])
    with np.load(path, allow_pickle=False) as file:
        assert {"head", "loss", "log10_delta_norm"} <= set(file.files)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(tmp_path_factory, where, bit):
    folder = tmp_path_factory.mktemp("flip")
    path = write_segment(folder, 0, [make_record(0)])
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(CorruptSegmentError, match="truncated or altered"):
        read_segment(path)


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_truncated_segment_is_noticed(tmp_path, kept):
    path = write_segment(tmp_path, 0, [make_record(0)])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptSegmentError):
        read_segment(path)


@pytest.mark.parametrize(
    ("written", "error", "sentence"),
    [(99, StorageError, "got version 99: a newer version of gradstab wrote it; update gradstab"), (0, CorruptSegmentError, "schema version 0")],
)  # fmt: skip
def test_another_schema_version_is_refused_with_a_sentence(tmp_path, monkeypatch, written, error, sentence):
    """A newer one is no damage: a damaged segment is set aside and its trials are trained again."""
    monkeypatch.setattr("gradstab.record.segments.SCHEMA_VERSION", written)
    path = write_segment(tmp_path, 0, [make_record(0)])
    monkeypatch.undo()
    with pytest.raises(error, match=sentence):
        read_segment(path)


GROWN = ProbeStatistic("alive_fraction", "1", "fraction of units that are not dead", read=lambda of: 1 - of.a_max_LnU.eq(0).double().mean(2))  # fmt: skip


def test_a_statistic_that_came_later_reads_as_nan_in_an_older_segment(tmp_path, monkeypatch):
    path = write_segment(tmp_path, 0, [make_record(0)])
    monkeypatch.setitem(STATISTICS, GROWN.name, GROWN)
    (record,) = read_segment(path)
    assert record.trajectory is not None
    assert GROWN.name not in record.trajectory
    assert record.trajectory[GROWN.name].shape == record.trajectory["dead_fraction"].shape
    assert np.isnan(record.trajectory[GROWN.name]).all()
    with pytest.raises(KeyError, match=r"must be one of loss, .*; got 'dead fraction'"):
        record.trajectory["dead fraction"]


def test_a_statistic_that_is_not_known_is_kept_when_a_segment_is_written_again(tmp_path, monkeypatch):
    records = make_mixed_records(6)
    monkeypatch.setitem(STATISTICS, GROWN.name, GROWN)
    grown = [with_statistic(record) if record.number % 2 else record for record in records]
    path = write_segment(tmp_path, 0, grown)
    monkeypatch.undo()
    older = read_segment(path)
    assert [GROWN.name in r.trajectory for r in older if r.trajectory] == [r.number % 2 == 1 for r in older if r.trajectory]  # fmt: skip
    again = read_segment(write_segment(tmp_path, 1, older))
    monkeypatch.setitem(STATISTICS, GROWN.name, GROWN)
    for left, right in zip(grown, again, strict=True):
        assert_same(left, right)
        assert left.trajectory is None or left.trajectory.series.keys() == right.trajectory.series.keys()  # type: ignore[union-attr]


def with_statistic(record: Record) -> Record:
    if record.trajectory is None:
        return record
    values_PL = record.trajectory["dead_fraction"] + np.float32(record.number)
    series = {**record.trajectory.series, GROWN.name: values_PL}
    return dataclasses.replace(record, trajectory=dataclasses.replace(record.trajectory, series=series))


def test_what_a_later_version_recorded_of_a_trial_is_kept(tmp_path):
    later = dataclasses.replace(make_record(0), others={"power_watts": 3.5, "notes": ["a", "b"]})
    (record,) = read_segment(write_segment(tmp_path, 0, [later]))
    assert_same(record, later)
    assert_same(read_segment(write_segment(tmp_path, 1, [record]))[0], later)


def test_files_of_other_names_are_no_segments(tmp_path):
    for name in ("segment-1.npz", ".segment-000001.partial", "corrupt-segment-000001-0123456789abcdef.npz"):
        (tmp_path / name).write_bytes(b"x")
    assert segment_paths(tmp_path) == []


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    """A file-size limit stands for the full disk: the write fails midway, as there."""
    pid = os.fork()
    if pid == 0:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_segment(tmp_path, 0, [make_record(0)])
        except StorageError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert list(tmp_path.iterdir()) == []
