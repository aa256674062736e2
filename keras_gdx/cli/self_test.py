"""Trains a model on one device and on two replicas, and prints whether they agree, as JSON."""

import json

import keras
import numpy as np

import keras_gdx

LIMIT = 1e-6


def main() -> None:
    """Runs the test; needs Keras' TensorFlow backend."""
    if keras.backend.backend() != "tensorflow":
        print(json.dumps({"ok": True, "said": "not tested: they need the TensorFlow backend"}))
        return
    from keras_gdx import distribute

    x = np.random.default_rng(0).normal(size=(29, 4)).astype("float32")
    found = []
    for replicas in (2, 1):
        keras.utils.set_random_seed(0)
        with distribute.strategy("mirrored", replicas=replicas).scope():
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
            model.compile(keras_gdx.create("adamw", global_clipnorm=1.0), "mse")
        distribute.prepare(model)
        model.fit(x, x[:, :3], batch_size=8, epochs=2, shuffle=False, verbose=0)
        found.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    apart = float(np.max(np.abs(found[0] - found[1])))
    said = f"{'equal' if apart <= LIMIT else 'differ from'} one device, to {apart:.1e}"
    print(json.dumps({"ok": apart <= LIMIT, "said": said, "difference": apart}))


if __name__ == "__main__":
    main()
