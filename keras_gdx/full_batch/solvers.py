"""The methods: each moves a flat vector until it is told to stop.

A solver is a function of `run`, the start and further arguments. `run(w)` returns the loss and its
gradient; `run.iterated(w)` reports an iterate, and raises `Stop` if it shall be the last. A solver
that cannot go on returns why.
"""

import warnings

import numpy as np

ARMIJO = 1e-4  # what a step must gain, as a fraction of what the slope promises
NO_LOWER_LOSS = "no step lowers the loss any more, because of rounding"
ENDLESS = 10**9  # `run` counts iterations itself
OWN_TOLERANCES = {  # without those of SciPy, because `run` has its own
    "L-BFGS-B": {"maxcor": 20, "ftol": 0.0, "gtol": 0.0, "maxiter": ENDLESS, "maxfun": ENDLESS},
    "BFGS": {"gtol": 0.0, "maxiter": ENDLESS},
    "CG": {"gtol": 0.0, "maxiter": ENDLESS},
    "trust-krylov": {"gtol": 0.0, "maxiter": ENDLESS},
}


def by_scipy(name):
    """A solver that calls `scipy.optimize.minimize`."""

    def solve(run, w, bounds=None, **options):
        def callback(intermediate_result):  # SciPy goes by the name of the argument
            run.iterated(intermediate_result.x)

        # The solver of trust regions takes a gradient below about 1e-8 for zero.
        unit = np.linalg.norm(run(w)[1]) if name == "trust-krylov" else 1.0

        def scaled(w):
            loss, gradient = run(w)
            return loss / unit, gradient / unit

        def product(w, v):
            return run.product(w, v) / unit

        run.solver_result = result = _minimize(name, scaled, w, product, options, bounds, callback)
        return f"{NO_LOWER_LOSS} (SciPy: {result.message})"

    return solve


def _minimize(name, function, w, product, options, bounds=None, callback=None):
    from scipy.optimize import minimize

    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Unknown solver options")
        return minimize(
            function,
            w,
            jac=True,
            hessp=product if name == "trust-krylov" else None,
            method=name,
            bounds=bounds,
            callback=callback,
            options=OWN_TOLERANCES[name] | options,
        )


def check_options(method, options):
    """Raises a `ValueError` if SciPy's solver does not take the options."""
    name = NAMES.get(method)
    if name is None or not options:
        return
    try:  # to minimize something else, as SciPy reads them nowhere else
        _minimize(name, lambda w: (w @ w, 2 * w), np.ones(1), lambda w, v: 2 * v, options)
    except Exception as error:
        raise ValueError(
            f"`options` must be options of SciPy's {name}, received {options!r}: {error}"
        ) from error


def gradient_descent(run, w, learning_rate=None):
    r"""Gradient descent, $w \leftarrow w - \eta g$.

    Without a rate, $\eta$ is halved until the loss is low enough (Armijo 1966), and the next
    iteration begins with twice the last one.
    """
    loss, g = run(w)
    eta = learning_rate or 0.5
    while True:
        if learning_rate:
            w = w - eta * g
            loss, g = run(w)
        else:
            eta *= 2
            while not (found := run(w - eta * g))[0] <= loss - ARMIJO * eta * (g @ g):
                eta /= 2
                if np.array_equal(w - eta * g, w):
                    return NO_LOWER_LOSS
            w = w - eta * g
            loss, g = found
        run.iterated(w)


NAMES = {"lbfgs": "L-BFGS-B", "bfgs": "BFGS", "cg": "CG", "trust-krylov": "trust-krylov"}
SOLVERS = {method: by_scipy(name) for method, name in NAMES.items()} | {"gd": gradient_descent}
