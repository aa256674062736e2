"""Keras' own classes work beside ours; these rows say what changes if you replace them.

Rows that begin with "Stays" need no change. The other rows write what takes the same steps as
Keras 3.15, so that results can be compared; arguments that are not named have the same name and
default. For new work, use our defaults, which [the list of differences](../differences.md)
explains. `keras_gdx.optimizers.Optimizer.from_keras(optimizer)` translates an optimizer that exists
already.
"""

from keras_gdx import callbacks, optimizers, regularizers, schedules
from keras_gdx.migration.rows import Table

KERAS = Table("Keras", {})
OPTIMIZERS = "keras.optimizers"
SCHEDULES = "keras.optimizers.schedules"
CALLBACKS = "keras.callbacks"
REGULARIZERS = "keras.regularizers"


@KERAS.of(OPTIMIZERS)
def Adadelta(learning_rate=0.001, rho=0.95, epsilon=1e-07, **kwargs):
    """The same; other defaults."""
    return optimizers.Adadelta(learning_rate, rho=rho, epsilon=epsilon, **kwargs)


@KERAS.of(OPTIMIZERS)
def Adafactor(
    learning_rate=0.001,
    beta_2_decay=-0.8,
    epsilon_1=1e-30,
    epsilon_2=0.001,
    clip_threshold=1.0,
    relative_step=True,
    **kwargs,
):
    """The same without `weight_decay`, by which Keras shortens the step too. Its rate is at most
    the inverse root of the number of updates, whatever `relative_step` says. Our defaults are a
    relative step, and matrices that are factored from 128 rows and columns on.
    """
    return optimizers.Adafactor(
        schedules.RelativeStep(learning_rate),
        decay_rate=-beta_2_decay,
        epsilon_1=epsilon_1,
        epsilon_2=epsilon_2,
        clip_threshold=clip_threshold,
        min_dim_size_to_factor=1,
        **kwargs,
    )


@KERAS.of(OPTIMIZERS)
def Adagrad(learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-07, **kwargs):
    """The same; another default rate."""
    return optimizers.Adagrad(
        learning_rate,
        initial_accumulator_value=initial_accumulator_value,
        epsilon=epsilon,
        **kwargs,
    )


@KERAS.of(OPTIMIZERS)
def Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False, **kwargs):
    """The same, with the schedule that makes `epsilon` act as in Keras; for new work, leave it
    out. With `amsgrad`, Keras takes the maximum before the bias correction, ours after it.
    """
    return optimizers.Adam(
        learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=schedules.KerasEpsilon(epsilon, beta_2=beta_2),
        amsgrad=amsgrad,
        **kwargs,
    )


@KERAS.of(OPTIMIZERS)
def AdamW(
    learning_rate=0.001,
    weight_decay=0.004,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-07,
    amsgrad=False,
    **kwargs,
):
    """As `Adam`; another default decay."""
    return optimizers.AdamW(
        learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=schedules.KerasEpsilon(epsilon, beta_2=beta_2),
        amsgrad=amsgrad,
        weight_decay=weight_decay,
        **kwargs,
    )


@KERAS.of(OPTIMIZERS)
def Adamax(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, **kwargs):
    """The same; there `epsilon` is added to the maximum, here to the gradient in it, which makes
    no difference if it is small. Our default is smaller.
    """
    return optimizers.Adamax(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **kwargs)


@KERAS.of(OPTIMIZERS)
def Ftrl(
    learning_rate=0.001,
    learning_rate_power=-0.5,
    initial_accumulator_value=0.1,
    l1_regularization_strength=0.0,
    l2_regularization_strength=0.0,
    l2_shrinkage_regularization_strength=0.0,
    beta=0.0,
    **kwargs,
):
    """The same without `weight_decay`, which acts otherwise. For the shrinkage, use the
    regularizer `L2`.
    """
    return optimizers.Ftrl(
        learning_rate,
        learning_rate_power=learning_rate_power,
        initial_accumulator_value=initial_accumulator_value,
        l1=l1_regularization_strength,
        l2=l2_regularization_strength,
        beta=beta,
        **kwargs,
    )


@KERAS.of(OPTIMIZERS)
def Lamb(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, weight_decay=None, **kwargs):
    """The same without `weight_decay`, which is inside of the trust ratio here, as in the
    paper.
    """
    return optimizers.LAMB(
        learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        weight_decay=weight_decay or 0.0,
        **kwargs,
    )


@KERAS.of(OPTIMIZERS)
def Lion(learning_rate=0.001, beta_1=0.9, beta_2=0.99, **kwargs):
    """The same; another default rate."""
    return optimizers.Lion(learning_rate, beta_1=beta_1, beta_2=beta_2, **kwargs)


@KERAS.of(OPTIMIZERS)
def LossScaleOptimizer(
    inner_optimizer, initial_scale=32768.0, dynamic_growth_steps=2000, name=None, **kwargs
):
    """The same, and right on several replicas. With mixed precision, `compile` adds it."""
    return optimizers.LossScaleOptimizer(
        inner_optimizer,
        initial_scale=initial_scale,
        dynamic_growth_steps=dynamic_growth_steps,
        name=name,
        **kwargs,
    )


