r"""
Schedules, update by update
===========================

A schedule is a function of the number of updates so far. Each picture below shows the values that
the optimizer uses in a run of 1,000 updates. :doc:`/schedules` says which to take.
"""

from matplotlib.figure import Figure

from keras_gdx import schedules

UPDATES = 1000


def draw(title, ylabel="learning rate", **drawn):
    """One panel for each schedule, two in a row."""
    rows = len(drawn) // 2
    figure = Figure(figsize=(8, 2.1 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, 2, sharex=True, squeeze=False)
    for panel, (name, schedule) in zip(panels.flat, drawn.items(), strict=True):
        panel.plot(schedule.sample(UPDATES))
        panel.set_title(name.replace("_", " "), fontsize="medium")
        panel.set_ylim(0)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    figure.supxlabel("update")
    figure.supylabel(ylabel)
    return figure


# %%
# The length of the run is known
# ------------------------------
# The rate decays to zero, which gains in most trainings. `Warmup` stands before any of them.
figure = draw(
    "Decay to zero",
    Cosine=schedules.Cosine(1.0, UPDATES),
    Linear=schedules.Linear(1.0, UPDATES),
    Warmup_and_Cosine=schedules.Warmup(schedules.Cosine(1.0, UPDATES - 100), 100),
    Polynomial=schedules.Polynomial(1.0, UPDATES, power=2.0),
    REX=schedules.REX(1.0, UPDATES),
    FlatCosine=schedules.FlatCosine(1.0, UPDATES),
    OneCycle=schedules.OneCycle(1.0, UPDATES),
    Tanh=schedules.Tanh(1.0, UPDATES),
)

# %%
# The run may be extended
# -----------------------
# A constant rate, from which a finished model can be branched off at any time by cooling down.
figure = draw(
    "Constant, then down",
    linear=schedules.WarmupStableDecay(1.0, 50, 650, 300, shape="linear"),
    one_minus_root=schedules.WarmupStableDecay(1.0, 50, 650, 300, shape="1-sqrt"),
)

# %%
# The length is unknown
# ---------------------
# These depend on the number of updates only. So does a constant rate with a rule that averages,
# such as `ScheduleFreeAdamW`.
figure = draw(
    "Without an end",
    InverseSqrt=schedules.InverseSqrt(1.0, 50),
    PowerDecay=schedules.PowerDecay(1.0, beta=0.02, gamma=1.0),
    Exponential=schedules.Exponential(1.0, 300, 0.5),
    MultiStep=schedules.MultiStep(1.0, [400, 800], gamma=0.3),
)

# %%
# Again and again
# ---------------
# The end of each cycle is a model of its own, which `SnapshotEnsemble` keeps.
figure = draw(
    "Cycles",
    CosineRestarts=schedules.CosineRestarts(1.0, 140, t_mul=2.0),
    Cyclical=schedules.Cyclical(0.1, 1.0, step_size=100),
)

# %%
# Arithmetic
# ----------
# Schedules can be added, multiplied, shifted, clipped and put one after another.
line = schedules.Linear(1.0, UPDATES)
figure = draw(
    "Expressions",
    half_of_it_and_a_wave=0.5 * line + schedules.Cyclical(0.0, 0.3, step_size=50),
    later_and_within_bounds=line.shift(200).clip(0.3, 0.9),
    one_after_another=schedules.Sequential([(300, 0.3), (700, line)]),
    product=line * schedules.Cyclical(0.5, 1.0, step_size=50),
)

# %%
# Not only rates
# --------------
# Any number of an optimizer may be a schedule: momentum that is low where the rate is high, and a
# weight decay that grows.
figure = draw(
    "Other hyper-parameters",
    ylabel="value",
    momentum=schedules.OneCycleMomentum(UPDATES),
    weight_decay=schedules.Linear(0.0, UPDATES, end_learning_rate=0.1),
)
