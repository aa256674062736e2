"""Arguments that are dictionaries from epochs to values."""

from keras_gdx.config import check, check_integer

__all__ = []


def by_epoch(name, stages, allowed):
    """Returns the dictionary with integer keys, which JSON converts to strings.

    Args:
        name: Name of the argument.
        stages: Dictionary from epochs to values.
        allowed: Description of valid values, for the error message.

    Raises:
        ValueError: If `stages` is empty or not a dictionary, or an epoch is not an integer >= 0.

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
