"""What a model that is trained on several replicas has beside Keras'."""

import functools

import keras
from keras.src.utils.rng_utils import get_random_seed  # the one that all workers must share

from keras_gdx.callbacks.resumable_checkpoint import ResumableCheckpoint
from keras_gdx.distribute import agreement, functions, losses
from keras_gdx.distribute.optimizers import take_over
from keras_gdx.distribute.share import current
from keras_gdx.distribute.statistics import Statistics
from keras_gdx.engine.attach import introduce

WRITERS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.TensorBoard,
)
ALONE = ("save", "save_weights", "export")  # what the chief may do by itself


class Replicas:
    """Methods of one model, replaced, and what they have to remember.

    Args:
        model: A Keras model made in the scope of a strategy with several replicas.
    """

    def __init__(self, model):
        self.model = model
        self.strategy = model.distribute_strategy
        self.statistics = Statistics(model)
        self.converted: list = []

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
        """Makes Keras' own optimizers right on replicas; called whenever the model is compiled."""
        self.converted = take_over(self.model)

    def before(self, event):
        """Brings the replicas together before something looks at the model."""
        if event not in ALONE or not functions.is_multi_worker(self.strategy):
            self.statistics.meet()

    def callbacks(self, given):
        """Those of the callbacks of `fit` that run on this worker: the chief alone writes files."""
        if not functions.is_multi_worker(self.strategy):
            return given
        unfit = (keras.callbacks.BackupAndRestore, ResumableCheckpoint)
        for callback in given:
            if isinstance(callback, unfit):
                raise ValueError(
                    f"{type(callback).__name__} cannot be used with several workers: each would "
                    "write the same files. Save with ModelCheckpoint; the chief alone writes then."
                )
        if self.strategy.extended.should_checkpoint:
            return given
        return [c for c in given if not (isinstance(c, WRITERS) or getattr(c, "writes", False))]

    def begin(self):
        """Makes sure, before the first step, that all workers do the same."""
        if functions.is_multi_worker(self.strategy):
            seed = get_random_seed()
            if seed is None:
                raise ValueError(
                    "Several workers need one seed: without it each shuffles the data in its own "
                    "way, and examples are left out. Call keras.utils.set_random_seed with the "
                    "same number on all workers, before the model is made."
                )
            agreement.require(self.strategy, agreement.facts_of(self.model, seed))

    def _function(self, step):
        function = functions.function_of(self.model, step)
        if step != self.model.train_step:
            return function

        def training(iterator):
            self.statistics.apart = True
            return function(iterator)

        return training

    def _compute_loss(self, method):
        @functools.wraps(method)
        def wrapped(*args, **kwargs):
            if (share := current()) is None:
                return method(*args, **kwargs)
            with share.means():
                loss = method(*args, **kwargs)
            return share.scale(keras.ops.convert_to_tensor(loss))

        return wrapped
