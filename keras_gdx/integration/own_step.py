"""What `fit` does with its data and its train step, for a step that the user has written."""

from contextlib import contextmanager

from keras.src.backend.tensorflow.trainer import TFEpochIterator  # the data of one `fit`

STEPPED = "_keras_gdx_stepped"  # set on a model once a step of the user's may be compiled
OWN = "_keras_gdx_own_step"  # set on a model while it is trained by such a step


class Batches(TFEpochIterator):
    """The data of a training loop: batches, epoch by epoch, in the order of `fit`.

    Args:
        model: The model.
        data: The arguments of `fit` that are about data, by name.
    """

    def __init__(self, model, data):
        super().__init__(distribute_strategy=model.distribute_strategy, **data)
        self._model = model

    def announce(self):
        """Shows the data to what waits for that of the next `fit`, as `fit` does."""
        self._model._maybe_symbolic_build(iterator=self)
        self.reset()

    def of_epoch(self):
        """Yields pairs of an index and a batch."""
        vars(self._model)[STEPPED] = True
        plain = self._model._autoconvert_optionals(lambda batch: batch)
        with self.catch_stop_iteration():
            for index, _, iterator in self:
                yield index, plain(next(iterator))


def in_own_step(model):
    """Whether `model` is being trained by a step that only its user can build and compile."""
    return OWN in vars(model)


@contextmanager
def own_step(model):
    """Context in which `model` is trained by a step that only its user can build and compile."""

    def nothing(iterator=None, data_batch=None):
        """Builds nothing: a loop requires a model that is built."""

    def make_train_function(force=False):
        if force and vars(model).get(STEPPED):
            raise ValueError(
                "The train step has to be compiled again, which only `fit` can do: a schedule has "
                "got another length, or a callback such as `Unfreezing` has changed what is "
                "trained. For another run, compile the model with a new optimizer and make the "
                "step anew, or give the schedule its `total_steps`."
            )

    replaced = {
        "_maybe_symbolic_build": nothing,
        "make_train_function": make_train_function,
        OWN: True,
    }
    before = {name: value for name, value in vars(model).items() if name in replaced}
    vars(model).update(replaced)
    try:
        yield
    finally:
        for name in replaced:
            vars(model).pop(name, None)
        vars(model).update(before)
