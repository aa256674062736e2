"""Answers and trains further with TensorFlow alone; `serve.py` starts it.

    python examples/served.py FOLDER

The folder has a `saved_model` and the file `new.npz`; `answers.npz` is written there.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf


def main():
    """Answers, trains with each batch once, and answers again."""
    for name in ("keras", "keras_gdx"):
        assert name not in sys.modules
        sys.modules[name] = None  # to import it is an error, as on a server that does not have it
    folder = Path(sys.argv[1])
    loaded = tf.saved_model.load(folder / "saved_model")
    new = np.load(folder / "new.npz")
    rate = tf.constant(new["learning_rate"], tf.float32)
    before = loaded.serve(new["questions"]).numpy()
    for begin in range(0, len(new["images"]), new["size"]):
        batch = slice(begin, begin + new["size"])
        logs = loaded.train_step(new["images"][batch], new["labels"][batch], rate)
    print(f"trained further without Keras; loss of the last batch {logs['loss']:.4f}")
    np.savez(folder / "answers.npz", before=before, after=loaded.serve(new["questions"]).numpy())


if __name__ == "__main__":
    main()
