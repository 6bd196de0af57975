"""What every adapter of a port must do: one contract class a port, one subclass an adapter."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import ClassVar
from uuid import uuid4

import numpy as np
import optuna
import pytest

from gradstab.execution.serial_executor import SerialExecutor
from gradstab.loop.ports import Executor, PackResult, Proposal, Searcher, TrialValue, Work
from gradstab.loop.trial import Trial, trial_seed
from gradstab.record.failure import Failure, FailureKind
from gradstab.record.statistics.registry import STATISTICS
from gradstab.search.history import ATTRIBUTE_PREFIX
from gradstab.search.searcher import OptunaSearcher
from gradstab.study.axes import Choice, Integer, LogInteger, LogReal, Real
from gradstab.study.data_spec import DataError
from gradstab.study.recipe import Recipe
from gradstab.study.sampler_spec import (
    AnySampler,
    BoundarySpec,
    CmaEsSpec,
    GpSpec,
    GridSpec,
    RandomSpec,
    SobolSpec,
    TpeSpec,
)
from gradstab.study.space import SearchSpace
from gradstab.system.storage_url import parse_storage
from tests.fakes_work import PlantedWork, PoisonousWork, RaisingWork, SleepingWork, StallingWork, SwitchingWork
from tests.problems import RATIO
from tests.search.storages import plain_storage, storage_url

RAISES, EXHAUSTS, POISONS, FAULTY, SLEEPS, STALLS, STEADY = range(901, 908)


def make_trials(*numbers: int) -> list[Trial]:
    recipes = {n: Recipe(depth=2 + n % 3, steps=4, init_scale=1.0 + 0.1 * (n % 7)) for n in numbers}
    return [Trial(n, {"depth": recipes[n].depth}, recipes[n], trial_seed(0, n)) for n in numbers]


def wait_for(executor: Executor, count: int = 1) -> list[PackResult]:
    """As many results as were submitted, or fewer after two minutes."""
    results: list[PackResult] = []
    end = time.monotonic() + 120
    while len(results) < count and time.monotonic() < end:
        results += executor.wait(1.0)
    return results


class ExecutorContract:
    """Every executor runs packs on slots and reports how they ended."""

    @staticmethod
    def make(work: Work) -> Executor:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls) -> Iterator[Executor]:
        faults: dict[int, Work] = {
            RAISES: RaisingWork(frozenset([RAISES]), ValueError("width must be even\n(second line)")),
            FAULTY: RaisingWork(frozenset([FAULTY]), DataError("data must be there")),
            EXHAUSTS: RaisingWork(frozenset([EXHAUSTS]), MemoryError("out of 3 GiB")),
            POISONS: PoisonousWork(frozenset([POISONS]), os.getpid()),
            SLEEPS: SleepingWork(0.5),
            STALLS: StallingWork(frozenset([STALLS]), steps=20),
            STEADY: StallingWork(frozenset([STALLS]), steps=60),
        }
        executor = cls.make(SwitchingWork(faults))
        yield executor
        executor.submit(make_trials(1))
        executor.close()  # with a pack in flight
        executor.close()  # and twice

    def test_slots_are_idle_at_first_and_have_names_of_their_own(self, executor: Executor) -> None:
        assert executor.idle() == len(executor.slots) > 0
        assert len({slot.name for slot in executor.slots}) == len(executor.slots)

    def test_a_pack_comes_back_with_one_trajectory_a_trial_in_order(self, executor: Executor) -> None:
        trials = make_trials(5, 3, 8)
        before_ms = time.time_ns() // 10**6
        executor.submit(trials)
        (result,) = wait_for(executor)
        assert result.trials == tuple(trials)
        assert result.failure is None
        assert result.slot in executor.slots
        assert before_ms <= result.started_ms <= result.finished_ms <= time.time_ns() // 10**6
        expected = PlantedWork().run(trials, result.slot)
        assert result.outcomes is not None
        assert [t.depth for t in result.outcomes] == [4, 2, 4]
        for found, wanted in zip(result.outcomes, expected, strict=True):
            for statistic in STATISTICS.values():
                np.testing.assert_array_equal(found[statistic.name], wanted[statistic.name])

    def test_a_pack_takes_a_slot_until_it_ends_and_no_pack_is_taken_without_one(self, executor: Executor) -> None:
        num_slots = len(executor.slots)
        for number in range(num_slots):
            executor.submit(make_trials(number))
        assert executor.idle() == 0
        with pytest.raises(RuntimeError, match="all slots are taken"):
            executor.submit(make_trials(99))
        results = wait_for(executor, num_slots)
        assert sorted(r.trials[0].number for r in results) == list(range(num_slots))
        assert executor.idle() == num_slots

    def test_an_exception_of_the_work_is_a_failure_with_its_type_and_message(self, executor: Executor) -> None:
        executor.submit(make_trials(1, RAISES))
        (result,) = wait_for(executor)
        assert str(result.failure) == "ValueError: width must be even"
        assert result.outcomes is None
        assert [t.number for t in result.trials] == [1, RAISES]
        assert executor.idle() == len(executor.slots)

    def test_what_a_person_must_mend_is_raised_and_costs_no_slot(self, executor: Executor) -> None:
        executor.submit(make_trials(FAULTY))
        with pytest.raises(DataError, match="data must be there"):
            wait_for(executor)
        assert executor.idle() == len(executor.slots)

    def test_exhausted_memory_is_told_apart(self, executor: Executor) -> None:
        executor.submit(make_trials(EXHAUSTS))
        (result,) = wait_for(executor)
        assert result.failure == Failure(FailureKind.OUT_OF_MEMORY, "out of 3 GiB")

    def test_the_share_of_a_pack_grows_while_it_runs(self, executor: Executor) -> None:
        executor.submit(make_trials(SLEEPS, *range(9)))
        seen: list[float] = []
        results: list[PackResult] = []
        while not results:
            results = executor.wait(0.2)
            assert set(executor.shares()) <= {slot.name for slot in executor.slots}
            seen += executor.shares().values()
        assert seen == sorted(seen)
        assert len({share for share in seen if 0 < share < 1}) >= 3
        assert executor.shares() == {}
        assert results[0].given_back == ()

    def test_a_drained_pack_keeps_what_is_complete_and_gives_the_rest_back(self, executor: Executor) -> None:
        trials = make_trials(SLEEPS, *range(9))
        executor.submit(trials)
        results: list[PackResult] = []
        while not any(share > 0.3 for share in executor.shares().values()):
            assert executor.wait(0.2) == []
        executor.drain(0.0)
        results = wait_for(executor)
        (result,) = results
        assert result.failure is None
        assert len(result.trials) >= 3
        assert len(result.given_back) >= 2
        assert [*result.trials, *result.given_back] == trials
        assert result.outcomes is not None
        expected = PlantedWork().run(result.trials, result.slot)
        for found, wanted in zip(result.outcomes, expected, strict=True):
            np.testing.assert_array_equal(found["loss"], wanted["loss"])
        assert executor.idle() == len(executor.slots)
        executor.submit(make_trials(1, 2))  # and the slot serves again
        assert wait_for(executor)[0].given_back == ()

    def test_a_drained_pack_ends_if_there_is_time(self, executor: Executor) -> None:
        executor.submit(make_trials(SLEEPS, 1, 2))
        executor.drain(600.0)
        (result,) = wait_for(executor)
        assert [t.number for t in result.trials] == [SLEEPS, 1, 2]
        assert result.given_back == ()

    def test_a_pack_that_has_not_begun_in_time_is_given_back_whole(self, executor: Executor) -> None:
        executor.submit(make_trials(SLEEPS, 1, 2))
        executor.drain(0.0)
        (result,) = wait_for(executor)
        assert (result.trials, result.outcomes, result.failure) == ((), [], None)
        assert [t.number for t in result.given_back] == [SLEEPS, 1, 2]

    def test_waiting_for_nothing_returns_at_once(self, executor: Executor) -> None:
        assert executor.wait(3600.0) == [], "one that sleeps its hour meets the test's own time limit"


class TestSerialExecutor(ExecutorContract):
    @staticmethod
    def make(work: Work) -> Executor:
        return SerialExecutor(work)

    def test_a_ctrl_c_is_no_failure_of_the_work(self) -> None:
        class Interrupted:
            def run(self, trials: object, slot: object) -> list[object]:
                raise KeyboardInterrupt

        executor = SerialExecutor(Interrupted())  # type: ignore[arg-type]
        executor.submit(make_trials(1))
        with pytest.raises(KeyboardInterrupt):
            executor.wait(1.0)
        assert executor.idle() == 1


@pytest.mark.xdist_group("ray")
class TestRayExecutor(ExecutorContract):
    @staticmethod
    def make(work: Work) -> Executor:
        from gradstab.execution.ray_executor import RayExecutor

        return RayExecutor(work, 2)

    def test_a_lost_worker_is_reported_and_its_slot_serves_again(self, executor: Executor) -> None:
        slots = list(executor.slots)
        for _ in range(3):
            executor.submit(make_trials(POISONS, 1))
            executor.submit(make_trials(2))
            lost, sound = sorted(wait_for(executor, 2), key=lambda r: r.failure is None)
            assert lost.failure is not None
            assert lost.failure.kind is FailureKind.WORKER_LOST
            assert [t.number for t in lost.trials] == [POISONS, 1]
            assert sound.failure is None
            assert executor.idle() == 2
        assert list(executor.slots) == slots
        executor.submit(make_trials(1))
        executor.submit(make_trials(2))
        assert [r.failure for r in wait_for(executor, 2)] == [None, None]

    def test_a_pack_hangs_when_it_does_no_step_and_not_when_it_takes_long(self, executor: Executor) -> None:
        executor.submit(make_trials(STALLS), seconds=600.0, step_seconds=3.0)
        executor.submit(make_trials(STEADY), seconds=600.0, step_seconds=3.0)  # it takes six
        results = {result.trials[0].number: result for result in wait_for(executor, 2)}
        assert results[STEADY].failure is None
        failure = results[STALLS].failure
        assert failure is not None
        assert failure.kind is FailureKind.HUNG
        assert failure.detail.startswith("no step within ")
        deadline = time.monotonic() + 120
        while executor.idle() < 2:
            assert time.monotonic() < deadline
            executor.wait(0.1)


MIXED = SearchSpace(
    {
        "depth": LogInteger(2, 50),
        "init_scale": LogReal(0.5, 4.0),
        "clip": Choice((False, True)),
        "clip_threshold": LogReal(0.01, 10.0),
        "activation": Choice(("relu", "tanh", "gelu")),
        "momentum": Real(0.0, 0.9),
    }
)
NUMERIC = SearchSpace({"depth": Integer(2, 50), "init_scale": LogReal(0.5, 4.0), "momentum": Real(0.0, 0.9)})
ADAPTIVE = (TpeSpec(), GpSpec(), CmaEsSpec(), BoundarySpec())
ENUMERATED = (RandomSpec(), SobolSpec(), GridSpec(default_levels=5))
every_sampler = pytest.mark.parametrize("spec", [*ENUMERATED, *ADAPTIVE], ids=lambda spec: spec.type)
# proposals of Optuna's GP after its start-up take a second each: they are asked for on the journal alone
quick_sampler = pytest.mark.parametrize(
    "spec", [s for s in (*ENUMERATED, *ADAPTIVE) if not isinstance(s, GpSpec)], ids=lambda spec: spec.type
)


def space_for(spec: AnySampler) -> SearchSpace:
    return NUMERIC if isinstance(spec, CmaEsSpec | GpSpec) else MIXED


def ratio_at(proposal: Proposal) -> float:
    """A planted region around init_scale 1.4, narrower for deeper networks."""
    scale, depth = float(proposal.point["init_scale"]), float(proposal.point["depth"])
    return math.log(scale / 1.4) * depth / 10.0


def telling_of(proposal: Proposal) -> TrialValue:
    ratio = ratio_at(proposal)
    return TrialValue(proposal.number, 1.0 - abs(ratio), {"R": ratio})


class Bench:
    """Studies of a test on one storage, with names of their own; all connections are closed in the end.

    A study has one driver: its searcher is closed when another one is made for it.
    """

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._url = url
        self._stack = stack
        self._prefix = uuid4().hex
        self._open: dict[str, Searcher] = {}

    def searcher(
        self, spec: AnySampler, study: str = "", *, replicates: int = 1, error: float | None = None
    ) -> Searcher:
        name, space = self._prefix + study, space_for(spec)
        if name in self._open:
            self._open[name].close()
        searcher = OptunaSearcher(
            parse_storage(self._url),
            name,
            space,
            spec,
            study_seed=11,
            replicates=replicates,
            bands=(RATIO,),
            error=error,
        )
        self._open[name] = searcher
        self._stack.callback(searcher.close)
        return searcher

    def optuna_study(self) -> optuna.Study:
        """The study as any program using Optuna sees it."""
        return optuna.load_study(study_name=self._prefix, storage=self._stack.enter_context(plain_storage(self._url)))


class SearcherContract:
    """Every storage, under every sampler, hands out numbered points and keeps what it is told."""

    kind: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def url(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        with storage_url(cls.kind, tmp_path_factory.mktemp(cls.kind)) as url:
            yield url

    @pytest.fixture
    def bench(self, url: str) -> Iterator[Bench]:
        with ExitStack() as stack:
            yield Bench(url, stack)

    @every_sampler
    def test_what_is_asked_runs_and_what_is_told_is_told(self, bench: Bench, spec: AnySampler) -> None:
        searcher = bench.searcher(spec)
        asked = searcher.ask(3)
        assert [p.number for p in asked] == [0, 1, 2]
        assert all(list(p.point) == list(space_for(spec).names()) for p in asked)
        searcher.tell(TrialValue(0, 0.25, {"R": -1.5, "verdict": "vanishing"}))
        searcher.tell_failure(2, "worker lost: three times")
        reopened = bench.searcher(spec)
        state = reopened.state()
        assert state.told == {0}
        assert state.failed == {2}
        assert state.running == (asked[1],)
        assert [reopened.proposal(n) for n in range(3)] == asked

    @every_sampler
    def test_asking_without_telling_goes_on_counting_and_spreads(self, bench: Bench, spec: AnySampler) -> None:
        count = 64 if self.kind == "journal" else 16
        searcher = bench.searcher(spec)
        proposals = [*searcher.ask(count - 5), *searcher.ask(5)]
        assert [p.number for p in proposals] == list(range(count))
        assert len({tuple(p.point.items()) for p in proposals}) == count

    @quick_sampler
    def test_a_study_reopened_goes_on_as_one_that_never_stopped(self, bench: Bench, spec: AnySampler) -> None:
        through, stopped = bench.searcher(spec), bench.searcher(spec, "-stopped")
        for searcher in (through, stopped):
            for proposal in searcher.ask(12):
                searcher.tell(telling_of(proposal))
        stopped = bench.searcher(spec, "-stopped")
        assert stopped.state().told == set(range(12))
        assert stopped.ask(3) == through.ask(3)

    @pytest.mark.parametrize("spec", [SobolSpec(), BoundarySpec()], ids=lambda spec: spec.type)
    def test_a_certificate_follows_from_what_storage_was_told(self, bench: Bench, spec: AnySampler) -> None:
        assert bench.searcher(spec, "-none").certificate() is None
        searcher = bench.searcher(spec, error=0.49)  # reached at once, so that every trial is an audit
        first = searcher.certificate()
        assert first is not None
        assert (first.certified, first.error, first.num_trials) == (False, 0.49, 0)
        for _ in range(3):
            for proposal in searcher.ask(16):
                searcher.tell(telling_of(proposal))
        certificate = searcher.certificate()
        assert certificate is not None
        assert certificate.num_trials == 48
        assert certificate.misclassified_volume < 0.49
        assert bench.searcher(spec, error=0.49).certificate() == certificate
        forecasts = [trial.user_attrs.get(ATTRIBUTE_PREFIX + "p_region") for trial in bench.optuna_study().trials]
        frozen = [forecast for forecast in forecasts if forecast is not None]
        assert len(frozen) > 10
        assert all(0 <= forecast <= 1 for forecast in frozen)

    @every_sampler
    def test_replicates_share_a_point(self, bench: Bench, spec: AnySampler) -> None:
        searcher = bench.searcher(spec, replicates=3)
        points = [p.point for p in [*searcher.ask(4), *searcher.ask(5)]]
        assert points[0] == points[1] == points[2]
        assert points[3] == points[4] == points[5]
        assert points[6] == points[7] == points[8]
        assert points[0] != points[3] != points[6]

    @every_sampler
    def test_a_trial_cut_off_before_its_parameters_gets_them(self, bench: Bench, spec: AnySampler) -> None:
        undisturbed = bench.searcher(spec, "-undisturbed").ask(3)
        searcher = bench.searcher(spec)
        searcher.ask(1)
        bare = bench.optuna_study()
        bare.ask()  # what a kill between creating a trial and writing its parameters leaves
        half = bare.ask()
        half.suggest_float("init_scale", 0.5, 4.0, log=True)
        state = bench.searcher(spec).state()
        assert [p.number for p in state.running] == [0, 1, 2]
        assert all(list(p.point) == list(space_for(spec).names()) for p in state.running)
        assert state.running[2].point["init_scale"] == half.params["init_scale"]
        if spec.is_design:
            assert state.running[1] == undisturbed[1]
            rest = {k: v for k, v in state.running[2].point.items() if k != "init_scale"}
            assert rest.items() <= undisturbed[2].point.items()
        assert bench.searcher(spec).state() == state

    def test_a_point_that_a_person_enqueued_is_tried_as_given(self, bench: Bench) -> None:
        searcher = bench.searcher(SobolSpec())
        searcher.ask(1)
        study = bench.optuna_study()
        study.enqueue_trial({"init_scale": 1.75, "activation": "gelu"})
        (asked,) = searcher.ask(1)
        assert asked.number == 2
        _, enqueued, _ = bench.searcher(SobolSpec()).state().running
        assert enqueued.number == 1
        assert (enqueued.point["init_scale"], enqueued.point["activation"]) == (1.75, "gelu")
        assert len(enqueued.point) == len(MIXED)

    def test_a_trial_that_fits_no_axis_fails_and_stops_nobody(self, bench: Bench) -> None:
        searcher = bench.searcher(SobolSpec())
        searcher.ask(1)
        study = bench.optuna_study()
        study.enqueue_trial({"activation": "no such activation"})
        state = bench.searcher(SobolSpec()).state()
        assert state.failed == {1}
        assert [p.number for p in state.running] == [0]

    @every_sampler
    def test_what_storage_lost_is_created_again_under_its_numbers(self, bench: Bench, spec: AnySampler) -> None:
        full = bench.searcher(spec, "-full", replicates=2).ask(6)
        searcher = bench.searcher(spec, replicates=2)
        searcher.ask(1)
        searcher.restore({p.number: p.point for p in full if p.number != 3}, {})
        state = searcher.state()
        assert [p.number for p in state.running] == [0, 1, 2, 3, 4, 5]
        assert {p.number: p for p in state.running if p.number not in (0, 3)} == {
            p.number: p for p in full if p.number not in (0, 3)
        }
        assert state.running[3].point == full[3].point  # a replicate's is known, whatever the sampler
        searcher.restore({p.number: p.point for p in full}, {})
        assert searcher.state() == state
        assert [p.number for p in searcher.ask(1)] == [6]

    def test_a_failed_trial_is_tried_again_under_a_new_number_once(self, bench: Bench) -> None:
        undisturbed = bench.searcher(SobolSpec(), "-undisturbed").ask(4)
        searcher = bench.searcher(SobolSpec())
        asked = searcher.ask(3)
        searcher.tell_failure(1, "oom")
        again = [Proposal(3, asked[1].point, retry_of=1)]
        assert searcher.ask_again([1]) == again
        assert searcher.ask_again([1]) == again
        assert searcher.state().retries == {3: 1}
        reopened = bench.searcher(SobolSpec())
        assert reopened.state().running == (asked[0], asked[2], *again)
        assert reopened.ask(1)[0].point == undisturbed[3].point  # a retry takes no point of the design
        reopened.restore({5: asked[1].point}, {5: 1})
        assert bench.searcher(SobolSpec()).state().retries == {3: 1, 5: 1}

    def test_telling_again_changes_nothing(self, bench: Bench) -> None:
        searcher = bench.searcher(SobolSpec())
        searcher.ask(2)
        searcher.tell(TrialValue(0, 0.5, {"R": 0.1}))
        searcher.tell_failure(1, "a bug")
        searcher.tell(TrialValue(0, -9.0, {"R": 9.0}))
        searcher.tell(TrialValue(1, -9.0, {"R": 9.0}))
        searcher.tell_failure(0, "too late")
        study = bench.optuna_study()
        first, second = study.trials
        assert first.value == 0.5
        assert first.user_attrs == {ATTRIBUTE_PREFIX + "R": 0.1}
        assert second.state == optuna.trial.TrialState.FAIL
        assert second.user_attrs == {ATTRIBUTE_PREFIX + "failure": "a bug"}

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_a_number_that_is_not_finite_is_refused_and_the_trial_goes_on(self, bench: Bench, bad: float) -> None:
        searcher = bench.searcher(SobolSpec())
        asked = searcher.ask(1)
        with pytest.raises(ValueError, match="margin of trial 0 must be finite"):
            searcher.tell(TrialValue(0, bad))
        with pytest.raises(ValueError, match="R of trial 0 must be finite"):
            searcher.tell(TrialValue(0, 0.0, {"R": bad}))
        assert searcher.state().running == tuple(asked)

    def test_it_is_a_study_that_optuna_itself_opens(self, bench: Bench) -> None:
        searcher = bench.searcher(SobolSpec())
        for proposal in searcher.ask(8):
            searcher.tell(TrialValue(proposal.number, 1.0 - abs(ratio_at(proposal)), {"R": 0.5, "verdict": "stable"}))
        study = bench.optuna_study()
        assert study.direction == optuna.study.StudyDirection.MAXIMIZE
        assert study.metric_names == ["margin"], "plots and optuna-dashboard name the value"
        assert study.best_value == max(1.0 - abs(ratio_at(searcher.proposal(n))) for n in range(8))
        frame = study.trials_dataframe()
        assert frame["value_margin"].max() == study.best_value
        assert list(frame["params_depth"]) == [searcher.proposal(n).point["depth"] for n in range(8)]
        assert set(frame[f"user_attrs_{ATTRIBUTE_PREFIX}verdict"]) == {"stable"}
        assert set(optuna.importance.get_param_importances(study)) == set(MIXED.names())


class TestJournalSearcher(SearcherContract):
    kind = "journal"

    @pytest.mark.parametrize("spec", ADAPTIVE, ids=lambda spec: spec.type)
    def test_a_batch_of_an_adaptive_sampler_repeats_no_point(self, bench: Bench, spec: AnySampler) -> None:
        searcher = bench.searcher(spec)
        for proposal in searcher.ask(12):
            searcher.tell(telling_of(proposal))
        batch = searcher.ask(3)
        assert len({tuple(p.point.items()) for p in batch}) == 3

    def test_a_gp_reopened_goes_on_as_one_that_never_stopped(self, bench: Bench) -> None:
        through, stopped = bench.searcher(GpSpec()), bench.searcher(GpSpec(), "-stopped")
        for searcher in (through, stopped):
            for proposal in searcher.ask(12):
                searcher.tell(telling_of(proposal))
        assert bench.searcher(GpSpec(), "-stopped").ask(1) == through.ask(1)


class TestSqliteSearcher(SearcherContract):
    kind = "sqlite"


class TestPostgresqlSearcher(SearcherContract):
    kind = "postgresql"
