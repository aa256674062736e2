"""The answer of `keras_gdx.explain`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_gdx.arguments import check, needs_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Explanation:
    """How much each input contributes to an output.

    Attributes:
        method: How it was found.
        values: The contributions: an array of the shape of the inputs, for `"permutation"` one
            number per feature.
        spread: For `"permutation"`, the standard deviation over its repetitions.
        output: The explained output of each example; for `"permutation"` the loss, once.
        reference: The same for the baseline.
        inputs: What was explained.
    """

    method: str
    values: Array
    output: Array
    reference: Array
    inputs: Array
    spread: Array | None = None

    def __repr__(self) -> str:
        return f"<Explanation by {self.method}: values of shape {self.values.shape}>"

    @property
    def is_overall(self) -> bool:
        """Whether it tells of the model, and not of single examples."""
        return self.method == "permutation"

    @property
    def missing(self) -> Array:
        """The part of `output - reference` that the contributions of an example do not add up to.

        With integrated gradients it is the error of the numerical integration: completeness says
        that it is 0.
        """
        axes = tuple(range(1, self.values.ndim))
        return (self.output - self.reference) - self.values.sum(axis=axes)

    def plot(self, example: int = 0, names: Sequence[str] | None = None) -> Figure:
        """Draws an example's image beside its contributions, or bars.

        Args:
            example: The index of the example.
            names: The names of the features.

        Returns:
            A `matplotlib.figure.Figure`, which a notebook shows.

        Raises:
            ValueError: If the names are not as many as the features.
            ImportError: If matplotlib is missing; install `keras_gdx[report]`.
        """
        needs_matplotlib("Explanation.plot")
        from keras_gdx.figures import Picture

        overall = self.is_overall
        values = self.values if overall else self.values[example]
        if values.ndim > 1 and min(values.shape[:2]) > 1:
            figure = Picture(6.5, 3)
            self._draw_image(figure, values, self.inputs[example])
            return figure
        values = values.ravel()
        names = [f"feature {i}" for i in range(len(values))] if names is None else list(names)
        check(len(names) == len(values), "names", names, f"{len(values)} names")
        shown = np.argsort(-np.abs(values))[:20][::-1]
        figure = Picture(6.5, 0.8 + 0.28 * len(shown))
        axes = figure.subplots()
        colors = ["tab:blue" if values[i] > 0 else "tab:red" for i in shown]
        spread = None if self.spread is None else self.spread[shown]
        axes.barh([names[i] for i in shown], values[shown], color=colors, xerr=spread)
        axes.axvline(0, color="black", linewidth=0.8)
        increase = "increase of the loss when the feature is permuted"
        axes.set_xlabel(increase if overall else "contribution to the output")
        return figure

    def _draw_image(self, figure: Any, values: Array, image: Array) -> None:
        left, right = figure.subplots(1, 2)
        shown = image if image.ndim == 2 or image.shape[-1] == 3 else image.mean(axis=-1)
        low, high = float(shown.min()), float(shown.max())
        left.imshow((shown - low) / ((high - low) or 1), cmap="gray")
        left.set_title("input")
        total = values.sum(axis=-1) if values.ndim == 3 else values
        limit = float(np.abs(total).max()) or 1.0
        drawn = right.imshow(total, cmap="RdBu", vmin=-limit, vmax=limit)
        right.set_title("contribution to the output")
        figure.colorbar(drawn, ax=right)
        for axes in (left, right):
            axes.set_axis_off()
