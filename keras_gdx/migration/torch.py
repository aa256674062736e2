"""Optimizers and schedulers of PyTorch 2.14, compared by their steps.

`optimizer.lr` is the learning rate that the scheduler starts from; here the schedule replaces it,
and its steps are updates, not epochs. A `weight_decay` that a row does not write is a penalty in
the gradient there: here, `regularizers.apply(model, regularizers.L2(weight_decay / 2))`.
"""

from keras_gdx import callbacks, optimizers, schedules
from keras_gdx.migration.rows import Table

TORCH = Table("PyTorch", {})
RULES, SCHEDULERS = "torch.optim", "torch.optim.lr_scheduler"


@TORCH.of(RULES)
def Adadelta(params, lr=1.0, rho=0.9, eps=1e-06, weight_decay=0):
    """The same."""
    return optimizers.Adadelta(lr, rho=rho, epsilon=eps)


@TORCH.of(RULES)
def Adagrad(params, lr=0.01, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10):
    """The same if `eps` is small: there it is added to the root, here in it. For `lr_decay`, the
    rate `schedules.PowerDecay(lr, lr_decay, 1.0)`.
    """
    return optimizers.Adagrad(
        lr if lr_decay == 0 else schedules.PowerDecay(lr, lr_decay, 1.0),
        initial_accumulator_value=initial_accumulator_value,
        epsilon=eps * eps,
    )


@TORCH.of(RULES)
def Adam(params, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0, amsgrad=False):
    """The same. With `amsgrad`, there the maximum is taken before the bias correction."""
    return optimizers.Adam(lr, beta_1=betas[0], beta_2=betas[1], epsilon=eps, amsgrad=amsgrad)


@TORCH.of(RULES)
def AdamW(params, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01, amsgrad=False):
    """The same, with the same reservation."""
    return optimizers.AdamW(
        lr,
        beta_1=betas[0],
        beta_2=betas[1],
        epsilon=eps,
        amsgrad=amsgrad,
        weight_decay=weight_decay,
    )


@TORCH.of(RULES)
def Adamax(params, lr=0.002, betas=(0.9, 0.999), eps=1e-08, weight_decay=0):
    """The same."""
    return optimizers.Adamax(lr, beta_1=betas[0], beta_2=betas[1], epsilon=eps)


@TORCH.of(RULES)
def Muon(
    params,
    lr=0.001,
    weight_decay=0.1,
    momentum=0.95,
    nesterov=True,
    ns_coefficients=(3.4445, -4.775, 2.0315),
    eps=1e-07,
    ns_steps=5,
    adjust_lr_fn=None,
):
    """The same steps, without the rounding to 16 bits, on kernels (inputs, outputs): all of them
    but embeddings and heads. The rest is updated by `fallback`, there by another optimizer.
    """
    return optimizers.Muon(
        lr,
        momentum=momentum,
        nesterov=nesterov,
        ns_steps=ns_steps,
        ns_coefficients=ns_coefficients,
        adjust=adjust_lr_fn or "original",
        weight_decay=weight_decay,
    )


@TORCH.of(RULES)
def NAdam(
    params,
    lr=0.002,
    betas=(0.9, 0.999),
    eps=1e-08,
    weight_decay=0,
    momentum_decay=0.004,
    decoupled_weight_decay=False,
):
    """Other steps: here the decay rate of the momentum is constant, as in optax."""
    return optimizers.NAdam(lr, beta_1=betas[0], beta_2=betas[1], epsilon=eps)


@TORCH.of(RULES)
def RAdam(
    params,
    lr=0.001,
    betas=(0.9, 0.999),
    eps=1e-08,
    weight_decay=0,
    decoupled_weight_decay=False,
):
    """The same if `eps` is small: there it is added before the bias correction."""
    return optimizers.RAdam(
        lr,
        beta_1=betas[0],
        beta_2=betas[1],
        epsilon=schedules.KerasEpsilon(eps, beta_2=betas[1]),
        weight_decay=weight_decay if decoupled_weight_decay else None,
    )


@TORCH.of(RULES)
def RMSprop(params, lr=0.01, alpha=0.99, eps=1e-08, weight_decay=0, momentum=0, centered=False):
    """The same if `eps` is small: there it is added to the root, here in it."""
    return optimizers.RMSprop(
        lr, rho=alpha, momentum=momentum, centered=centered, epsilon=eps * eps
    )


