"""Pictures of the way of each rule on two test problems, as SVG.

Rules for matrices show their losses on two matrix problems, others their paths in the plane. Each
run has the best of several learning rates: the one with the lowest loss at the end, among those
with which the loss was never higher than at the start.
"""

import hashlib
import json
import math
from functools import cache
from typing import Any

import keras
import numpy as np

from keras_gdx.optimizers import Adam
from keras_gdx.registry import REGISTRY
from keras_gdx.schedules import Schedule

VERSION = 1  # of the problems below: another number makes all pictures stale
STEPS = 300
RATES = [float(f"{x:.1g}") for x in np.geomspace(1e-4, 10, 16)]
MATRIX = ("kron", "muon", "normuon", "shampoo", "soap")
RATE_FREE = ("cocob", "dog", "dowg", "prodigy")
WRAPPERS = ("lookahead", "schedulefree")
ARGUMENTS: dict[str, dict[str, Any]] = {"conditionalgradient": {"lambda_": 2.0}}
WITHOUT = ("localsteps", "partition")  # needs replicas; consists of other rules
RULES = [
    name
    for name, entry in REGISTRY.items()
    if entry.kind == "optimizer"
    and entry.cls.__module__.startswith("keras_gdx.")
    and name not in WITHOUT
]


# -- problems --------------------------------------------------------------------------------

TURN, CENTER = 0.5, (0.3, 0.8)  # of the quadratic: radians, and its minimum


def rosenbrock(w):
    """A curved valley, with the minimum at (1, 1)."""
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def quadratic(w):
    """A long valley, at an angle to the axes."""
    along, across = turned(w[0] - CENTER[0], w[1] - CENTER[1], -TURN)
    return (along**2 + 50 * across**2) / 2


def turned(x, y, angle):
    """Coordinates after a rotation."""
    c, s = math.cos(angle), math.sin(angle)
    return c * x - s * y, s * x + c * y


def factorization(u, v):
    """How far a product is from a matrix of rank 4."""
    return keras.ops.sum((u @ v - matrices("target")) ** 2)


def regression(w):
    """Least squares."""
    return keras.ops.sum((matrices("inputs") @ (w - matrices("solution"))) ** 2)


@cache
def matrices(name):
    """The constants of the matrix problems, with singular values from 1 to 1/30."""
    shape = {"target": (16, 12), "inputs": (16, 16), "solution": (16, 8)}[name]
    u, _, v = np.linalg.svd(np.random.default_rng(len(name)).normal(size=shape), False)
    values = np.geomspace(1, 1 / 30, min(shape))
    values[4:] *= name != "target"  # which has rank 4
    return (u * values @ v).astype("float32")


def small(*shape):
    """Initial weights."""
    return 0.3 * np.random.default_rng(0).normal(size=shape)


PLANE = {
    "Rosenbrock": (rosenbrock, [np.array([-1.0, 2.5])]),
    "A quadratic with condition number 50": (quadratic, [np.array([-1.5, 2.4])]),
}
OF_MATRICES = {
    "Factorization of a matrix": (factorization, [small(16, 4), small(4, 12)]),
    "Regression with condition number 900": (regression, [np.zeros((16, 8))]),
}


# -- runs ------------------------------------------------------------------------------------


class Rate(Schedule):
    """A learning rate that can be set; if it `falls`, linearly to 0."""

    def __init__(self, falls: bool):
        self.falls = falls
        self.peak = keras.Variable(0.0)

    def __call__(self, t):
        return self.peak * (1 - self.falls * keras.ops.cast(t, "float32") / (STEPS + 1))


def make(name, rate):
    """The rule with this learning rate, or its default one."""
    given = dict(ARGUMENTS.get(name, {}))
    if name in WRAPPERS:
        return REGISTRY[name].cls(Adam(rate), **given)
    if name not in RATE_FREE:
        given["learning_rate"] = 1 - rate if name == "conditionalgradient" else rate
    return REGISTRY[name].cls(**given)


