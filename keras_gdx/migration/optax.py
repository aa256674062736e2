"""Rules and schedules of optax 0.2.8, compared by their steps.

The learning rate is required there. Options such as clipping and accumulation are arguments of
every rule here, instead of transformations in a chain.
"""

from keras_gdx import optimizers, schedules
from keras_gdx.migration.rows import Table

OPTAX = Table("optax", {})
RULES, CONTRIB = "optax", "optax.contrib"


@OPTAX.of(RULES)
def adabelief(learning_rate, b1=0.9, b2=0.999, eps=1e-16, eps_root=1e-16, *, nesterov=False):
    """The same with `eps_root` equal to `eps`."""
    return optimizers.AdaBelief(learning_rate, beta_1=b1, beta_2=b2, epsilon=eps)


@OPTAX.of(RULES)
def adadelta(learning_rate=None, rho=0.9, eps=1e-06, weight_decay=0.0, weight_decay_mask=None):
    """The same with a rate, and without `weight_decay`, which comes before the rule there."""
    return optimizers.Adadelta(learning_rate, rho=rho, epsilon=eps)


@OPTAX.of(RULES)
def adagrad(learning_rate, initial_accumulator_value=0.1, eps=1e-07):
    """The same."""
    return optimizers.Adagrad(
        learning_rate, initial_accumulator_value=initial_accumulator_value, epsilon=eps
    )


@OPTAX.of(RULES)
def adam(
    learning_rate, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0, mu_dtype=None, *, nesterov=False
):
    """The same. With `nesterov`: `optimizers.NAdam`. For `mu_dtype`: `state_dtype`, of both
    moments.
    """
    return optimizers.Adam(learning_rate, beta_1=b1, beta_2=b2, epsilon=eps, state_dtype=mu_dtype)


@OPTAX.of(RULES)
def adamax(learning_rate, b1=0.9, b2=0.999, eps=1e-08):
    """The same."""
    return optimizers.Adamax(learning_rate, beta_1=b1, beta_2=b2, epsilon=eps)


@OPTAX.of(RULES)
def adamaxw(learning_rate, b1=0.9, b2=0.999, eps=1e-08, weight_decay=0.0001, mask=None):
    """The same; for `mask`, `no_decay`."""
    return optimizers.Adamax(
        learning_rate, beta_1=b1, beta_2=b2, epsilon=eps, weight_decay=weight_decay
    )


@OPTAX.of(RULES)
def adamw(
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-08,
    eps_root=0.0,
    mu_dtype=None,
    weight_decay=0.0001,
    mask=None,
    *,
    nesterov=False,
):
    """The same. For `mask`: `no_decay`, regular expressions on paths; with `nesterov`:
    `optimizers.NAdamW`.
    """
    return optimizers.AdamW(
        learning_rate,
        beta_1=b1,
        beta_2=b2,
        epsilon=eps,
        weight_decay=weight_decay,
        state_dtype=mu_dtype,
    )


@OPTAX.of(RULES)
def adan(
    learning_rate,
    b1=0.98,
    b2=0.92,
    b3=0.99,
    eps=1e-08,
    eps_root=1e-08,
    weight_decay=0.0,
    mask=None,
):
    """The paper's, from which optax deviates: other steps."""
    return optimizers.Adan(
        learning_rate, beta_1=b1, beta_2=b2, beta_3=b3, epsilon=eps, weight_decay=weight_decay
    )


@OPTAX.of(RULES)
def amsgrad(learning_rate, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0, mu_dtype=None):
    """The same."""
    return optimizers.Adam(
        learning_rate, beta_1=b1, beta_2=b2, epsilon=eps, amsgrad=True, state_dtype=mu_dtype
    )


@OPTAX.of(RULES)
def lamb(learning_rate, b1=0.9, b2=0.999, eps=1e-06, eps_root=0.0, weight_decay=0.0, mask=None):
    """The same; for `mask`, `no_decay`."""
    return optimizers.LAMB(
        learning_rate, beta_1=b1, beta_2=b2, epsilon=eps, weight_decay=weight_decay
    )


@OPTAX.of(RULES)
def lars(
    learning_rate,
    weight_decay=0.0,
    weight_decay_mask=True,
    trust_coefficient=0.001,
    eps=0.0,
    trust_ratio_mask=True,
    momentum=0.9,
    nesterov=False,
):
    """The same; for the masks, `no_decay` and `no_adaptation`."""
    return optimizers.LARS(
        learning_rate,
        momentum=momentum,
        trust_coefficient=trust_coefficient,
        nesterov=nesterov,
        weight_decay=weight_decay or None,
    )


@OPTAX.of(RULES)
def lion(learning_rate, b1=0.9, b2=0.99, mu_dtype=None, weight_decay=0.001, mask=None):
    """The same; for `mask`, `no_decay`."""
    return optimizers.Lion(
        learning_rate, beta_1=b1, beta_2=b2, weight_decay=weight_decay, state_dtype=mu_dtype
    )


@OPTAX.of(RULES)
def novograd(learning_rate, b1=0.9, b2=0.25, eps=1e-06, eps_root=0.0, weight_decay=0.0):
    """The same."""
    return optimizers.NovoGrad(
        learning_rate, beta_1=b1, beta_2=b2, epsilon=eps, weight_decay=weight_decay or None
    )


@OPTAX.of(RULES)
def radam(
    learning_rate, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0, threshold=5.0, *, nesterov=False
):
    """The same."""
    return optimizers.RAdam(learning_rate, beta_1=b1, beta_2=b2, epsilon=eps, threshold=threshold)


