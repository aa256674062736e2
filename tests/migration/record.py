"""Records what calls of another library do, and the signatures of its classes.

    python -m tests.migration.record addons

writes `addons.json` beside this file. It needs the library: TensorFlow Addons 0.23 with TensorFlow
2.14; optax 0.2.8; torch 2.14; timm 1.0.31 with torch; transformers 4.57 with torch.
"""

import inspect
import json
import re
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

    optimizers = public("tensorflow_addons.optimizers", tfa.optimizers)
    return optimizers | public("tensorflow_addons.callbacks", tfa.callbacks), cases.ADDONS, run


def optax():
    import jax
    import optax as package
    import optax.contrib

    jax.config.update("jax_enable_x64", True)

    def run(call):
        made = eval(call, {"optax": package})
        if not isinstance(made, package.GradientTransformation):
            return [float(made(t)) for t in range(RATES)]
        weights = {name: jax.numpy.asarray(w, float) for name, w in WEIGHTS.items()}
        state = made.init(weights)
        for t in range(UPDATES):
            gradients = {name: jax.numpy.asarray(g[t], float) for name, g in GRADIENTS.items()}
            update, state = made.update(gradients, state, weights)
            weights = package.apply_updates(weights, update)
        return flat(weights[name] for name in WEIGHTS)

    functions = public("optax", package) | public("optax.contrib", package.contrib)
    named = {call.partition("(")[0] for call in cases.OPTAX}
    return {name: functions[name] for name in sorted(named)}, cases.OPTAX, run


def torch():
    import torch as package

    package.set_default_dtype(package.float64)

    def run(call):
        weights = {
            name: package.nn.Parameter(package.tensor(w, dtype=package.float64))
            for name, w in WEIGHTS.items()
        }
        if "scheduler" in call:
            return rates(package, lambda optimizer: eval(call, {"torch": package, **optimizer}))
        made = eval(call, {"torch": package, "w": list(weights.values())})
        for t in range(UPDATES):
            for name, w in weights.items():
                w.grad = package.tensor(GRADIENTS[name][t], dtype=package.float64)
            if is_sparse(call):
                rows = weights["kernel"].grad[ROWS]
                weights["kernel"].grad = package.sparse_coo_tensor([ROWS], rows, (4, 3))
                weights["bias"].grad = weights["bias"].grad.to_sparse()
            made.step()
        return flat(w.detach().numpy() for w in weights.values())

    rules = public("torch.optim", package.optim, package.optim.Optimizer)
    scheduler = package.optim.lr_scheduler
    schedulers = public("torch.optim.lr_scheduler", scheduler, scheduler.LRScheduler)
    return rules | schedulers, cases.TORCH, run


def timm():
    import timm.optim
    import timm.scheduler
    import torch as package

    package.set_default_dtype(package.float64)
    names = {"timm": timm, "torch": package}

    def run(call):
        if "Scheduler" in call:
            return rates(package, lambda optimizer: eval(call, names | optimizer), numbered=True)
        weights = {
            name: package.nn.Parameter(package.tensor(w, dtype=package.float64))
            for name, w in WEIGHTS.items()
        }
        made = eval(call, names | {"w": list(weights.values())})
        for t in range(UPDATES):
            for name, w in weights.items():
                w.grad = package.tensor(GRADIENTS[name][t], dtype=package.float64)
            made.step()
        return flat(w.detach().numpy() for w in weights.values())

    schedulers = public("timm.scheduler", timm.scheduler, timm.scheduler.scheduler.Scheduler)
    rules = public("timm.optim", timm.optim, package.optim.Optimizer)
    named = {call.partition("(")[0] for call in cases.TIMM}
    return {name: x for name, x in rules.items() if name in named} | schedulers, cases.TIMM, run


def transformers():
    import torch as package
    import transformers as library

    def run(call):
        names = {"transformers": library}
        return rates(package, lambda optimizer: eval(call, names | optimizer))

    functions = public("transformers", library.optimization)
    getters = {name: x for name, x in functions.items() if name.startswith("transformers.get_")}
    return getters, cases.TRANSFORMERS, run


def rates(package, schedule, numbered=False):
    """The rates that a scheduler of PyTorch sets, from 0.125; those of timm are told the step."""
    optimizer = package.optim.SGD([package.zeros(1)], lr=0.125)
    scheduler = schedule({"optimizer": optimizer})
    values = []
    for t in range(RATES):
        if numbered:
            scheduler.step(t)
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if not numbered:
            scheduler.step()
    return values


def flat(arrays):
    return [float(x) for array in arrays for x in np.ravel(array)]


def public(place, module, kind=object):
    """The classes of a kind, or all classes and functions of a module, by their full names."""
    return {
        f"{place}.{name}": thing
        for name, thing in sorted(vars(module).items())
        if not name.startswith("_")
        and (
            issubclass(thing, kind)
            if inspect.isclass(thing)
            else kind is object and inspect.isfunction(thing)
        )
    }


def arguments(thing):
    """The arguments that can be given by position, with their defaults."""
    parameters = inspect.signature(thing).parameters.values()
    return {p.name: default(p.default) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}


def default(value):
    return "required" if value is inspect.Parameter.empty else repr(value)


def main(library):
    things, calls, run = globals()[library]()
    found = {
        "arguments": {name: arguments(thing) for name, thing in things.items()},
        "values": {call: run(call) for call in calls},
    }
    text = json.dumps(found, indent=0)
    text = re.sub(r",\n(?=[-\d])|(?<=\[)\n|\n(?=\])", lambda x: x[0].replace("\n", ""), text)
    (FOLDER / f"{library}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
