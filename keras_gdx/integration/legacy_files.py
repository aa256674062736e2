"""The legacy `.h5` format of models, which Keras 3 writes but cannot resume training from."""

from keras_gdx.arguments import check


def check_file(filepath, overwrite=True, zipped=None, include_optimizer=True, **kwargs):
    """Raises `ValueError` if `model.save` with these arguments would lose the optimizer's state."""
    check(
        not (include_optimizer and str(filepath).endswith((".h5", ".hdf5"))),
        "filepath",
        str(filepath),
        "the name of a `.keras` file: Keras cannot resume training from a model in `.h5`. To "
        "save the model without its optimizer, pass `include_optimizer=False`",
    )
