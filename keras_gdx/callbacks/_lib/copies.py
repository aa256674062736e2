"""Where copies of the training state are kept while it goes on."""

from keras_gdx.checkpoint.directory import Directory
from keras_gdx.checkpoint.schema import check_copy
from keras_gdx.checkpoint.serialization import pack
from keras_gdx.checkpoint.writer import Writer

__all__ = []


class InMemory:
    """The last copy, in memory."""

    def __init__(self):
        self._copy = None

    @property
    def empty(self):
        """Whether there is none yet."""
        return self._copy is None

    def begin(self, step):
        """There is nothing from another run."""

    def put(self, copy):
        """Keeps a copy; the one before is forgotten."""
        self._copy = copy

    def get(self):
        """The last copy."""
        return self._copy

    def close(self):
        """There is nothing to wait for."""


class OnDisk:
    """The last two copies, in a directory.

    Args:
        directory: Its name.

    Raises:
        OSError: If nothing can be written there.
    """

    def __init__(self, directory):
        self._files = Directory(directory, keep=2, check=check_copy)
        self._files.prepare()
        self._writer = Writer()
        self.empty = True

    def begin(self, step):
        """Removes what other runs have left."""
        self._files.forget_after(step)

    def put(self, copy):
        """Begins to write a copy."""
        arrays: dict = {}
        content = pack(copy, arrays)
        self._writer.submit(self._files.write, copy["step"], content, arrays)
        self.empty = False

    def get(self):
        """The last copy that is whole."""
        self._writer.wait()
        return self._files.read()

    def close(self):
        """Waits for what is being written."""
        self._writer.wait()
        self._writer.close()
