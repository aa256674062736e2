"""How other packages are run with given gradients; oracles are written with these."""


def by_optax(make):
    """Lets `make(optax, **kwargs)` return a transformation instead of a trajectory."""

    def ask(weights, gradients, **kwargs):
        import jax
        import optax
        import optax.contrib

        jax.config.update("jax_enable_x64", True)
        rule = make(optax, **kwargs)
        weights = {name: jax.numpy.asarray(w) for name, w in weights.items()}
        state = rule.init(weights)
        for gradient in gradients:
            update, state = rule.update(gradient, state, weights)
            weights = optax.apply_updates(weights, update)
            yield weights

    return ask


def decayed(optax, rule, learning_rate, weight_decay):
    """The step of optax's `adamw` around any unscaled `rule`."""
    return optax.chain(
        rule,
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


def by_torch(weights, gradients, make):
    """Runs the optimizers that `make(parameters by name)` returns."""
    import torch

    weights = {name: torch.nn.Parameter(torch.tensor(w)) for name, w in weights.items()}
    optimizers = make(weights)
    for gradient in gradients:
        for name, w in weights.items():
            w.grad = torch.tensor(gradient[name])
        for optimizer in optimizers:
            optimizer.step()
        yield {name: w.detach().numpy().copy() for name, w in weights.items()}


def by_schedulefree(weights, gradients, make):
    """Yields the training weights `y` and, as `<name>.average`, the evaluation weights `x`."""
    seen = {}

    def remember(parameters):
        seen.update(parameters=parameters, optimizer=make(list(parameters.values())))
        seen["optimizer"].train()
        return [seen["optimizer"]]

    for training in by_torch(weights, gradients, remember):
        seen["optimizer"].eval()
        averages = {
            f"{name}.average": w.detach().numpy().copy() for name, w in seen["parameters"].items()
        }
        seen["optimizer"].train()
        yield training | averages
