"""Settings of published training recipes, for `keras_gdx.create(..., preset=...)`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_gdx.advice import nearest
from keras_gdx.arguments import LearningRate, check, is_number
from keras_gdx.registry import look_up
from keras_gdx.schedules import create as create_schedule


@dataclass(frozen=True)
class Preset:
    """Settings of one published recipe.

    Attributes:
        name: What `create` takes as `preset`.
        rule: The short name of the optimizer.
        learning_rate: The peak of the schedule, for batches of `batch_size`.
        schedule: Arguments of `schedules.create`, as it takes its length from `fit`; `None`: the
            rate is constant.
        arguments: Arguments of the optimizer.
        batch_size: Examples per update in the recipe (tokens for language models).
        source: Where the settings are published.
        note: Departures from the source, if any.
    """

    name: str
    rule: str
    learning_rate: float
    schedule: dict[str, Any] | None
    arguments: dict[str, Any] = field(default_factory=dict)
    batch_size: str = ""
    source: str = ""
    note: str = ""

    def rate(self, peak: LearningRate | None = None) -> LearningRate:
        """The learning rate: the schedule with this peak, or another schedule."""
        peak = self.learning_rate if peak is None else peak
        if self.schedule is None or not is_number(peak):
            return peak
        return create_schedule(learning_rate=peak, **self.schedule)


# The recipes for SGD add the decay to the gradient. Through the momentum it then acts
# 1 / (1 - momentum) times as much as the decoupled decay here.
INSIDE = "its decay of {} is part of the gradient, which momentum 0.9 makes ten times as large"

PRESETS = (
    Preset(
        "resnet",
        "sgd",
        0.1,
        {"name": "multistep", "milestones": [0.333, 0.667], "gamma": 0.1, "warmup": 0},
        {"momentum": 0.9, "weight_decay": 1e-3},
        "256",
        "arXiv:1512.03385",
        INSIDE.format("1e-4"),
    ),
    Preset(
        "wide-resnet",
        "sgd",
        0.1,
        {"name": "multistep", "milestones": [0.3, 0.6, 0.8], "gamma": 0.2, "warmup": 0},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-3},
        "128",
        "arXiv:1605.07146",
        INSIDE.format("5e-4"),
    ),
    Preset(
        "vit",
        "adamw",
        1e-3,
        {"name": "cosine", "warmup": 0.0167},
        {"weight_decay": 0.05},
        "1,024",
        "arXiv:2012.12877 (DeiT)",
    ),
    Preset(
        "convnext",
        "adamw",
        4e-3,
        {"name": "cosine", "warmup": 0.0667},
        {"weight_decay": 0.05},
        "4,096",
        "arXiv:2201.03545",
    ),
    Preset(
        "gan",
        "adam",
        2e-4,
        None,
        {"beta_1": 0.5},
        "128",
        "arXiv:1511.06434 (DCGAN)",
    ),
    Preset(
        "transformer",
        "adam",
        7e-4,
        {"name": "inversesqrt", "warmup_steps": 4000},
        {"beta_2": 0.98, "epsilon": 1e-9},
        "25,000 tokens",
        "arXiv:1706.03762",
        "the peak of its schedule for a width of 512; `schedules.Noam` is for other widths",
    ),
    Preset(
        "bert",
        "adamw",
        1e-4,
        {"name": "linear", "warmup": 0.01},
        {"weight_decay": 0.01, "epsilon": 1e-6},
        "256",
        "arXiv:1810.04805",
    ),
    Preset(
        "bert-finetune",
        "adamw",
        3e-5,
        {"name": "linear", "warmup": 0.1},
        {"weight_decay": 0.01, "epsilon": 1e-6},
        "32",
        "arXiv:1810.04805",
    ),
    Preset(
        "gpt3",
        "adamw",
        6e-4,
        {"name": "cosine", "alpha": 0.1, "warmup": 0.00125},
        {"beta_2": 0.95, "weight_decay": 0.1, "global_clipnorm": 1.0},
        "500,000 tokens",
        "arXiv:2005.14165",
        "the rate of its 125M model",
    ),
    Preset(
        "llama",
        "adamw",
        3e-4,
        {"name": "cosine", "alpha": 0.1, "warmup": 0.008},
        {"beta_2": 0.95, "weight_decay": 0.1, "global_clipnorm": 1.0},
        "4,000,000 tokens",
        "arXiv:2302.13971",
        "the rate of its 7B model",
    ),
    Preset(
        "moonlight",
        "muon",
        4.2e-4,
        {"name": "cosine", "alpha": 0.1, "warmup": 0.005},
        {"adjust": "match_rms_adamw", "weight_decay": 0.1, "global_clipnorm": 1.0},
        "2,048 sequences",
        "arXiv:2502.16982",
        "the rate of its 16B model; its cool-down on other data is left out",
    ),
    Preset(
        "nanochat",
        "muon",
        0.02,
        {"name": "wsd", "decay_steps": 0.65, "end_factor": 0.05, "warmup": 0.01},
        {"ns_coefficients": "polar_express", "decay": "cautious", "weight_decay": 0.28},
        "524,288 tokens",
        "nanochat (Karpathy), its base training of 2026",
        "with a warmup of 1 % instead of 40 updates; without its second moment for each output, "
        "its ramps of momentum and decay, and its rates for the embedding (0.3) and the head "
        "(0.008)",
    ),
    Preset(
        "t5",
        "adafactor",
        0.01,
        {"name": "inversesqrt", "warmup_steps": 10_000},
        {},
        "65,536 tokens",
        "arXiv:1910.10683",
        "its rate is constant, not rising, in the first 10,000 updates",
    ),
    Preset(
        "algoperf",
        "lion",
        2e-4,
        {"name": "cosine", "warmup": 0.02},
        {"beta_1": 0.95, "beta_2": 0.98, "weight_decay": 0.5},
        "",
        "AlgoPerf 2024, self-tuning submission",
    ),
)


def presets(rule: str | None = None) -> Sequence[Preset]:
    """Returns the presets, all or those of one rule.

    Args:
        rule: Short name of an optimizer, such as `"adamw"`.

    Example:
        >>> import keras_gdx
        >>> [preset.name for preset in keras_gdx.presets("adamw")]
        ['vit', 'convnext', 'bert', 'bert-finetune', 'gpt3', 'llama']
    """
    if rule is not None:
        rule = look_up(rule, "optimizer").name
    return tuple(p for p in PRESETS if rule in (None, p.rule))


def find(rule: str, name: str) -> Preset:
    """The preset of a rule; raises `ValueError` with the names that there are."""
    found = {p.name: p for p in presets(rule)}
    other = next((p for p in PRESETS if p.name == name and p.rule != rule), None)
    advice = f" Write create({other.rule!r}, preset={name!r})." if other else ""
    known = f"one of {', '.join(map(repr, found))}" if found else f"None for {rule!r}"
    check(name in found, "preset", name, known, advice=advice or nearest(name, found))
    return found[name]
