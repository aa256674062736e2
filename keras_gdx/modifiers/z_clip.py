"""ZClip: clipping of gradient spikes."""

from keras import ops

from keras_gdx.arguments import DecayRate, Positive
from keras_gdx.math import norm
from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import register

__all__ = ["ZClip"]

WARMUP = 25
TINY = 1e-6


@register
class ZClip(Modifier):
    r"""Clips gradients whose global norm is an outlier among those of recent updates.

    With the mean $\mu$ and the variance $\sigma^2$ of recent norms $\lVert g \rVert$ over all
    variables, and $z_t = (\lVert g \rVert - \mu) / (\sigma + 10^{-6})$,

    $$g \leftarrow \frac{n}{\lVert g \rVert}\, g, \qquad n = \begin{cases}
      \mu + z^2 \sigma / z_t & \text{if } z_t > z \\ \lVert g \rVert & \text{otherwise}
      \end{cases}$$

    $$\mu \leftarrow \alpha \mu + (1-\alpha) n, \qquad
      \sigma^2 \leftarrow \alpha \sigma^2 + (1-\alpha) (n - \mu)^2$$

    The first 25 norms are not clipped; $\mu$ and $\sigma^2$ begin as their mean and variance.
    Unlike `global_clipnorm`, it follows the scale of the gradients. It needs stable first updates.

    Args:
        alpha: Number in [0, 1) or schedule, $\alpha$: decay rate of the two statistics.
        z: Number > 0 or schedule, $z$: standard deviations above the mean from which a norm is
            an outlier.

    Memory: none per parameter; three numbers for the model.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.AdamW(1e-3, before=[keras_gdx.modifiers.ZClip()])

    Source: arXiv:2504.02507, Kumar et al. 2025
    Verified against: NumPy
    """

    sides = ("before",)
    shared = ("mean", "variance", "count")

    def __init__(self, alpha: DecayRate = 0.97, z: Positive = 2.5):
        self.alpha = alpha
        self.z = z

    def global_stats(self, h, xs, mean, variance, count):
        length = norm(*xs)
        deviation = ops.sqrt(variance)
        score = (length - mean) / (deviation + TINY)
        spike = (count >= WARMUP) & (score > h.z)
        most = mean + h.z * h.z * deviation / ops.where(spike, score, 1.0)
        kept = ops.where(spike, most, length)
        count = ops.minimum(count + 1, WARMUP + 1.0)
        share = ops.where(count > WARMUP, 1 - h.alpha, 1 / count)
        before, mean = mean, mean + (kept - mean) * share
        # The variance of all norms so far, or the EMA of squared deviations from the new mean.
        square = (kept - mean) * ops.where(count > WARMUP, kept - mean, kept - before)
        variance = variance + (square - variance) * share
        factor = ops.where(spike, most / length, 1.0)
        return {"factor": factor}, mean, variance, count

    def __call__(self, h, x, g, w):
        return x * h.factor
