"""Records the values of other libraries' schedules.

Run `python record.py > oracles.json` in this folder, with optax 0.2.8, timm 1.0.31, torch 2.13 and
transformers 4.57.
"""

import importlib.util
import json
import sys
import types
import warnings

import jax
import optax
import torch
import transformers
from torch.optim import lr_scheduler

jax.config.update("jax_enable_x64", True)
warnings.filterwarnings("ignore")

# timm.scheduler needs nothing of timm, whose own __init__ needs torchvision.
bare = types.ModuleType("timm")
bare.__path__ = importlib.util.find_spec("timm").submodule_search_locations
sys.modules["timm"] = bare
from timm.scheduler.cosine_lr import CosineLRScheduler  # noqa: E402
from timm.scheduler.poly_lr import PolyLRScheduler  # noqa: E402
from timm.scheduler.tanh_lr import TanhLRScheduler  # noqa: E402

UPDATES = 32


def in_optax(schedule):
    return [float(schedule(t)) for t in range(UPDATES)]


def in_torch(initial, make):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=initial)
    scheduler = make(optimizer)
    values = []
    for _ in range(UPDATES):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def in_timm(initial, make):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=initial)
    scheduler = make(optimizer)
    values = []
    for t in range(UPDATES):
        scheduler.step_update(t)
        values.append(optimizer.param_groups[0]["lr"])
    return values


def asgd(initial, beta, gamma):
    """ASGD steps by `lr / (1 + lambd * lr * t) ** alpha` and keeps the step of `t` as `eta`."""
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.ASGD([weight], lr=initial, lambd=beta / initial, alpha=gamma)
    values = [initial]
    while len(values) < UPDATES:
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        values.append(float(optimizer.state[weight]["eta"]))
    return values


def wsd(peak, **arguments):
    return in_torch(
        peak,
        lambda o: transformers.get_wsd_schedule(
            o, num_warmup_steps=5, num_stable_steps=7, num_decay_steps=12, **arguments
        ),
    )


def in_turn(*lengths_and_schedules):
    lengths, schedules = zip(*lengths_and_schedules, strict=True)
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths) - 1)]
    return in_optax(optax.join_schedules(schedules, ends))


