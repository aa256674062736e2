"""Captures and restores the training state of a model."""

from contextlib import contextmanager
from itertools import zip_longest

import keras

from keras_gdx.arguments import check
from keras_gdx.backends import backend
from keras_gdx.engine.variables.masks import Masked, hold
from keras_gdx.engine.variables.structure import layers_of, without_numbers
from keras_gdx.integration.held import held_variables
from keras_gdx.integration.kept_direction import build as build_direction
from keras_gdx.integration.kept_direction import direction_variables
from keras_gdx.integration.model_building import build_optimizer, place_of
from keras_gdx.integration.model_optimizers import (
    all_optimizers,
    moved_by,
    optimizers_of,
    ours,
)
from keras_gdx.integration.random_state import random_state, random_variables, restore_random_state
from keras_gdx.integration.weight_swap import added_to, trained_weights
from keras_gdx.schedules.create import plans_of


def take(model):
    """Copies weights, statistics, slots and random states of a compiled model."""
    random = random_state()  # first: Keras draws from Python's when it makes its own
    variables = variables_of(model)
    trained = {
        key: keras.ops.convert_to_numpy(value) for key, value in trained_weights(model).items()
    }
    return {
        "layout": layout(variables),
        "values": [
            [trained.get(id(v), part.numpy()) for part in backend.copies(v)] for v in variables
        ],
        "optimizers": [
            {
                "numbers": _numbers(x),
                "shown": x.weight_swap.swapped,
                "plans": [[plan.begin, plan.total_steps] for plan in plans_of(x)],
            }
            for x in ours(model)
        ],
        "moved": moved(model),
        "random": random,
    }


def moved(model):
    """For each optimizer of a model, the positions of the variables that it was built for.

    Positions are those in `model.variables`; a variable outside of the model is `None`.
    """
    positions = {id(v): i for i, v in enumerate(model.variables)}
    return {
        name: [positions.get(id(v)) for v in moved_by(optimizer)]
        for name, optimizer in optimizers_of(model).items()
        if optimizer.built
    }


def build_as(model, snapshot):
    """Builds optimizers that are attributes of the model, for the variables in the snapshot.

    `fit` cannot know before the first step which optimizer updates which variables.
    """
    variables = model.variables
    if layout(variables) != snapshot["layout"][: len(variables)]:
        return  # another model, which `check_layout` rejects
    for name, optimizer in optimizers_of(model).items():
        positions = snapshot["moved"].get(name, [])
        known = positions and all(i is not None and i < len(variables) for i in positions)
        if known and not optimizer.built:
            with place_of(model):
                optimizer.build([variables[i] for i in positions])
    build_direction(model)


def check_layout(variables, snapshot, source):
    """Raises `ValueError` unless the snapshot was taken of variables like these."""
    saved, now = snapshot["layout"], layout(variables)
    if saved != now:
        pairs = zip_longest(saved, now)
        different = [f"{_text(a)} in the checkpoint, {_text(b)} now" for a, b in pairs if a != b]
        raise ValueError(
            f"The checkpoint in {source} was saved with another model or optimizer, and nothing "
            f"was restored. The checkpoint has {len(saved)} variables, the model and its "
            f"optimizers {len(now)}. First differences: {'; '.join(different[:3])}."
        )


def saved_replica_count(snapshot):
    """The number of replicas in the process that took the snapshot."""
    return max((len(values) for values in snapshot["values"]), default=0)


def replica_count(model):
    """The number of replicas of a model in this process."""
    return max(len(backend.copies(v)) for v in variables_of(model))


def put(model, snapshot, random=True, counts=True, settings=True):
    """Restores the state that `take` copied.

    Args:
        model: The model.
        snapshot: What `take` returned.
        random: Whether to restore Python's and NumPy's random states.
        counts: Whether to restore the numbers of updates.
        settings: Whether to restore what callbacks set: learning rates and the other numbers
            among the optimizers' arguments, and masks. Otherwise the run goes on: the current
            masks are applied, and averages stay in the model if they are there.
    """
    stay = {id(x.iterations) for x in all_optimizers(model) if not counts}
    stay |= {id(v) for v in settings_of(model) if not settings}
    shown = [swap for swap in added_to(model) if swap.swapped and not settings]
    for swap in added_to(model):
        swap.trained = None
    for variable, values in zip(variables_of(model), snapshot["values"], strict=True):
        if id(variable) not in stay:
            for part, value in zip(backend.copies(variable), values, strict=True):
                part.assign(value)
    if not settings:
        for variable in model.weights:
            hold(variable)
    put_the_rest(model, snapshot, settings)
    for swap in shown:
        swap.enter()
    if random:
        restore_random_state(snapshot["random"])


