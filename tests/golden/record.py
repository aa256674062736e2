"""Records trajectories of other implementations of the rules, for `tests/test_golden.py`.

    python tests/golden/record.py [rule ...]

writes `tests/golden/data/<rule>-<case>.npz`: for every variable its weights before the first and
after each of 30 steps, and `meta`, which has the arguments of our rule and the other package.
Rules whose package is not installed are listed and skipped. The packages are

    pip install numpy jax optax==0.2.8 torch==2.13 pytorch_optimizer==4.1.0 schedulefree==1.4.1

and, in a separate environment with Python 3.11,

    pip install tensorflow-cpu==2.15.1 tensorflow-addons==0.23.0

All run in float64, and the result is rounded to float32. In float32, optax's Adam ends 2.6 times
the test's tolerance away from it, and its RAdam 21 times: bias corrections lose digits in
`1 - beta**t`, and the rectifier even more.
"""

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from unittest import mock

import numpy as np
from problem import USUAL, problem

DATA = Path(__file__).parent / "data"
STEPS = 30
ORACLES = {}


def oracle(rule, package, names=USUAL):
    """Registers how `package` computes a trajectory of `rule`, given our arguments."""

    def register(ask):
        ORACLES[rule] = ask, package, names
        return ask

    return register


# -- optax -----------------------------------------------------------------------------------


def by_optax(make):
    """Lets `make(optax, **kwargs)` return a transformation instead of a trajectory."""

    def ask(weights, gradients, **kwargs):
        import jax
        import optax
        import optax.contrib

        jax.config.update("jax_enable_x64", True)
        rule = make(optax, **kwargs)
        weights = {name: jax.numpy.asarray(w) for name, w in weights.items()}
        state = rule.init(weights)
        for gradient in gradients:
            update, state = rule.update(gradient, state, weights)
            weights = optax.apply_updates(weights, update)
            yield weights

    return ask