def cases():
    """Yields `(name here, name there, the values there)`."""
    yield "Constant(0.3)", "optax constant", in_optax(optax.constant_schedule(0.3))

    for initial, beta, gamma in [(0.1, 0.5, 1.0), (0.1, 0.01, 0.5), (2.0, 3.0, 0.75)]:
        yield f"PowerDecay({initial}, {beta}, {gamma})", "torch ASGD", asgd(initial, beta, gamma)

    for initial, alpha in [(0.1, 0.0), (1e-3, 0.1), (3.0, 1.0)]:
        yield (
            f"Cosine({initial}, 24, alpha={alpha})",
            "optax cosine_decay",
            in_optax(optax.cosine_decay_schedule(initial, 24, alpha)),
        )
    yield (
        f"Cosine(0.1, {UPDATES}, alpha=0.2)",
        "torch CosineAnnealingLR",
        in_torch(0.1, lambda o: lr_scheduler.CosineAnnealingLR(o, UPDATES, eta_min=0.02)),
    )

    for initial, end in [(0.1, 0.0), (0.1, 0.01), (0.01, 0.1)]:
        yield (
            f"Linear({initial}, 24, {end})",
            "optax linear",
            in_optax(optax.linear_schedule(initial, end, 24)),
        )
    yield (
        "Linear(0.5, 24, 0.05)",
        "torch LinearLR",
        in_torch(0.5, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, 24)),
    )

    for initial, end, power in [(0.1, 0.0, 2.0), (0.1, 0.01, 0.5), (0.01, 0.1, 3.0)]:
        yield (
            f"Polynomial({initial}, 24, {end}, power={power})",
            "optax polynomial",
            in_optax(optax.polynomial_schedule(initial, end, power, 24)),
        )
    yield (
        "Polynomial(0.1, 24, power=0.9)",
        "torch PolynomialLR",
        in_torch(0.1, lambda o: lr_scheduler.PolynomialLR(o, 24, power=0.9)),
    )
    for power, k in [(1.0, 1.5), (2.0, 0.5), (0.5, 3.0)]:
        yield (
            f"Polynomial(0.1, 24, 0.01, power={power}, k={k})",
            "timm poly",
            in_timm(
                0.1,
                lambda o, power=power, k=k: PolyLRScheduler(
                    o, 24, power=power, lr_min=0.01, k_decay=k, t_in_epochs=False
                ),
            ),
        )

    for shape in ("linear", "1-sqrt", "cosine"):
        for factor in (0.0, 0.1):
            yield (
                f"WarmupStableDecay(0.1, 5, 7, 12, shape={shape!r}, end_factor={factor})",
                "transformers get_wsd_schedule",
                wsd(0.1, decay_type=shape, min_lr_ratio=factor),
            )
    yield (
        "WarmupStableDecay(0.1, 5, 7, 12, shape='exponential', end_factor=0.01)",
        "optax join of linear, constant and exponential_decay",
        in_turn(
            (5, optax.linear_schedule(0.001, 0.1, 5)),
            (7, optax.constant_schedule(0.1)),
            (12, optax.exponential_decay(0.1, 12, 0.01, end_value=0.001)),
        ),
    )

    yield (
        "Warmup(Linear(0.1, 19), 5)",
        "transformers get_linear_schedule_with_warmup",
        in_torch(0.1, lambda o: transformers.get_linear_schedule_with_warmup(o, 5, 24)),
    )
    yield (
        "Warmup(Cosine(0.1, 19), 5)",
        "transformers get_cosine_schedule_with_warmup",
        in_torch(0.1, lambda o: transformers.get_cosine_schedule_with_warmup(o, 5, 24))[:25],
    )
    yield (
        "Warmup(0.1, 5)",
        "transformers get_constant_schedule_with_warmup",
        in_torch(0.1, lambda o: transformers.get_constant_schedule_with_warmup(o, 5)),
    )
    yield (
        "Warmup(Cosine(0.1, 19, alpha=0.1), 5, initial=0.02)",
        "optax warmup_cosine_decay",
        in_optax(optax.warmup_cosine_decay_schedule(0.02, 0.1, 5, 24, 0.01)),
    )
    yield (
        "Warmup(Cosine(0.1, 19, alpha=0.1), 5, initial=0.02)",
        "torch SequentialLR",
        in_torch(
            0.1,
            lambda o: lr_scheduler.SequentialLR(
                o,
                [
                    lr_scheduler.LinearLR(o, 0.2, 1.0, 5),
                    lr_scheduler.CosineAnnealingLR(o, 19, eta_min=0.01),
                ],
                [5],
            ),
        )[:25],
    )

    yield (
        "Sequential([(4, Linear(0, 4, 0.1)), (6, 0.1), (3, Constant(0.05)), (9, Cosine(1, 9))])",
        "optax join_schedules",
        in_turn(
            (4, optax.linear_schedule(0.0, 0.1, 4)),
            (6, optax.constant_schedule(0.1)),
            (3, optax.constant_schedule(0.05)),
            (9, optax.cosine_decay_schedule(1.0, 9)),
        ),
    )

    for initial, steps, rate, staircase in [(0.1, 5, 0.5, False), (0.1, 5, 0.5, True)]:
        yield (
            f"Exponential({initial}, {steps}, {rate}, {staircase})",
            "optax exponential_decay",
            in_optax(optax.exponential_decay(initial, steps, rate, staircase=staircase)),
        )
    yield (
        "Exponential(0.3, 1, 0.9)",
        "torch ExponentialLR",
        in_torch(0.3, lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
    )
    for size, gamma in [(5, 0.5), (1, 0.9)]:
        yield (
            f"Step(0.1, {size}, {gamma})",
            "torch StepLR",
            in_torch(0.1, lambda o, s=size, g=gamma: lr_scheduler.StepLR(o, s, g)),
        )
    for milestones in ([4, 9, 20], [0, 7, 7]):
        yield (
            f"MultiStep(0.1, {milestones}, 0.3)",
            "torch MultiStepLR",
            in_torch(0.1, lambda o, m=milestones: lr_scheduler.MultiStepLR(o, m, 0.3)),
        )
    for length, mul, alpha in [(5, 1, 0.0), (3, 2, 0.1), (1, 3, 0.0)]:
        yield (
            f"CosineRestarts(0.1, {length}, {mul}, alpha={alpha})",
            "torch CosineAnnealingWarmRestarts",
            in_torch(
                0.1,
                lambda o, n=length, m=mul, a=alpha: lr_scheduler.CosineAnnealingWarmRestarts(
                    o, n, m, eta_min=0.1 * a
                ),
            ),
        )
    for length, mul, decay, alpha in [(4, 1.5, 0.5, 0.0), (3, 2.0, 0.8, 0.1), (6, 1.0, 0.5, 0.05)]:
        yield (
            f"CosineRestarts(0.1, {length}, {mul}, {decay}, alpha={alpha})",
            "timm cosine",
            in_timm(
                0.1,
                lambda o, n=length, m=mul, d=decay, a=alpha: CosineLRScheduler(
                    o, n, lr_min=0.1 * a, cycle_mul=m, cycle_decay=d, cycle_limit=99,
                    t_in_epochs=False,
                ),
            ),
        )  # fmt: skip
    for warmup in (1, 6):
        yield (
            f"InverseSqrt(0.1, {warmup})",
            "transformers get_inverse_sqrt_schedule",
            in_torch(
                0.1, lambda o, w=warmup: transformers.get_inverse_sqrt_schedule(o, w, timescale=w)
            ),
        )
    for arguments in (
        {},
        {"div_factor": 10.0, "final_div_factor": 100.0, "pct_start": 0.4},
        {"anneal_strategy": "linear", "pct_start": 0.25},
        {"three_phase": True},
        {"three_phase": True, "anneal_strategy": "linear", "pct_start": 0.2},
    ):
        names = {"div_factor": "div", "final_div_factor": "final_div", "anneal_strategy": "anneal"}
        ours = {names.get(n, n): x for n, x in arguments.items()}
        rates, momenta = one_cycle(arguments)
        text = "".join(f", {n}={x!r}" for n, x in ours.items())
        yield f"OneCycle(0.1, {UPDATES}{text})", "torch OneCycleLR", rates
        text = "".join(f", {n}={x!r}" for n, x in ours.items() if "div" not in n)
        yield f"OneCycleMomentum({UPDATES}{text})", "torch OneCycleLR", momenta
    for shape, gamma in [("triangular", 1.0), ("triangular2", 1.0), ("exp_range", 0.95)]:
        yield (
            f"Cyclical(0.01, 0.1, 4, {shape!r}, {gamma})",
            "torch CyclicLR",
            in_torch(
                0.01,
                lambda o, s=shape, g=gamma: lr_scheduler.CyclicLR(
                    o, 0.01, 0.1, 4, mode=s, gamma=g, cycle_momentum=False
                ),
            ),
        )
    for lower, upper, end in [(-7.0, 3.0, 0.0), (-3.0, 4.0, 0.01)]:
        yield (
            f"Tanh(0.1, 24, {lower}, {upper}, {end})",
            "timm tanh",
            in_timm(
                0.1,
                lambda o, a=lower, b=upper, e=end: TanhLRScheduler(
                    o, 24, lb=a, ub=b, lr_min=e, t_in_epochs=False
                ),
            ),
        )


def one_cycle(arguments):
    """The rates and momenta of torch's cycle."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, UPDATES, **arguments)
    rates, momenta = [], []
    for t in range(UPDATES):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if t < UPDATES - 1:
            scheduler.step()
    return rates, momenta


if __name__ == "__main__":
    lines = (json.dumps([here, there, values]) for here, there, values in cases())
    print("[\n" + ",\n".join(lines) + "\n]")