@OPTAX.of(RULES)
def rmsprop(
    learning_rate,
    decay=0.9,
    eps=1e-08,
    initial_scale=0.0,
    eps_in_sqrt=True,
    centered=False,
    momentum=None,
    nesterov=False,
    bias_correction=False,
):
    """The same, with `eps` in the root and without `initial_scale`, `nesterov` and
    `bias_correction`.
    """
    return optimizers.RMSprop(
        learning_rate, rho=decay, epsilon=eps, centered=centered, momentum=momentum or 0.0
    )


@OPTAX.of(RULES)
def sgd(learning_rate, momentum=None, nesterov=False, accumulator_dtype=None):
    """The same."""
    return optimizers.SGD(
        learning_rate,
        momentum=momentum or 0.0,
        nesterov=nesterov,
        state_dtype=accumulator_dtype,
    )


@OPTAX.of(RULES)
def sign_sgd(learning_rate):
    """The same."""
    return optimizers.Signum(learning_rate, momentum=0.0)


@OPTAX.of(RULES)
def signum(learning_rate, beta=0.9, accumulator_dtype=None):
    """The same."""
    return optimizers.Signum(learning_rate, momentum=beta, state_dtype=accumulator_dtype)


@OPTAX.of(RULES)
def sm3(learning_rate, momentum=0.9):
    """The same."""
    return optimizers.SM3(learning_rate, momentum=momentum)


@OPTAX.of(CONTRIB)
def adopt(learning_rate, b1=0.9, b2=0.9999, eps=1e-06, mu_dtype=None, *, use_clipping=True):
    """The same."""
    return optimizers.ADOPT(
        learning_rate, beta_1=b1, beta_2=b2, epsilon=eps, clip=use_clipping, state_dtype=mu_dtype
    )


@OPTAX.of(CONTRIB)
def cocob(learning_rate=1.0, alpha=100.0, eps=1e-08, weight_decay=0.0, mask=None):
    """The same. There the rate scales the gradients, which changes nothing."""
    return optimizers.COCOB(alpha=alpha)


@OPTAX.of(RULES)
def constant_schedule(value):
    """The same, or the number itself."""
    return schedules.Constant(value)


@OPTAX.of(RULES)
def cosine_decay_schedule(init_value, decay_steps, alpha=0.0, exponent=1.0):
    """The same with the exponent 1."""
    return schedules.Cosine(init_value, decay_steps, alpha=alpha)


@OPTAX.of(RULES)
def cosine_onecycle_schedule(
    transition_steps, peak_value, pct_start=0.3, div_factor=25.0, final_div_factor=10000.0
):
    """As in PyTorch; there the peak is at `int(pct_start * transition_steps)`, here one update
    earlier.
    """
    return schedules.OneCycle(
        peak_value,
        transition_steps,
        div=div_factor,
        final_div=final_div_factor,
        pct_start=pct_start,
    )


@OPTAX.of(RULES)
def exponential_decay(
    init_value,
    transition_steps,
    decay_rate,
    transition_begin=0,
    staircase=False,
    end_value=None,
):
    """The same; a limit is `.clip(end_value, init_value)`."""
    return (
        schedules.Exponential(init_value, transition_steps, decay_rate, staircase=staircase).shift(
            transition_begin
        )
        if transition_begin
        else schedules.Exponential(init_value, transition_steps, decay_rate, staircase=staircase)
    )


@OPTAX.of(RULES)
def linear_schedule(init_value, end_value, transition_steps, transition_begin=0):
    """The same."""
    return (
        schedules.Linear(init_value, transition_steps, end_value).shift(transition_begin)
        if transition_begin
        else schedules.Linear(init_value, transition_steps, end_value)
    )


@OPTAX.of(RULES)
def polynomial_schedule(init_value, end_value, power, transition_steps, transition_begin=0):
    """The same."""
    return (
        schedules.Polynomial(init_value, transition_steps, end_value, power=power).shift(
            transition_begin
        )
        if transition_begin
        else schedules.Polynomial(init_value, transition_steps, end_value, power=power)
    )


@OPTAX.of(RULES)
def warmup_constant_schedule(init_value, peak_value, warmup_steps):
    """The same."""
    return schedules.Warmup(peak_value, warmup_steps, initial=init_value)


@OPTAX.of(RULES)
def warmup_cosine_decay_schedule(
    init_value, peak_value, warmup_steps, decay_steps, end_value=0.0, exponent=1.0
):
    """The same with the exponent 1. There `decay_steps` contains the warm-up."""
    return schedules.Warmup(
        schedules.Cosine(peak_value, decay_steps - warmup_steps, alpha=end_value / peak_value),
        warmup_steps,
        initial=init_value,
    )


OPTAX.without(
    RULES,
    apply_if_finite="The option `skip_nonfinite=True` of any rule.",
    chain="Modifiers in `before` and `after` of a rule, in their order.",
    clip="The option `clipvalue`.",
    clip_by_global_norm="The option `global_clipnorm`.",
    ema="The options `use_ema=True` and `ema_momentum`.",
    join_schedules="`schedules.Sequential([(steps, schedule), ...])`: lengths, not boundaries.",
    lbfgs='`keras_gdx.fit_full_batch(model, x, y, method="lbfgs")`.',
    lookahead="`optimizers.Lookahead(inner, sync_period=..., slow_step_size=...)`.",
    multi_transform="`optimizers.Partition({pattern: rule}, default=rule)`.",
    piecewise_constant_schedule="`schedules.Sequential([(steps, value), ...])`, or `MultiStep` if "
    "all scales are equal.",
    sgdr_schedule="`schedules.CosineRestarts`, or `Sequential` of cosines.",
    MultiSteps="The option `gradient_accumulation_steps` of any rule.",
)
