"""TensorFlow Addons does not run on Keras 3.

Every optimizer, schedule and callback of version 0.23 is here. What each entry writes was run
beside the original, with the same weights and gradients, and takes the same steps unless the entry
says otherwise. Metrics, losses and layers are not in this package; many are in Keras 3 now.

The weight decay of `AdamW`, `SGDW` and `DecoupledWeightDecayExtension` is subtracted as it is
there, and multiplied by the learning rate here. So divide it by the rate, which may be a schedule.
To let the decay follow a schedule, which had to be arranged by hand there, divide it by the peak.
"""

import keras

from keras_gdx import callbacks, constraints, optimizers, schedules
from keras_gdx.migration.rows import Table

ADDONS = Table("TensorFlow Addons", {"tensorflow_addons": "tfa"})
OPTIMIZERS, CALLBACKS = "tensorflow_addons.optimizers", "tensorflow_addons.callbacks"


@ADDONS.of(OPTIMIZERS)
def AdaBelief(
    learning_rate=0.001,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-14,
    weight_decay=0.0,
    amsgrad=False,
    rectify=True,
    sma_threshold=5.0,
    total_steps=0,
    warmup_proportion=0.1,
    min_lr=0.0,
    name="AdaBelief",
    **kwargs,
):
    """The same. The warm-up of `total_steps` is a schedule here: with w = `total_steps *
    warmup_proportion`, `Warmup(Linear(rate, total_steps - w, min_lr), w - 1, rate / w)`.
    """
    return optimizers.AdaBelief(
        schedules.Warmup(
            schedules.Linear(
                learning_rate, total_steps - round(total_steps * warmup_proportion), min_lr
            ),
            round(total_steps * warmup_proportion) - 1,
            learning_rate / round(total_steps * warmup_proportion),
        )
        if total_steps
        else learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        threshold=sma_threshold if rectify else None,
        amsgrad=amsgrad,
        weight_decay=weight_decay or None,
        name=name,
        **kwargs,
    )


@ADDONS.of(OPTIMIZERS)
def AdamW(
    weight_decay,
    learning_rate=0.001,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-07,
    amsgrad=False,
    name="AdamW",
    *,
    exclude_from_weight_decay=None,
    **kwargs,
):
    """The same without `amsgrad`, whose maximum is taken before the bias correction there, and
    after it here. The decay is subtracted as it is there, and multiplied by the rate here.
    `KerasEpsilon` adds `epsilon` where it was.
    """
    return optimizers.AdamW(
        learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=schedules.KerasEpsilon(epsilon, beta_2=beta_2),
        amsgrad=amsgrad,
        weight_decay=weight_decay / learning_rate,
        no_decay=exclude_from_weight_decay or (),
        name=name,
        **kwargs,
    )


@ADDONS.of(OPTIMIZERS)
def COCOB(alpha=100, use_locking=False, name="COCOB", **kwargs):
    """The same; `use_locking` had no effect."""
    return optimizers.COCOB(alpha=alpha, name=name, **kwargs)


@ADDONS.of(OPTIMIZERS)
def ConditionalGradient(
    learning_rate, lambda_=0.01, epsilon=1e-07, ord="fro", name="ConditionalGradient", **kwargs
):
    """The same; `epsilon` is always 1e-7. `ord="nuclear"` takes kernels of any rank."""
    return optimizers.ConditionalGradient(
        learning_rate, lambda_=lambda_, ord=ord, name=name, **kwargs
    )


@ADDONS.of(OPTIMIZERS)
def LAMB(
    learning_rate=0.001,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-06,
    weight_decay=0.0,
    exclude_from_weight_decay=None,
    exclude_from_layer_adaptation=None,
    name="LAMB",
    **kwargs,
):
    """The same. There, what does not decay is not adapted either if
    `exclude_from_layer_adaptation` is `None`; here the two lists are independent.
    """
    return optimizers.LAMB(
        learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        weight_decay=weight_decay,
        no_decay=exclude_from_weight_decay or (),
        no_adaptation=exclude_from_layer_adaptation or exclude_from_weight_decay or (),
        name=name,
        **kwargs,
    )


@ADDONS.of(OPTIMIZERS)
def LazyAdam(
    learning_rate=0.001,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-07,
    amsgrad=False,
    name="LazyAdam",
    **kwargs,
):
    """The same. Every rule that treats entries one by one takes `sparse="lazy"`. `amsgrad` had no
    effect on sparse gradients.
    """
    return optimizers.Adam(
        learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=schedules.KerasEpsilon(epsilon, beta_2=beta_2),
        sparse="lazy",
        name=name,
        **kwargs,
    )


@ADDONS.of(OPTIMIZERS)
def Lookahead(optimizer, sync_period=6, slow_step_size=0.5, name="Lookahead", **kwargs):
    """The same, around any rule of this package."""
    return optimizers.Lookahead(
        optimizer, sync_period=sync_period, slow_step_size=slow_step_size, name=name, **kwargs
    )


