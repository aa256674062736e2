"""Constraints of weights as bounds."""

import keras
import numpy as np

from keras_gdx.arguments import check


def bounds_of(variables, method):
    """The lower and the upper bound of each entry of the flat vector; `None` without constraints.

    Raises:
        ValueError: If a constraint is not a bound, or the method has no bounds.
    """
    constrained = [v for v in variables if v.constraint is not None]
    if not constrained:
        return None
    check(method == "lbfgs", "method", method, f"'lbfgs', as {constrained[0].path} is constrained")
    for variable in constrained:
        check(
            isinstance(variable.constraint, keras.constraints.NonNeg),
            f"{variable.path}.constraint",
            variable.constraint,
            "NonNeg or None: other constraints are not bounds",
        )
    lower = np.concatenate(
        [np.full(v.shape, -np.inf if v.constraint is None else 0.0).ravel() for v in variables]
    )
    return lower, np.full_like(lower, np.inf)
