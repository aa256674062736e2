"""The table of advice: what to choose first, by the model and its task.

For each setting, the first line counts whose conditions hold. To extend it, add a line above the
more general ones, with its reason and where that can be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Literal

from keras_gdx.recommendation.facts import Facts

Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True)
class Rate:
    """A learning rate for one batch size, and how it changes with others.

    Attributes:
        value: The rate.
        batch_size: The batch size that it was found for.
        scaling: `"linear"`, `"sqrt"`, or `None` for a rate that stays as it is.
    """

    value: float
    batch_size: int = 256
    scaling: Literal["linear", "sqrt"] | None = "sqrt"

    def at(self, batch_size: int) -> float:
        """The rate for a batch size, to two digits."""
        times = batch_size / self.batch_size
        scale = {"linear": times, "sqrt": sqrt(times), None: 1.0}[self.scaling]
        return float(f"{self.value * scale:.1e}")

    def __str__(self) -> str:
        if self.scaling is None:
            return ""
        root = "the square root of " if self.scaling == "sqrt" else ""
        return f"{self.value:g} for {self.batch_size}, times {root}the ratio of batch sizes"


@dataclass(frozen=True)
class AtLeast:
    """A condition on a number; one that is not known is less than any."""

    number: float

    def holds(self, value: float | None) -> bool:
        return value is not None and value >= self.number


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        setting: What is chosen.
        value: The choice.
        reason: Why.
        source: Where that was found.
        confidence: How far to trust it: `"high"` if it was confirmed independently or is the
            standard recipe of this kind of model, `"low"` if it is a single result.
        when: The facts that it needs: a value, a tuple of values, or `AtLeast`.
    """

    setting: str
    value: Any
    reason: str
    source: str
    confidence: Confidence
    when: Mapping[str, Any] = field(default_factory=dict)

    def holds(self, facts: Facts) -> bool:
        """Whether the line is for a model and run with these facts."""
        return all(_holds(need, getattr(facts, name)) for name, need in self.when.items())


def _holds(need: Any, value: Any) -> bool:
    if isinstance(need, AtLeast):
        return need.holds(value)
    return value in need if isinstance(need, tuple) else value == need


LM = {"kind": "language model", "task": "from scratch"}
TRANSFORMER = {"kind": "transformer", "task": "from scratch"}
CONVOLUTIONAL = {"kind": "convolutional", "task": "from scratch"}
BATCH_NORM = CONVOLUTIONAL | {"normalization": "batch"}
MOBILE = BATCH_NORM | {"depthwise": True}
CONVNEXT = CONVOLUTIONAL | {"normalization": "layer"}
RECURRENT = {"kind": "recurrent", "task": "from scratch"}
TABLES = {"kind": "embedding tables", "task": "from scratch"}
DENSE = {"kind": "dense", "task": "from scratch"}
ADAPTERS = {"adapters": True}
FINE_TUNING = {"task": "fine-tuning"}

TIMM = "timm, training scripts"
CONVNEXT_PAPER = "arXiv:2201.03545 (ConvNeXt)"
DEIT = "arXiv:2012.12877 (DeiT)"
LORA = "Schulman et al. 2025, LoRA Without Regret"
TABULAR = "arXiv:2604.15297"
MEASURED = "benchmarks/time_to_target"
WIDELY_USED = "default of most published recipes"