@TORCH.of(RULES)
def SGD(params, lr=0.001, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    """The same without `dampening`."""
    return optimizers.SGD(lr, momentum=momentum, nesterov=nesterov)


@TORCH.of(RULES)
def SparseAdam(params, lr=0.001, betas=(0.9, 0.999), eps=1e-08):
    """The same; `epsilon` acts as in Keras."""
    return optimizers.Adam(
        lr,
        beta_1=betas[0],
        beta_2=betas[1],
        epsilon=schedules.KerasEpsilon(eps, beta_2=betas[1]),
        sparse="lazy",
    )


TORCH.without(
    RULES,
    ASGD='`callbacks.WeightAverager("swa")`, and the rate '
    "`schedules.PowerDecay(lr, lambd * lr, alpha)`.",
    Adafactor="`optimizers.Adafactor(schedules.RelativeStep(lr))`; there `eps[0]` is that of "
    "the machine, and the second moment is factored in another way.",
    LBFGS='`keras_gdx.fit_full_batch(model, x, y, method="lbfgs")`.',
    Optimizer="`optimizers.Optimizer`, to write a rule of your own.",
    Rprop="Nothing here; `optimizers.Signum` steps by the sign too.",
)


@TORCH.of(SCHEDULERS)
def ConstantLR(optimizer, factor=0.3333333333333333, total_iters=5):
    """The same."""
    return schedules.Sequential([(total_iters, factor * optimizer.lr), (1, optimizer.lr)])


@TORCH.of(SCHEDULERS)
def CosineAnnealingLR(optimizer, T_max, eta_min=0.0):
    """The same up to `T_max`; then ours keeps its value, and PyTorch's rises again."""
    return schedules.Cosine(optimizer.lr, T_max, alpha=eta_min / optimizer.lr)


@TORCH.of(SCHEDULERS)
def CosineAnnealingWarmRestarts(optimizer, T_0, T_mult=1, eta_min=0.0):
    """The same."""
    return schedules.CosineRestarts(optimizer.lr, T_0, t_mul=T_mult, alpha=eta_min / optimizer.lr)


@TORCH.of(SCHEDULERS)
def CyclicLR(
    optimizer,
    base_lr,
    max_lr,
    step_size_up=2000,
    step_size_down=None,
    mode="triangular",
    gamma=1.0,
    scale_fn=None,
    scale_mode="cycle",
    cycle_momentum=True,
    base_momentum=0.8,
    max_momentum=0.9,
):
    """The same with equal sides. The momentum does not follow unless you give it a schedule."""
    return schedules.Cyclical(
        base_lr, max_lr, step_size_up, shape=mode, gamma=gamma, scale_fn=scale_fn
    )


@TORCH.of(SCHEDULERS)
def ExponentialLR(optimizer, gamma):
    """The same."""
    return schedules.Exponential(optimizer.lr, 1, gamma)


@TORCH.of(SCHEDULERS)
def LinearLR(optimizer, start_factor=0.3333333333333333, end_factor=1.0, total_iters=5):
    """The same."""
    return schedules.Linear(start_factor * optimizer.lr, total_iters, end_factor * optimizer.lr)


@TORCH.of(SCHEDULERS)
def MultiStepLR(optimizer, milestones, gamma=0.1):
    """The same."""
    return schedules.MultiStep(optimizer.lr, milestones, gamma)


@TORCH.of(SCHEDULERS)
def OneCycleLR(
    optimizer,
    max_lr,
    total_steps=None,
    epochs=None,
    steps_per_epoch=None,
    pct_start=0.3,
    anneal_strategy="cos",
    cycle_momentum=True,
    base_momentum=0.85,
    max_momentum=0.95,
    div_factor=25.0,
    final_div_factor=10000.0,
    three_phase=False,
):
    """The same. For the momentum, `momentum=schedules.OneCycleMomentum(total_steps)`."""
    return schedules.OneCycle(
        max_lr,
        total_steps if total_steps else epochs * steps_per_epoch,
        div=div_factor,
        final_div=final_div_factor,
        pct_start=pct_start,
        anneal=anneal_strategy,
        three_phase=three_phase,
    )


@TORCH.of(SCHEDULERS)
def PolynomialLR(optimizer, total_iters=5, power=1.0):
    """The same."""
    return schedules.Polynomial(optimizer.lr, total_iters, power=power)


@TORCH.of(SCHEDULERS)
def ReduceLROnPlateau(
    optimizer,
    mode="min",
    factor=0.1,
    patience=10,
    threshold=0.0001,
    threshold_mode="rel",
    cooldown=0,
    min_lr=0,
    eps=1e-08,
):
    """A callback, which reads the metric by its name. `threshold_mode="rel"` is a share of the
    best value there; here `threshold` is absolute, or use `callbacks.PlateauController`, whose
    `min_delta` is relative.
    """
    return callbacks.ReduceLROnPlateau(
        "val_loss",
        factor=factor,
        patience=patience,
        mode=mode,
        min_delta=threshold,
        cooldown=cooldown,
        min_lr=min_lr,
    )


@TORCH.of(SCHEDULERS)
def StepLR(optimizer, step_size, gamma=0.1):
    """The same."""
    return schedules.Step(optimizer.lr, step_size, gamma)


TORCH.without(
    SCHEDULERS,
    ChainedScheduler="Arithmetic: `a * b` is the product of two schedules.",
    LRScheduler="`schedules.Schedule`, a function of the update.",
    LambdaLR="`schedules.Schedule` with a `__call__` of your own, times the rate.",
    MultiplicativeLR="As `LambdaLR`.",
    SequentialLR="`schedules.Sequential([(steps, schedule), ...])`: lengths, not milestones.",
)
