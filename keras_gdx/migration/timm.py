"""Schedulers and optimizers of timm 1.0.31, compared by their steps.

`optimizer.lr` is the learning rate that the scheduler starts from, and its steps are updates, as
with `t_in_epochs=False`. Noise is not here. A `weight_decay` that a row does not write is a penalty
in the gradient there: here, `regularizers.apply(model, regularizers.L2(weight_decay / 2))`.

Its `layer_decay` is `keras_gdx.layer_decay`, and names of `create_optimizer_v2` that begin with
`c`, such as `clion`, are `after=[modifiers.Cautious()]`.
"""

from keras_gdx import modifiers, optimizers, schedules
from keras_gdx.migration.rows import Table

TIMM = Table("timm", {})
RULES, SCHEDULERS = "timm.optim", "timm.scheduler"


@TIMM.of(SCHEDULERS)
def CosineLRScheduler(
    optimizer,
    t_initial,
    lr_min=0.0,
    cycle_mul=1.0,
    cycle_decay=1.0,
    cycle_limit=1,
    warmup_t=0,
    warmup_lr_init=0.0,
    warmup_prefix=False,
    t_in_epochs=True,
):
    """The same, with a warm-up if `warmup_prefix=True`: otherwise the warm-up there takes the place
    of the first part of the cosine. Beyond `cycle_limit` there is no further cycle there.
    """
    return schedules.Warmup(
        schedules.CosineRestarts(
            optimizer.lr,
            t_initial,
            t_mul=cycle_mul,
            m_mul=cycle_decay,
            alpha=lr_min / optimizer.lr,
        )
        if cycle_limit > 1
        else schedules.Cosine(optimizer.lr, t_initial, alpha=lr_min / optimizer.lr),
        warmup_t,
        initial=warmup_lr_init,
    )


@TIMM.of(SCHEDULERS)
def MultiStepLRScheduler(
    optimizer,
    decay_t,
    decay_rate=1.0,
    warmup_t=0,
    warmup_lr_init=0.0,
    warmup_prefix=True,
    t_in_epochs=True,
):
    """The same: a milestone there acts one step before the one with its number."""
    return schedules.Warmup(
        schedules.MultiStep(optimizer.lr, [t - 1 for t in decay_t], decay_rate),
        warmup_t,
        initial=warmup_lr_init,
    )


@TIMM.of(SCHEDULERS)
def PolyLRScheduler(
    optimizer,
    t_initial,
    power=0.5,
    lr_min=0.0,
    cycle_mul=1.0,
    cycle_decay=1.0,
    cycle_limit=1,
    warmup_t=0,
    warmup_lr_init=0.0,
    warmup_prefix=False,
    t_in_epochs=True,
    noise_range_t=None,
    noise_pct=0.67,
    noise_std=1.0,
    noise_seed=42,
    k_decay=1.0,
):
    """The same for one cycle, with the warm-up as for `CosineLRScheduler`."""
    return schedules.Warmup(
        schedules.Polynomial(optimizer.lr, t_initial, lr_min, power=power, k=k_decay),
        warmup_t,
        initial=warmup_lr_init,
    )


@TIMM.of(SCHEDULERS)
def StepLRScheduler(
    optimizer,
    decay_t,
    decay_rate=1.0,
    warmup_t=0,
    warmup_lr_init=0.0,
    warmup_prefix=True,
    t_in_epochs=True,
):
    """The same."""
    return schedules.Warmup(
        schedules.Step(optimizer.lr, decay_t, decay_rate), warmup_t, initial=warmup_lr_init
    )


@TIMM.of(SCHEDULERS)
def TanhLRScheduler(
    optimizer,
    t_initial,
    lb=-7.0,
    ub=3.0,
    lr_min=0.0,
    cycle_mul=1.0,
    cycle_decay=1.0,
    cycle_limit=1,
    warmup_t=0,
    warmup_lr_init=0.0,
    warmup_prefix=False,
    t_in_epochs=True,
):
    """The same for one cycle, with the warm-up as for `CosineLRScheduler`."""
    return schedules.Warmup(
        schedules.Tanh(optimizer.lr, t_initial, lower=lb, upper=ub, end_learning_rate=lr_min),
        warmup_t,
        initial=warmup_lr_init,
    )


