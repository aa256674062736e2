"""Mistakes, one a line: type checkers must find each, and each raises an error when it runs."""

import keras_gdx
from keras_gdx import constraints, modifiers, optimizers, regularizers, schedules

optimizers.Adam("fast")
optimizers.Adam(beta_1="0.9")
optimizers.Adam(betta_1=0.9)
optimizers.Adam(amsgrad="yes")
optimizers.Adam(1e-3, 0.9)
optimizers.AdamW(weight_decay="auto")
optimizers.SGD(0.1, clip_norm=1.0)
optimizers.SGD(0.1, clipnorm="1")
optimizers.Lion(state_dtype="float8")
optimizers.Lion(gradient_accumulation_steps=2.0)
optimizers.ScheduleFreeSGD(warmup_steps=0.1)
optimizers.Muon(adjust="rms")
optimizers.Lookahead(sync_period="5")
schedules.Cosine(0.1)
schedules.Cosine(0.1, decay_steps=10.0)
schedules.Linear(schedules.Linear(0.1, 10), 10)
schedules.Constant(0.1) + "0.2"
schedules.WarmupStableDecay(0.1, 1, 2, 3, shape="sqrt")
schedules.create("cosine", "0.1")
modifiers.Grokfast(alpha="slow")
regularizers.L2(l1=0.1)
regularizers.GroupLasso(axis=0.5)
regularizers.Scheduled(regularizers.L2(), 0.5)
constraints.SoftThreshold("0.1")
keras_gdx.create("adam", layer_decay="0.9")
keras_gdx.list(kind="optimiser")
keras_gdx.optimisers.SGD()
