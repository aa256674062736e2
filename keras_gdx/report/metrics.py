"""Infers from a metric's name whether lower or higher is better."""

import re
from typing import Literal

FALLS = "loss|error|mse|mae|rmse|mape|msle|crossentropy|divergence|hinge|logcosh|log_cosh|poisson"
FALLS += "|perplexity|false_positives|false_negatives"
RISES = "acc|accuracy|auc|precision|recall|sensitivity|specificity|score|f1|iou|io_u|similarity"
RISES += "|correlation|true_positives|true_negatives"


def direction(monitor: str) -> Literal["min", "max"] | None:
    """Returns `"min"` if lower is better, `"max"` if higher is, `None` if unknown."""
    words = monitor.lower()
    if re.search(rf"(^|_)({FALLS})(_|$)", words):
        return "min"
    return "max" if re.search(rf"(^|_)({RISES})(_|$)", words) else None