@TIMM.of(SCHEDULERS)
def WSDLRScheduler(
    optimizer,
    t_initial,
    decay_t,
    lr_min=0.0,
    stable_fn="constant",
    stable_timescale=None,
    stable_power=0.5,
    decay_fn="1-sqrt",
    decay_power=0.5,
    decay_ratio=0.1,
    warmup_t=0,
    warmup_lr_init=0.0,
    t_in_epochs=True,
):
    """The same with a constant phase and `"linear"`, `"1-sqrt"` or `"cosine"`."""
    return schedules.Warmup(
        schedules.WarmupStableDecay(
            optimizer.lr,
            0,
            t_initial - decay_t,
            decay_t,
            shape=decay_fn,
            end_factor=lr_min / optimizer.lr,
        ),
        warmup_t,
        initial=warmup_lr_init,
    )


TIMM.without(
    SCHEDULERS,
    PlateauLRScheduler="`callbacks.ReduceLROnPlateau(monitor)`; there `mode` is `max`.",
)


@TIMM.of(RULES)
def AdaBelief(params, lr=0.001, betas=(0.9, 0.999), eps=1e-16, weight_decay=0):
    """The same if `eps` is small. Our default has no rectification."""
    return optimizers.AdaBelief(
        lr,
        beta_1=betas[0],
        beta_2=betas[1],
        epsilon=eps,
        threshold=5.0,
        weight_decay=weight_decay or None,
    )


@TIMM.of(RULES)
def Adan(params, lr=0.001, betas=(0.98, 0.92, 0.99), eps=1e-08, weight_decay=0.0):
    """The same."""
    return optimizers.Adan(
        lr,
        beta_1=betas[0],
        beta_2=betas[1],
        beta_3=betas[2],
        epsilon=eps,
        weight_decay=weight_decay or None,
    )


@TIMM.of(RULES)
def Lamb(
    params, lr=0.001, bias_correction=True, betas=(0.9, 0.999), eps=1e-06, weight_decay=0.01,
    grad_averaging=True, max_grad_norm=1.0,
):  # fmt: skip
    """The same with some decay; without, there nothing is adapted."""
    return optimizers.LAMB(
        lr,
        beta_1=betas[0],
        beta_2=betas[1],
        epsilon=eps,
        weight_decay=weight_decay,
        global_clipnorm=max_grad_norm,
    )


@TIMM.of(RULES)
def Lion(params, lr=0.0001, betas=(0.9, 0.99), weight_decay=0.0, caution=False):
    """The same."""
    return optimizers.Lion(
        lr,
        beta_1=betas[0],
        beta_2=betas[1],
        weight_decay=weight_decay or None,
        after=[modifiers.Cautious()] if caution else (),
    )


@TIMM.of(RULES)
def MADGRAD(params, lr=0.01, momentum=0.9, weight_decay=0, eps=1e-06):
    """The same."""
    return optimizers.MADGRAD(lr, momentum=momentum, epsilon=eps)


@TIMM.of(RULES)
def NvNovoGrad(params, lr=0.001, betas=(0.95, 0.98), eps=1e-08, weight_decay=0):
    """The same."""
    return optimizers.NovoGrad(
        lr,
        beta_1=betas[0],
        beta_2=betas[1],
        epsilon=eps,
    )


@TIMM.of(RULES)
def SGDW(params, lr=0.001, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    """The same without `dampening`."""
    return optimizers.SGD(
        lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay or None
    )


TIMM.without(
    RULES,
    Adopt="`optimizers.ADOPT`, which clips at the fourth root of the update's number, as the paper "
    "does; there at its cube root.",
    Lars="`optimizers.LARS`, which adapts every kernel; there only with weight decay.",
    Lookahead="`optimizers.Lookahead`; there the slow weights begin with those of the first "
    "synchronization.",
    NAdamW="`optimizers.NAdamW`; there the bias correction is that of this update, here that of "
    "the next.",
)
