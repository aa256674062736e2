"""Records what calls of another library do, and the signatures of its classes.

    python -m tests.migration.record addons

writes `addons.json` beside this file. It needs the library: TensorFlow Addons 0.23 with TensorFlow
2.14; optax 0.2.8; torch 2.14 and timm 1.0.31; transformers 4.57.
"""

import inspect
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tests.migration import cases
from tests.migration.problem import GRADIENTS, RATES, ROWS, UPDATES, WEIGHTS, is_sparse

FOLDER = Path(__file__).parent


def addons():
    import tensorflow as tf
    import tensorflow_addons as tfa

    def run(call):
        weights = {
            name: tf.Variable(w, name=f"{name}/weight", trainable=True)
            for name, w in WEIGHTS.items()
        }
        layers = {name: SimpleNamespace(weights=[w]) for name, w in weights.items()}
        legacy = SimpleNamespace(optimizers=tf.keras.optimizers.legacy)
        made = eval(call, {"tfa": tfa, "keras": legacy, "layers": layers})
        if isinstance(made, tf.keras.optimizers.schedules.LearningRateSchedule):
            return [float(made(float(t))) for t in range(RATES)]
        for t in range(UPDATES):
            gradients = {name: tf.constant(g[t]) for name, g in GRADIENTS.items()}
            if is_sparse(call):
                rows = tf.gather(gradients["kernel"], ROWS)
                gradients["kernel"] = tf.IndexedSlices(rows, tf.constant(ROWS))
            made.apply_gradients((gradients[name], w) for name, w in weights.items())
        if hasattr(made, "assign_average_vars"):
            made.assign_average_vars(weights.values())
        return flat(w.numpy() for w in weights.values())

    names = [getattr(tfa, kind) for kind in ("optimizers", "callbacks")]
    return names, cases.ADDONS, run


def flat(arrays):
    return [float(x) for array in arrays for x in np.ravel(array)]


def signatures(modules):
    """The arguments of all public classes and functions, with their defaults."""
    found = {}
    for module in modules:
        for name, thing in vars(module).items():
            public = inspect.isclass(thing) or inspect.isfunction(thing)
            if public and not name.startswith("_"):
                parameters = inspect.signature(thing).parameters.values()
                found[f"{module.__name__}.{name}"] = {
                    p.name: default(p.default)
                    for p in parameters
                    if p.kind is p.POSITIONAL_OR_KEYWORD
                }
    return found


def default(value):
    return "required" if value is inspect.Parameter.empty else repr(value)


def main(library):
    modules, calls, run = globals()[library]()
    data = {"arguments": signatures(modules), "values": {call: run(call) for call in calls}}
    text = json.dumps(data, indent=0, default=float)
    (FOLDER / f"{library}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
