"""The methods that `prepare` replaces on a model, and their state."""

import functools
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.utils.rng_utils import get_random_seed  # all workers must have the same seed

from keras_gdx.callbacks.base import Callback
from keras_gdx.distribute import consistency as agreement
from keras_gdx.distribute import functions, losses
from keras_gdx.distribute.added_losses import require_means
from keras_gdx.distribute.batch_share import current
from keras_gdx.distribute.coordination import WorkerGroup, watched
from keras_gdx.distribute.loss_call import LossCall
from keras_gdx.distribute.optimizers import take_over
from keras_gdx.distribute.scope import require_scope
from keras_gdx.distribute.statistics import Statistics
from keras_gdx.integration.coordination import SingleProcess
from keras_gdx.integration.held_gradients import make_holdable
from keras_gdx.integration.model_hooks import introduce
from keras_gdx.integration.model_optimizers import optimizers_of

WRITERS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.TensorBoard,
)
ALONE = ("save", "save_weights", "export")  # the chief may call these alone: no collectives


class Replicas:
    """The replaced methods of one model, and their state.

    Args:
        model: Keras model created in the scope of a strategy with several replicas.
    """

    def __init__(self, model):
        self.model = model
        self.strategy = model.distribute_strategy
        self.statistics = Statistics(model)
        several = functions.is_multi_worker(self.strategy)
        self.peers: Any = WorkerGroup(self.strategy) if several else SingleProcess()

    def install(self):
        """Replaces the methods."""
        losses.install()
        model, own = self.model, vars(self.model)
        own["_keras_gdx_replicas"] = self
        own["_maybe_symbolic_build"] = functools.partial(functions.build, model)
        own["_make_function"] = self._function
        own["compute_loss"] = self._compute_loss(model.compute_loss)
        model.train_function = model.test_function = None
        if model.compiled:
            introduce(model)

    def take_over(self):
        """Adapts the optimizers; doing so again is harmless."""
        require_scope(self.model)
        take_over(self.model)
        for optimizer in optimizers_of(self.model).values():
            make_holdable(optimizer, share_of)

    def before(self, event):
        """Averages the replicas' statistics before the model is evaluated or saved."""
        if event not in ALONE or not functions.is_multi_worker(self.strategy):
            self.statistics.meet()

    def callbacks(self, given):
        """The callbacks of `fit` that run on this worker: only the chief writes files."""
        if self.peers.count == 1:
            return given
        for callback in given:
            if isinstance(callback, keras.callbacks.BackupAndRestore):
                raise ValueError(
                    "BackupAndRestore cannot be used with several workers: each would write the "
                    "same files. Use ResumableCheckpoint."
                )
        if self.peers.index == 0:
            return given
        return [c for c in given if not _writes(c)]

    @contextmanager
    def fitting(self, callbacks, arguments):
        """Context of `fit`: checks that the workers agree, and reports a lost worker."""
        if self.peers.count == 1:
            yield
            return
        seed = get_random_seed()
        if seed is None:
            raise ValueError(
                "All workers need the same seed; otherwise each shuffles the data in another "
                "order, and examples are skipped. Call keras.utils.set_random_seed with the "
                "same number on all workers, before the model is created."
            )
        agreement.require_seeds(arguments)
        ours = [c for c in callbacks if isinstance(c, Callback) and not _writes(c)]
        facts = agreement.facts_of(self.model, seed, ours, arguments)
        self.peers.begin()
        with watched(self.peers):
            agreement.require(self.strategy, facts)
            yield

    def _function(self, step):
        losses.weigh(self.model)
        if step != self.model.train_step:
            return functions.function_of(self.model, step)
        require_means(self.model)
        self.take_over()  # attributes may be optimizers that are newer than the last `compile`
        peers = self.peers
        votes = () if peers.count == 1 else (peers.votes,)
        function = functions.function_of(self.model, step, votes)

        def training(iterator):
            self.statistics.apart = True
            if not votes:
                return function(iterator)
            peers.ask()
            logs = function(iterator)
            peers.hear(*logs.pop(functions.VOTES))
            return logs

        return training

    def _compute_loss(self, method):
        @functools.wraps(method)
        def wrapped(*args, **kwargs):
            if (share := current()) is None:
                return method(*args, **kwargs)
            return LossCall(share, method)(*args, **kwargs)

        return wrapped


def share_of(gradients):
    """This replica's part of gradients, inside the step of a prepared model."""
    if (share := current()) is None:
        return gradients
    return [None if g is None else share.gradient(g) for g in gradients]


def _writes(callback):
    return isinstance(callback, WRITERS) or getattr(callback, "writes", False)
