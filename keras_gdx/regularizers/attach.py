"""Penalties for models that exist already."""

import warnings

import keras

from keras_gdx.config import check
from keras_gdx.engine.variables.structure import VECTORS, layers_of, select
from keras_gdx.integration.model_hooks import follow
from keras_gdx.regularizers.scheduled import Scheduled
from keras_gdx.regularizers.step_penalty import StepPenalty

__all__ = ["apply"]


def apply(model, regularizer, include=None, exclude=None):
    """Attaches a regularizer to variables of a model that exists: trained, loaded, compiled.

    It counts from the next batch on, in `fit` and in `evaluate`, and takes the place of
    what the variables had before. The weights, the optimizer and the metrics stay.

    A saved model keeps it, for the layers tell their files of it: those of Keras do, alone,
    in functional and sequential models and within layers that save their parts. A subclassed
    model or layer whose own constructor makes the layers does not, and a warning names the
    variables: after loading, call `apply` again.

    `GradientPenalty` and `JacobianPenalty` belong to the model's train steps and not to
    variables: one of each class counts, beside those on weights, in `fit` and not in `evaluate`,
    and with whatever `compile` says later. No file has them: after loading, call `apply` again.

    Args:
        model: Built `keras.Model`, the one that is trained; models and layers inside it
            count as parts of it.
        regularizer: `keras.regularizers.Regularizer`, or what `keras.regularizers.get` takes.
            `None` takes regularizers off: without patterns, those of train steps too.
        include: Regular expression, searched for in each trainable variable's `path`. `None`
            means what the regularizer is made for (`Slimming`), or kernels and embeddings:
            rank >= 2, and not called bias, alpha, beta or gamma.
            Anchor it at the end rather than at the beginning: in a loaded sequential model
            Keras' paths no longer begin with the model's name.
        exclude: Regular expression; variables whose path it is found in are left out.

    Returns:
        The paths of the variables, a list. Frozen ones are never among them: Keras counts no
        penalty for them.

    Raises:
        ValueError: If the model is not built, a pattern is not a regular expression or is given
            for a penalty of train steps, or no variable is left.

    Example:
        >>> import keras
        >>> from keras_gdx import regularizers
        >>> layers = [keras.Input((3,)), keras.layers.Dense(2, name="head")]
        >>> model = keras.Sequential(layers, name="model")
        >>> regularizers.apply(model, regularizers.GroupLasso(0.1))
        ['model/head/kernel']
        >>> len(model.losses)
        1
    """
    check(isinstance(model, keras.Model), "model", model, "a `keras.Model`")
    if isinstance(_core(regularizer), StepPenalty):
        check(include is None, "include", include, f"None for {regularizer!r}")
        check(exclude is None, "exclude", exclude, f"None for {regularizer!r}")
        _penalties(model)[type(_core(regularizer))] = regularizer
        _forget_compiled(model)
        return []
    check(
        model.trainable_variables,
        "model",
        model,
        "built and not frozen (call it on data to build it)",
    )
    regularizer = keras.regularizers.get(regularizer)
    usual = _usual(model, regularizer)
    chosen = select(model.trainable_variables, include, exclude, usual)
    own = {id(v): _attached(regularizer, v) for v in chosen}
    for variable in chosen:
        variable.regularizer = own[id(variable)]
    if model.compiled:
        follow(model)
    forgotten = _remember(model, chosen, own)
    if forgotten:
        warnings.warn(
            "The regularizer is in force, but a saved model will not have it for "
            f"{', '.join(v.path for v in forgotten)}: "
            "the layers around these variables do not save it. Apply it again after loading.",
            stacklevel=2,
        )
    if regularizer is include is exclude is None and hasattr(model.compute_loss, "penalties"):
        model.compute_loss.penalties.clear()
    _forget_compiled(model)
    return [variable.path for variable in chosen]


def _core(regularizer):
    """The regularizer without its schedule."""
    return _core(regularizer.regularizer) if isinstance(regularizer, Scheduled) else regularizer


def _penalties(model):
    """The penalties of the model's train steps, by class."""
    from keras_gdx.integration.penalties import install  # TensorFlow only

    if not hasattr(model.compute_loss, "penalties"):
        install(model)
    return model.compute_loss.penalties


def _forget_compiled(model):
    """Compiled steps know the old penalties only."""
    for layer in layers_of(model):
        if isinstance(layer, keras.Model):
            layer.train_function = layer.test_function = None


def _usual(model, regularizer):
    """The ids of the variables that are meant if none are named."""
    if hasattr(regularizer, "chooses"):
        layers = layers_of(model)
        return {id(v) for x in layers for v in x.trainable_variables if regularizer.chooses(x, v)}
    variables = model.trainable_variables
    return {id(v) for v in variables if len(v.shape) > 1 and v.name not in VECTORS}


def _attached(regularizer, variable):
    """The regularizer for one variable, which may have one of its own."""
    if hasattr(regularizer, "attached_to"):
        return regularizer.attached_to(variable)
    return regularizer


def _remember(model, chosen, own):
    """Sets the layers' `*_regularizer` attributes; returns the variables that none of them saves.

    An attribute of a layer speaks for all variables of one name in it. Whether it is saved
    is not asked of the layer's type but tried out.
    """
    wanted = {id(v) for v in chosen}
    attributes = [
        (layer, name, variables)
        for layer, name, variables in _attributes(model)
        if wanted.issuperset(map(id, variables)) and len({id(own[id(v)]) for v in variables}) == 1
    ]
    probes = [_Probe() for _ in attributes]
    before = [getattr(layer, name) for layer, name, _ in attributes]
    _assign(attributes, probes)
    try:
        keras.saving.serialize_keras_object(model.get_config())
    except NotImplementedError:  # the architecture cannot be saved at all
        pass
    finally:
        _assign(attributes, before)
    _assign(attributes, [own[id(variables[0])] for _, _, variables in attributes])
    saved = {
        id(v) for probe, a in zip(probes, attributes, strict=True) if probe.saved for v in a[2]
    }
    return [v for v in chosen if id(v) not in saved]


def _attributes(model):
    """Yields `(layer, attribute, the variables it speaks for)`."""
    for layer in layers_of(model):
        for attribute in vars(layer):
            if attribute.endswith("_regularizer"):
                name = attribute.lstrip("_").removesuffix("_regularizer")
                variables = [v for v in layer.trainable_variables if name in _stems(v)]
                if variables:
                    yield layer, attribute, variables


def _stems(variable):
    """What precedes `_regularizer` in the attribute for a variable, in one layer or another."""
    name = variable.name
    return {name, name.removesuffix("_kernel"), "depthwise" if name == "kernel" else name}


def _assign(attributes, values):
    for (layer, name, _), value in zip(attributes, values, strict=True):
        setattr(layer, name, value)


class _Probe(keras.regularizers.Regularizer):
    """Stands in for a regularizer and remembers whether anything wanted to save it."""

    saved = False

    def get_config(self):
        self.saved = True
        return {}