@contextmanager
def as_before_if_refused(model, source):
    """Restores the previous state if the body, which restores a checkpoint, fails.

    Args:
        model: The model.
        source: Where the checkpoint comes from, for the error.

    Raises:
        ValueError: If the body fails.
    """
    before = take(model)
    try:
        yield
    except Exception as error:
        put(model, before, random=False)
        if str(source) in str(error):
            raise
        raise ValueError(
            f"The checkpoint in {source} cannot be used, and nothing was restored: {error}"
        ) from error


def put_the_rest(model, snapshot, settings=True):
    """Restores what is not a variable. Call it after the variables are restored."""
    for optimizer, saved in zip(ours(model), snapshot["optimizers"], strict=True):
        optimizer.weight_swap.trained = None
        if not optimizer.built:
            continue
        if settings:
            _put_numbers(optimizer, saved["numbers"])
        for plan, (begin, total) in zip(plans_of(optimizer), saved["plans"], strict=True):
            if total is not None and (begin, total) != (plan.begin, plan.total_steps):
                plan.plan(total, begin)
                optimizer.forget_traces()
                model.make_train_function(force=True)
        if saved["shown"]:
            optimizer.weight_swap.enter()


def require(model):
    """Raises `ValueError` unless the model can be copied; builds its compiled optimizer."""
    require_built(model)
    build_optimizer(model)
    others = {name: each for name, each in optimizers_of(model).items() if name}
    for name, optimizer in others.items():
        known = (
            f"built before `fit`: call `model.{name}.build(variables)` with the variables that "
            "it trains"
        )
        check(optimizer.built, name, optimizer.name, known)


def require_built(model):
    """Raises `ValueError` unless the model has all of its weights."""
    built = model.built or all(layer.built for layer in layers_of(model) if layer is not model)
    check(built, "model", model.name, "built, so that its weights can be kept")


def pruned(model):
    """The constraints of a model that hold masks of pruned weights."""
    return [v.constraint for v in model.weights if isinstance(v.constraint, Masked)]


def settings_of(model):
    """The variables that callbacks set: learning rates, numbers among the arguments, masks."""
    found = [constraint.mask for constraint in pruned(model)]
    for optimizer in all_optimizers(model):
        if isinstance(optimizer.learning_rate, keras.Variable):
            found.append(optimizer.learning_rate)
    for optimizer in ours(model):
        if not optimizer.built:  # it has nothing to train
            continue
        for rule in optimizer.all_rules():
            found += rule.rate_variables().values()
            if rule.hyperparameters is not None:  # `None` while all weights are frozen
                found.append(rule.hyperparameters.variable)
    return found


def variables_of(model):
    """All variables reachable from the model, and Keras' random state; no metrics of an epoch."""
    found = [*model.variables]
    for optimizer in all_optimizers(model):
        found += optimizer.variables
    for constraint in pruned(model):
        found += constraint.variables
    found += [*random_variables(), *held_variables(model)]
    found += direction_variables(model)
    return list({id(v): v for v in found}.values())


def metric_values(model):
    """The metrics of the current epoch. `fit` resets them when an epoch begins."""
    variables = [v for metric in model.metrics for v in metric.variables]
    return [[part.numpy() for part in backend.copies(v)] for v in variables]


def put_metrics(model, values):
    """Restores what `metric_values` returned."""
    variables = [v for metric in model.metrics for v in metric.variables]
    for variable, parts in zip(variables, values, strict=True):
        for part, value in zip(backend.copies(variable), parts, strict=True):
            part.assign(value)


def layout(variables):
    """What must match: name without the numbers that Keras adds, shape, dtype."""
    return [
        [
            without_numbers(getattr(v, "path", v.name)),
            list(v.shape),
            keras.backend.standardize_dtype(v.dtype),
        ]
        for v in variables
    ]


def _text(entry):
    return "nothing" if entry is None else f"{entry[0]} {tuple(entry[1])} {entry[2]}"


def _numbers(optimizer):
    """The numbers among the arguments that may change while training, including those of parts."""
    return {
        "own": optimizer.numbers(),
        "parts": {name: _numbers(rule) for name, rule in optimizer.part_rules().items()},
    }


def _put_numbers(optimizer, saved):
    for name, now in optimizer.numbers().items():
        value = saved["own"].get(name, now)
        if value != now:
            setattr(optimizer, name, value)
    for name, rule in optimizer.part_rules().items():
        _put_numbers(rule, saved["parts"][name])
