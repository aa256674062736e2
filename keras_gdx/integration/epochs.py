"""Where epochs begin and end, and how long the schedules of a run are."""

import warnings

import keras

from keras_gdx.arguments import is_schedule
from keras_gdx.engine.late_weights import updates_of
from keras_gdx.engine.variables.masks import hold
from keras_gdx.integration.model_attributes import replicas_of
from keras_gdx.integration.model_building import build_before_tracing
from keras_gdx.integration.model_optimizers import keras_averages, ours, window
from keras_gdx.integration.weight_swap import added_to, finish, show, train


class Epochs(keras.callbacks.Callback):
    """The first callback of `fit`: tells our optimizers where epochs begin and end.

    Between epochs the model holds its evaluation weights, so those are what later callbacks save
    or copy at the end of an epoch.
    """

    def __init__(self, initial_epoch=0, others=(), batch_size=None):
        super().__init__()
        self.initial_epoch = initial_epoch
        self.batch_size = batch_size
        self.others = [*others]

    def on_train_begin(self, logs=None):
        """Plans the schedules that have no length yet."""
        self._begins = True
        self._warned = False
        self._plan(self.initial_epoch, lambda schedule: schedule.total_steps is None)

    def on_epoch_begin(self, epoch, logs=None):
        """Restores the trained weights."""
        train(self.model)
        if self._begins:  # checkpoints have been restored by now
            self._begins = False
            self._plan(epoch)
            if ours(self.model):
                build_before_tracing(self.model)
        self._warn_of_zero_rates(epoch)

    def on_epoch_end(self, epoch, logs=None):
        """Closes the accumulation window; swaps in the evaluation weights."""
        close_epoch(self.model)
        show(self.model)
        if (replicas := replicas_of(self.model)) is not None:
            replicas.before("epoch")

    def on_train_end(self, logs=None):
        """Swaps in the evaluation weights. Keras does so only for the compiled optimizer."""
        finish(self.model)

    # -- the length of the run ----------------------------------------------------------------

    def _plan(self, epoch, chosen=lambda schedule: True):
        """Gives schedules that span the run their first update and their length."""
        from keras_gdx.schedules.create import plans_of

        resumed = any(getattr(each, "resumed", False) for each in self.others)
        changed = False
        for optimizer in ours(self.model):
            for schedule in filter(chosen, plans_of(optimizer)):
                changed |= self._plan_one(optimizer, schedule, epoch, resumed)
        if changed:  # the old plan may be compiled into the train step
            self.model.make_train_function(force=True)

    def _plan_one(self, optimizer, schedule, epoch, resumed):
        """Plans one schedule; returns whether this replaced an earlier plan."""
        if not self.params.get("steps"):
            raise ValueError(
                f"The schedule {schedule.name!r} needs the length of the run, but the number of "
                "batches is unknown. Pass `steps_per_epoch` to `fit`, or `total_steps` to the "
                "schedule."
            )
        now = updates_of(optimizer)
        updates = self._updates(optimizer)
        done, left = sum(updates[:epoch]), sum(updates[epoch:])
        known = schedule.total_steps is not None
        if not left:
            return False
        if resumed and known:
            begin, total = schedule.begin, done + left
        elif epoch > 0 and known and now + left <= schedule.begin + schedule.total_steps:
            return False  # this `fit` is the rest of the run that was planned
        elif epoch > 0 and now >= done:
            begin, total = now - done, done + left
        else:
            begin, total = now, left
        if known and (begin, total) == (schedule.begin, schedule.total_steps):
            return False
        if known and self.params.get("verbose"):
            print(
                f"A new run: the schedule {schedule.name!r} of {optimizer.name!r} begins again at "
                f"update {begin} and lasts {total} updates."
            )
        schedule.plan(total, begin)
        if known:
            optimizer.forget_traces()
        return known

    def _updates(self, optimizer):
        """The number of updates in each epoch from 0 on, including those before `initial_epoch`."""
        size, found = window(optimizer), []
        for epoch in range(self.params.get("epochs", 0)):
            for other in self.others:
                if hasattr(other, "window_at"):
                    size = other.window_at(epoch, size)
            found.append(-(-self.params.get("steps") // size))
        return found

    def _warn_of_zero_rates(self, epoch):
        """Warns, once, if the learning rate is 0 for a full epoch."""
        if self._warned or not self.params.get("steps"):
            return
        for optimizer in ours(self.model):
            if not is_schedule(optimizer.configured_rate()):
                continue
            now = updates_of(optimizer)
            last = now + -(-self.params.get("steps") // window(optimizer)) - 1
            if not any(float(optimizer.rate_at(t)) for t in (now, (now + last) // 2, last)):
                self._warned = True
                warnings.warn(
                    f"Epoch {epoch + 1} trains nothing: the learning rate of {optimizer.name!r} "
                    f"is 0 from update {now} on, past the end of its schedule "
                    f"{optimizer.configured_rate()!r}. Compile with a new schedule, or let `fit` "
                    "determine its length: `schedules.create(name)` without `total_steps`.",
                    stacklevel=2,
                )


def close_epoch(model):
    """Completes what updates of the epoch have begun, before the weights are evaluated."""
    for optimizer in ours(model):
        optimizer.flush()
    for variable in model.weights:
        hold(variable)
    for variable, average in keras_averages(model):
        hold(variable, average)
    for swap in added_to(model):
        swap.owner.close_epoch()
