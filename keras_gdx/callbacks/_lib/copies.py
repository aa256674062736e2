"""Storage for copies of the training state during training."""

import os
from typing import Any

from keras_gdx.checkpoint.directory import Directory
from keras_gdx.checkpoint.schema import check_copy
from keras_gdx.checkpoint.serialization import pack
from keras_gdx.checkpoint.writer import Writer

__all__ = []


class InMemory:
    """The last copy, in memory."""

    def __init__(self) -> None:
        self._copy: Any = None

    @property
    def empty(self) -> bool:
        """Whether there is no copy yet."""
        return self._copy is None

    def begin(self, step: int) -> None:
        """Does nothing: memory has no copies of earlier runs."""

    def put(self, copy: dict[str, Any]) -> None:
        """Stores a copy, replacing the last one."""
        self._copy = copy

    def get(self) -> Any:
        """The last copy."""
        return self._copy

    def close(self) -> None:
        """Does nothing: there is no writer to wait for."""


class OnDisk:
    """The last two copies, in a directory.

    Args:
        directory: Path of the directory.

    Raises:
        OSError: If the directory cannot be written.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        self._files = Directory(directory, keep=2, check=check_copy)
        self._files.prepare()
        self._writer = Writer()
        self.empty = True

    def begin(self, step: int) -> None:
        """Deletes copies of earlier runs."""
        self._files.forget_after(step)

    def put(self, copy: dict[str, Any]) -> None:
        """Starts writing a copy in the background."""
        arrays: dict[str, Any] = {}
        content = pack(copy, arrays)
        self._writer.submit(self._files.write, copy["step"], content, arrays)
        self.empty = False

    def get(self) -> Any:
        """The last intact copy."""
        self._writer.wait()
        return self._files.read()

    def close(self) -> None:
        """Waits until the last copy is written."""
        self._writer.wait()
        self._writer.close()
