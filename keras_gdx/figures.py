"""Figures that a notebook shows by itself. Importing this module needs matplotlib."""

import io
from typing import Any

from matplotlib.figure import Figure


class Picture(Figure):
    """A figure that a notebook shows once, where it is the last value of a cell.

    pyplot does not know of it, so it neither shows it again nor keeps it in memory.
    """

    def __init__(self, width: float, height: float, **options: Any):
        super().__init__(figsize=(width, height), layout="constrained", **options)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