def best_run(name, problem, start):
    """The best learning rate at the start, the points of its run and their losses."""
    import tensorflow as tf

    variables = [
        keras.Variable(w, dtype="float32", name=f"kernel_{i}") for i, w in enumerate(start)
    ]
    rate = Rate(falls=problem in (factorization, regression))
    optimizer = make(name, rate)
    optimizer.build(variables)
    everything = [*variables, *optimizer.variables]
    fresh = [v.numpy() for v in everything]

    @tf.function(autograph=False)
    def descend():
        def body(t, points, losses):
            with tf.GradientTape() as tape:
                loss = problem(*(v.value for v in variables))
            points = points.write(t, variables[0].value + 0)
            gradients = tape.gradient(loss, [v.value for v in variables])
            optimizer.apply(gradients, variables)
            return t + 1, points, losses.write(t, loss)

        arrays = (tf.TensorArray("float32", STEPS + 1) for _ in range(2))
        _, points, losses = tf.while_loop(lambda t, *_: t <= STEPS, body, (0, *arrays))
        return points.stack(), losses.stack()

    def run(peak):
        for v, value in zip(everything, fresh, strict=True):
            v.assign(value)
        rate.peak.assign(peak)
        points, losses = (x.numpy() for x in descend())
        return peak, points, losses

    def at_end(found):
        steady = (found[2] <= found[2][0]).all()
        return found[2][-10:].mean() if steady else math.inf

    return min(map(run, RATES[: 1 if name in RATE_FREE else None]), key=at_end)


# -- drawings --------------------------------------------------------------------------------

WIDTH, HEIGHT = 340, 255  # of a panel
HEAD, FOOT, GAP = 30, 34, 38
INK, SOFT, FAINT, PATH = "#1b1f24", "#57606a", "#c4ccd4", "#0b6e4f"
FRAME = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="{FAINT}"/>'
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def settings(name):
    """What identifies the picture of a rule."""
    chosen = [VERSION, STEPS, RATES, name, ARGUMENTS.get(name)]
    chosen += [name in group for group in (MATRIX, RATE_FREE, WRAPPERS)]
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:16]


def is_fresh(path, name):
    """Whether there is a picture of the rule with these settings; it is not drawn again."""
    return path.is_file() and settings(name) in path.read_text(encoding="utf-8")


def caption(name):
    """What the page says below the picture."""
    if name in MATRIX:
        return (
            f"The loss of {STEPS} updates (the line), and that of Adam (dashed), each with a "
            f"learning rate that falls linearly to 0 from the best of {len(RATES)} values."
        )
    around = " around Adam" if name in WRAPPERS else ""
    own = name in RATE_FREE
    best = f"the best of {len(RATES)} learning rates that keep the loss below that of the start"
    rate = "its own step size" if own else best
    return (
        f"{STEPS} updates{around} from the circle, with {rate}; the cross is the minimum. Two "
        "weights show how a rule moves, not how well it trains a network."
    )


def picture(name):
    """The SVG of the rule."""
    draw, problems = (losses, OF_MATRICES) if name in MATRIX else (path, PLANE)
    size = f"{2 * WIDTH + 3 * GAP} {HEAD + HEIGHT + FOOT}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-size="13" '
        'font-family="system-ui, sans-serif">',
        f"<!-- settings: {settings(name)} -->",
        '<rect width="100%" height="100%" rx="6" fill="#ffffff"/>',
        f'<clipPath id="panel"><rect width="{WIDTH}" height="{HEIGHT}"/></clipPath>',
    ]
    for i, title in enumerate(problems):
        lines.append(f'<g transform="translate({GAP + i * (WIDTH + GAP)} {HEAD})">')
        lines += [text(0, -11, title, INK), *draw(name, title, *problems[title]), "</g>"]
    return "\n".join([*lines, "</svg>", ""])


def text(x, y, words, color, anchor="start"):
    """A text element."""
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{color}" text-anchor="{anchor}">{words}</text>'


