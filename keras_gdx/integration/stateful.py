"""The protocol by which memory survives an interruption: that of callbacks, and of data."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Stateful(Protocol):
    """A callback whose memory can be taken out and put back.

    Whatever has these two methods takes part, a `Callback` of this package or not.

    Example:
        >>> import keras
        >>> from keras_gdx.callbacks import PlateauController, Stateful
        >>> isinstance(PlateauController(), Stateful)
        True
        >>> isinstance(keras.callbacks.EarlyStopping(), Stateful)
        False
    """

    def state(self) -> dict[str, Any]:
        """Returns what is remembered, by name: JSON's types, and arrays."""

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state` returned, in this process or in another one."""
