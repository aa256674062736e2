"""The methods: each moves a flat vector until it is told to stop.

A solver is a function of `run`, the start and further arguments. `run(w)` returns the loss and its
gradient; `run.iterated(w)` reports an iterate, and raises `Stop` if it shall be the last. A solver
that cannot go on returns why.
"""

import warnings

import numpy as np

ARMIJO = (
    1e-4  # the decrease that a step must reach, as a fraction of the one that the slope promises
)
NO_LOWER_LOSS = "no step lowers the loss any more, because of rounding"
ENDLESS = 10**9  # `run` counts iterations itself
OWN_TOLERANCES = {  # without those of SciPy, because `run` has its own
    "L-BFGS-B": {"maxcor": 20, "ftol": 0.0, "gtol": 0.0, "maxiter": ENDLESS, "maxfun": ENDLESS},
    "BFGS": {"gtol": 0.0, "maxiter": ENDLESS},
    "CG": {"gtol": 0.0, "maxiter": ENDLESS},
    "trust-krylov": {"gtol": 0.0, "maxiter": ENDLESS},
}


def by_scipy(method):
    """A solver that calls `scipy.optimize.minimize`."""

    def solve(run, w, bounds=None, **options):
        from scipy.optimize import minimize

        def callback(intermediate_result):  # SciPy goes by the name of the argument
            run.iterated(intermediate_result.x)

        # The solver of trust regions takes a gradient below about 1e-8 for zero.
        unit = np.linalg.norm(run(w)[1]) if method == "trust-krylov" else 1.0

        def scaled(w):
            loss, gradient = run(w)
            return loss / unit, gradient / unit

        def product(w, v):
            return run.product(w, v) / unit

        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Unknown solver options")
            result = minimize(
                scaled,
                w,
                jac=True,
                hessp=product if method == "trust-krylov" else None,
                method=method,
                bounds=bounds,
                callback=callback,
                options=OWN_TOLERANCES[method] | options,
            )
        run.solver_result = result
        return f"no step lowers the loss any more, because of rounding (SciPy: {result.message})"

    return solve


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


SOLVERS = {
    "lbfgs": by_scipy("L-BFGS-B"),
    "bfgs": by_scipy("BFGS"),
    "cg": by_scipy("CG"),
    "trust-krylov": by_scipy("trust-krylov"),
    "gd": gradient_descent,
}