TABLE = (
    # -- the rule ---------------------------------------------------------------------------
    Line(
        "optimizer",
        {"name": "adam", "beta_1": 0.5},
        "little momentum keeps generator and discriminator from circling each other",
        "arXiv:1511.06434 (DCGAN)",
        "medium",
        {"task": "gan"},
    ),
    Line(
        "optimizer",
        {"name": "adam"},
        "brief; then `keras_gdx.fit_full_batch(method='ssbfgs')` in float64 gains orders of "
        "magnitude",
        "arXiv:2501.16371",
        "high",
        {"task": "pinn"},
    ),
    Line(
        "optimizer",
        {"name": "muon", "adjust": "match_rms_adamw"},
        "18 % lower loss than AdamW on a diffusion U-Net",
        "arXiv:2510.19376",
        "low",
        {"task": "diffusion"},
    ),
    Line("optimizer", {"name": "adamw"}, "the usual choice for adapters", LORA, "high", ADAPTERS),
    Line(
        "optimizer",
        {"name": "adamw"},
        "a pretrained model is best tuned by the kind of rule that trained it; most used AdamW",
        "KerasHub, the default of 25 tasks",
        "high",
        FINE_TUNING,
    ),
    Line(
        "optimizer",
        {"name": "muon", "adjust": "match_rms_adamw"},
        "fewer updates than AdamW to the same loss; takes AdamW's learning rates",
        "arXiv:2502.16982 (Moonlight); nanochat",
        "medium",
        LM,
    ),
    Line("optimizer", {"name": "adamw"}, WIDELY_USED, DEIT, "high", TRANSFORMER),
    Line(
        "optimizer",
        {"name": "rmsprop", "momentum": 0.9, "rho": 0.9, "epsilon": 1e-3},
        "depthwise convolutions with batch normalization were designed with RMSprop",
        TIMM + " (EfficientNet, MobileNet)",
        "medium",
        MOBILE,
    ),
    Line(
        "optimizer",
        {"name": "sgd", "momentum": 0.9, "nesterov": True},
        "with batch normalization, SGD generalizes at least as well as adaptive rules",
        TIMM + "; torchvision references",
        "high",
        BATCH_NORM,
    ),
    Line("optimizer", {"name": "adamw"}, WIDELY_USED, CONVNEXT_PAPER, "high", CONVNEXT),
    Line(
        "optimizer",
        {"name": "muon"},
        "orthogonalized steps for filters need fewer updates than SGD's; than a tuned AdamW's they "
        f"do not in {MEASURED}",
        "cifar10-airbench (94 % in 2.6 s; 3.8 s without)",
        "low",
        CONVOLUTIONAL,
    ),
    Line("optimizer", {"name": "adamw"}, WIDELY_USED, "arXiv:1711.05101", "medium", RECURRENT),
    Line(
        "optimizer",
        {"name": "adamw", "sparse": "lazy"},
        "only the rows of a batch are read and written",
        "keras-rs; LazyAdam of TensorFlow Addons",
        "medium",
        TABLES,
    ),
    Line(
        "optimizer",
        {"name": "muon"},
        "best of 15 rules on 17 tabular data sets, at 1.03 times the time of AdamW",
        TABULAR + "; " + MEASURED,
        "medium",
        DENSE,
    ),
    # -- the learning rate ------------------------------------------------------------------
    Line(
        "learning_rate", Rate(2e-4, scaling=None), "", "arXiv:1511.06434", "medium", {"task": "gan"}
    ),
    Line("learning_rate", Rate(1e-3, scaling=None), "", WIDELY_USED, "medium", {"task": "pinn"}),
    Line("learning_rate", Rate(3e-4), "that of AdamW", WIDELY_USED, "low", {"task": "diffusion"}),
    Line(
        "learning_rate",
        Rate(5e-4, 32),
        "adapters take ten times the rate of full fine-tuning",
        LORA,
        "medium",
        ADAPTERS,
    ),
    Line(
        "learning_rate",
        Rate(5e-5, 32),
        "1e-5 to 2e-5 for large language models",
        "KerasHub, the default of 25 tasks",
        "high",
        FINE_TUNING,
    ),
    Line(
        "learning_rate",
        Rate(3e-3, 512),
        "3e-3 to 8e-3 at 130M weights",
        "AdamW baselines of language models",
        "medium",
        LM,
    ),
    Line("learning_rate", Rate(1e-3, 1024), "", DEIT, "high", TRANSFORMER),
    Line("learning_rate", Rate(0.016, 256), "", TIMM, "medium", MOBILE),
    Line(
        "learning_rate",
        Rate(0.1, 256, "linear"),
        "proportional to the batch size",
        "arXiv:1706.02677",
        "high",
        BATCH_NORM,
    ),
    Line("learning_rate", Rate(4e-3, 4096), "", CONVNEXT_PAPER, "high", CONVNEXT),
    Line(
        "learning_rate",
        Rate(0.02, scaling=None),
        "Muon's own scale of steps; its default",
        MEASURED,
        "low",
        CONVOLUTIONAL,
    ),
    Line("learning_rate", Rate(1e-3), "", WIDELY_USED, "medium", RECURRENT),
    Line("learning_rate", Rate(1e-3, 1024), "", "DLRM in AlgoPerf", "low", TABLES),
    Line(
        "learning_rate",
        Rate(0.02, scaling=None),
        "Muon's own scale of steps; its default",
        TABULAR + "; " + MEASURED,
        "medium",
        DENSE,
    ),
    # -- its schedule -----------------------------------------------------------------------
    Line(
        "schedule",
        {"name": "constant"},
        "neither player may stop learning",
        "arXiv:1511.06434",
        "medium",
        {"task": "gan"},
    ),
    Line(
        "schedule",
        {"name": "constant"},
        "Adam's part is short",
        "arXiv:2501.16371",
        "medium",
        {"task": "pinn"},
    ),
    Line(
        "schedule",
        {"name": "linear", "warmup": 0.1},
        "10 % warm-up",
        "arXiv:1810.04805 (BERT)",
        "high",
        FINE_TUNING,
    ),
    Line(
        "schedule",
        {"name": "warmupstabledecay", "warmup": 0.02, "decay_steps": 0.65},
        "constant, then linear to near zero over most of the training",
        "nanochat",
        "medium",
        LM,
    ),
    Line(
        "schedule",
        {"name": "cosine", "warmup": 0.067},
        "20 of 300 epochs of warm-up",
        CONVNEXT_PAPER,
        "high",
        TRANSFORMER,
    ),
    Line(
        "schedule",
        {"name": "cosine", "warmup": 0.05},
        "5 epochs of warm-up",
        TIMM,
        "high",
        CONVOLUTIONAL,
    ),
    Line(
        "schedule",
        {"name": "cosine", "warmup": 0.05},
        "a decay to zero gains in any training of known length",
        WIDELY_USED,
        "high",
    ),
    # -- weight decay -----------------------------------------------------------------------
    Line("weight_decay", 0.0, "", "arXiv:1511.06434", "medium", {"task": ("gan", "pinn")}),
    Line("weight_decay", 0.0, "adapters are small", LORA, "medium", ADAPTERS),
    Line("weight_decay", 0.01, "", "arXiv:1810.04805 (BERT)", "medium", FINE_TUNING),
    Line("weight_decay", 0.1, "", "arXiv:2005.14165; arXiv:2302.13971", "high", LM),
    Line("weight_decay", 0.05, "", CONVNEXT_PAPER, "high", TRANSFORMER),
    Line("weight_decay", 1e-5, "", TIMM, "medium", MOBILE),
    Line(
        "weight_decay",
        1e-3,
        "1e-4 inside of the gradient, which momentum 0.9 makes ten times as large",
        TIMM,
        "high",
        BATCH_NORM,
    ),
    Line("weight_decay", 0.05, "", CONVNEXT_PAPER, "high", CONVNEXT),
    Line("weight_decay", 1e-4, "", TABULAR, "medium", DENSE),
    Line(
        "weight_decay",
        0.0,
        "tables: decay would also act on rows that no batch reads",
        "keras-rs",
        "medium",
        TABLES,
    ),
    Line("weight_decay", 0.01, "", "arXiv:1711.05101", "low"),
    # -- clipping ---------------------------------------------------------------------------
    Line(
        "global_clipnorm",
        1.0,
        "gradients of a recurrence can explode",
        "arXiv:1211.5063",
        "high",
        RECURRENT,
    ),
    Line("global_clipnorm", 1.0, "", WIDELY_USED, "high", TRANSFORMER),
    Line("global_clipnorm", 1.0, "", "arXiv:1810.04805 (BERT)", "medium", FINE_TUNING),
    Line(
        "global_clipnorm",
        None,
        "orthogonalized steps have a bounded size; no benefit found",
        "nanochat",
        "medium",
        LM,
    ),
    # -- averaging --------------------------------------------------------------------------
    Line(
        "ema_momentum",
        0.9999,
        "for evaluation",
        TIMM,
        "high",
        CONVOLUTIONAL | {"steps": AtLeast(100_000)},
    ),
    Line(
        "ema_momentum",
        0.999,
        "samples from averaged weights are far better",
        "arXiv:1806.04498",
        "high",
        {"task": ("gan", "diffusion")},
    ),
    # -- precision and batches --------------------------------------------------------------
    Line(
        "dtype_policy",
        "mixed_bfloat16",
        "faster, with the range of float32, so that no loss scaling is needed",
        "Keras' guide to mixed precision",
        "high",
        {"gpu": True},
    ),
    Line(
        "dtype_policy",
        "float32",
        "16 bits are emulated on most processors",
        "Keras' guide to mixed precision",
        "high",
    ),
    Line(
        "gradient_accumulation_steps",
        None,
        "on one device a smaller batch trains as well per example, and accumulation only costs "
        "updates; use it where the loss itself needs a large batch (contrastive)",
        "arXiv:2507.07101",
        "high",
        {"devices": 1},
    ),
    Line(
        "gradient_accumulation_steps",
        None,
        "useful where the all-reduce takes longer than a step",
        "arXiv:2507.07101",
        "medium",
    ),
    Line(
        "strategy",
        "auto",
        "equal to one device with the same batch; divide it among the devices",
        "`keras_gdx.distribute`",
        "high",
        {"devices": AtLeast(2)},
    ),
)


def lines_for(facts: Facts) -> dict[str, Line]:
    """The line of each setting that counts for these facts."""
    found: dict[str, Line] = {}
    for line in TABLE:
        if line.setting not in found and line.holds(facts):
            found[line.setting] = line
    return found
