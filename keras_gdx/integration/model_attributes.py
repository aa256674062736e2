"""What this package, or Keras, keeps on a model for the time that it is trained."""

from keras_gdx.integration.coordination import SingleProcess


def replicas_of(model):
    """The `Replicas` of a model prepared for multi-replica training, or `None`."""
    return vars(model).get("_keras_gdx_replicas")


def ascent_of(model):
    """What moves the weights of a model for its second gradient, or `None` if it takes only one."""
    return vars(model).get("_keras_gdx_ascent")


def peers_of(model):
    """The object that coordinates the processes which train a model together."""
    replicas = replicas_of(model)
    return SingleProcess() if replicas is None else replicas.peers


def begin_at(model, epoch):
    """Makes the `fit` that is about to begin start at `epoch`."""
    model._initial_epoch = epoch


def first_epoch(model):
    """The epoch that `begin_at` has set, or 0."""
    return model._initial_epoch or 0
