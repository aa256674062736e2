"""What a solver and the user see of a run: evaluations, iterations, callbacks, why it ended."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

ROUNDED = 1e-12  # a relative difference of losses below which rounding matters in float64
STALLED = 5  # iterations without a step, after which a trust region is too small


class Stop(StopIteration):
    """Ends a solver; SciPy's solvers then still return their result."""


@dataclass(frozen=True)
class Result:
    """How a full-batch fit ended.

    Attributes:
        loss: The loss with the weights that the model has now.
        gradient_norm: The norm of its gradient, projected onto the bounds if there are any.
        iterations: Number of iterations.
        evaluations: Number of times that the loss and gradient were computed.
        seconds: Duration.
        converged: Whether a tolerance was reached.
        reason: Why it ended, in words.
        solver: The `scipy.optimize.OptimizeResult` of SciPy's solvers; `None` for our own, and if
            the run ended in the middle of an iteration.
    """

    loss: float
    gradient_norm: float
    iterations: int
    evaluations: int
    seconds: float
    converged: bool
    reason: str
    solver: Any = None


class Run:
    """One minimization.

    Args:
        objective: The `Objective`.
        callbacks: A `keras.callbacks.CallbackList`.
        limits: The arguments `gradient_tolerance`, `loss_tolerance`, `max_iterations` and, in
            seconds, `time_budget`.
        bounds: Lower and upper bounds of the flat vector, or `None`.
    """

    def __init__(self, objective, callbacks, limits, bounds):
        self.objective = objective
        self.callbacks = callbacks
        self.limits = limits
        self.bounds = bounds
        self.solver_result = None
        self.reason = ""
        self.converged = False
        self.iterations = self.evaluations = 0
        self._begin = time.monotonic()
        self._begun = self._stalled = 0
        self._last: Any = None  # these are each a `Point`
        self._current: Any = None
        self._best: Any = None
        self._reference: Any = None

    # -- for the solver -----------------------------------------------------------------------

    def __call__(self, w):
        """The loss and its gradient."""
        self._begin_iteration()
        point = self._at(w)
        budget = self.limits["time_budget"]
        if budget is not None and self.seconds >= budget:
            self._stop(f"the time budget, {budget:g} s, is used up")
        return self._relative(point), point.gradient

    def product(self, w, v):
        """The Hessian times `v`."""
        return self.objective.product(w, v)

    def iterated(self, w):
        """Reports an iterate; raises `Stop` if it is the last."""
        self._begin_iteration()
        before, now = self._current, self._at(w)
        self._current = now
        self._stalled = self._stalled + 1 if np.array_equal(before.w, now.w) else 0
        logs = {"loss": now.loss, "gradient_norm": self.norm(now)}
        self.objective.write(w)
        self.callbacks.on_train_batch_end(0, logs)
        self.callbacks.on_epoch_end(self.iterations, logs)
        self.iterations += 1
        self._judge(before, now)

    def restart(self):
        """Makes losses relative to the current one.

        Solvers that rounding has stopped can then go on. Returns whether this is worth trying: not
        if the gradient has become no smaller since the last time.
        """
        before, self._reference = self._reference, self._current
        return before is None or self.norm(before) > self.norm(self._current)

    # -- for `fit_full_batch` -----------------------------------------------------------------

    def start(self, w):
        """Evaluates the start, and returns whether there is anything to do.

        Raises:
            ValueError: If the loss or its gradient is not finite.
        """
        self._current = self._at(w)
        if not (np.isfinite(self._current.loss) and np.isfinite(self._current.gradient).all()):
            raise ValueError(
                f"The loss of the initial weights is {self._current.loss}, and it or its gradient "
                "is not finite. Check the data, the loss and the weights."
            )
        self._test_gradient(self._current)
        return not self.converged

    @property
    def seconds(self):
        """Duration so far."""
        return time.monotonic() - self._begin

    @property
    def current(self):
        """The last iterate."""
        return self._current.w

    @property
    def final(self):
        """The last iterate if a tolerance was reached, otherwise the one with the lowest loss."""
        return self._current if self.converged else self._best

    def norm(self, point):
        """The norm of the gradient, or with bounds, of the step that a gradient step can make."""
        if self.bounds is None:
            return float(np.linalg.norm(point.gradient))
        return float(np.linalg.norm(point.w - np.clip(point.w - point.gradient, *self.bounds)))

    def result(self):
        """The `Result`."""
        return Result(
            loss=self.final.loss,
            gradient_norm=self.norm(self.final),
            iterations=self.iterations,
            evaluations=self.evaluations,
            seconds=self.seconds,
            converged=self.converged,
            reason=self.reason,
            solver=self.solver_result,
        )

    # -- inside -------------------------------------------------------------------------------

    def _relative(self, point):
        """The loss for the solver: relative to the reference, if there is one.

        Where subtracting would leave only rounding errors, the difference is the mean slope along
        the way (Hager and Zhang 2005).
        """
        if self._reference is None:
            return point.loss
        reference = self._reference
        difference = point.loss - reference.loss
        if abs(difference) > ROUNDED * abs(reference.loss):
            return difference
        slope = (point.gradient + reference.gradient) / 2
        return float(slope @ (point.w - reference.w))

    def _begin_iteration(self):
        if self._begun == self.iterations:
            self.callbacks.on_epoch_begin(self.iterations)
            self.callbacks.on_train_batch_begin(0)
            self._begun += 1

    def _at(self, w):
        for known in (self._last, self._current):
            if known is not None and np.array_equal(known.w, w):
                return known
        loss, gradient = self.objective(w)
        self.evaluations += 1
        self._last = point = Point(np.array(w), float(loss), gradient)
        if self._best is None or point.loss < self._best.loss:
            self._best = point
        return point

    def _judge(self, before, now):
        limits = self.limits
        if not np.isfinite(now.loss):
            self._stop(f"the loss is {now.loss}")
        self._test_gradient(now)
        self._test_decrease(before, now)
        if self.converged:
            raise Stop
        if self.iterations >= limits["max_iterations"]:
            self._stop(f"max_iterations={limits['max_iterations']} are done")
        if self.objective.model.stop_training:
            self._stop("a callback stopped it")
        if self._stalled >= STALLED:
            self._stalled = 0
            raise Stop  # without a reason: a restart may help

    def _test_gradient(self, now):
        tolerance, norm = self.limits["gradient_tolerance"], self.norm(now)
        if norm <= tolerance:
            self.converged = True
            self.reason = f"the gradient norm, {norm:.3g}, is at most {tolerance=:g}".replace(
                "tolerance=", "gradient_tolerance="
            )

    def _test_decrease(self, before, now):
        tolerance = self.limits["loss_tolerance"]
        if tolerance is None or self._stalled or self.converged:
            return
        decrease = before.loss - now.loss
        if decrease <= tolerance * max(abs(before.loss), abs(now.loss)):
            self.converged = True
            self.reason = (
                f"the loss decreased by {decrease:.3g} to {now.loss:.6g}, relatively at most "
                f"loss_tolerance={tolerance:g}"
            )

    def _stop(self, reason):
        self.reason = reason
        raise Stop


@dataclass(frozen=True)
class Point:
    """Weights, with their loss and gradient."""

    w: Any
    loss: float
    gradient: Any
