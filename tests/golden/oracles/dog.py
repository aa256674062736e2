"""optax.contrib.dog."""

from tests.golden.packages import by_optax

PACKAGE = "optax"
CASES = {
    "default": {"reps_rel": 0.1},
    "decay": {"learning_rate": 0.5, "reps_rel": 0.2, "epsilon": 100.0, "weight_decay": 0.3},
}


@by_optax
def trajectory(optax, learning_rate=1.0, reps_rel=1e-6, epsilon=1e-8, weight_decay=0.0):
    rule = optax.contrib.dog(1.0, ("heuristic", reps_rel), epsilon)

    # With optax's own `weight_decay` the decay would count as gradient in the step size.
    def update(gradient, state, weights):
        moved, state = rule.update(gradient, state, weights)
        _, seen, _ = state
        rate = seen.max_dist / (seen.sum_sq_norm_grads + epsilon) ** 0.5
        decay = optax.tree.scale(rate * weight_decay, weights)
        return optax.tree.scale(learning_rate, optax.tree.sub(moved, decay)), state

    return optax.GradientTransformation(rule.init, update)
