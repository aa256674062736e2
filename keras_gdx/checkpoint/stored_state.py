"""The stored state of an optimizer; each entry is checked when it is read."""

import json

import numpy as np

from keras_gdx.integration.model_optimizers import wrapped
from keras_gdx.schema import check_form, count

FORMAT = 1
MANIFEST = "manifest"
FORM = {"rule": str, "variables": [{"path": str, "shape": [count]}]}


class Contents:
    """The arrays in a store, which is Keras' or a dictionary.

    Args:
        title: The optimizer's name in error messages.
        store: The store.
    """

    def __init__(self, title, store):
        self.title = title
        self.store = store
        self.keys = {*store.keys()}

    def manifest(self):
        """Returns the file's manifest, or `None` if this package did not write the file.

        Raises:
            ValueError: If it is damaged, or of a newer format.
        """
        if MANIFEST not in self.keys:
            return None
        content = self.read(MANIFEST, "u", None)
        try:
            manifest = json.loads(content.astype("uint8").tobytes())
            check_form(manifest, {"format": count}, MANIFEST)
            if manifest["format"] <= FORMAT:
                check_form(manifest, FORM, MANIFEST)
                check_form(manifest.get("around", {}), {str: str}, "around")
        except (ValueError, RecursionError) as error:
            raise self.damaged(error) from error
        if manifest["format"] > FORMAT:
            raise ValueError(
                f"The state of {self.title} has format {manifest['format']}; this "
                f"version reads up to {FORMAT}. Install a newer keras_gdx."
            )
        return manifest

    def read(self, key, kinds, shape=()):
        """Returns an array.

        Args:
            key: Its name.
            kinds: The dtype kinds that are valid.
            shape: The valid shape; `None` for any.

        Raises:
            ValueError: If it has another dtype kind or shape, or cannot be read.
        """
        try:
            value = np.asarray(self.store[key])
        except Exception as error:  # each kind of store raises its own errors
            raise self.damaged(f"{key!r} cannot be read: {error}") from error
        if value.dtype.kind not in kinds or shape not in (None, value.shape):
            raise self.damaged(f"{key!r} has dtype {value.dtype} and shape {value.shape}.")
        return value

    def slots(self, number):
        """The arrays of `number` variables, by position and then by name."""
        found: dict[int, dict] = {}
        for key in self.keys:
            index, bar, name = key.partition("|")
            if bar:
                known = index.isascii() and index.isdecimal() and len(index) < 10
                if not known or int(index) >= number:
                    raise self.damaged(f"{key!r} belongs to none of its {number} variables.")
                found.setdefault(int(index), {})[name] = self.read(key, "f", None)
        return found

    def damaged(self, what):
        """Returns an error that says what is damaged."""
        return ValueError(f"The state of {self.title} in this file is damaged: {what}")


def manifest_of(rule, inside, variables):
    """A manifest as an array."""
    manifest = {"format": FORMAT, "rule": rule, "around": inside, "variables": variables}
    return np.frombuffer(json.dumps(manifest).encode(), "uint8")


def around(optimizer):
    """The classes of its inner optimizers that have a state of their own, by argument."""
    return {name: type(each).__name__ for name, each in wrapped(optimizer).items()}


def title(optimizer):
    """The optimizer's name in messages."""
    return named(type(optimizer).__name__, around(optimizer))


def named(rule, inside):
    """The name in messages of an optimizer of class `rule` with these inner optimizers."""
    return f"{rule} around {' and '.join(inside.values())}" if inside else rule
