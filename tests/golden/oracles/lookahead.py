"""tensorflow_addons.optimizers.Lookahead."""

PACKAGE = "tensorflow_addons"
CASES = {
    "default": {"inner": {"rule": "SGD", "kwargs": {"learning_rate": 0.05}}},
    "momentum-decay": {
        "inner": {
            "rule": "SGD",
            "kwargs": {
                "learning_rate": 0.02,
                "momentum": 0.9,
                "nesterov": True,
                "weight_decay": 0.3,
            },
        },
        "sync_period": 4,
        "slow_step_size": 0.8,
    },
}


def trajectory(weights, gradients, inner, sync_period=6, slow_step_size=0.5):
    import tensorflow as tf
    import tensorflow_addons as tfa

    options = dict(inner["kwargs"])
    # There the decay is not multiplied by the learning rate.
    decay = options["learning_rate"] * options.pop("weight_decay", 0.0)
    fast = tfa.optimizers.extend_with_decoupled_weight_decay(tf.keras.optimizers.legacy.SGD)
    rule = tfa.optimizers.Lookahead(fast(decay, **options), sync_period, slow_step_size)
    variables = {name: tf.Variable(w) for name, w in weights.items()}
    for gradient in gradients:
        rule.apply_gradients((gradient[name], variable) for name, variable in variables.items())
        yield {name: variable.numpy() for name, variable in variables.items()}
