"""Recommends an optimizer and its settings for a model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras

from keras_gdx.arguments import PositiveInt, check, check_built, check_name, check_type
from keras_gdx.callbacks import EnergyBudget, LearningRateFinder, TimeBudget
from keras_gdx.comparison.budget import Budget
from keras_gdx.comparison.spaces import Advised
from keras_gdx.comparison.strategies import Strategy
from keras_gdx.creation import create
from keras_gdx.memory_estimate import memory as predicted
from keras_gdx.optimizers import Optimizer
from keras_gdx.recommendation.facts import Facts, Task, facts_of
from keras_gdx.recommendation.table import Confidence, Line, Rate, lines_for
from keras_gdx.report.markup import said, table
from keras_gdx.report.notebook import notebook

__all__ = ["Choice", "Recommendation", "recommend"]

# What saves memory, in the order of what it costs.
SAVINGS: tuple[Mapping[str, Any], ...] = (
    {},
    {"shard_state": True},
    {"state_dtype": "int8"},
    {"shard_state": True, "state_dtype": "int8"},
)


# Settings that are arguments of the optimizer.
OF_OPTIMIZER = ("weight_decay", "global_clipnorm", "ema_momentum", "shard_state", "state_dtype")


@dataclass(frozen=True)
class Choice:
    """One recommended setting.

    Attributes:
        setting: What is chosen.
        value: The choice.
        reason: Why; may be empty.
        source: Where that was found.
        confidence: How far to trust it.
    """

    setting: str
    value: Any
    reason: str
    source: str
    confidence: Confidence

    @classmethod
    def of(cls, line: Line, facts: Facts) -> "Choice":
        """The choice of a line for these facts."""
        value, reason = line.value, line.reason
        if isinstance(value, Rate):
            value, reason = (
                value.at(facts.batch_size),
                "; ".join(filter(None, (reason, str(value)))),
            )
        return cls(line.setting, value, reason, line.source, line.confidence)


@dataclass(frozen=True)
class Recommendation:
    """A first choice, line by line. Prints as a table.

    Attributes:
        choices: The recommended settings.
    """

    choices: tuple[Choice, ...]

    def __getitem__(self, setting: str) -> Any:
        """The value of a setting."""
        found = {choice.setting: choice.value for choice in self.choices}
        check_name("setting", setting, found)
        return found[setting]

    @property
    def settings(self) -> dict[str, Any]:
        """The recommendation as a strategy of `keras_gdx.compare`."""
        found = {choice.setting: choice.value for choice in self.choices}
        rate = {**found["schedule"], "learning_rate": found["learning_rate"]}
        rate["schedule"] = rate.pop("name")
        arguments = {**found["optimizer"], "learning_rate": rate}
        arguments["optimizer"] = arguments.pop("name")
        arguments |= {n: found[n] for n in OF_OPTIMIZER if found.get(n) is not None}
        if "ema_momentum" in arguments:
            arguments["use_ema"] = True
        if "batch_size" in found:
            arguments["batch_size"] = found["batch_size"]
        return arguments

    @property
    def space(self) -> dict[str, Any]:
        """As `settings`, with a third and three times the learning rate to try beside it.

        The result of `keras_gdx.compare` with this strategy says how good the recommendation was.
        """
        settings = self.settings
        rate = Advised(self["learning_rate"])
        return {**settings, "learning_rate": {**settings["learning_rate"], "learning_rate": rate}}

    def optimizer(self, model: keras.Model | None = None) -> Optimizer:
        """The optimizer, with its schedule, whose length `fit` sets."""
        return Strategy.of("recommended", self.settings).build({}, model).optimizer

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Callbacks that end training with its budget."""
        limits = {"seconds": TimeBudget, "joules": EnergyBudget}
        return [limits[c.setting](c.value) for c in self.choices if c.setting in limits]

    def __str__(self) -> str:
        rows = [(c.setting, said(c.value), c.confidence, c.source, c.reason) for c in self.choices]
        width = max(len(row[0]) for row in rows) + 2
        lines = []
        for setting, value, confidence, source, reason in rows:
            lines.append(f"{setting:{width}}{value}")
            if reason:
                lines.append(f"{'':{width}}{reason}")
            lines.append(f"{'':{width}}[{confidence} confidence; {source}]")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            {
                "setting": choice.setting,
                "value": choice.value,
                "why": choice.reason,
                "confidence": choice.confidence,
                "source": choice.source,
            }
            for choice in self.choices
        ]
        return notebook(table("A first choice", rows))