def polyline(points, color, width, extra=""):
    """A line through points of the panel, without those that no one can see."""
    shown = [points[0]]
    for point in points[1:]:
        if not np.isfinite(point).all():
            break
        if np.abs(point - shown[-1]).max() >= 0.7:
            shown.append(point)
    d = " ".join(f"{x:.1f},{y:.1f}" for x, y in np.clip(shown, -2000, 2000))
    return (
        f'<polyline points="{d}" fill="none" stroke="{color}" stroke-width="{width}" '
        f'stroke-linejoin="round" {extra}/>'
    )


def described(name, rate, loss):
    """The line below a panel."""
    rate = f"1 - {rate:g}" if name == "conditionalgradient" else f"{rate:g}"
    words = "" if name in RATE_FREE else f"learning rate {rate}, "
    return text(0, HEIGHT + 20, f"{words}loss {loss:.0e} at the end", SOFT)


def path(name, title, problem, start):
    """The path of a rule in the plane, over lines of equal loss."""
    rate, points, values = best_run(name, problem, start)
    low, high = np.array([-2.0, -1.0]), np.array([2.0, 3.0])
    scale = np.array([WIDTH, -HEIGHT]) / (high - low)

    def place(xy):
        return (np.asarray(xy) - low) * scale + [0, HEIGHT]

    way, least = place(points), place((1, 1) if problem is rosenbrock else CENTER)
    yield '<g clip-path="url(#panel)">'
    for line in (level_lines if problem is rosenbrock else ellipses)():
        yield polyline(place(line), FAINT, 1)
    yield polyline(way, PATH, 1.6)
    yield "</g>"
    yield FRAME
    (x, y), (a, b), (u, v) = least, way[0], way[-1]
    yield f'<path d="M{x - 5:.1f},{y:.1f}h10M{x:.1f},{y - 5:.1f}v10" stroke="{INK}"/>'
    yield f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="#ffffff" stroke="{PATH}"/>'
    if np.all((way[-1] > 0) & (way[-1] < [WIDTH, HEIGHT])):
        yield f'<circle cx="{u:.1f}" cy="{v:.1f}" r="3" fill="{PATH}"/>'
    yield described(name, rate, values[-1])


def level_lines():
    """Where Rosenbrock's function has one of a few values."""
    for value in (1, 10, 60, 250, 800):
        x = np.linspace(max(-2.2, 1 - value**0.5), min(2.2, 1 + value**0.5), 60)
        half = np.sqrt(np.maximum(value - (1 - x) ** 2, 0) / 100)
        both = np.concatenate([x, x[::-1]]), np.concatenate([x * x + half, (x * x - half)[::-1]])
        yield np.stack(both, -1)


def ellipses():
    """Where the quadratic has one of a few values."""
    around = np.linspace(0, 2 * np.pi, 73)
    for value in (0.2, 1, 4, 12, 30, 70):
        size = np.sqrt(2 * value)
        x, y = turned(size * np.cos(around), size / np.sqrt(50) * np.sin(around), TURN)
        yield np.stack([x + CENTER[0], y + CENTER[1]], -1)


def losses(name, title, problem, start):
    """The losses of the rule and of Adam, on a logarithmic scale of eight decades."""
    rate, _, values = best_run(name, problem, start)
    _, _, usual = adam(title)
    decades = 8
    top = np.ceil(np.log10(usual[0]))

    def place(losses):
        x = np.linspace(0, WIDTH, STEPS + 1)
        return np.stack([x, (top - np.log10(np.maximum(losses, 1e-30))) * HEIGHT / decades], -1)

    yield '<g clip-path="url(#panel)">'
    for power in range(1, decades):
        y = power * HEIGHT / decades
        yield f'<path d="M0,{y:.1f}h{WIDTH}" stroke="{FAINT}" stroke-width="0.6"/>'
    yield polyline(place(usual), SOFT, 1.4, 'stroke-dasharray="5 3"')
    yield polyline(place(values), PATH, 1.8)
    yield "</g>"
    yield FRAME
    for power in range(0, decades + 1, 2):
        label = f"10{str(int(top - power)).translate(SUPERSCRIPT)}"
        yield text(-5, power * HEIGHT / decades + 4, label, SOFT, "end")
    yield described(name, rate, values[-1])


@cache
def adam(title):
    """The best run of Adam."""
    return best_run("adam", *OF_MATRICES[title])