@ADDONS.of(OPTIMIZERS)
def MovingAverage(
    optimizer,
    average_decay=0.99,
    num_updates=None,
    start_step=0,
    dynamic_decay=False,
    name="MovingAverage",
    **kwargs,
):
    """Options of the optimizer itself. There the average starts as the weights before the first
    update, here as those after it, as with `start_step=1`. After `fit` the model has the averages,
    without `assign_average_vars`; with `keras.callbacks.SwapEMAWeights(swap_on_epoch=True)` they
    are validated and saved after every epoch too. For `num_updates`, write the smaller decay.
    """
    return optimizer(
        use_ema=True,
        ema_momentum=schedules.Sequential([(start_step, 0.0), (1, 1.0)])
        * (schedules.Constant(1.0) - schedules.PowerDecay(0.9, 0.1, 1.0))
        .clip(0.0, average_decay)
        .shift(start_step)
        if dynamic_decay
        else schedules.Sequential([(start_step, 0.0), (1, average_decay)])
        if start_step > 1
        else average_decay,
        **kwargs,
    )


@ADDONS.of(OPTIMIZERS)
def MultiOptimizer(
    optimizers_and_layers=None, optimizer_specs=None, name="MultiOptimizer", **kwargs
):
    """A rule for each regular expression on the paths of variables, which begin with the name of
    the layer: `^(first|second)/` for several. What no pair names is not trained there; here it is
    trained by `default`, unless you set `trainable = False`.
    """
    return optimizers.Partition(
        {f"^{layer.name}/": optimizer for optimizer, layer in optimizers_and_layers},
        name=name,
        **kwargs,
    )


@ADDONS.of(OPTIMIZERS)
def NovoGrad(
    learning_rate=0.001,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-07,
    weight_decay=0.0,
    grad_averaging=False,
    amsgrad=False,
    name="NovoGrad",
    **kwargs,
):
    """The same at a constant rate; there the momentum has old rates in it. Our defaults of
    `beta_2` and `epsilon` are the paper's.
    """
    return optimizers.NovoGrad(
        learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        grad_averaging=grad_averaging,
        amsgrad=amsgrad,
        weight_decay=weight_decay or None,
        name=name,
        **kwargs,
    )


@ADDONS.of(OPTIMIZERS)
def ProximalAdagrad(
    learning_rate=0.001,
    initial_accumulator_value=0.1,
    l1_regularization_strength=0.0,
    l2_regularization_strength=0.0,
    name="ProximalAdagrad",
    **kwargs,
):
    """The same for L1. For L2, use the regularizer `L2(strength / 2)`: the same penalty, by its
    gradient.
    """
    return optimizers.Adagrad(
        learning_rate,
        initial_accumulator_value=initial_accumulator_value,
        epsilon=0.0,
        proximal=constraints.SoftThreshold(l1_regularization_strength)
        if l1_regularization_strength
        else None,
        name=name,
        **kwargs,
    )


@ADDONS.of(OPTIMIZERS)
def RectifiedAdam(
    learning_rate=0.001,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-07,
    weight_decay=0.0,
    amsgrad=False,
    sma_threshold=5.0,
    total_steps=0,
    warmup_proportion=0.1,
    min_lr=0.0,
    name="RectifiedAdam",
    **kwargs,
):
    """The same."""
    return optimizers.RAdam(
        learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        threshold=sma_threshold,
        amsgrad=amsgrad,
        total_steps=total_steps,
        warmup_proportion=warmup_proportion,
        min_learning_rate=min_lr,
        weight_decay=weight_decay or None,
        name=name,
        **kwargs,
    )


@ADDONS.of(OPTIMIZERS)
def SGDW(
    weight_decay,
    learning_rate=0.001,
    momentum=0.0,
    nesterov=False,
    name="SGDW",
    *,
    exclude_from_weight_decay=None,
    **kwargs,
):
    """The same; the decay as for `AdamW`."""
    return optimizers.SGD(
        learning_rate,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay / learning_rate,
        no_decay=exclude_from_weight_decay or (),
        name=name,
        **kwargs,
    )


@ADDONS.of(OPTIMIZERS)
def SWA(optimizer, start_averaging=0, average_period=10, name="SWA", **kwargs):
    """A callback, beside the optimizer as it is. There a sample is taken after update
    `start_averaging + 1` and every `average_period` updates from there; here after each later
    batch whose number `every` divides. After `fit` the model has the averages, without
    `assign_average_vars`; `refresh=x` recomputes the statistics of batch normalization.
    """
    return callbacks.WeightAverager(
        "swa", start=f"{start_averaging} steps", every=f"{average_period} steps"
    )


