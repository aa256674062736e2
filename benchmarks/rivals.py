"""The same step in several packages: each function here returns a function that takes one step.

PyTorch and optax are included if they are installed.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import multiprocessing
from importlib.util import find_spec
from unittest import mock

import keras
import numpy as np
import tensorflow as tf


def tensors(shapes):
    """Weights and gradients of a model."""
    rng = np.random.default_rng(0)
    return (
        [rng.normal(size=s).astype("float32") for s in shapes],
        [rng.normal(size=s).astype("float32") for s in shapes],
    )


def of_keras(cls, rate, weights, gradients, *, jit=False, calls=1, **options):
    """A rule with Keras' interface, Keras' or ours, in a graph or in XLA."""
    variables = [keras.Variable(w) for w in weights]
    gradients = [tf.constant(g) for g in gradients]
    optimizer = cls(rate, **options)
    optimizer.build(variables)

    @tf.function(jit_compile=jit, autograph=False)
    def step():
        optimizer.apply(gradients, variables)

    def run():
        for _ in range(calls):
            step()
        variables[-1].value.read_value()

    return run


def of_writes(weights, gradients, *, jit=False, calls=1):
    """The least that a step does in TensorFlow: one operation that writes each variable."""
    variables = [tf.Variable(w) for w in weights]
    gradients = [tf.constant(g) for g in gradients]

    @tf.function(jit_compile=jit, autograph=False)
    def step():
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(gradient)

    def run():
        for _ in range(calls):
            step()
        variables[-1].read_value()

    return run


def of_torch(weights, gradients, *, fused, clip=None, weight_decay=0.0):
    """PyTorch's AdamW."""
    import torch

    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in weights]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = torch.tensor(g)
    optimizer = torch.optim.AdamW(parameters, 1e-3, weight_decay=weight_decay, fused=fused)

    def run():
        if clip:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()

    return run


def of_optax(weights, gradients, *, clip=None, weight_decay=0.0):
    """AdamW of optax, compiled, with donated buffers."""
    import jax
    import optax

    rule = optax.adamw(1e-3, weight_decay=weight_decay)
    if clip:
        rule = optax.chain(optax.clip_by_global_norm(clip), rule)
    held = [[jax.numpy.asarray(w) for w in weights]]
    held.append(rule.init(held[0]))
    gradients = [jax.numpy.asarray(g) for g in gradients]

    def step(weights, state, gradients):
        updates, state = rule.update(gradients, state, weights)
        return optax.apply_updates(weights, updates), state

    step = jax.jit(step, donate_argnums=(0, 1))

    def run():
        held[:] = step(*held, gradients)
        jax.block_until_ready(held[0])

    return run


def installed(package):
    """Whether a package is installed."""
    return find_spec(package) is not None


def of_process(environment, make, *args, **options):
    """The step of `make(...)`, which a process with these environment variables takes."""
    spawned = multiprocessing.get_context("spawn")
    here, there = spawned.Pipe()
    with mock.patch.dict(os.environ, environment):
        spawned.Process(target=_serve, args=(there, make, args, options), daemon=True).start()
    there.close()

    def run():
        here.send("step")
        here.recv()

    return run


def _serve(there, make, args, options):
    """Takes a step for each message, until the other end is closed."""
    run = make(*args, **options)
    while True:
        try:
            there.recv()
        except EOFError:
            return
        run()
        there.send("done")
