"""Reads TensorBoard's event files."""

from pathlib import Path

import tensorflow as tf


def scalars(folder):
    """Maps `folder:tag` to the steps and values of each scalar, in the order of writing."""
    found = {}
    for path in sorted(Path(folder).rglob("*tfevents*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    number = float(tf.make_ndarray(value.tensor))
                    name = f"{path.parent.name}:{value.tag}"
                    found.setdefault(name, []).append((event.step, number))
    return found