def recommend(
    model: keras.Model,
    data: Any = None,
    *,
    task: Task | None = None,
    loss: Any = None,
    batch_size: PositiveInt = 32,
    devices: PositiveInt = 1,
    memory: PositiveInt | None = None,
    budget: Budget | None = None,
) -> Recommendation:
    """Recommends an optimizer and its settings, before any experiment.

    The rule, its learning rate, schedule, weight decay, clipping, averaging, precision, and the
    way to distribute follow from the layers of the model and the limits. Each line has its
    reason, where it was found, and how far to trust it. With data, the published rate
    is moved into the range in which `callbacks.LearningRateFinder` finds the loss of a copy of the
    model falling: from its valley to a tenth of the rate with the lowest loss. A published first
    choice is not the best one: `space` is a strategy for `keras_gdx.compare`, which tries the rate
    and others, and says how good the recommendation was.

    Args:
        model: A built Keras model.
        data: `(x, y)`: training data for the rate finder.
        task: What the model is trained for. `None`: fine-tuning if it has adapters or is mostly
            frozen, otherwise training from scratch.
        loss: Loss for the rate finder; `None` is that of the compiled model.
        batch_size: Integer >= 1: examples per update.
        devices: Integer >= 1: devices that share a batch.
        memory: Integer >= 1: bytes of memory on each device. The state is made smaller, then the
            batch, until `keras_gdx.memory` predicts that training fits.
        budget: Length of the training, a `keras_gdx.Budget`.

    Raises:
        ValueError: If an argument is out of its range, the model is not built, data are given
            without a loss, or no batch fits the memory.

    Example:
        >>> import keras, keras_gdx
        >>> layers = keras.layers
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 1)), layers.Conv2D(8, 3), layers.BatchNormalization(),
        ...     layers.Flatten(), layers.Dense(10)])
        >>> advice = keras_gdx.recommend(model, batch_size=256)
        >>> advice["optimizer"]
        {'name': 'sgd', 'momentum': 0.9, 'nesterov': True}
        >>> advice["learning_rate"]
        0.1
        >>> model.compile(advice.optimizer(model), "mse")
    """
    check_built(model)
    check(model.trainable_variables, "model", model, "one with weights to train")
    check_type("task", task, Task | None)
    check_type("batch_size", batch_size, PositiveInt)
    check_type("devices", devices, PositiveInt)
    check_type("memory", memory, PositiveInt | None)
    check_type("budget", budget, Budget | None)
    counted = budget is not None and budget.is_counted
    steps = budget.steps_with(batch_size) if budget is not None and counted else None
    facts = facts_of(model, task, batch_size, devices, steps)
    savings: list[Choice] = []
    if memory is not None:
        savings, size = _savings(model, lines_for(facts)["optimizer"].value, facts, memory)
        facts = replace(facts, batch_size=size)
    choices = [Choice.of(line, facts) for line in lines_for(facts).values()] + savings
    if budget is not None and not counted:
        choices.append(Choice(budget.unit, budget.amount, "the budget", "given", "high"))
    found = Recommendation(tuple(choices))
    return found if data is None else _measured(found, model, data, loss, facts.batch_size)


def _savings(
    model: keras.Model, rule: Mapping[str, Any], facts: Facts, limit: int
) -> tuple[list[Choice], int]:
    """What makes training fit into the memory, and the batch size that is left.

    Raises:
        ValueError: If nothing does.
    """
    size = facts.batch_size
    while True:
        for saving in SAVINGS:
            if saving.get("shard_state") and facts.devices == 1:
                continue
            optimizer = create(**rule, model=model, **saving)
            needed = predicted(model, optimizer, batch_size=size, replicas=facts.devices)
            if needed.total <= limit:
                kept = dict(saving) if size == facts.batch_size else {**saving, "batch_size": size}
                words = f"needs {needed.total / 2**20:,.1f} MiB of {limit / 2**20:,.1f}"
                source = "`keras_gdx.memory`, activations estimated"
                return [Choice(n, v, words, source, "medium") for n, v in kept.items()], size
        if size <= facts.devices:
            at_least = f"at least {needed.total}, for one example on each device"
            check(False, "memory", limit, at_least)
        size = max(size // 2, facts.devices)


def _measured(
    found: Recommendation, model: keras.Model, data: Any, loss: Any, batch_size: int
) -> Recommendation:
    """The recommendation with a rate in the range that a sweep on a copy of the model suggests.

    Raises:
        ValueError: If there is no loss or the data are no pair.
    """
    check(isinstance(data, tuple) and len(data) == 2, "data", data, "a pair of inputs and targets")
    loss = model.loss if loss is None and model.compiled else loss
    check(loss is not None, "loss", loss, "a loss, as the model is not compiled")
    published = found["learning_rate"]
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    settings = {**found.settings, "learning_rate": published}
    copy.compile(Strategy.of("recommended", settings).build({}, copy).optimizer, loss)
    finder = LearningRateFinder(published / 1000, published * 1000)
    batches = -(-len(keras.tree.flatten(data)[0]) // batch_size)
    epochs = -(-finder.steps // batches)
    copy.fit(*data, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[finder])
    if "valley" not in finder.suggestions:
        return found
    low, high = sorted(finder.suggestions[name] for name in ("valley", "minimum"))
    rate = min(max(published, low), high)
    measured = Choice(
        "learning_rate",
        float(f"{rate:.1e}"),
        f"published is {published:g}; on the given data the rate finder's valley and a tenth of "
        f"the rate with the lowest loss are {low:.1g} and {high:.1g}",
        "`callbacks.LearningRateFinder`",
        "medium",
    )
    return Recommendation(
        tuple(measured if c.setting == "learning_rate" else c for c in found.choices)
    )
