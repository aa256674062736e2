"""Converts nested values to JSON and arrays, and back."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_gdx.schema import check_form

Array = NDArray[Any]

PLAIN = (str, bool, int, float, type(None))
NATIVE = "biufcSU"  # kinds of dtypes that NumPy's files support
ARRAY, ITEMS = "__array__", "__items__"  # keys that mark an array, and a dictionary with other keys


def pack(value: Any, arrays: dict[str, Array]) -> Any:
    """Returns `value` as JSON; arrays and bytes in it are moved to `arrays`.

    Args:
        value: Dictionaries, lists and tuples of numbers, strings, arrays and bytes.
        arrays: Dictionary to which the arrays are added, by the names used in the JSON.

    Raises:
        TypeError: If `value` contains anything else.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key not in (ARRAY, ITEMS) for key in value):
            return {ITEMS: [[_key(k), pack(v, arrays)] for k, v in value.items()]}
        return {name: pack(each, arrays) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(each, arrays) for each in value]
    kind, value = (
        ("bytes", np.frombuffer(value, "uint8")) if isinstance(value, bytes) else _array(value)
    )
    name = str(len(arrays))
    arrays[name] = value
    return {ARRAY: name, "dtype": kind}


def unpack(value: Any, arrays: dict[str, Array]) -> Any:
    """Returns what `pack` was given, with lists in place of tuples.

    Args:
        value: What `pack` returned.
        arrays: The arrays by name. Each is used once, and removed.

    Raises:
        ValueError: If `value` and `arrays` do not belong together.
    """
    if isinstance(value, list):
        return [unpack(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    if ITEMS in value:
        check_form(value[ITEMS], [pair], ITEMS)
        return {k: unpack(v, arrays) for k, v in value[ITEMS]}
    if ARRAY not in value:
        return {name: unpack(each, arrays) for name, each in value.items()}
    name, kind = str(value[ARRAY]), str(value.get("dtype"))
    if name not in arrays:
        raise ValueError(f"the array {name!r} is missing")
    array = arrays.pop(name)
    return array.tobytes() if kind == "bytes" else _viewed(array, kind)


def read_arrays(path: Path) -> dict[str, Array]:
    """Reads a file written by `numpy.savez` into a dictionary.

    Raises:
        ValueError: If its arrays would take more memory than the file's size.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        length = sum(each.file_size for each in members)
        stored = all(each.compress_type == zipfile.ZIP_STORED for each in members)
        if not stored or length > path.stat().st_size:
            raise ValueError("its arrays are longer than the file")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def pair(value: Any) -> bool:
    """A pair of a key and a value."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], PLAIN)


def _key(key: Any) -> Any:
    key = key.item() if isinstance(key, np.generic) else key
    if not isinstance(key, PLAIN):
        raise TypeError(
            f"The key {key!r} of a dictionary cannot be saved: it is neither a number nor a string."
        )
    return key


def _array(value: Any) -> tuple[str, Array]:
    if not hasattr(value, "__array__"):
        raise TypeError(
            f"{value!r} of {type(value)} cannot be saved: it is not a number, a string or an array."
        )
    value = np.array(value)  # a copy: the original may change while this is written
    if value.dtype.kind not in NATIVE:
        return value.dtype.name, value.view(f"uint{8 * value.dtype.itemsize}")
    return value.dtype.name, value


def _viewed(array: Array, kind: str) -> Array:
    """The array in a dtype that NumPy's files may not support."""
    if array.dtype.name == kind:
        return array
    dtype = np.dtype(kind)
    if dtype.hasobject or dtype.name != kind or dtype.itemsize != array.dtype.itemsize:
        raise ValueError(f"an array of {array.dtype} cannot be one of {kind!r}")
    return array.view(dtype)
