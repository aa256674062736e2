"""Callbacks of fastai 2.8, Lightning 2.6 and Composer 0.32, and what has their purpose here.

Keras' own callbacks and ours go into the same list.
"""

from keras_gdx.migration.rows import Table

OTHERS = Table("fastai, Lightning and Composer", {})
OTHERS.without(
    "fastai",
    fit_flat_cos="`schedules.FlatCosine(lr, steps, pct_start=0.75, alpha=1e-5)`.",
    fit_one_cycle="`schedules.OneCycle(lr, steps, div=25.0, final_div=4000.0, pct_start=0.25)`, "
    "and the momentum `schedules.OneCycleMomentum(steps, pct_start=0.25)`.",
    fit_sgdr="`schedules.CosineRestarts(lr, cycle, t_mul=2.0)`.",
    fine_tune='`callbacks.Unfreezing({0: "head", 1: "body"})`, and '
    "`keras_gdx.layer_decay(model, 0.75)` as `lr_multipliers`.",
    lr_find="`callbacks.LearningRateFinder(1e-7, 10.0, steps=100)`, with the suggestion "
    "`valley` too.",
    ActivationStats="`callbacks.GradientMonitor((x, y))` for gradients and steps; nothing for "
    "activations.",
    BnFreeze="`layer.trainable = False`.",
    CSVLogger="`keras.callbacks.CSVLogger(file)`.",
    EarlyStoppingCallback="`keras.callbacks.EarlyStopping(patience=1)`.",
    GradientAccumulation="The option `gradient_accumulation_steps` of any rule; it counts batches, "
    "not examples.",
    GradientClip="The option `global_clipnorm=1.0` of any rule.",
    MixedPrecision='`keras.mixed_precision.set_global_policy("mixed_bfloat16")`.',
    ParamScheduler="A schedule as any number of a rule.",
    ProgressCallback="`callbacks.RichProgress()`.",
    ReduceLROnPlateau="`callbacks.ReduceLROnPlateau(patience=1)`.",
    SaveModelCallback="`keras.callbacks.ModelCheckpoint(file, save_best_only=True)`.",
    ShowGraphCallback="`callbacks.TrainingReport(file)`, a page that grows during training.",
    SkipToEpoch="`callbacks.ResumableCheckpoint(folder)`.",
    TensorBoardCallback="`keras.callbacks.TensorBoard(folder)`.",
    TerminateOnNaNCallback="`callbacks.FaultGuard()`, or `keras.callbacks.TerminateOnNaN()`.",
)
OTHERS.without(
    "lightning.pytorch.callbacks",
    BackboneFinetuning='`callbacks.Unfreezing({0: "head", 10: "body"})`.',
    BatchSizeFinder="`keras_gdx.memory(model, batch_size=64)` predicts what is needed.",
    DeviceStatsMonitor="`callbacks.ThroughputMonitor()` and `callbacks.EnergyMonitor()`.",
    EarlyStopping="`keras.callbacks.EarlyStopping(monitor=metric)`, or within epochs "
    "`callbacks.StepEvaluator(data, every=500)`.",
    EMAWeightAveraging="The options `use_ema=True` and `ema_momentum=0.999` of any rule.",
    GradientAccumulationScheduler="`callbacks.BatchSizeSchedule({0: 1, 10: 2})`.",
    LambdaCallback="`keras.callbacks.LambdaCallback()`.",
    LearningRateFinder="`callbacks.LearningRateFinder(1e-8, 1.0, steps=100)`.",
    LearningRateMonitor="`callbacks.HyperparameterLogger()`.",
    ModelCheckpoint="`keras.callbacks.ModelCheckpoint(file)` for the best model, "
    "`callbacks.ResumableCheckpoint(folder)` to go on.",
    ModelPruning="`callbacks.MagnitudePruning(0.5)`.",
    ModelSummary="`model.summary()` of Keras.",
    OnExceptionCheckpoint="`callbacks.ResumableCheckpoint(folder)`, which also saves on signals.",
    RichProgressBar="`callbacks.RichProgress()`.",
    SpikeDetection="`callbacks.FaultGuard(spike=10.0)`, which also goes back.",
    StochasticWeightAveraging='`callbacks.WeightAverager("swa", start="8 epochs")`, and a '
    "schedule that ends with a constant.",
    ThroughputMonitor="`callbacks.ThroughputMonitor()`.",
    Timer="`callbacks.TimeBudget(3600)`, in seconds, also over interruptions.",
    TQDMProgressBar="Keras' own bar.",
    WeightAveraging="`callbacks.WeightAverager()`.",
)
OTHERS.without(
    "composer.callbacks",
    CheckpointSaver="`callbacks.ResumableCheckpoint(folder)`.",
    EarlyStopper="`keras.callbacks.EarlyStopping(monitor=metric)`.",
    ExportForInferenceCallback="`keras_gdx.export(model, folder)` after `fit`.",
    LRMonitor="`callbacks.HyperparameterLogger()`.",
    MemoryMonitor="`keras_gdx.memory(model, optimizer)`, in advance.",
    NaNMonitor="`callbacks.FaultGuard()`.",
    OptimizerMonitor="`callbacks.GradientMonitor((x, y))`.",
    RuntimeEstimator="`callbacks.RichProgress()` shows the time that remains.",
    SpeedMonitor="`callbacks.ThroughputMonitor()`.",
    SystemMetricsMonitor="`callbacks.EnergyMonitor()`.",
)
OTHERS.without(
    "composer.algorithms",
    EMA="The options `use_ema=True` and `ema_momentum` of any rule.",
    GradientClipping="The options `global_clipnorm` and `clipvalue`; adaptive clipping: "
    "`modifiers.AdaptiveClip(0.01)` in `before`.",
    LabelSmoothing="`keras.losses.CategoricalCrossentropy(label_smoothing=0.1)`.",
    LayerFreezing='`callbacks.Unfreezing({0: "head", 10: "body"})`, the other way round.',
    SAM="`keras_gdx.SAM(model, rho=0.05)`.",
    SWA='`callbacks.WeightAverager("swa", start="7 epochs")`.',
)
