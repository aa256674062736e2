"""Infers from a metric's name whether lower or higher is better."""

import re

FALLS = "loss|error|mse|mae|rmse|mape|msle|crossentropy|divergence|hinge|logcosh|log_cosh|poisson"
FALLS += "|perplexity|false_positives|false_negatives"
RISES = "acc|accuracy|auc|precision|recall|sensitivity|specificity|score|f1|iou|io_u|similarity"
RISES += "|correlation|true_positives|true_negatives"


def direction(monitor):
    """Returns `"min"` if lower is better, `"max"` if higher is, `None` if unknown."""
    for mode, words in (("min", FALLS), ("max", RISES)):
        if re.search(rf"(^|_)({words})(_|$)", monitor.lower()):
            return mode
    return None
