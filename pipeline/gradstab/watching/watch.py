"""`gradstab.watch`: eyes on a training loop of the user's own."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, get_args

from torch import nn
from torch.optim import Optimizer

from gradstab.errors import UsageError
from gradstab.probing.copies import bare_module
from gradstab.probing.refusals import one_line
from gradstab.record.trajectory import Trajectory
from gradstab.stability.judgement import Judgement
from gradstab.tracking.watched_run import destination
from gradstab.watching.copies import modes_of
from gradstab.watching.processes import is_first, refuse_sharded
from gradstab.watching.readings import Readings
from gradstab.watching.run_log import RunLog
from gradstab.watching.side_batch import Dtype, SideBatch
from gradstab.watching.steps import StepHooks
from gradstab.watching.words import cost, headline

_UNREAD = {True: "nothing was read yet", False: "the process of rank 0 reads"}
_MOST_FAILURES = 3  # in a row, after which nothing more is read


def watch(
    model: nn.Module,
    inputs: Any,
    targets: Any,
    loss: Callable[[Any, Any], Any],
    *,
    every: int = 100,
    run: str | None = None,
    taps: str | Sequence[str] = (),
    dtype: Dtype = "float64",
    reference_loss: float | None = None,
    target_loss: float | None = None,
) -> Eyes:
    """Read a model along the user's own training loop, as the trials of a study are read.

    As a context manager it counts the steps of all torch optimizers that hold the model's weights, and reads before
    the first step, then every `every` steps, then at the end. `read(step)` reads by hand. Readings are taken on a copy:
    weights, gradients, buffers, modes, random numbers and MLflow's active run go on as without a watch.

    Args:
        model: the module that is trained, also wrapped in `torch.compile` or DistributedDataParallel (where the
            process of rank 0 reads, and the others do nothing).
        inputs, targets: a side batch on which it is read; as `gradstab.probe` takes them.
        loss: of (outputs, targets), one number or one a sample.
        every: optimizer steps between two readings.
        run: name of an MLflow run that is made for the readings, under the active one if there is one. Without it they
            go into the active run, and nowhere where there is none.
        taps: names of modules to compare instead of those that are found, as "blocks.*".
        dtype: "float64" reads a copy in float64, which holds the gradients of the deepest networks; "own" reads one in
            the types of the weights: half the time on a CPU, and less memory.
        reference_loss: loss of the best constant prediction; fitted on the side batch for cross-entropy and squared
            error. Where it is unknown, the verdict is that of the gradients alone.
        target_loss: loss that counts as trained; half the reference loss if left out.

    Raises:
        UsageError: the model cannot be read; one sentence says why and what to do. After the start nothing is raised:
            what goes wrong then is a warning, and the training goes on.
    """
    if every < 1:
        raise UsageError(f"watch: every must be a number of steps from 1 on, got {every!r}")
    if dtype not in get_args(Dtype):
        raise UsageError(f'watch: dtype must be "float64" or "own", got {dtype!r}')
    refuse_sharded(model)
    names = [taps] if isinstance(taps, str) else list(taps)
    side = SideBatch(model, inputs, targets, loss, names, dtype) if is_first() else None
    return Eyes(model, side, every, run, reference_loss, target_loss)


class Eyes:
    """One watch: of one model, along one training. `watch` makes it.

    Attributes:
        notes: what the reader must know, a sentence each.
    """

    def __init__(
        self,
        model: nn.Module,
        side: SideBatch | None,
        every: int,
        run: str | None,
        reference_loss: float | None,
        target_loss: float | None,
    ) -> None:
        self._model: nn.Module | None = model
        self._side, self._every, self._run_name = side, every, run
        self.notes: list[str] = []
        self._readings: Readings | None = None
        if side is not None:
            self.notes = side.notes
            reference = side.reference if reference_loss is None else reference_loss
            self._readings = Readings(side.taps, reference, target_loss)
        self._title = type(bare_module(model)).__name__
        self._steps = StepHooks(model.parameters(), self._before_step, self._after_step)
        self._log: RunLog | None = None
        self._log_opened = self._entered = False
        self._modes: dict[str, bool] | None = None  # of the model's parts when a step of the loop was read
        self._failures = 0
        self._began = self._seconds_read = 0.0

    def __enter__(self) -> Eyes:
        if self._entered or self._model is None:
            raise UsageError(
                "watch: a watch sees one training, and this one was used already: call gradstab.watch again"
            )
        self._entered = True
        if self._side is not None:
            self._open_log()
            self._steps.attach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._steps.detach()
        if kind is None and self._side is not None:
            if self._steps.done > self._last_step or not self._has_readings:
                self._read(self._steps.done, self._modes)
            if self._steps.done == 0 and self._last_step == 0:
                self._tell(
                    "no optimizer of torch.optim that holds the model's weights made a step: call eyes.read(step) in "
                    "the loop"
                )
        self._end("FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED")

    @property
    def reads(self) -> bool:
        """Whether this process reads; of a training of several processes, that of rank 0 does."""
        return self._side is not None

    @property
    def trajectory(self) -> Trajectory:
        """What was read so far, as of a trial of a study.

        Raises:
            UsageError: nothing was read yet, or another process reads.
        """
        if self._readings is None or not self._has_readings:
            raise UsageError(f"watch: {_UNREAD[self.reads]}, so there is no trajectory")
        return self._readings.trajectory()

    @property
    def judgement(self) -> Judgement:
        """Phase, outcome and verdict of what was read so far.

        Raises:
            UsageError: nothing was read yet, or another process reads.
        """
        trajectory = self.trajectory
        assert self._readings is not None
        return self._readings.judgement(trajectory)

    @property
    def run_id(self) -> str | None:
        """Id of the MLflow run that holds the readings; None where there is none."""
        return None if self._log is None else self._log.run_id

    def read(self, step: int | None = None) -> None:
        """Read the model now, as it is after `step` optimizer steps; by default as many as were counted."""
        if self._model is None:
            self._tell("the watch has ended, so nothing is read any more")
            return
        if self._side is None:
            return
        step = self._steps.done if step is None else step
        self._open_log()
        if step < self._last_step or step < 0:
            self._tell(f"steps must not fall, and step {step} came after {self._last_step}: it was not read")
        elif step > self._last_step:
            self._read(step, None)

    def close(self) -> None:
        """End a watch that reads by hand: send the last to MLflow. At the end of a `with` block it is done."""
        self._steps.detach()
        self._end("FINISHED")

    def __str__(self) -> str:
        if not self._has_readings:
            return _UNREAD[self.reads]
        return "\n".join([headline(self.trajectory, self.judgement), *(f"  {sentence}" for sentence in self.notes)])

    @property
    def _has_readings(self) -> bool:
        return bool(self._readings and self._readings.readings)

    @property
    def _last_step(self) -> int:
        return -1 if self._readings is None else self._readings.last_step

    def _before_step(self, done: int) -> None:
        """The hook before an optimizer step."""
        if done % self._every == 0 and done > self._last_step and self._model is not None:
            self._began = self._began or time.perf_counter()
            self._modes = modes_of(bare_module(self._model))
            self._read(done, None, keep=True)

    def _after_step(self, optimizer: Optimizer) -> None:
        """The hook after an optimizer step."""
        if self._side is None or self._readings is None or not self._side.waits_for_step:
            return
        with self._guarded():
            self._readings.add_update(self._side.update(self._model_now, optimizer))

    @property
    def _model_now(self) -> nn.Module:
        assert self._model is not None
        return self._model

    def _read(self, step: int, modes: dict[str, bool] | None, *, keep: bool = False) -> None:
        """Take a reading, which never raises; `keep` what is needed to measure the step that follows."""
        if self._side is None or self._readings is None or self._failures >= _MOST_FAILURES:
            return
        with self._guarded():
            reading = self._side.read(self._model_now, step, modes)
            self._readings.taps = self._side.taps
            self._readings.add(reading)
            if not keep:
                self._side.forget_step()
            self._failures = 0
            if self._log is not None:
                self._log.add(self._readings)
                self._tell(self._log.problem())

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Whatever fails inside is a warning, because the training must go on."""
        began = time.perf_counter()
        try:
            yield
        except Exception as error:
            self._failures += 1
            more = ", so nothing more is read" if self._failures == _MOST_FAILURES else ""
            sentence = str(error) if isinstance(error, UsageError) else one_line(error)
            self._tell(f"a reading failed{more}: {sentence.removeprefix('probe: ')}")
        finally:
            self._seconds_read += time.perf_counter() - began

    def _open_log(self) -> None:
        """Find out where readings are logged, once.

        Raises:
            UsageError: another open watch writes into the same run.
        """
        if self._log_opened or self._side is None:
            return
        self._log_opened = True
        try:
            to = destination(self._run_name)
        except Exception as error:  # of MLflow, which may be set up wrongly
            self._tell(f"readings are not logged: {one_line(error)}")
            return
        if to is None:
            return
        settings = {
            "every": str(self._every), "samples": str(self._side.num_samples), "dtype": self._side.dtype,
            "model": self._title,
        }  # fmt: skip
        log = RunLog(to, self._title, self._side.taps, settings)
        problem = log.open()
        if problem is not None:
            self._tell(f"{problem}; readings are kept in eyes.trajectory")
        self._log = log

    def _end(self, status: str) -> None:
        """Send the last to MLflow and let go of the model; doing it again changes nothing."""
        if self._model is None:
            return
        if self._began and self._has_readings:
            self.notes.append(cost(self._seconds_read, time.perf_counter() - self._began))
        if self._side is not None:
            self._side.forget_step()
        if self._log is not None:
            try:
                judged = (self.trajectory, self.judgement) if self._has_readings else None
                self._tell(self._log.close(judged, self.notes, status))
            except Exception as error:
                self._tell(f"readings could not be logged: {one_line(error)}")
        self._model = None

    def _tell(self, sentence: str | None) -> None:
        """A warning, which is no exception even where the user makes warnings errors."""
        if sentence is not None:
            self.notes.append(sentence)
            with contextlib.suppress(Warning):
                warnings.warn(f"gradstab.watch: {sentence.removeprefix('watch: ')}", stacklevel=3)
