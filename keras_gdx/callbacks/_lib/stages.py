"""What begins with certain epochs."""

from keras_gdx.config import check, check_integer

__all__ = []


def by_epoch(name, stages, allowed):
    """The dictionary with integers as keys: JSON makes texts of them.

    Args:
        name: The argument.
        stages: Dictionary from epochs to anything.
        allowed: What it must be, for the error.

    Raises:
        ValueError: If it is empty, no dictionary, or an epoch is no integer >= 0.

    Example:
        >>> by_epoch("stages", {"0": "head", 2: "body"}, "a dictionary")
        {0: 'head', 2: 'body'}
    """
    check(isinstance(stages, dict) and len(stages) > 0, name, stages, allowed)
    found = {}
    for epoch, value in stages.items():
        number = int(epoch) if isinstance(epoch, str) and epoch.isdigit() else epoch
        check_integer(name, number, 0)
        found[number] = value
    return found