@KERAS.of(OPTIMIZERS)
def Muon(
    learning_rate=0.001,
    adam_beta_1=0.9,
    adam_beta_2=0.999,
    adam_weight_decay=0.004,
    epsilon=1e-07,
    weight_decay=0.004,
    clipnorm=None,
    clipvalue=None,
    global_clipnorm=None,
    use_ema=False,
    ema_momentum=0.99,
    ema_overwrite_frequency=None,
    loss_scale_factor=None,
    gradient_accumulation_steps=None,
    name=None,
    exclude_layers=None,
    exclude_embeddings=True,
    muon_a=3.4445,
    muon_b=-4.775,
    muon_c=2.0315,
    adam_lr_ratio=1,
    momentum=0.95,
    ns_steps=5,
    nesterov=True,
    rms_rate=0.2,
    **kwargs,
):
    """The same for dense kernels and vectors, with `rms_rate` 0.2 or `None`. Here the structure of
    the model says what is a matrix: kernels of convolutions too, embeddings and heads not.
    """
    return optimizers.Muon(
        learning_rate,
        momentum=momentum,
        nesterov=nesterov,
        ns_steps=ns_steps,
        ns_coefficients=(muon_a, muon_b, muon_c),
        adjust="match_rms_adamw" if rms_rate else None,
        fallback=optimizers.AdamW(
            learning_rate if adam_lr_ratio == 1 else learning_rate * adam_lr_ratio,
            beta_1=adam_beta_1,
            beta_2=adam_beta_2,
            epsilon=schedules.KerasEpsilon(epsilon, beta_2=adam_beta_2),
            weight_decay=adam_weight_decay
            if adam_lr_ratio == 1
            else adam_weight_decay / adam_lr_ratio,
        ),
        weight_decay=weight_decay,
        clipnorm=clipnorm,
        clipvalue=clipvalue,
        global_clipnorm=global_clipnorm,
        use_ema=use_ema,
        ema_momentum=ema_momentum,
        ema_overwrite_frequency=ema_overwrite_frequency,
        loss_scale_factor=loss_scale_factor,
        gradient_accumulation_steps=gradient_accumulation_steps,
        name=name,
        **kwargs,
    )


@KERAS.of(OPTIMIZERS)
def Nadam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, **kwargs):
    """Other steps: here the decay rate of the momentum is constant, as in optax; there it grows
    from half of its value.
    """
    return optimizers.NAdam(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **kwargs)


@KERAS.of(OPTIMIZERS)
def RMSprop(learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-07, centered=False, **kwargs):
    """The same; with `momentum`, at a constant rate."""
    return optimizers.RMSprop(
        learning_rate, rho=rho, momentum=momentum, epsilon=epsilon, centered=centered, **kwargs
    )


@KERAS.of(OPTIMIZERS)
def SGD(learning_rate=0.01, momentum=0.0, nesterov=False, **kwargs):
    """The same; with `momentum`, at a constant rate, as Keras' momentum has old rates in it."""
    return optimizers.SGD(learning_rate, momentum=momentum, nesterov=nesterov, **kwargs)


@KERAS.of(OPTIMIZERS)
def ScheduleFreeAdamW(
    learning_rate=0.0025,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-08,
    warmup_steps=0,
    weight_decay=None,
    **kwargs,
):
    """The same without `weight_decay`, which moves the average too there. Our default weights the
    updates of a warm-up by their squared rate, as in the paper. `use_ema` is refused: the weights
    are averaged already.
    """
    return optimizers.ScheduleFreeAdamW(
        learning_rate,
        beta=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        weight_lr_power=0.0 if warmup_steps else 2.0,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay or 0.0,
        **kwargs,
    )


KERAS.without(
    OPTIMIZERS,
    MultiOptimizer="`optimizers.Partition`, with regular expressions on the paths of variables.",
    OptimizerMap="Its dictionary is the first argument of `optimizers.Partition`.",
    Optimizer="`optimizers.Optimizer`, to write a rule of your own; it is a "
    "`keras.optimizers.Optimizer`.",
    get='Stays. It also knows our names: `"keras_gdx>adam"`, and `"lookahead"`, which Keras lacks.',
    serialize="Stays.",
    deserialize="Stays.",
)


@KERAS.of(SCHEDULES)
def CosineDecay(
    initial_learning_rate,
    decay_steps,
    alpha=0.0,
    name="CosineDecay",
    warmup_target=None,
    warmup_steps=0,
):
    """The same; Keras' own works with our optimizers too."""
    return (
        schedules.Warmup(
            schedules.Cosine(warmup_target, decay_steps, alpha=alpha),
            warmup_steps,
            initial=initial_learning_rate,
        )
        if warmup_steps
        else schedules.Cosine(initial_learning_rate, decay_steps, alpha=alpha)
    )


