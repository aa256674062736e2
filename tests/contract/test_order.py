"""The order of the work in one step, by hand: average, unscale, clip, update, constrain, EMA."""

import keras
import numpy as np
import pytest

from keras_gdx.optimizers import SGD

SHAPES = (2, 3), (4,), (), (130, 130)  # the first three are packed, the last is not
LIMITS = {"clipnorm": 1.5, "global_clipnorm": 40.0, "clipvalue": 0.4}


def clipped(gradients, option):
    most = LIMITS[option]
    norms = [np.linalg.norm(g) for g in gradients]
    if option == "global_clipnorm":
        norms = [np.linalg.norm(norms)] * len(norms)
    if option == "clipvalue":
        return [np.clip(g, -most, most) for g in gradients]
    return [g * min(1.0, most / n) for g, n in zip(gradients, norms, strict=True)]


@pytest.mark.parametrize("fused", [False, "auto", True])
@pytest.mark.parametrize("scale", [None, 8.0])
@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("option", LIMITS)
def test_clips_the_averaged_unscaled_gradient(option, window, scale, fused):
    rng = np.random.default_rng(3)
    micro = [[rng.normal(size=s) * r for s, r in zip(SHAPES, (2, 0.1, 3, 0.5), strict=True)]]
    micro += [[g + rng.normal(size=g.shape) * 0.1 for g in micro[0]]]
    micro = micro[: window or 1]
    mean = [np.mean(gs, axis=0) for gs in zip(*micro, strict=True)]
    expected = clipped(mean, option)
    pairs = list(zip(expected, mean, strict=True))
    assert any(not np.allclose(a, b) for a, b in pairs)
    if option == "clipnorm":  # some, so that one norm for several would be noticed
        assert any(np.allclose(a, b) for a, b in pairs)
    options = {option: LIMITS[option], "loss_scale_factor": scale}
    optimizer = SGD(1.0, fused=fused, gradient_accumulation_steps=window, **options)
    variables = [keras.Variable(np.zeros(s), dtype="float64") for s in SHAPES]
    for gradients in micro:
        optimizer.apply([keras.ops.array(g * (scale or 1.0)) for g in gradients], variables)
    for variable, g in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), -g, rtol=1e-6)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("every", [None, 2])
def test_averages_weights_that_are_constrained_already(every, fused):
    options = {"use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": every}
    optimizer = SGD(1.0, fused=fused, **options)
    variable = keras.Variable([2.0, 1.0])
    variable.constraint = keras.constraints.NonNeg()
    w, average = np.array([2.0, 1.0]), None
    for t, g in enumerate(([1.0, 1.5], [-0.5, 0.5], [3.0, -2.0]), 1):
        optimizer.apply([keras.ops.array(g)], [variable])
        w = np.maximum(w - g, 0)
        average = w if average is None else 0.75 * average + 0.25 * w
        if every and t % every == 0:
            w = average
        np.testing.assert_allclose(variable.numpy(), w, rtol=1e-6)
        np.testing.assert_allclose(optimizer.averages()[0].numpy(), average, rtol=1e-6)
