"""Several workers train one network on this machine, and survive the loss of one.

    python examples/fit_distributed.py                         # two workers
    python examples/fit_distributed.py --workers 2 --replicas 2
    python examples/fit_distributed.py --kill-one              # the same result

Each worker is a process that trains on its share of every batch. A supervisor restarts all workers
if one is lost, and they resume in the middle of the epoch. The fingerprint of the final weights
shows that the result is unchanged. Several workers on one CPU do not train faster.
"""

import argparse
import hashlib
import os
import signal
import sys
from pathlib import Path

import keras
from resume import build

import keras_gdx.datasets
from keras_gdx import callbacks, distribute
from keras_gdx.distribute.cluster import launch


class KillOnce(keras.callbacks.Callback):
    """Kills this process after some batches, unless it was killed in an earlier attempt."""

    def __init__(self, folder, batches):
        super().__init__()
        self.mark = folder / "killed"
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        """Counts batches, and kills the process."""
        self.left -= 1
        if self.left == 0 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def work(args):
    """Trains as one of the workers, from the newest checkpoint."""
    strategy = distribute.strategy("auto", replicas=args.replicas)
    keras.utils.set_random_seed(0)
    data = keras_gdx.datasets.load(data_dir=args.data_dir)
    images, labels = (array[: args.limit] for array in data.train)
    with strategy.scope():
        model = build(images.shape[1:])
    distribute.prepare(model)
    index = strategy.cluster_resolver.task_id if args.workers > 1 else 0
    watch = [callbacks.ResumableCheckpoint(args.folder / "checkpoints", "10 steps", verbose=1)]
    if args.kill_one and index == args.workers - 1:
        watch.insert(0, KillOnce(args.folder, batches=25))
    history = model.fit(
        images, labels, args.batch_size, args.epochs, verbose=0, callbacks=watch
    ).history
    loss, accuracy = model.evaluate(*data.test, batch_size=250, verbose=0)
    weights = b"".join(w.tobytes() for w in model.get_weights())
    if index == 0:
        print(f"{strategy.num_replicas_in_sync} replicas, losses of the epochs:", *history["loss"])
        print(f"held-out images: loss {loss:.4f}, accuracy {accuracy:.4f}")
        print(f"fingerprint of the weights: {hashlib.sha256(weights).hexdigest()[:16]}", flush=True)


def main():
    """Starts the workers, or runs as one of them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--replicas", type=int, default=1, help="devices of each (1)")
    parser.add_argument("--kill-one", action="store_true", help="kill the last worker once")
    parser.add_argument("--epochs", type=int, default=4, help="(4)")
    parser.add_argument("--batch-size", type=int, default=64, help="of all workers together (64)")
    parser.add_argument("--limit", type=int, help="images to train with (all)")
    parser.add_argument("--data-dir", help="where prepared data is kept")
    parser.add_argument("--folder", type=Path, default=Path("runs/distributed"), help="for the run")
    args = parser.parse_args()
    if "TF_CONFIG" in os.environ:
        work(args)
        return 0
    if (args.folder / "checkpoints").exists():
        print(f"going on with the run in {args.folder}", flush=True)
    args.folder.mkdir(parents=True, exist_ok=True)
    keras_gdx.datasets.load(data_dir=args.data_dir)  # prepared once, before the workers need it
    return launch([sys.executable, *sys.argv], args.workers)


if __name__ == "__main__":
    sys.exit(main())
