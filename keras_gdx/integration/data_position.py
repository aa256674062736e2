"""Tracks the position of `fit` in its data, and resumes from it.

Keras makes an iterator of the data inside `fit`, without giving access to it. But it passes it to
one method of the model, where it is intercepted here. Batches that were already trained on are
skipped inside the iterator, so Keras still does the counting, the logs and the end of the epoch.
"""

import itertools
import sys
import tempfile
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters import array_slicing  # how Keras slices arrays
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

from keras_gdx.integration import own_step
from keras_gdx.integration.model_building import (
    has_own_step,
    on_data,
    spec_of,
    symbolic,
    trace_step,
)
from keras_gdx.integration.random_state import (
    random_counts,
    random_state,
    restore_random_state,
)
from keras_gdx.integration.settings import described, differences
from keras_gdx.integration.stateful import Stateful


class DataPosition:
    """The position in the data of one `fit`.

    The order of arrays and `PyDataset`s follows from `seed` and the number of passes begun, so a
    position in them is two numbers. A `tf.data` iterator saves its own state. If it cannot, the
    batches before the position are read again and dropped, which is exact if the data always comes
    in the same order.

    Args:
        seed: Integer, the seed of the orders.
        position: What `position` returned, to resume from it; `None` for the beginning.
    """

    def __init__(self, seed, position=None):
        self.seed = seed
        self._resume = position
        self._skip = 0
        self._begun = 0  # passes over the data begun so far
        self._drawn = 0  # batches drawn in the current pass
        self._begun_before: Any = None  # what to restore in an epoch that had begun
        self._iterators: Any = None  # Keras' epoch iterator of the data
        self._iterator: Any = None  # the iterator of the current epoch
        self._warned = False

    @contextmanager
    def of(self, model):
        """Context in which the data of the next `fit` of `model` is intercepted."""
        self._iterators = None
        with on_data(model, partial(self._take, model)):
            yield self

    def check(self, source):
        """Raises `ValueError` if the position belongs to other data, or is damaged."""
        if self._resume["state"] is not None:
            check_state(self._resume["state"])
        if self._resume["source"] is not None and not isinstance(self._source(), Stateful):
            raise ValueError(
                f"The checkpoint in {source} has the state of a `PyDataset` with `state` and "
                "`restore`, but the current data has none. Use the same data."
            )
        if self._resume["batch"] and (changed := self.changes()):
            raise ValueError(
                f"The checkpoint in {source} was saved in the middle of an epoch, and the data has "
                f"changed: {described(changed)}. Use the same data and batch size until the epoch "
                "ends, or another directory."
            )

    def changes(self):
        """What differs from the data of the run to resume, as `settings.differences` says it."""
        return list(differences(self._resume["settings"], self._settings(), "data"))

    def _settings(self):
        """What is known of the data, apart from its contents."""
        iterators, adapter = self._iterators, self._iterators.data_adapter
        known = {"steps_per_epoch": iterators.steps_per_epoch, "num_batches": adapter.num_batches}
        if iterators.steps_per_epoch is not None:  # Keras rounds it up to whole executions
            known["steps_per_execution"] = iterators.steps_per_execution
        if isinstance(adapter, ArrayDataAdapter):
            examples, shuffle = adapter._num_samples, adapter._shuffle
            known |= {"examples": examples, "batch_size": adapter.batch_size, "shuffle": shuffle}
        elif isinstance(adapter, PyDatasetAdapter):
            known |= {"shuffle": adapter.shuffle}
        return known

    def forget_state(self):
        """Reads batches again to resume: the saved iterator is one for other replicas."""
        self._resume["state"] = None

    def position(self, batch):
        """The position in the data, to resume from it in another process.

        Args:
            batch: Batches of this epoch that were trained on; `None` between epochs.

        Returns:
            Dictionary of numbers and bytes.
        """
        iterators, iterator, drawn = self._iterators, self._iterator, self._drawn
        over = False
        if batch is None:
            persists = iterators.steps_per_epoch is not None
            if persists and iterators._current_iterator is not iterator:
                iterator, drawn = iterators._current_iterator, 0
            over = not persists
        source = self._source()
        return {
            "batch": batch or 0,
            "begun": self._begun,
            "drawn": 0 if over else drawn,
            "over": over,
            "num_batches": iterators._num_batches,
            "state": None if self._ordered or over else self._state(iterator),
            "source": source.state() if isinstance(source, Stateful) else None,
            "settings": self._settings(),
        }

    def _source(self):
        """The `PyDataset` that the data comes from, or `None`."""
        return getattr(self._iterators.data_adapter, "py_dataset", None)

    # -- inside Keras' iterator ---------------------------------------------------------------

    def _take(self, model, iterators):
        self._iterators = iterators
        self._ordered = isinstance(iterators.data_adapter, (ArrayDataAdapter, PyDatasetAdapter))
        self._begin, iterators._get_iterator = iterators._get_iterator, self._begun_again
        self._enumerate, iterators._enumerate_iterator = (
            iterators._enumerate_iterator,
            self._enumerated,
        )
        build_all(model, iterators)
        source = self._source()
        if source is not None and not isinstance(source, Stateful) and (own := _shuffles(source)):
            warnings.warn(
                f"`{type(source).__name__}.{own}` changes the data between epochs, and that is not "
                "in the checkpoints: a resumed run has another order. Give it `state()` and "
                "`restore(state)`, or let `fit(shuffle=True)` shuffle the batches.",
                stacklevel=2,
            )

    def _begun_again(self):
        """The data from its beginning, without the first `_skip` batches."""
        order, self._begun = self._begun, self._begun + 1
        if self._begun_before:  # `on_epoch_begin` of the data has been called a second time
            source, random = self._begun_before
            self._begun_before = None
            restore_random_state(random)
            if source is not None:
                self._source().restore(source)
        skip, self._skip = self._skip, 0
        if not self._ordered:
            return self._begin()
        data = dataset_of(self._iterators.data_adapter, self.seed, order, skip)
        strategy = self._iterators._distribute_strategy
        return strategy.experimental_distribute_dataset(data)

    def _enumerated(self):
        """What Keras enumerates, without the batches that were already trained on."""
        resume, self._resume = self._resume, None
        if resume:
            self._go_back(resume)
        done = resume["batch"] if resume else 0
        passed, moved = self._executions(done)
        for begin, end, iterator in itertools.islice(self._enumerate(), passed, None):
            if iterator is not self._iterator:
                self._iterator, self._drawn = iterator, 0
                if resume and not resume["over"]:
                    self._draw(iterator, resume)
                    self._iterators._steps_seen = resume["drawn"] + end - begin + 1
            resume = None
            self._drawn += end - begin + 1
            yield begin + moved, end + moved, iterator

    def _executions(self, done):
        """Where Keras' executions of several batches go on after the first `done` batches.

        Returns:
            How many executions of the epoch are left out, and the number of batches by which the
            others are moved, which is not 0 if `steps_per_execution` has changed.
        """
        size, steps = self._iterators.steps_per_execution, self._iterators.num_batches
        passed = done // size if steps is None else -(-steps // size) - -(-(steps - done) // size)
        return passed, done - passed * size

    def _go_back(self, resume):
        """Restores what outlives a single iterator."""
        if resume["batch"]:
            self._begun_before = resume["source"], random_state()
        elif resume["source"] is not None:
            self._source().restore(resume["source"])
        if self._iterators._num_batches is None:
            self._iterators._num_batches = resume["num_batches"]  # Keras counts the first time
        # Between epochs, the next iterator does not exist yet, or was just made.
        before = resume["begun"] - (0 if resume["over"] else 1)
        if self._ordered:
            self._skip = resume["drawn"]
        else:
            for _ in range(before - self._begun):
                iter(self._begin())  # each call draws a new seed for the shuffles
        self._begun = before

    def _draw(self, iterator, resume):
        """Advances a new iterator to the saved position."""
        if self._ordered:
            pass
        elif resume["state"]:
            now = state_of(iterator)
            read_state(iterator, resume["state"])
            # TensorFlow draws one seed too many for a shuffle whose input is exhausted. Seeds
            # belong to the dataset, so another iterator can restore them.
            read_state(iter(self._begin()), now)
        else:
            for _ in range(resume["drawn"]):
                next(iterator)
        self._drawn = resume["drawn"]

    def _state(self, iterator):
        try:
            if self._iterators.steps_per_epoch is not None:
                raise ValueError(
                    "with `steps_per_epoch`, one iterator continues through all epochs"
                )
            return state_of(iterator)
        except (ValueError, tf.errors.OpError) as error:
            if not self._warned:
                self._warned = True
                reason = str(error).splitlines()[0]
                warnings.warn(
                    "This data cannot save its position. After an interruption, earlier batches "
                    "are read again and discarded, which is exact only if the data has the same "
                    f"order every time (shuffling needs a seed). Reason: {reason}",
                    stacklevel=4,
                )
            return None


