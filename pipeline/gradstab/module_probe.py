"""`gradstab.probe`: why do the gradients of *my* `torch.nn.Module` vanish or explode?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradstab.probing.profiles import Series, Verdict
from gradstab.probing.wording import headline, headroom, text
from gradstab.study.criterion import Criterion, Phase

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from torch import nn

    from gradstab.record.trajectory import FloatArray


@dataclass(frozen=True)
class Probe:
    """The gradients of one module on one batch, before any step and any clipping.

    Attributes:
        series: the series that are judged, the headline first; a network of two stacks has one for each.
        kinds: a series for each kind of layer, as all query projections; layers inside blocks pass a part of the
            gradient, so their series are shown and never judged.
        untapped: patterns of names of layers that are in no judged series, each with the reason.
        notes: what the reader must know, a sentence each.
        loss: mean of the samples' own losses.
        ratio_band: R0 in decades; stable is -R0 <= R <= R0.
    """

    series: tuple[Series, ...]
    kinds: tuple[Series, ...]
    untapped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    loss: float
    ratio_band: float

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the headline's positions, in the order in which they ran."""
        return self.series[0].taps

    @property
    def log10_delta_norm_L(self) -> FloatArray:  # noqa: N802  an array's name carries its axes
        """log10 of the root mean square over samples of the gradient norm at each position of the headline."""
        return self.series[0].log10_delta_norm_L

    @property
    def gradient_ratio(self) -> float:
        """R of the headline: decades from the first position to the last; negative vanishes, positive explodes."""
        return self.series[0].gradient_ratio

    @property
    def rate(self) -> float | None:
        """lambda of the headline, per position toward the input over the last half; None below four positions."""
        return self.series[0].rate

    @property
    def phase(self) -> Phase | None:
        """Phase of R; None where the user's taps pass a part of the gradient only."""
        return self.series[0].phase

    @property
    def verdict(self) -> Verdict | None:
        """The phase, or "undecided" where the interval of R crosses an edge of the band."""
        return self.series[0].verdict

    @property
    def flag(self) -> str:
        """ "underflow" or "overflow" where R is a clamp, else ""."""
        return self.series[0].flag

    @property
    def headroom(self) -> str:
        """One sentence: at how many positions float16 and bfloat16 lose the gradient."""
        return headroom(self.series[0])

    def headline(self) -> str:
        """The verdict in a line."""
        return headline(self.series[0])

    def figure(self, path: str | Path | None = None) -> Figure:
        """The profile as a matplotlib figure, which notebooks draw; also written to a file if a path is given."""
        from gradstab.figures.probe_figure import probe_figure

        figure = probe_figure(self.series, self.kinds, self.headline(), self.ratio_band)
        if path is not None:
            figure.savefig(path)
        return figure

    def to_frame(self) -> pd.DataFrame:
        """One row a position of every series: series, axis, judged, position, tap, whole, log10 norm and maximum.

        Also dead_fraction and saturated_fraction of the activation that takes or returns the position, NaN where there
        is none.
        """
        from gradstab.results.probe_frame import probe_frame

        return probe_frame([*self.series, *self.kinds])

    def __str__(self) -> str:
        return text(self.series, self.kinds, self.untapped, (*self.notes, self.headroom))

    def _repr_html_(self) -> str:
        from gradstab.figures.probe_html import probe_html
        from gradstab.figures.scaffold import png_bytes

        notes = (*self.notes, self.headroom)
        return probe_html(self.series, self.kinds, self.untapped, notes, png_bytes(self.figure()))


def probe(
    module: nn.Module,
    inputs: Any,
    targets: Any,
    loss: Callable[[Any, Any], Any],
    *,
    taps: str | Sequence[str] = (),
) -> Probe:
    """Measure the gradients of a module on one batch along depth, or along time, before any step and any clipping.

    R compares the gradient at two places that every path of the backward pass crosses: time steps of a recurrent
    layer, else the layers of a plain chain, else the outputs or the inputs of the blocks of a residual stream.

    Args:
        module: any `torch.nn.Module`, in the mode in which it is trained. It is copied; module, mode, buffers,
            gradients and all random generators stay as they were.
        inputs: a tuple is positional arguments, a dict keyword arguments of `forward`, anything else one argument.
        targets: what the loss takes beside the outputs; None where it takes nothing.
        loss: of (outputs, targets): one number (a mean, a sum, a weighted mean over samples) or one a sample.
            Losses that the module computes itself are taken from its outputs: `lambda outputs, _: outputs.loss`.
        taps: names of modules to compare instead, as "blocks.*"; * stands for one part of a name, ** for many.

    Raises:
        UsageError: it cannot be measured; one sentence says why and what to do.
    """
    from gradstab.probing.measurement import measure

    band = Criterion().ratio_band
    named = list(taps) if isinstance(taps, Iterable) and not isinstance(taps, str) else [taps]
    found = measure(module, inputs, targets, loss, named, band)
    return Probe(found.series, found.kinds, found.untapped, found.notes, found.loss, band)
