"""Schedules and `optim` names of Hugging Face transformers 4.57.

`optimizer.lr` is the learning rate. With `schedules.create("linear", lr, warmup=0.1)`, the length
need not be known: it is that of `fit`.
"""

from keras_gdx import modifiers, optimizers, schedules
from keras_gdx.migration.rows import Table

TRANSFORMERS = Table("transformers", {})
SCHEDULERS = "transformers"
OPTIM = "transformers.TrainingArguments.optim"


@TRANSFORMERS.of(SCHEDULERS)
def get_constant_schedule(optimizer):
    """Named `constant`. The same: no schedule."""
    return schedules.Constant(optimizer.lr)


@TRANSFORMERS.of(SCHEDULERS)
def get_constant_schedule_with_warmup(optimizer, num_warmup_steps):
    """Named `constant_with_warmup`. The same."""
    return schedules.Warmup(optimizer.lr, num_warmup_steps)


@TRANSFORMERS.of(SCHEDULERS)
def get_cosine_schedule_with_warmup(
    optimizer, num_warmup_steps, num_training_steps, num_cycles=0.5
):
    """Named `cosine`. The same with half a cycle, after which transformers' rises again."""
    return schedules.Warmup(
        schedules.Cosine(optimizer.lr, num_training_steps - num_warmup_steps), num_warmup_steps
    )


@TRANSFORMERS.of(SCHEDULERS)
def get_cosine_with_hard_restarts_schedule_with_warmup(
    optimizer, num_warmup_steps, num_training_steps, num_cycles=1
):
    """Named `cosine_with_restarts`. The same until the last cycle ends; then transformers' is 0,
    and here another cycle begins.
    """
    return schedules.Warmup(
        schedules.CosineRestarts(
            optimizer.lr, (num_training_steps - num_warmup_steps) // num_cycles, t_mul=1.0
        ),
        num_warmup_steps,
    )


@TRANSFORMERS.of(SCHEDULERS)
def get_cosine_with_min_lr_schedule_with_warmup(
    optimizer,
    num_warmup_steps,
    num_training_steps,
    num_cycles=0.5,
    *,
    min_lr=None,
    min_lr_rate=None,
):
    """Named `cosine_with_min_lr`. The same, with the same reservation."""
    return schedules.Warmup(
        schedules.Cosine(
            optimizer.lr,
            num_training_steps - num_warmup_steps,
            alpha=min_lr_rate if min_lr is None else min_lr / optimizer.lr,
        ),
        num_warmup_steps,
    )


@TRANSFORMERS.of(SCHEDULERS)
def get_inverse_sqrt_schedule(optimizer, num_warmup_steps, timescale=None):
    """Named `inverse_sqrt`. The same without `timescale`."""
    return schedules.InverseSqrt(optimizer.lr, num_warmup_steps)


@TRANSFORMERS.of(SCHEDULERS)
def get_linear_schedule_with_warmup(optimizer, num_warmup_steps, num_training_steps):
    """Named `linear`, the default. The same."""
    return schedules.Warmup(
        schedules.Linear(optimizer.lr, num_training_steps - num_warmup_steps), num_warmup_steps
    )


@TRANSFORMERS.of(SCHEDULERS)
def get_polynomial_decay_schedule_with_warmup(
    optimizer, num_warmup_steps, num_training_steps, lr_end=1e-07, power=1.0
):
    """Named `polynomial`. The same."""
    return schedules.Warmup(
        schedules.Polynomial(
            optimizer.lr, num_training_steps - num_warmup_steps, lr_end, power=power
        ),
        num_warmup_steps,
    )


@TRANSFORMERS.of(SCHEDULERS)
def get_wsd_schedule(
    optimizer,
    num_warmup_steps,
    num_decay_steps,
    num_training_steps=None,
    num_stable_steps=None,
    warmup_type="linear",
    decay_type="cosine",
    min_lr_ratio=0,
    num_cycles=0.5,
):
    """Named `warmup_stable_decay`. The same with a linear warm-up and half a cycle, but with
    `min_lr_ratio` here the warm-up starts at 0 too, there at the ratio.
    """
    return schedules.WarmupStableDecay(
        optimizer.lr,
        num_warmup_steps,
        num_training_steps - num_warmup_steps - num_decay_steps
        if num_stable_steps is None
        else num_stable_steps,
        num_decay_steps,
        shape=decay_type,
        end_factor=min_lr_ratio,
    )


