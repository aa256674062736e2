"""Records what optax's transformations return, for `tests/modifiers/test_modifiers.py`.

Run `python tests/modifiers/record.py`, with `pip install numpy jax optax==0.2.8`. It writes
`oracles.npz` in float64: `weights/<variable>`, `gradients/<variable>`, `<case>/<variable>`, and
`meta`, a list of `[case, modifier here, function there]`.

optax's `centralize` expects outputs on the first axis, as in torch. Keras' kernels have them on the
last, so that function gets transposed kernels, and its result is transposed back.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("oracles.npz")
SHAPES = {
    "matrix": (6, 4),
    "vector": (5,),
    "convolution": (3, 3, 2, 4),
    "scalar": (),
    "zero_weights": (3, 2),
    "zero_weight_vector": (3,),
    "zero_gradient": (4,),
}
CASES = {
    "Centralize()": "centralize()",
    "AdaptiveClip()": "adaptive_grad_clip(0.01)",
    "AdaptiveClip(0.3)": "adaptive_grad_clip(0.3)",
    "AdaptiveClip(1.0)": "adaptive_grad_clip(1.0)",
    "AdaptiveClip(20.0)": "adaptive_grad_clip(20.0)",
    "AdaptiveClip(0.3, 0.5)": "adaptive_grad_clip(0.3, 0.5)",
    "TrustRatio()": "scale_by_trust_ratio()",
    "ClipByBlockRMS(0.4)": "clip_by_block_rms(0.4)",
    "ClipByBlockRMS(1.5)": "clip_by_block_rms(1.5)",
    "NormalizeByGlobalNorm()": "normalize_by_update_norm()",
    "UpdateClip()": "clip_by_block_rms(1.0)",
    "UpdateClip(0.4)": "clip_by_block_rms(0.4)",
    "UpdateClip(1.5)": "clip_by_block_rms(1.5)",
}


def problem():
    """Weights and gradients in which some units, and some single entries, are zero."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    gradients = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    weights["matrix"][:, 1] = 0
    weights["matrix"][2, 0] = 0
    weights["vector"][3] = 0
    gradients["matrix"][:, 2] = 0
    gradients["matrix"][4, 0] = 0
    gradients["vector"][:2] *= 4, 0
    gradients["convolution"] *= np.array([0.05, 1, 3, 0])
    weights["zero_weights"][:] = weights["zero_weight_vector"][:] = 0
    gradients["zero_gradient"][:] = 0
    return weights, gradients


def ask(optax, there, weights, gradients):
    import jax

    turns = there == "centralize()"
    if turns:
        gradients = {name: np.moveaxis(g, -1, 0) if g.ndim else g for name, g in gradients.items()}
    rule = eval(there, vars(optax))
    gradients = jax.tree.map(jax.numpy.asarray, gradients)
    answer, _ = rule.update(gradients, rule.init(weights), weights)
    for name, x in answer.items():
        x = np.asarray(x)
        assert x.dtype == "float64"
        yield name, np.moveaxis(x, 0, -1) if turns and x.ndim else x


def main():
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    weights, gradients = problem()
    found = {f"weights/{name}": w for name, w in weights.items()}
    found |= {f"gradients/{name}": g for name, g in gradients.items()}
    meta = []
    for case, (here, there) in enumerate(CASES.items()):
        meta.append([str(case), here, f"optax {version('optax')} {there}"])
        found |= {f"{case}/{name}": x for name, x in ask(optax, there, weights, gradients)}
    np.savez_compressed(FILE, meta=json.dumps(meta), **found)
    print(f"{FILE.name}: {len(meta)} cases, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
