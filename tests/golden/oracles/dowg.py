"""optax.contrib.dowg, with the first distance of DoG."""

from tests.golden.packages import by_optax

PACKAGE = "optax"
CASES = {
    "default": {"reps_rel": 0.1},
    "decay": {"learning_rate": 0.5, "reps_rel": 0.2, "epsilon": 10.0, "weight_decay": 0.3},
    "close": {"learning_rate": 0.5, "reps_rel": 0.01},
}


@by_optax
def trajectory(optax, learning_rate=1.0, reps_rel=1e-6, epsilon=1e-8, weight_decay=0.0):
    def rule(weights):
        distance = reps_rel * (1 + optax.tree.norm(weights))
        return optax.contrib.dowg(1.0, distance**2, epsilon)

    def start(weights):
        return rule(weights).init(weights)

    # With optax's own `weight_decay` the decay would count as gradient in the step size.
    def update(gradient, state, weights):
        moved, state = rule(weights).update(gradient, state, weights)
        seen = state[1]
        rate = seen.estim_sq_dist / (seen.weighted_sq_norm_grads**0.5 + epsilon)
        decay = optax.tree.scale(rate * weight_decay, weights)
        return optax.tree.scale(learning_rate, optax.tree.sub(moved, decay)), state

    return optax.GradientTransformation(start, update)
