"""keras.optimizers.Ftrl."""

PACKAGE = "keras"
CASES = {
    "default": {"learning_rate": 0.125},
    "decay": {"learning_rate": 0.25, "l1": 0.5, "l2": 0.1, "beta": 0.5, "weight_decay": 0.2},
    "power": {
        "learning_rate": 0.0625,
        "learning_rate_power": -0.75,
        "initial_accumulator_value": 1.0,
        "l1": 0.1,
    },
}


def trajectory(weights, gradients, learning_rate, l1=0.0, l2=0.0, weight_decay=0.0, **kwargs):
    import keras

    variables = {n: keras.Variable(w, dtype="float64") for n, w in weights.items()}
    optimizer = keras.optimizers.Ftrl(
        learning_rate, l1_regularization_strength=l1, l2_regularization_strength=l2, **kwargs
    )
    for gradient in gradients:
        before = {n: v.numpy().copy() for n, v in variables.items()}
        optimizer.apply(
            [keras.ops.convert_to_tensor(g) for g in gradient.values()], [*variables.values()]
        )
        # Keras decays before the update, which then forgets it.
        for n, v in variables.items():
            v.assign(v - learning_rate * weight_decay * before[n])
        yield {n: v.numpy().copy() for n, v in variables.items()}
