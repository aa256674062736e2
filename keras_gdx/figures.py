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

    def png(self, dpi: float | str = "figure") -> bytes:
        """The picture as the contents of a PNG file."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=dpi)
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()
