"""The protocol of callbacks and data whose state survives an interruption."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Stateful(Protocol):
    """A callback whose state can be saved and restored.

    Any object with these two methods qualifies, whether or not it comes from this package.

    Example:
        >>> import keras
        >>> from keras_gdx.callbacks import PlateauController, Stateful
        >>> isinstance(PlateauController(), Stateful)
        True
        >>> isinstance(keras.callbacks.EarlyStopping(), Stateful)
        False
    """

    def state(self) -> dict[str, Any]:
        """Returns the state by name: JSON types and arrays."""

    def restore(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned, in this process or in another one."""
