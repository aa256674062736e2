"""Defects of Keras: averaged weights, and accumulation in low precision."""

import keras
import numpy as np

import keras_gdx
from tests.defects.harness import Steps, column, keras_shows, linear_model, same


def predicted(optimizer, predict):
    """The prediction with the average of -1, -2, -3 (momentum 1/2), and the weight afterwards."""
    model = linear_model(optimizer(1.0, use_ema=True, ema_momentum=0.5))
    for _ in range(3):
        model.train_on_batch(column(1), column(1))
    return predict(model).item(), model.get_weights()[0].item()


def by_callback(model):
    swap = keras.callbacks.SwapEMAWeights()
    return model.predict(column(1), verbose=0, callbacks=[swap])


def by_context(model):
    with model.optimizer.evaluation_weights():
        return model.predict(column(1), verbose=0)


def test_keras_d07_prediction_leaves_the_averages_in_the_model():
    wrong = (-2.25, -2.25)
    keras_shows(wrong, (-2.25, -3.0), predicted, keras.optimizers.SGD, by_callback)


def test_ours_d07_prediction_leaves_the_trained_weights_in_the_model():
    assert predicted(keras_gdx.optimizers.SGD, by_context) == (-2.25, -3.0)


def slow_average(optimizer):
    """The average with momentum 0.999 of bfloat16 weights that are 1 in the first step, then 2."""
    average = {"use_ema": True, "ema_momentum": 0.999}
    steps = Steps(lambda: optimizer(1.0, **average), start=[2.0], dtype="bfloat16")
    steps.take([1.0], [-1.0], *99 * [[0.0]])
    steps.optimizer.finalize_variable_values([steps.variable])
    return steps.value


AVERAGE = np.array([1.09375])  # the bfloat16 nearest to 2 - 0.999**100


def test_keras_d19_averages_stand_still_in_bfloat16():
    keras_shows([1.0], AVERAGE, slow_average, keras.optimizers.SGD)


def test_ours_d19_averages_move_in_bfloat16():
    assert abs(AVERAGE - (2 - 0.999**100)) < 2**-8
    assert same(slow_average(keras_gdx.optimizers.SGD), AVERAGE)


def uneven_window(optimizer):
    """The step by the mean of 256, 1, 1, 1 and 1. These and the mean are exact in bfloat16."""
    window = {"gradient_accumulation_steps": 5}
    return -Steps(lambda: optimizer(1.0, **window), start=[0.0], dtype="bfloat16").moved(
        [256.0], *4 * [[1.0]]
    )


def test_keras_d19_sums_lose_small_gradients_in_bfloat16():
    wrong = [51.25]  # 256 / 5, rounded
    keras_shows(wrong, [52.0], uneven_window, keras.optimizers.SGD)


def test_ours_d19_sums_keep_small_gradients_in_bfloat16():
    assert same(uneven_window(keras_gdx.optimizers.SGD), [52.0])