def build_all(model, iterators):
    """Creates the variables that Keras would create in the first step, so they can be restored.

    Raises:
        ValueError: If it cannot be done, which is better known now than when the run resumes.
    """
    if isinstance(iterators, own_step.Batches):  # a loop requires a model that is built
        return
    spec = spec_of(iterators)
    plain = all(hasattr(each, "shape") for each in keras.tree.flatten(spec))
    try:
        if plain and (model.run_eagerly or not has_own_step(model)):
            model._symbolic_build(data_batch=symbolic(spec))
        else:
            trace_step(model, spec)
    except Exception as error:
        raise ValueError(
            f"The variables of {model.name!r} cannot be created before the first step, so a run of "
            f"it could not be resumed. The reason: {error}"
        ) from error


# -- data in a known order ---------------------------------------------------------------------


def dataset_of(adapter, seed, order, skip):
    """The batches of arrays or a `PyDataset` from batch `skip` on, in the order of pass `order`."""
    rng = np.random.default_rng((seed, order))
    return (_arrays if isinstance(adapter, ArrayDataAdapter) else _batches)(adapter, rng, skip)


def _arrays(adapter, rng, skip):
    size = adapter.batch_size
    examples = np.arange(adapter._num_samples)
    if adapter._shuffle == "batch":
        examples = np.lexsort((rng.random(len(examples)), examples // size))
    elif adapter._shuffle:
        rng.shuffle(examples)
    examples = examples[skip * size :]
    whole = len(examples) // size * size
    indices = tf.data.Dataset.from_tensor_slices(examples[:whole].reshape(-1, size))
    if whole < len(examples):
        indices = indices.concatenate(tf.data.Dataset.from_tensors(examples[whole:]))
    inputs = array_slicing.convert_to_sliceable(adapter._inputs, target_backend="tensorflow")
    inputs = tf.data.Dataset.from_tensors(keras.tree.lists_to_tuples(inputs)).repeat()
    data = tf.data.Dataset.zip((indices, inputs)).map(_rows, num_parallel_calls=tf.data.AUTOTUNE)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options).prefetch(tf.data.AUTOTUNE)


def _rows(indices, inputs):
    def take(x):
        if isinstance(x, array_slicing.TensorflowSparseWrapper):
            return array_slicing.slice_tensorflow_sparse_wrapper(x, indices)
        return tf.gather(x, indices) if tf.is_tensor(x) else None

    return keras.tree.traverse(take, inputs)


def _batches(adapter, rng, skip):
    known = adapter.py_dataset.num_batches is not None
    order = np.arange(adapter.py_dataset.num_batches) if known else range(sys.maxsize)
    if known and adapter.shuffle:
        rng.shuffle(order)
    view = Batches(adapter.py_dataset, order[skip:])
    served = PyDatasetAdapter(view, class_weight=adapter.class_weight)
    served._output_signature = adapter._output_signature
    return served.get_tf_dataset()


def _shuffles(dataset):
    """The method with which a `PyDataset` may change itself between epochs, or `None`."""
    for name in ("on_epoch_begin", "on_epoch_end"):
        if getattr(type(dataset), name) is not getattr(keras.utils.PyDataset, name):
            return name
    return None


class Batches(keras.utils.PyDataset):
    """Some batches of a `PyDataset`, in a given order."""

    def __init__(self, dataset, order):
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self.dataset = dataset
        self.order = order
        self._warned = False

    @property
    def num_batches(self):
        return None if self.dataset.num_batches is None else len(self.order)

    def __getitem__(self, index):
        before = random_counts()
        batch = self.dataset[int(self.order[index])]
        if not self._warned and random_counts() != before:
            self._warned = True
            warnings.warn(
                f"`{type(self.dataset).__name__}` draws random numbers of NumPy or Python, "
                "and batches are prepared ahead of the training, so a resumed run draws others. "
                "Draw from a generator made of the index: `np.random.default_rng(index)`.",
                stacklevel=2,
            )
        return batch


# -- the state of a tf.data iterator -----------------------------------------------------------


STATE = ("state.index", "state.data-00000-of-00001")  # the files that TensorFlow writes for one


def state_of(iterator):
    """The state of an iterator: the contents of its checkpoint files, by file name."""
    with tempfile.TemporaryDirectory() as folder:
        tf.train.Checkpoint(iterator=iterator).write(str(Path(folder) / "state"))
        return {name: (Path(folder) / name).read_bytes() for name in STATE}


def check_state(state):
    """Raises `ValueError` if this is not readable as the state of an iterator."""
    try:
        with _files_of(state) as path:
            tf.train.load_checkpoint(path)
    except (KeyError, tf.errors.OpError) as error:
        raise ValueError(f"The position in the data cannot be read: {error}") from error


def read_state(iterator, state):
    """Restores an iterator; raises `ValueError` if the state belongs to another kind."""
    try:
        with _files_of(state) as path:
            tf.train.Checkpoint(iterator=iterator).read(path).assert_consumed()
    except (AssertionError, tf.errors.OpError) as error:
        raise ValueError(f"The position in the data cannot be read: {error}") from error


@contextmanager
def _files_of(state):
    """Writes the state to temporary files. Their names are fixed, not taken from the state."""
    with tempfile.TemporaryDirectory() as folder:
        for name in STATE:
            (Path(folder) / name).write_bytes(state[name])
        yield str(Path(folder) / "state")
