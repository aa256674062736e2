"""Constraints that may become part of a compiled update.

A constraint may run any Python code, and that of a subclass, too. So only exactly these types are
known to be functions of the weights.
"""

from keras.constraints import MaxNorm, MinMaxNorm, NonNeg, UnitNorm

from keras_gdx.constraints import SoftThreshold

OF_ENTRIES = (NonNeg, SoftThreshold)  # every entry by itself
PURE = (*OF_ENTRIES, MaxNorm, MinMaxNorm, UnitNorm)


def may_be_compiled(constraint):
    """Whether a constraint, or `None`, is a function of the weights alone."""
    return constraint is None or type(constraint) in PURE


def separates_entries(constraint):
    """Whether a constraint, or `None`, treats every entry of the weights by itself."""
    return constraint is None or type(constraint) in OF_ENTRIES


def kind_of(constraint):
    """What constraints that can share a compiled update have in common."""
    if constraint is None or not may_be_compiled(constraint):
        return None
    return type(constraint), str(constraint.get_config())
