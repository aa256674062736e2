"""Where a run shows its progress: a terminal, a notebook, or plain lines."""

import html
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import keras

__all__: list[str] = []

USUAL = keras.callbacks.Callback
Quiet: Any = type(  # Keras adds its own bar unless it finds a `ProgbarLogger`
    "Quiet",
    (keras.callbacks.ProgbarLogger,),
    {n: getattr(USUAL, n) for n in vars(keras.callbacks.ProgbarLogger) if hasattr(USUAL, n)}
    | {"__init__": USUAL.__init__, "__doc__": "A progress bar that shows nothing."},
)


class Place(Protocol):
    """What all places do.

    Args:
        total: Epochs of the run; `None` if unknown.
    """

    live: bool  # whether it shows the progress within an epoch

    def __init__(self, total: int | None): ...

    def move(self, epochs: int, batch: int, steps: int | None, words: str) -> None:
        """Shows how far the run is.

        Args:
            epochs: Epochs that are over.
            batch: Batches of this epoch that are over.
            steps: Batches of an epoch; `None` if unknown.
            words: What the logs say.
        """

    def tell(self, line: str) -> None:
        """Adds a line."""

    def close(self) -> None:
        """Leaves only the lines."""


class Lines:
    """Lines without control characters, for files, pipes and batch jobs."""

    live = False

    def __init__(self, total: int | None = None):
        pass

    def move(self, epochs: int, batch: int, steps: int | None, words: str) -> None:
        """Shows nothing within an epoch."""

    def tell(self, line: str) -> None:
        print(line, flush=True)

    def close(self) -> None:
        """Has nothing to close."""


class Terminal:
    """Lines above two bars of the package `rich`, which is installed because Keras needs it."""

    live = True

    def __init__(self, total: int | None):
        from rich import progress
        from rich.table import Column

        rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        columns = [
            progress.TextColumn("{task.description:5}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[words]}", markup=False, table_column=rest),
        ]
        self._bars = progress.Progress(*columns, transient=True)
        self._run = self._bars.add_task("run", total=total, words="")
        self._epoch = self._bars.add_task("epoch", total=None, words="")
        self._bars.start()

    def move(self, epochs: int, batch: int, steps: int | None, words: str) -> None:
        self._bars.update(self._run, completed=epochs)
        if batch == 0:
            self._bars.reset(self._epoch, total=steps, words=words)
        self._bars.update(self._epoch, completed=batch, words=words)

    def tell(self, line: str) -> None:
        self._bars.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        self._bars.stop()


class Notebook:
    """Lines above a bar, in one output of the cell, without widgets."""

    live = True

    def __init__(self, total: int | None):
        from IPython.display import display

        self._total = total
        self._lines: Sequence[str] = ()
        self._output = display(self._page(), display_id=True)

    def move(self, epochs: int, batch: int, steps: int | None, words: str) -> None:
        of = f"/{steps}" if steps else ""
        share = f'value="{batch}" max="{steps}"' if steps else ""
        whole = f"/{self._total}" if self._total else ""
        told = html.escape(f"epoch {epochs + 1}{whole}  batch {batch}{of}  {words}")
        bar = f'<progress {share} style="width: 16em; vertical-align: middle"></progress>'
        self._output.update(self._page(f"{bar} {told}"))

    def tell(self, line: str) -> None:
        self._lines = (*self._lines, line)
        self._output.update(self._page())

    def close(self) -> None:
        self._output.update(self._page())

    def _page(self, last: str = "") -> Any:
        from IPython.display import HTML

        lines = (*map(html.escape, self._lines), last)
        return HTML(f'<pre style="margin: 0">{chr(10).join(filter(None, lines))}</pre>')


def place() -> type[Place]:
    """Returns the kind of place that this program has."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if hasattr(shell, "kernel"):
        return Notebook
    return Terminal if sys.stdout.isatty() else Lines