def decayed(optax, rule, learning_rate, weight_decay):
    """The step of optax's `adamw` around any unscaled `rule`."""
    return optax.chain(
        rule,
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


@oracle("SGD", "optax")
@by_optax
def sgd(optax, learning_rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    rule = optax.trace(momentum, nesterov)
    return decayed(optax, rule, learning_rate, weight_decay)


@oracle("Adam", "optax")
@by_optax
def adam(
    optax,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    amsgrad=False,
    weight_decay=0.0,
):
    scale = optax.scale_by_amsgrad if amsgrad else optax.scale_by_adam
    return decayed(optax, scale(beta_1, beta_2, epsilon), learning_rate, weight_decay)


@oracle("AdamW", "optax")
@by_optax
def adamw(optax, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.01):
    return optax.adamw(learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay)


@oracle("Lion", "optax")
@by_optax
def lion(optax, learning_rate, beta_1=0.9, beta_2=0.99, weight_decay=0.0):
    return optax.lion(learning_rate, beta_1, beta_2, weight_decay=weight_decay)


@oracle("RAdam", "optax")
@by_optax
def radam(
    optax,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    threshold=5.0,
    weight_decay=0.0,
):
    rule = optax.scale_by_radam(beta_1, beta_2, epsilon, threshold=threshold)
    return decayed(optax, rule, learning_rate, weight_decay)


@oracle("LAMB", "optax")
@by_optax
def lamb(optax, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-6, weight_decay=0.0):
    return optax.lamb(learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay)


# optax factors the two largest axes, we the last two: in `block_kernel` these are the same.
@oracle("Adafactor", "optax", ("matrix_kernel", "vector", "block_kernel", "scalar"))
@by_optax
def adafactor(
    optax,
    learning_rate=None,
    beta_1=None,
    decay_rate=0.8,
    epsilon_1=1e-30,
    clip_threshold=1.0,
    scale_parameter=True,
    min_dim_size_to_factor=128,
    weight_decay=0.0,
):
    def rate(step):
        relative = np.minimum(1e-2, (step + 1.0) ** -0.5)
        return relative if learning_rate is None else learning_rate

    return optax.adafactor(
        rate,
        min_dim_size_to_factor,
        decay_rate,
        multiply_by_parameter_scale=scale_parameter,
        clipping_threshold=clip_threshold,
        momentum=beta_1,
        dtype_momentum=np.float64,
        weight_decay_rate=lambda step: rate(step) * weight_decay,
        eps=epsilon_1,
    )


@oracle("DoG", "optax")
@by_optax
def dog(optax, learning_rate=1.0, reps_rel=1e-6, epsilon=1e-8, weight_decay=0.0):
    rule = optax.contrib.dog(1.0, ("heuristic", reps_rel), epsilon)

    # With optax's own `weight_decay` the decay would count as gradient in the step size.
    def update(gradient, state, weights):
        moved, state = rule.update(gradient, state, weights)
        _, seen, _ = state
        rate = seen.max_dist / (seen.sum_sq_norm_grads + epsilon) ** 0.5
        decay = optax.tree.scale(rate * weight_decay, weights)
        return optax.tree.scale(learning_rate, optax.tree.sub(moved, decay)), state

    return optax.GradientTransformation(rule.init, update)


# -- torch -----------------------------------------------------------------------------------


def by_torch(weights, gradients, make):
    """Runs the optimizers that `make(parameters by name)` returns."""
    import torch

    weights = {name: torch.nn.Parameter(torch.tensor(w)) for name, w in weights.items()}
    optimizers = make(weights)
    for gradient in gradients:
        for name, w in weights.items():
            w.grad = torch.tensor(gradient[name])
        for optimizer in optimizers:
            optimizer.step()
        yield {name: w.detach().numpy().copy() for name, w in weights.items()}


@oracle("Adan", "pytorch_optimizer")
def adan(
    weights,
    gradients,
    learning_rate,
    beta_1=0.98,
    beta_2=0.92,
    beta_3=0.99,
    epsilon=1e-8,
    weight_decay=0.0,
):
    from pytorch_optimizer import Adan

    betas = beta_1, beta_2, beta_3
    return by_torch(
        weights,
        gradients,
        lambda w: [Adan(w.values(), learning_rate, betas, weight_decay, eps=epsilon)],
    )


@oracle("Muon", "torch", (*USUAL, "wide_kernel"))
def muon(
    weights,
    gradients,
    fallback,
    learning_rate=0.02,
    momentum=0.95,
    nesterov=True,
    ns_steps=5,
    ns_coefficients=(3.4445, -4.775, 2.0315),
    adjust="original",
    weight_decay=0.0,
):
    import torch

    def make(parameters):
        matrices = torch.optim.Muon(
            [w for name, w in parameters.items() if name.endswith("kernel")],
            lr=learning_rate,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_coefficients=ns_coefficients,
            ns_steps=ns_steps,
        )
        # Its constructor takes None for "original" and has no value for "not at all".
        matrices.param_groups[0]["adjust_lr_fn"] = adjust or "not at all"
        options = fallback["kwargs"]
        others = torch.optim.AdamW(
            [w for name, w in parameters.items() if not name.endswith("kernel")],
            lr=options["learning_rate"],
            betas=(options["beta_1"], options["beta_2"]),
            eps=options["epsilon"],
            weight_decay=options["weight_decay"],
        )
        return matrices, others

    def turned(values):
        """Kernels in torch's layout of dense layers: (outputs, inputs)."""
        return {
            name: x.reshape(-1, x.shape[-1]).T if name.endswith("kernel") else x
            for name, x in values.items()
        }

    def turned_back(values):
        return {name: x.T.reshape(weights[name].shape) for name, x in values.items()}

    # For speed, torch rounds the matrix to bfloat16 before it iterates; here it only copies.
    with mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.clone):
        yield from map(turned_back, by_torch(turned(weights), map(turned, gradients), make))


def by_schedulefree(weights, gradients, make):
    """Yields the training weights `y` and, as `<name>.average`, the evaluation weights `x`."""
    seen = {}

    def remember(parameters):
        seen.update(parameters=parameters, optimizer=make(list(parameters.values())))
        seen["optimizer"].train()
        return [seen["optimizer"]]

    for training in by_torch(weights, gradients, remember):
        seen["optimizer"].eval()
        averages = {
            f"{name}.average": w.detach().numpy().copy() for name, w in seen["parameters"].items()
        }
        seen["optimizer"].train()
        yield training | averages


@oracle("ScheduleFreeSGD", "schedulefree")
def schedule_free_sgd(weights, gradients, learning_rate, beta=0.9, **options):
    from schedulefree import SGDScheduleFree

    return by_schedulefree(
        weights, gradients, lambda w: SGDScheduleFree(w, learning_rate, beta, **options)
    )


@oracle("ScheduleFreeAdamW", "schedulefree")
def schedule_free_adamw(
    weights, gradients, learning_rate, beta=0.9, beta_2=0.999, epsilon=1e-8, **options
):
    from schedulefree import AdamWScheduleFree

    return by_schedulefree(
        weights,
        gradients,
        lambda w: AdamWScheduleFree(w, learning_rate, (beta, beta_2), epsilon, **options),
    )


@oracle("ScheduleFree", "schedulefree")
def schedule_free(weights, gradients, inner, **options):
    ask = {"SGD": schedule_free_sgd, "Adam": schedule_free_adamw}[inner["rule"]]
    options |= {name: x for name, x in inner["kwargs"].items() if name != "beta_1"}
    return ask(weights, gradients, **options)


# -- TensorFlow Addons -----------------------------------------------------------------------


@oracle("Lookahead", "tensorflow_addons")
def lookahead(weights, gradients, inner, sync_period=6, slow_step_size=0.5):
    import tensorflow as tf
    import tensorflow_addons as tfa

    options = dict(inner["kwargs"])
    # There the decay is not multiplied by the learning rate.
    decay = options["learning_rate"] * options.pop("weight_decay", 0.0)
    fast = tfa.optimizers.extend_with_decoupled_weight_decay(tf.keras.optimizers.legacy.SGD)
    rule = tfa.optimizers.Lookahead(fast(decay, **options), sync_period, slow_step_size)
    variables = {name: tf.Variable(w) for name, w in weights.items()}
    for gradient in gradients:
        rule.apply_gradients((gradient[name], variable) for name, variable in variables.items())
        yield {name: variable.numpy() for name, variable in variables.items()}


# -- what is asked ---------------------------------------------------------------------------

FALLBACK = {
    "rule": "AdamW",
    "kwargs": {
        "learning_rate": 0.05,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "epsilon": 1e-6,
        "weight_decay": 0.1,
    },
}

# Learning rates are high enough that a wrong rule is far outside the tolerance.
CASES = {
    "SGD": {
        "default": {"learning_rate": 0.05},
        "momentum": {"learning_rate": 0.05, "momentum": 0.9},
        "nesterov-decay": {
            "learning_rate": 0.02,
            "momentum": 0.8,
            "nesterov": True,
            "weight_decay": 0.3,
        },
    },
    "Adam": {
        "default": {"learning_rate": 0.05},
        "decay": {
            "learning_rate": 0.1,
            "beta_1": 0.8,
            "beta_2": 0.95,
            "epsilon": 1e-3,
            "weight_decay": 0.2,
        },
        "amsgrad": {"learning_rate": 0.05, "amsgrad": True},
        "amsgrad-decay": {
            "learning_rate": 0.1,
            "beta_1": 0.7,
            "beta_2": 0.8,
            "epsilon": 1e-4,
            "amsgrad": True,
            "weight_decay": 0.1,
        },
    },
    "AdamW": {
        "default": {"learning_rate": 0.05},
        "decay": {
            "learning_rate": 0.1,
            "beta_1": 0.95,
            "beta_2": 0.9,
            "epsilon": 1e-2,
            "weight_decay": 0.5,
        },
    },
    "Lion": {
        "default": {"learning_rate": 0.01},
        "decay": {"learning_rate": 0.03, "beta_1": 0.6, "beta_2": 0.8, "weight_decay": 0.5},
    },
    "RAdam": {
        "default": {"learning_rate": 0.05},
        "decay": {
            "learning_rate": 0.05,
            "beta_1": 0.8,
            "beta_2": 0.98,
            "epsilon": 1e-4,
            "threshold": 8.0,
            "weight_decay": 0.2,
        },
    },
    "Adan": {
        "default": {"learning_rate": 0.05},
        "decay": {
            "learning_rate": 0.1,
            "beta_1": 0.9,
            "beta_2": 0.7,
            "beta_3": 0.95,
            "epsilon": 1e-4,
            "weight_decay": 0.5,
        },
    },
    "LAMB": {
        "default": {"learning_rate": 0.05},
        "decay": {
            "learning_rate": 0.02,
            "beta_1": 0.8,
            "beta_2": 0.95,
            "epsilon": 1e-3,
            "weight_decay": 0.5,
        },
    },
    "Adafactor": {
        "default": {},
        "factored": {"learning_rate": 0.2, "min_dim_size_to_factor": 3},
        "factored-decay": {
            "learning_rate": 0.05,
            "beta_1": 0.8,
            "decay_rate": 0.6,
            "epsilon_1": 1e-6,
            "clip_threshold": 2.0,
            "scale_parameter": False,
            "min_dim_size_to_factor": 3,
            "weight_decay": 0.3,
        },
        "relative-decay": {"beta_1": 0.9, "clip_threshold": 0.5, "weight_decay": 2.0},
    },
    "Muon": {
        "default": {"fallback": FALLBACK},
        "match-rms-decay": {
            "learning_rate": 0.05,
            "momentum": 0.8,
            "ns_steps": 7,
            "ns_coefficients": [2.0, -1.5, 0.5],
            "adjust": "match_rms_adamw",
            "weight_decay": 0.5,
            "fallback": FALLBACK,
        },
        "unadjusted": {"momentum": 0.9, "nesterov": False, "adjust": None, "fallback": FALLBACK},
    },
    "DoG": {
        "default": {"reps_rel": 0.1},
        "decay": {"learning_rate": 0.5, "reps_rel": 0.2, "epsilon": 100.0, "weight_decay": 0.3},
    },
    "Lookahead": {
        "default": {"inner": {"rule": "SGD", "kwargs": {"learning_rate": 0.05}}},
        "momentum-decay": {
            "inner": {
                "rule": "SGD",
                "kwargs": {
                    "learning_rate": 0.02,
                    "momentum": 0.9,
                    "nesterov": True,
                    "weight_decay": 0.3,
                },
            },
            "sync_period": 4,
            "slow_step_size": 0.8,
        },
    },
    "ScheduleFreeSGD": {
        "default": {"learning_rate": 0.05},
        "warmup": {"learning_rate": 0.1, "warmup_steps": 12},
        "weighted-decay": {
            "learning_rate": 0.1,
            "beta": 0.8,
            "weight_lr_power": 0.5,
            "r": 1.5,
            "warmup_steps": 7,
            "weight_decay": 0.3,
        },
    },
    "ScheduleFreeAdamW": {
        "default": {"learning_rate": 0.05},
        "warmup": {"learning_rate": 0.1, "warmup_steps": 12},
        "weighted-decay": {
            "learning_rate": 0.1,
            "beta": 0.95,
            "beta_2": 0.9,
            "epsilon": 1e-3,
            "weight_lr_power": 1.0,
            "r": 0.5,
            "warmup_steps": 7,
            "weight_decay": 0.5,
        },
    },
    "ScheduleFree": {
        "sgd": {
            "inner": {"rule": "SGD", "kwargs": {"learning_rate": 0.1, "weight_decay": 0.3}},
            "beta": 0.8,
            "r": 1.0,
            "warmup_steps": 5,
        },
        "adam": {
            "inner": {
                "rule": "Adam",
                "kwargs": {
                    "learning_rate": 0.1,
                    "beta_1": 0.0,
                    "beta_2": 0.9,
                    "epsilon": 1e-4,
                    "weight_decay": 0.3,
                },
            },
            "weight_lr_power": 1.0,
            "warmup_steps": 5,
        },
    },
}


def record(rule, case, kwargs):
    """Runs the other implementation of `rule` and writes one file."""
    ask, package, names = ORACLES[rule]
    weights, gradients = problem(names, steps=STEPS)
    wide = {name: w.astype("float64") for name, w in weights.items()}
    steps = [
        {name: np.asarray(g[t], "float64") for name, g in gradients.items()} for t in range(STEPS)
    ]
    seen = list(ask(wide, steps, **kwargs))
    trajectories = {
        key: np.float32([weights[key.partition(".")[0]], *(step[key] for step in seen)])
        for key in seen[0]
    }
    installed = version(package).partition("+")[0]
    meta = {"rule": rule, "kwargs": kwargs, "oracle": f"{package} {installed}"}
    file = DATA / f"{rule.lower()}-{case}.npz"
    np.savez_compressed(file, meta=json.dumps(meta), **trajectories)
    print(f"{file.name}: {meta['oracle']}")


def main(rules):
    for rule in rules:
        try:
            version(ORACLES[rule][1])
        except PackageNotFoundError:
            print(f"{rule}: left as it is, {ORACLES[rule][1]} is not installed")
            continue
        for case, kwargs in CASES[rule].items():
            record(rule, case, kwargs)


if __name__ == "__main__":
    main(sys.argv[1:] or CASES)
