"""Scalars for TensorBoard."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_gdx.callbacks._lib.argument_types import Folder
from keras_gdx.callbacks.base import Callback, Logs
from keras_gdx.registry import register
from keras_gdx.report.findings import logged, numbers, sources

__all__ = ["TensorBoardScalars"]


@register
class TensorBoardScalars(Callback):
    """Writes the logs and the findings of other callbacks for TensorBoard.

    The logs of each epoch are written as `epoch_loss` and so on to the folders `train` and
    `validation`, as Keras' `TensorBoard` does, so that runs of both can be compared. The numbers
    in the `findings` of other callbacks, such as `GradientMonitor/gradient_norm` or
    `GradientMonitor/layers/dense/weight_norm`, are written immediately, at the step at which
    they were measured.

    Keras' own callback loses the epochs' logs with, for example, `update_freq=100`, unless an
    epoch ends at a multiple of 100. It also needs the package `tensorboard`, which TensorFlow
    2.21 no longer installs. This callback needs it only to view the curves.

    Args:
        log_dir: Path of the folder of this run.

    Raises:
        ValueError: If `log_dir` is not the name of a folder.
        ImportError: If TensorFlow is not installed.

    Example:
        >>> import glob, keras, numpy as np, tempfile
        >>> from keras_gdx.callbacks import TensorBoardScalars
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, folder = np.ones((8, 1)), tempfile.mkdtemp()
        >>> callback = TensorBoardScalars(folder)
        >>> history = model.fit(x, x, verbose=0, callbacks=[callback])
        >>> len(glob.glob(folder + "/train/*"))
        1

    Source: by definition

    Verified against: the files of keras.callbacks.TensorBoard, read back
    """

    last = True
    writes = True
    _sources: dict[str, Any] = {}

    def __init__(self, log_dir: Folder = "logs"):
        super().__init__()
        self.log_dir = log_dir
        _tensorflow()
        self._files: dict[str, Any] = {}

    @contextmanager
    def around_fit(self, model: Any, callbacks: list[Any]) -> Iterator[list[Any]]:
        """Collects the callbacks with findings; closes the files at the end, also on errors."""
        self._sources = sources(callbacks)
        try:
            yield callbacks
        finally:
            for file in self._files.values():
                file.close()
            self._files, self._sources = {}, {}

    def on_train_begin(self, logs: Logs = None) -> None:
        """Skips findings from before an interruption, which are already written."""
        super().on_train_begin(logs)
        self._written = {name: len(source.findings()) for name, source in self._sources.items()}

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Writes new findings."""
        for name, source in self._sources.items():
            found = source.findings()
            if len(found) > self._written[name]:
                self._write_rows(name, found[self._written[name] :])
                self._written[name] = len(found)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes the numbers in the logs."""
        for name, value in logged(logs).items():
            kind = "validation" if name.startswith("val_") else "train"
            self._write(kind, f"epoch_{name.removeprefix('val_')}", value, epoch)
        self._flush()

    def on_train_end(self, logs: Logs = None) -> None:
        """Writes the findings of the end of training."""
        self.on_train_batch_end(0)
        self._flush()

    def _write_rows(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            if "step" in row:
                for tag, value in numbers(row).items():
                    self._write("train", f"{name}/{tag}", value, row["step"])
        self._flush()

    def _write(self, kind: str, tag: str, value: Any, step: int) -> None:
        summary = _tensorflow().summary
        if kind not in self._files:
            self._files[kind] = summary.create_file_writer(str(Path(self.log_dir, kind)))
        # Keras' `TensorBoard` may have turned recording off for this step.
        with self._files[kind].as_default(), summary.record_if(True):
            summary.write(tag, float(value), step, _metadata())

    def _flush(self) -> None:
        for file in self._files.values():
            file.flush()


def _tensorflow() -> Any:
    try:
        import tensorflow
    except ImportError as error:
        raise ImportError(
            "TensorBoardScalars needs TensorFlow: pip install 'keras_gdx[tensorflow]'"
        ) from error
    return tensorflow


def _metadata() -> Any:
    """Summary metadata that marks a value as a scalar."""
    metadata = _tensorflow().compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
    metadata.plugin_data.plugin_name = "scalars"
    return metadata