@TRANSFORMERS.of(OPTIM)
def adamw_torch(
    learning_rate=5e-05,
    weight_decay=0.0,
    adam_beta1=0.9,
    adam_beta2=0.999,
    adam_epsilon=1e-08,
    max_grad_norm=1.0,
):
    """The default, with the arguments of `TrainingArguments`. Biases and normalizations do not
    decay.
    """
    return optimizers.AdamW(
        learning_rate,
        beta_1=adam_beta1,
        beta_2=adam_beta2,
        epsilon=adam_epsilon,
        weight_decay=weight_decay,
        no_decay="auto",
        global_clipnorm=max_grad_norm,
    )


@TRANSFORMERS.of(OPTIM)
def adamw_torch_8bit(learning_rate=5e-05, weight_decay=0.0, max_grad_norm=1.0):
    """State in 8 bits."""
    return optimizers.AdamW(
        learning_rate,
        weight_decay=weight_decay,
        no_decay="auto",
        global_clipnorm=max_grad_norm,
        state_dtype="int8",
    )


@TRANSFORMERS.of(OPTIM)
def adamw_anyprecision(learning_rate=5e-05, weight_decay=0.0, max_grad_norm=1.0):
    """State in bfloat16; for weights in bfloat16 also `precision="kahan"`."""
    return optimizers.AdamW(
        learning_rate,
        weight_decay=weight_decay,
        no_decay="auto",
        global_clipnorm=max_grad_norm,
        state_dtype="bfloat16",
    )


@TRANSFORMERS.of(OPTIM)
def adafactor(learning_rate=5e-05, weight_decay=0.0, max_grad_norm=1.0):
    """With the rate as given, as the trainer sets it: not relative to the weights."""
    return optimizers.Adafactor(
        learning_rate,
        scale_parameter=False,
        weight_decay=weight_decay or None,
        no_decay="auto",
        global_clipnorm=max_grad_norm,
    )


@TRANSFORMERS.of(OPTIM)
def adagrad(learning_rate=5e-05, max_grad_norm=1.0):
    """As `torch.optim.Adagrad`."""
    return optimizers.Adagrad(
        learning_rate,
        initial_accumulator_value=0.0,
        epsilon=1e-20,
        global_clipnorm=max_grad_norm,
    )


@TRANSFORMERS.of(OPTIM)
def ademamix(learning_rate=5e-05, weight_decay=0.0, max_grad_norm=1.0):
    """AdEMAMix."""
    return optimizers.AdEMAMix(
        learning_rate,
        weight_decay=weight_decay or None,
        no_decay="auto",
        global_clipnorm=max_grad_norm,
    )


@TRANSFORMERS.of(OPTIM)
def lion_32bit(
    learning_rate=5e-05, weight_decay=0.0, adam_beta1=0.9, adam_beta2=0.999, max_grad_norm=1.0
):
    """Lion, with the decay rates that the trainer has for Adam."""
    return optimizers.Lion(
        learning_rate,
        beta_1=adam_beta1,
        beta_2=adam_beta2,
        weight_decay=weight_decay or None,
        no_decay="auto",
        global_clipnorm=max_grad_norm,
    )


@TRANSFORMERS.of(OPTIM)
def rmsprop(learning_rate=5e-05, max_grad_norm=1.0):
    """As `torch.optim.RMSprop`."""
    return optimizers.RMSprop(learning_rate, rho=0.99, epsilon=1e-16, global_clipnorm=max_grad_norm)


@TRANSFORMERS.of(OPTIM)
def schedule_free_adamw(learning_rate=5e-05, weight_decay=0.0, max_grad_norm=1.0):
    """With the scheduler `constant`: no schedule."""
    return optimizers.ScheduleFreeAdamW(
        learning_rate, weight_decay=weight_decay, no_decay="auto", global_clipnorm=max_grad_norm
    )


