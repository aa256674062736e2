"""Nested values as JSON and arrays, and back."""

import numpy as np

PLAIN = (str, bool, int, float, type(None))
NATIVE = "biufcSU"  # kinds of dtypes that NumPy's files know


def pack(value, arrays):
    """Returns `value` as JSON; arrays in it, and bytes, go to `arrays`.

    Args:
        value: Dictionaries, lists and tuples of numbers, texts, arrays and bytes.
        arrays: Dictionary that takes the arrays, by the names that stand in the JSON.

    Raises:
        TypeError: If there is something else in it.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            return {"__items__": [[pack(k, arrays), pack(v, arrays)] for k, v in value.items()]}
        return {name: pack(each, arrays) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(each, arrays) for each in value]
    kind, value = (
        ("bytes", np.frombuffer(value, "uint8")) if isinstance(value, bytes) else _array(value)
    )
    name = str(len(arrays))
    arrays[name] = value
    return {"__array__": name, "dtype": kind}


def unpack(value, arrays):
    """What `pack` was given; tuples have become lists."""
    if isinstance(value, list):
        return [unpack(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    if "__items__" in value:
        return {unpack(k, arrays): unpack(v, arrays) for k, v in value["__items__"]}
    if "__array__" not in value:
        return {name: unpack(each, arrays) for name, each in value.items()}
    array = arrays[value["__array__"]]
    return array.tobytes() if value["dtype"] == "bytes" else array.view(np.dtype(value["dtype"]))


def _array(value):
    if not hasattr(value, "__array__"):
        raise TypeError(
            f"{value!r} of {type(value)} cannot be saved: it is no number, text or array."
        )
    value = np.array(value)  # a copy: the original may change while this is written
    if value.dtype.kind not in NATIVE:
        return value.dtype.name, value.view(f"uint{8 * value.dtype.itemsize}")
    return value.dtype.name, value
