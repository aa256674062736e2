"""Which way a metric improves, as far as its name tells."""

import re

FALLS = "loss|error|mse|mae|rmse|mape|msle|crossentropy|divergence|hinge|logcosh|log_cosh|poisson"
FALLS += "|perplexity|false_positives|false_negatives"
RISES = "acc|accuracy|auc|precision|recall|sensitivity|specificity|score|f1|iou|io_u|similarity"
RISES += "|correlation|true_positives|true_negatives"


def direction(monitor):
    """Returns `"min"` or `"max"`, whichever is better for a metric of that name, or `None`."""
    for mode, words in (("min", FALLS), ("max", RISES)):
        if re.search(rf"(^|_)({words})(_|$)", monitor.lower()):
            return mode
    return None