@TRANSFORMERS.of(OPTIM)
def schedule_free_radam(learning_rate=5e-05, weight_decay=0.0, max_grad_norm=1.0):
    """The averaging of `ScheduleFree` around another rule."""
    return optimizers.ScheduleFree(
        optimizers.RAdam(
            learning_rate,
            beta_1=0.0,
            weight_decay=weight_decay or None,
            no_decay="auto",
            global_clipnorm=max_grad_norm,
        )
    )


@TRANSFORMERS.of(OPTIM)
def schedule_free_sgd(learning_rate=5e-05, weight_decay=0.0, max_grad_norm=1.0):
    """As `schedule_free_adamw`."""
    return optimizers.ScheduleFreeSGD(
        learning_rate,
        weight_decay=weight_decay or None,
        no_decay="auto",
        global_clipnorm=max_grad_norm,
    )


@TRANSFORMERS.of(OPTIM)
def sgd(learning_rate=5e-05, max_grad_norm=1.0):
    """As `torch.optim.SGD`."""
    return optimizers.SGD(learning_rate, global_clipnorm=max_grad_norm)


@TRANSFORMERS.of(OPTIM)
def stable_adamw(learning_rate=5e-05, weight_decay=0.0, max_grad_norm=1.0):
    """AdamW with clipped updates."""
    return optimizers.AdamW(
        learning_rate,
        weight_decay=weight_decay,
        no_decay="auto",
        after=[modifiers.UpdateClip(1.0)],
        global_clipnorm=max_grad_norm,
    )


TRANSFORMERS.without(
    SCHEDULERS,
    get_adafactor_schedule="Nothing: `Adafactor` without a rate has its own, `RelativeStep`.",
    get_cosine_with_min_lr_schedule_with_warmup_lr_rate="Named `cosine_warmup_with_min_lr`. "
    "`schedules.Warmup(schedules.Cosine(lr, steps, alpha), warmup, initial)`.",
    get_reduce_on_plateau_schedule="Named `reduce_lr_on_plateau`. `callbacks.ReduceLROnPlateau()`.",
    get_scheduler='`schedules.create(name, lr)` with `"linear"`, `"cosine"`, `"polynomial"`, '
    '`"constant"`, `"inversesqrt"` or `"wsd"`: as long as `fit`, with 5 % warm-up.',
)
FUSED = "As `adamw_torch`: how it is compiled is chosen by measurement."
EIGHT_BITS = 'With `state_dtype="int8"`.'
PAGED = "As without `paged_`; `shard_state=True` divides the state among devices."
GALORE = "Nothing here; state in 8 bits, or `Adafactor`, saves memory too."
TRANSFORMERS.without(
    OPTIM,
    adalomo=GALORE,
    adamw_8bit="As `adamw_torch_8bit`.",
    adamw_apex_fused=FUSED,
    adamw_bnb_8bit="As `adamw_torch_8bit`.",
    adamw_torch_4bit="Nothing in 4 bits; as `adamw_torch_8bit`.",
    adamw_torch_fused=FUSED,
    adamw_torch_npu_fused=FUSED,
    adamw_torch_xla=FUSED,
    ademamix_8bit=EIGHT_BITS,
    apollo_adamw=GALORE,
    apollo_adamw_layerwise=GALORE,
    galore_adafactor=GALORE,
    galore_adafactor_layerwise=GALORE,
    galore_adamw=GALORE,
    galore_adamw_8bit=GALORE,
    galore_adamw_8bit_layerwise=GALORE,
    galore_adamw_layerwise=GALORE,
    grokadamw="`optimizers.AdamW(before=[modifiers.Grokfast()])`, a like idea.",
    lion_8bit=EIGHT_BITS,
    lomo=GALORE,
    paged_adamw_32bit=PAGED,
    paged_adamw_8bit=PAGED,
    paged_ademamix_32bit=PAGED,
    paged_ademamix_8bit=PAGED,
    paged_lion_32bit=PAGED,
    paged_lion_8bit=PAGED,
    rmsprop_bnb="As `rmsprop`.",
    rmsprop_bnb_32bit="As `rmsprop`.",
    rmsprop_bnb_8bit=EIGHT_BITS,
)
