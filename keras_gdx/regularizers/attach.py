"""Attaches regularizers to existing models."""

import warnings
from collections.abc import Iterator
from typing import Any

import keras

from keras_gdx.advice import instead_of
from keras_gdx.arguments import check
from keras_gdx.engine.variables.structure import VECTORS, layers_of, select
from keras_gdx.integration.model_hooks import follow
from keras_gdx.regularizers.scheduled import Scheduled
from keras_gdx.regularizers.step_penalty import StepPenalty

__all__ = ["apply"]

Attribute = tuple[Any, str, list[Any]]  # a layer, its attribute, the variables it applies to


def apply(
    model: keras.Model, regularizer: Any, include: str | None = None, exclude: str | None = None
) -> list[str]:
    """Attaches a regularizer to variables of an existing model: trained, loaded or compiled.

    It applies from the next batch on, in `fit` and in `evaluate`, and replaces the variables'
    previous regularizer. Weights, optimizer and metrics are unchanged.

    A saved model keeps it if the layers save their regularizers: Keras' layers do, alone, in
    functional and sequential models, and inside layers that save their sublayers. A subclassed
    model or layer that creates layers in its constructor does not; a warning lists the
    variables. Call `apply` again after loading.

    `GradientPenalty` and `JacobianPenalty` are attached to the model's train step, not to
    variables. One of each class is used, in addition to those on weights, in `fit` but not in
    `evaluate`. A later `compile` keeps them; a saved model does not: call `apply` again after
    loading.

    Args:
        model: Built `keras.Model`, the one that is trained; its submodels and layers are
            included.
        regularizer: `keras.regularizers.Regularizer`, or any argument of
            `keras.regularizers.get`. `None` removes regularizers: without patterns, also those
            of the train step.
        include: Regular expression, searched for in each trainable variable's `path`. `None`:
            the regularizer's own choice (`Slimming`), or kernels and embeddings, that is, rank
            >= 2 and not called bias, alpha, beta or gamma.
            Anchor it at the end rather than at the beginning: in a loaded sequential model
            Keras' paths no longer begin with the model's name.
        exclude: Regular expression; variables whose path matches are left out.

    Returns:
        The list of the variables' paths. Frozen variables are never included: Keras ignores
        their penalties.

    Raises:
        ValueError: If the model is not built, a pattern is not a regular expression or is given
            for a train-step penalty, or no variable is left.

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
    advice = instead_of("regularizer", regularizer, ())
    check(
        not isinstance(regularizer, type), "regularizer", regularizer, "an instance", None, advice
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
            "The regularizer is applied, but a saved model will not have it for "
            f"{', '.join(v.path for v in forgotten)}: the layers of these variables do not "
            "serialize it. Apply it again after loading.",
            stacklevel=2,
        )
    if regularizer is include is exclude is None and hasattr(model.compute_loss, "penalties"):
        model.compute_loss.penalties.clear()
    _forget_compiled(model)
    return [variable.path for variable in chosen]


def _core(regularizer: Any) -> Any:
    """The regularizer without its schedule."""
    return _core(regularizer.regularizer) if isinstance(regularizer, Scheduled) else regularizer


def _penalties(model: keras.Model) -> dict[type, Any]:
    """The penalties of the model's train step, by class."""
    from keras_gdx.integration.penalties import install  # TensorFlow only

    if not hasattr(model.compute_loss, "penalties"):
        install(model)
    return model.compute_loss.penalties


def _forget_compiled(model: keras.Model) -> None:
    """Discards the compiled steps, which contain the old penalties."""
    for layer in layers_of(model):
        if isinstance(layer, keras.Model):
            layer.train_function = layer.test_function = None


def _usual(model: keras.Model, regularizer: Any) -> set[int]:
    """The ids of the variables to use without `include`."""
    if hasattr(regularizer, "chooses"):
        layers = layers_of(model)
        return {id(v) for x in layers for v in x.trainable_variables if regularizer.chooses(x, v)}
    variables = model.trainable_variables
    return {id(v) for v in variables if len(v.shape) > 1 and v.name not in VECTORS}


def _attached(regularizer: Any, variable: Any) -> Any:
    """The regularizer for one variable, a copy of its own if the class needs that."""
    if hasattr(regularizer, "attached_to"):
        return regularizer.attached_to(variable)
    return regularizer


def _remember(model: keras.Model, chosen: list[Any], own: dict[int, Any]) -> list[Any]:
    """Sets the layers' `*_regularizer` attributes; returns the variables that are not saved.

    An attribute of a layer applies to all variables of one name in it. Whether a layer saves it
    is tested, not inferred from its type.
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


def _attributes(model: keras.Model) -> Iterator[Attribute]:
    """The `..._regularizer` attributes of the layers."""
    for layer in layers_of(model):
        for attribute in vars(layer):
            if attribute.endswith("_regularizer"):
                name = attribute.lstrip("_").removesuffix("_regularizer")
                variables = [v for v in layer.trainable_variables if name in _stems(v)]
                if variables:
                    yield layer, attribute, variables


def _stems(variable: Any) -> set[str]:
    """Candidates for the part of an attribute's name before `_regularizer`, for a variable."""
    name = variable.name
    return {name, name.removesuffix("_kernel"), "depthwise" if name == "kernel" else name}


def _assign(attributes: list[Attribute], values: list[Any]) -> None:
    for (layer, name, _), value in zip(attributes, values, strict=True):
        setattr(layer, name, value)


class _Probe(keras.regularizers.Regularizer):
    """Placeholder regularizer that records whether it is serialized."""

    saved = False

    def get_config(self) -> dict[str, Any]:
        self.saved = True
        return {}
