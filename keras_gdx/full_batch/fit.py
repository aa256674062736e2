"""`fit_full_batch`: minimizes the loss of the whole data set."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Literal

import keras

from keras_gdx.arguments import (
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    check,
    check_type,
    needs_tensorflow,
)
from keras_gdx.callbacks._lib.duration import Duration, seconds
from keras_gdx.formulas import with_readable_help

__all__ = ["fit_full_batch"]

Method = Literal["lbfgs", "bfgs", "cg", "trust-krylov", "gd", "ssbfgs"]
OURS = {"gd", "ssbfgs"}
TYPES = {
    "model": keras.Model,
    "method": Method,
    "learning_rate": PositiveFloat | None,
    "batch_size": PositiveInt | None,
    "dtype": Literal["float64"] | None,
    "jit_compile": bool | None,
    "max_iterations": PositiveInt,
    "gradient_tolerance": NonNegativeFloat,
    "loss_tolerance": NonNegativeFloat | None,
    "time_budget": Duration | None,
    "verbose": Literal["auto", 0, 1, 2],
}


@with_readable_help
def fit_full_batch(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    loss: Any = None,
    method: Method = "lbfgs",
    learning_rate: float | None = None,
    batch_size: int | None = None,
    dtype: Literal["float64"] | None = None,
    jit_compile: bool | None = None,
    max_iterations: int = 1000,
    gradient_tolerance: float = 1e-6,
    loss_tolerance: float | None = None,
    time_budget: float | str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    verbose: str | int = "auto",
    options: Mapping[str, Any] | None = None,
) -> keras.callbacks.History:
    r"""Trains a model by descent on the loss of the whole data set.

    $$\min_w L(w), \qquad L(w) = \frac1N \sum_{i=1}^N \ell(w; x_i, y_i, s_i) + R(w)$$

    $L$ is what `train_step` would compute for one batch of all data, by the model's own
    `compute_loss`: with regularizers, `add_loss`, sample weights, masks and several outputs. It has
    one value for given weights, so curvature can be estimated and line searches work: use this for
    small models and exact minima, such as regressions and physics-informed networks, and `fit`
    where a gradient of a few examples is good enough. The optimizer that the model was compiled
    with is not used. One iteration counts as an epoch of one batch.

    If a tolerance was reached, the model keeps the last iterate. If not, also after Ctrl-C, it
    keeps the weights with the lowest loss that was seen. Frozen weights stay. Dropout draws a mask
    for each example once, and has the same ones at every evaluation; without dropout, set its rate
    to 0. Statistics of `BatchNormalization` move once per iteration. With several replicas, each
    evaluates a part of every batch; the model need not be prepared for that.

    Args:
        model: A Keras model; it need not be compiled if `loss` is given.
        x: Inputs: arrays in any structure that the model accepts, or a finite `tf.data.Dataset` or
            `keras.utils.PyDataset` of batches, which is read once per evaluation.
        y: Targets.
        sample_weight: A weight for each example, as in `fit`.
        loss: A loss as in `compile`. `None`: that of the compiled model.
        method: `"lbfgs"`: limited memory; keeps to the bounds of `NonNeg` constraints. `"bfgs"`:
            a dense inverse Hessian. `"cg"`: conjugate gradients. `"trust-krylov"`: Newton steps in
            a trust region from Hessian-vector products (forward over reverse). `"ssbfgs"`:
            self-scaled BFGS (arXiv:2501.16371), for ill-conditioned losses such as those of
            physics-informed networks. `"gd"`: gradient descent. The last two are our own, the
            others `scipy.optimize.minimize`.
        learning_rate: Number > 0, for `"gd"`. `None`: a backtracking line search (Armijo).
        batch_size: Examples at a time, for data that does not fit into memory at once. Every
            evaluation still sums over all of them. A loss function that returns a scalar,
            `add_loss` and a custom `compute_loss` then count as means over the examples, as they do
            on several replicas.
        dtype: `"float64"` computes with weights, data and layers in float64; the model gets the
            result in the dtype of its weights. `None` computes as `fit` does.
        jit_compile: Whether XLA compiles the evaluation of a batch. `None`: if `fit` would use it.
        max_iterations: Integer >= 1.
        gradient_tolerance: Number >= 0: stop if the norm of the gradient is at most this.
        loss_tolerance: Number >= 0: stop if an iteration decreases the loss, relatively, by at most
            this. `None`: never.
        time_budget: Number of seconds > 0, or a text such as `"2h30m"`; ends with the first
            evaluation after it. `None`: no limit.
        callbacks: Keras callbacks. `on_epoch_end` has `loss` and `gradient_norm` in its logs.
        verbose: As in `fit`.
        options: Further options of SciPy's solver, such as `{"maxcor": 50}`: the number of pairs
            that `"lbfgs"` remembers.

    Returns:
        Keras' `History`, with `loss` and `gradient_norm` of every iteration, and `result`: `loss`,
        `gradient_norm`, `iterations`, `evaluations`, `seconds`, `converged`, the `reason` for
        ending in words, and SciPy's own result as `solver`.

    Raises:
        ValueError: If an argument is invalid, the model has no loss or no trainable weights, has
            constraints that `method` cannot keep, or is trained by several workers, or the loss of
            the initial weights is not finite. The model has not been changed then.
        ImportError: If the method needs SciPy, which is not installed.

    Memory: for `"lbfgs"` about 720 bytes per parameter, with its 20 pairs; for `"cg"`, `"gd"` and
        `"trust-krylov"` some 100. For n parameters, `"ssbfgs"` needs 16 n**2 bytes, and `"bfgs"`
        about 40 n**2.

    Example:
        >>> import keras, keras_gdx, numpy as np
        >>> x = np.random.default_rng(0).normal(size=(64, 3))
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> history = keras_gdx.fit_full_batch(
        ...     model, x, x @ [[1.0], [2.0], [3.0]], loss="mse", dtype="float64", verbose=0
        ... )
        >>> history.result.converged, np.round(model.get_weights()[0].ravel(), 5).tolist()
        (True, [1.0, 2.0, 3.0])

    Source: Nocedal and Wright 2006; `"ssbfgs"`: arXiv:2501.16371, Kiyani et al. 2025
    """
    given = locals()
    needs_tensorflow("fit_full_batch")
    for name, hint in TYPES.items():
        check_type(name, given[name], hint)
    check(
        learning_rate is None or method == "gd",
        "learning_rate",
        learning_rate,
        "None, unless `method` is 'gd'",
    )
    check(not options or method not in OURS, "options", options, f"None, as {method!r} has none")
    if method != "gd" and find_spec("scipy") is None:
        raise ImportError(
            f"method={method!r} needs SciPy: pip install 'keras_gdx[full-batch]'. "
            "Only method='gd' does without."
        )
    from keras_gdx.distribute.functions import is_multi_worker  # TensorFlow, only now
    from keras_gdx.full_batch.data import Data
    from keras_gdx.full_batch.objective import Objective
    from keras_gdx.full_batch.solvers import check_options
    from keras_gdx.integration.model_attributes import replicas_of
    from keras_gdx.integration.training_loss import build, has_loss, loss_of

    chosen = {"learning_rate": learning_rate} if method == "gd" else dict(options or {})
    check_options(method, chosen)
    strategy = model.distribute_strategy
    check(not is_multi_worker(strategy), "model", model, "on a single worker")
    replicas = strategy.num_replicas_in_sync
    data = Data(x, y, sample_weight, batch_size, dtype or keras.config.floatx(), replicas)
    with loss_of(model, loss):
        with strategy.scope():
            build(model, *data.first)
        check(has_loss(model), "loss", loss, "given, as the model was not compiled with one")
        check(model.trainable_weights, "model", model, "a model with trainable weights")
        if (prepared := replicas_of(model)) is not None:
            prepared.statistics.meet()
        jit_compile = model.jit_compile if jit_compile is None else jit_compile
        objective = Objective(model, data, dtype, jit_compile)
        limits = {
            "gradient_tolerance": gradient_tolerance,
            "loss_tolerance": loss_tolerance,
            "max_iterations": max_iterations,
            "time_budget": None if time_budget is None else seconds(time_budget),
        }
        return _minimized(objective, method, chosen, limits, callbacks, verbose)


def _minimized(
    objective: Any,
    method: str,
    options: dict[str, Any],
    limits: dict[str, Any],
    callbacks: Any,
    verbose: str | int,
) -> keras.callbacks.History:
    """Runs the solver, and returns the `History`."""
    from keras_gdx.full_batch.bounds import bounds_of
    from keras_gdx.full_batch.run import Run, Stop
    from keras_gdx.full_batch.solvers import SOLVERS
    from keras_gdx.full_batch.ssbfgs import self_scaled_bfgs

    model = objective.model
    callbacks = keras.callbacks.CallbackList(
        callbacks,
        add_history=True,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=limits["max_iterations"],
        steps=1,
        model=model,
    )
    w, bounds = objective.read(), bounds_of(objective.variables, method)
    if bounds is not None:
        w, options = w.clip(*bounds), options | {"bounds": list(zip(*bounds, strict=True))}
    solve = SOLVERS.get(method, self_scaled_bfgs)
    run = Run(objective, callbacks, limits, bounds)
    run.start(w)
    model.stop_training = False
    callbacks.on_train_begin()
    try:
        if not run.converged:
            ended = solve(run, w, **options)
            while not run.reason and run.restart():  # SciPy returns, too, if `run` stops it
                ended = solve(run, run.current, **options)
            run.reason = run.reason or ended
    except Stop:
        pass
    except KeyboardInterrupt:
        run.reason = "interrupted"
    finally:
        objective.write(run.final.w)
        model.set_weights(model.get_weights())  # tells optimizers with averages that these count
    callbacks.on_train_end({"loss": run.final.loss, "gradient_norm": run.norm(run.final)})
    model.history.result = run.result()
    return model.history