@KERAS.of(SCHEDULES)
def CosineDecayRestarts(
    initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0, name="SGDRDecay"
):
    """The same, unless both `m_mul` and `alpha` are given."""
    return schedules.CosineRestarts(
        initial_learning_rate, first_decay_steps, t_mul=t_mul, m_mul=m_mul, alpha=alpha
    )


@KERAS.of(SCHEDULES)
def ExponentialDecay(
    initial_learning_rate, decay_steps, decay_rate, staircase=False, name="ExponentialDecay"
):
    """The same."""
    return schedules.Exponential(
        initial_learning_rate, decay_steps, decay_rate, staircase=staircase
    )


@KERAS.of(SCHEDULES)
def InverseTimeDecay(
    initial_learning_rate, decay_steps, decay_rate, staircase=False, name="InverseTimeDecay"
):
    """The same without `staircase`."""
    return schedules.PowerDecay(initial_learning_rate, decay_rate / decay_steps, 1.0)


@KERAS.of(SCHEDULES)
def PolynomialDecay(
    initial_learning_rate,
    decay_steps,
    end_learning_rate=0.0001,
    power=1.0,
    cycle=False,
    name="PolynomialDecay",
):
    """The same; another default `end_learning_rate`."""
    return schedules.Polynomial(
        initial_learning_rate, decay_steps, end_learning_rate, power=power, cycle=cycle
    )


KERAS.without(
    SCHEDULES,
    PiecewiseConstantDecay="Stays, or `MultiStep` if each value is the same share of the one "
    "before, or `Sequential`. A boundary is the last step with the old value there, a milestone "
    "the first with the new one here.",
    LearningRateSchedule="Stays; `schedules.Schedule` is one, with arithmetic, `sample` and "
    "`plot`.",
    serialize="Stays.",
    deserialize="Stays.",
)


@KERAS.of(CALLBACKS)
def BackupAndRestore(
    backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True
):
    """Continues within an epoch, with random numbers, position in the data and state of callbacks.
    A finished run keeps its checkpoint; several are kept anyway.
    """
    return callbacks.ResumableCheckpoint(backup_dir, every=save_freq)


@KERAS.of(CALLBACKS)
def ReduceLROnPlateau(
    monitor="val_loss",
    factor=0.1,
    patience=10,
    verbose=0,
    mode="auto",
    min_delta=0.0001,
    cooldown=0,
    min_lr=0.0,
    **kwargs,
):
    """The same, and it scales a schedule; a missing metric is an error."""
    return callbacks.ReduceLROnPlateau(
        monitor=monitor,
        factor=factor,
        patience=patience,
        verbose=verbose,
        mode=mode,
        min_delta=min_delta,
        cooldown=cooldown,
        min_lr=min_lr,
        **kwargs,
    )


@KERAS.of(CALLBACKS)
def TerminateOnNaN(raise_error=False):
    """Goes back to the last good weights and trains on, instead of ending. With
    `skip_nonfinite=True`, an optimizer leaves out steps whose gradients are not finite.
    """
    return callbacks.FaultGuard()


KERAS.without(
    CALLBACKS,
    Callback="Stays; `callbacks.Callback` is one whose state survives an interruption.",
    CallbackList="Stays.",
    CSVLogger="Stays; put it after callbacks that write logs.",
    EarlyStopping="Stays. It restores the weights that were validated; see `SwapEMAWeights`.",
    History="Stays; `HyperparameterLogger` adds the learning rate to it.",
    LambdaCallback="Stays.",
    LearningRateScheduler="Stays, once an epoch; a schedule acts at every update.",
    ModelCheckpoint="Stays. It saves the weights that were validated; see `SwapEMAWeights`.",
    OrbaxCheckpoint="Stays; `callbacks.ResumableCheckpoint` also has what `fit` needs to go on.",
    ProgbarLogger="Stays; or `callbacks.RichProgress()` with `verbose=0`.",
    RemoteMonitor="Stays.",
    SwapEMAWeights="Stays, to validate with the averages of `use_ema`; with `swap_on_epoch=True`, "
    "`ModelCheckpoint` and `EarlyStopping` keep them. `callbacks.WeightAverager` and rules that "
    "average by themselves need no callback for that.",
    TensorBoard="Stays; `callbacks.TensorBoardScalars` needs no package `tensorboard`.",
)


@KERAS.of(REGULARIZERS)
def OrthogonalRegularizer(factor=0.01, mode="rows"):
    """Another penalty: here squares, and the lengths count; there absolute cosines."""
    return regularizers.SoftOrthogonal(factor, mode=mode)


KERAS.without(
    REGULARIZERS,
    L1="Stays, or `regularizers.L1`: the same, but weights in 16 bits are summed in float32.",
    L2="Stays, or `regularizers.L2`, in the same way.",
    L1L2="Stays, or `regularizers.L1L2`, in the same way.",
    Regularizer="Stays, also as the base of your own.",
    get="Stays.",
    serialize="Stays.",
    deserialize="Stays.",
)
