"""The devices on which Keras computes."""

import keras


def device_names() -> list[str]:
    """Names such as `"gpu:0"`; all are of one type, CPUs only if there is nothing else."""
    if keras.backend.backend() == "torch":  # for which Keras has no list
        import torch

        return [f"gpu:{i}" for i in range(torch.cuda.device_count())] or ["cpu:0"]
    return keras.distribution.list_devices()
