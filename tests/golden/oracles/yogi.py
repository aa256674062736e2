"""optax.yogi, with a momentum that starts at 0."""

from tests.golden.packages import by_optax, decayed

PACKAGE = "optax"
CASES = {
    "default": {"learning_rate": 0.05},
    "decay": {
        "learning_rate": 0.1,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "epsilon": 1e-2,
        "weight_decay": 0.2,
    },
    "high-start": {
        "learning_rate": 0.2,
        "beta_1": 0.6,
        "beta_2": 0.9,
        "initial_accumulator_value": 0.5,
    },
}


@by_optax
def trajectory(
    optax,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-3,
    initial_accumulator_value=1e-6,
    weight_decay=0.0,
):
    yogi = optax.scale_by_yogi(
        beta_1, beta_2, epsilon, initial_accumulator_value=initial_accumulator_value
    )

    def start(weights):
        state = yogi.init(weights)
        return state._replace(mu=optax.tree.zeros_like(state.mu))

    rule = optax.GradientTransformation(start, yogi.update)
    return decayed(optax, rule, learning_rate, weight_decay)
