"""Answers and trains further with TensorFlow alone; `serve.py` starts it.

    python examples/served.py FOLDER

The folder has a `saved_model` and the file `new.npz`; `answers.npz` is written there.
"""

import sys
from pathlib import Path

# To import these is now an error, as on a server that does not have them.
sys.modules["keras"] = sys.modules["keras_gdx"] = None

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def main():
    """Answers, trains with each batch once, and answers again."""
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