@ADDONS.of(OPTIMIZERS)
def Yogi(
    learning_rate=0.01,
    beta1=0.9,
    beta2=0.999,
    epsilon=0.001,
    l1_regularization_strength=0.0,
    l2_regularization_strength=0.0,
    initial_accumulator_value=1e-06,
    activation="sign",
    name="Yogi",
    **kwargs,
):
    """The same with `activation="sign"`. For the strengths, use the regularizers `L1(strength)`
    and `L2(strength / 2)`: the same penalties, by their gradients.
    """
    return optimizers.Yogi(
        learning_rate,
        beta_1=beta1,
        beta_2=beta2,
        epsilon=schedules.KerasEpsilon(epsilon, beta_2=beta2),
        initial_accumulator_value=initial_accumulator_value,
        name=name,
        **kwargs,
    )


@ADDONS.of(OPTIMIZERS)
def CyclicalLearningRate(
    initial_learning_rate,
    maximal_learning_rate,
    step_size,
    scale_fn,
    scale_mode="cycle",
    name="CyclicalLearningRate",
):
    """The same. A `lambda` is saved, but loaded only with `safe_mode=False`. Two frequent ones
    have names: `lambda x: 1.0` is the default here, `lambda x: 1 / 2 ** (x - 1)` is
    `shape="triangular2"`.
    """
    return schedules.Cyclical(
        initial_learning_rate,
        maximal_learning_rate,
        step_size,
        scale_fn=scale_fn,
        scale_mode=scale_mode,
    )


@ADDONS.of(OPTIMIZERS)
def TriangularCyclicalLearningRate(
    initial_learning_rate,
    maximal_learning_rate,
    step_size,
    scale_mode="cycle",
    name="TriangularCyclicalLearningRate",
):
    """The same; `scale_mode` had no effect."""
    return schedules.Cyclical(
        initial_learning_rate, maximal_learning_rate, step_size, shape="triangular"
    )


@ADDONS.of(OPTIMIZERS)
def Triangular2CyclicalLearningRate(
    initial_learning_rate,
    maximal_learning_rate,
    step_size,
    scale_mode="cycle",
    name="Triangular2CyclicalLearningRate",
):
    """The same; with `scale_mode="iterations"`, give the amplitude as `scale_fn`."""
    return schedules.Cyclical(
        initial_learning_rate, maximal_learning_rate, step_size, shape="triangular2"
    )


@ADDONS.of(OPTIMIZERS)
def ExponentialCyclicalLearningRate(
    initial_learning_rate,
    maximal_learning_rate,
    step_size,
    scale_mode="iterations",
    gamma=1.0,
    name="ExponentialCyclicalLearningRate",
):
    """The same; with `scale_mode="cycle"`, give the amplitude as `scale_fn`."""
    return schedules.Cyclical(
        initial_learning_rate, maximal_learning_rate, step_size, shape="exp_range", gamma=gamma
    )


ADDONS.without(
    OPTIMIZERS,
    AveragedOptimizerWrapper="The base of `MovingAverage` and `SWA`: use `use_ema=True` of any "
    "optimizer, or `callbacks.WeightAverager`.",
    DecoupledWeightDecayExtension="Every rule has `weight_decay` and `no_decay`. Divide the decay "
    "by the learning rate, by which it is multiplied here.",
    extend_with_decoupled_weight_decay="As `DecoupledWeightDecayExtension`.",
    KerasLegacyOptimizer="A type: `keras.optimizers.Optimizer`.",
)


@ADDONS.of(CALLBACKS)
def AverageModelCheckpoint(
    update_weights,
    filepath,
    monitor="val_loss",
    verbose=0,
    save_best_only=False,
    save_weights_only=False,
    mode="auto",
    save_freq="epoch",
    **kwargs,
):
    """Keras' own. With `callbacks.WeightAverager` it saves the averages; with `use_ema=True`, if
    `keras.callbacks.SwapEMAWeights(swap_on_epoch=True)` stands before it. For
    `update_weights=True`, let the averages replace the weights with `ema_overwrite_frequency`.
    """
    return keras.callbacks.ModelCheckpoint(
        filepath,
        monitor=monitor,
        verbose=verbose,
        save_best_only=save_best_only,
        save_weights_only=save_weights_only,
        mode=mode,
        save_freq=save_freq,
        **kwargs,
    )


@ADDONS.of(CALLBACKS)
def TimeStopping(seconds=86400, verbose=0):
    """There training ends with the epoch in which the time is over; here before the batch that
    would take too long. Time before an interruption counts.
    """
    return callbacks.TimeBudget(seconds, verbose=verbose)


@ADDONS.of(CALLBACKS)
def TQDMProgressBar(
    metrics_separator=" - ",
    overall_bar_format="{l_bar}{bar} {n_fmt}/{total_fmt} ETA: {remaining}s,  {rate_fmt}{postfix}",
    epoch_bar_format="{n_fmt}/{total_fmt}{bar} ETA: {remaining}s - {desc}",
    metrics_format="{name}: {value:0.4f}",
    update_per_second=10,
    leave_epoch_progress=True,
    leave_overall_progress=True,
    show_epoch_progress=True,
    show_overall_progress=True,
):
    """Two bars on a terminal, one line an epoch in a file; the formats are fixed. Give `verbose=0`
    to `fit`.
    """
    return callbacks.RichProgress()
