"""The private names of Keras and TensorFlow that the package depends on.

When a release changes one of them, the test of that name fails. Private names are used only in the
folders of `ALLOWED`, and each is listed here.
"""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

PACKAGE = Path(__file__).resolve().parents[1] / "keras_gdx"
ALLOWED = ("backends", "distribute", "engine/variables", "integration")

# The object that has the name, the name, and what it is needed for.
PRIVATE = {
    "optimizer": {
        "_exclude_from_weight_decay": "to lose nothing that Keras does not save",
        "_exclude_from_weight_decay_pattern": "the same",
        "_filter_empty_gradients": "to leave variables without a gradient alone, as Keras does",
        "_get_variable_index": "to find the slots of a variable",
        "_iterations": "the counter itself; Keras' `iterations` divides it by the micro-batches",
        "_learning_rate": "to scale a schedule where Keras' setter would replace it",
        "_model_variables_moving_average": "where Keras' own callbacks look for averages",
        "_trainable_variables": "what Keras takes for the variables that it was built with",
        "_trainable_variables_indices": "the same",
        "_var_key": "the keys of `_trainable_variables_indices`",
    },
    "optimizer on TensorFlow": {
        "_accumulated_gradients": "the sums of an open window of Keras' own optimizers",
        "_apply_weight_decay": "the decay of Keras' own optimizers",
        "_backend_apply_gradients": "where their order of work is put right for replicas",
        "_clip_gradients": "their clipping, after the reduction",
        "_distributed_tf_update_step": "their rule, without a second reduction",
        "_update_model_variables_moving_average": "their averages",
        "_distribution_strategy": "the strategy it was made in, for the place of its variables",
    },
    "variable on TensorFlow": {
        "_initialize_with_initializer": "to be a `tf.Variable` that there is, not to make one",
        "_path": "to have its name, slashes and all",
        "_value": "to be it",
    },
    "mirrored variable on TensorFlow": {
        "_get": "the variable of this replica, which a compiled update overwrites in place",
    },
    "strategy of workers on TensorFlow": {
        "_id_in_cluster": "which of the workers this process is, the chief being the first",
        "_in_multi_worker_mode": "whether other processes take part",
        "_num_workers": "which replicas are those of this process",
        "_initialize_local_devices": "to cut the processor of a worker into several devices",
    },
    "model on TensorFlow": {
        "_compile_config": "the loss that the model was compiled with, to tell if it has changed",
        "_call_has_training_arg": "whether to call it as `train_step` does, with `training`",
        "_compute_loss": "the loss as `train_step` computes it",
        "_compile_loss": "whose metrics log the loss of each output",
        "_compile_metrics": "which create their variables in the first step",
        "_autoconvert_optionals": "what Keras does to a batch with missing parts",
        "_initial_epoch": "to begin with the epoch that was interrupted",
        "_maybe_symbolic_build": "the one method of the model that `fit` gives its data to",
        "_symbolic_build": "to make the variables that are to be restored before the first step",
    },
    "iterator of epochs on TensorFlow": {
        "_current_iterator": "the iterator that goes on into the next epoch",
        "_distribute_strategy": "to distribute data in an order of our own as Keras does",
        "_enumerate_iterator": "to leave out the batches that were trained on already",
        "_get_iterator": "to know how often the data was begun, and in which order",
        "_num_batches": "the length that Keras has counted",
        "_steps_seen": "how far the iterator that goes on is",
    },
    "adapter of arrays on TensorFlow": {
        "_inputs": "the arrays as Keras has checked and packed them",
        "_num_samples": "how many examples there are",
        "_shuffle": "whether and how they are shuffled",
    },
    "adapter of batches on TensorFlow": {
        "_output_signature": "what the batches look like, found out once",
    },
    "pipeline that shuffles on TensorFlow": {
        "_inputs": "the pipelines that it is made of",
        "_seed": "whether workers would shuffle in the same way",
        "_seed2": "the same",
    },
    "callback": {
        "_batches_seen_since_last_saving": "when `ModelCheckpoint` saves next, with `save_freq`",
        "_last_batch_seen": "the same",
        "_ema_weights_in_model": "whether `SwapEMAWeights` has swapped",
        "_global_test_batch": "the steps that `TensorBoard` writes",
        "_global_train_batch": "the same",
    },
    "layer": {
        "_inbound_nodes": "to walk from a model's outputs back to the layers that have weights",
        "_layers": "the layers inside a layer, in their order, whatever the layer is",
        "_trainable_variables": "the variables of a layer without those of the layers inside",
    },
    "functional model": {
        "_nodes_by_depth": "how its layers are connected, in an order to compute them in",
    },
    "tensor": {
        "_dtype": "to give a model data in float64",
        "_keras_history": "to walk from a model's outputs back to the layers that have weights",
    },
    "module": {
        "keras.src.utils.tracking.no_automatic_dependency_tracking": (
            "keeps the model's variables out of the optimizer's checkpoint"
        ),
    },
    "module on TensorFlow": {
        "keras.src.trainers.data_adapters.array_slicing.convert_to_sliceable": "arrays of any kind",
        "keras.src.trainers.data_adapters.array_slicing.TensorflowSparseWrapper": "sparse ones",
        "keras.src.trainers.data_adapters.array_slicing.slice_tensorflow_sparse_wrapper": "theirs",
        "keras.src.trainers.data_adapters.array_data_adapter.ArrayDataAdapter": "to know arrays",
        "keras.src.trainers.data_adapters.py_dataset_adapter.PyDatasetAdapter": "to serve batches",
        "keras.src.backend.tensorflow.trainer.TFEpochIterator": "the data of a loop, as in `fit`",
        "keras.src.random.seed_generator.global_seed_generator": "what layers without a seed use",
        "keras.src.backend.common.masking.get_keras_mask": "masks go with the outputs of replicas",
        "keras.src.backend.common.masking.set_keras_mask": "the same",
        "keras.src.backend.compute_output_spec": "to create the variables of a loss",
        "keras.src.trainers.compile_utils.CompileLoss": "what `compile` makes of a loss",
        "keras.src.losses.loss.apply_mask": "to count what masks and weights leave of a batch",
        "keras.src.losses.loss.reduce_weighted_values": "where losses become means",
        "keras.src.losses.loss.scale_loss_for_distribution": "where Keras divides by replicas",
        "keras.src.losses.loss.unscale_loss_for_distribution": "the other way round",
        "keras.src.utils.rng_utils.get_random_seed": "the seed that all workers must share",
        "tensorflow.compiler.tf2xla.ops.gen_xla_ops.xla_remove_dynamic_dimension_size": (
            "the most rows that there may be, where XLA knows how many there are when it runs"
        ),
        "tensorflow.__internal__.distribute.interim.maybe_merge_call": (
            "how Keras' own optimizers move variables in replicas"
        ),
        "tensorflow.python.distribute.collective_all_reduce_strategy.coordination_config_pb2"
        ".CoordinatedJob": ("to say how long workers are waited for"),
        "tensorflow.python.eager.context.context": "the same",
        "tensorflow.python.ops.collective_ops.broadcast_recv": "first values of any dtype",
        "tensorflow.python.ops.collective_ops.broadcast_send": "the same",
        "tensorflow.python.ops.control_flow_util.GraphOrParentsInXlaContext": (
            "whether a step is being compiled, where sums need another form"
        ),
        "tensorflow.__internal__.distribute.strategy_supports_no_merge_call": (
            "whether replicas need a merge call to branch together"
        ),
        "tensorflow.compiler.tf2xla.python.xla.dynamic_slice": (
            "slices at places that XLA does not know, so that they share kernels"
        ),
        "tensorflow.compiler.tf2xla.python.xla.optimization_barrier": (
            "results that XLA shall not compute from one another"
        ),
    },
}
LISTED = {name for names in PRIVATE.values() for name in names}
NAMEDTUPLE = {"_asdict", "_fields", "_make", "_replace"}  # public, despite the underscore


# -- they exist ------------------------------------------------------------------------------


@cache
def probes():
    """The objects that Keras makes, by kind."""
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, gradient_accumulation_steps=2)
    optimizer.build([keras.Variable([1.0])])
    layer = keras.layers.Dense(1)
    inputs = keras.Input((1,))
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    found = {"optimizer": optimizer, "layer": layer, "tensor": layer(inputs)}
    found["functional model"] = keras.Model(inputs, found["tensor"])
    callbacks = keras.callbacks
    attributes = vars(callbacks.ModelCheckpoint("x.keras")) | vars(callbacks.SwapEMAWeights())
    attributes |= vars(callbacks.TensorBoard())
    listed = {name: value for name, value in attributes.items() if name in PRIVATE["callback"]}
    found["callback"] = SimpleNamespace(**listed)
    found["variable"] = keras.Variable([1.0])
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf
        from keras.src.backend.tensorflow.trainer import TFEpochIterator

        x = np.ones((2, 1))
        iterators = TFEpochIterator(x=x, distribute_strategy=tf.distribute.get_strategy())
        found["iterator of epochs"] = iterators
        found["adapter of arrays"] = iterators.data_adapter
        found["adapter of batches"] = PyDatasetAdapter(keras.utils.PyDataset())
        found["model"] = keras.Sequential([layer])
        found["model"].compile("sgd", "mse")
        found["strategy of workers"] = tf.distribute.MultiWorkerMirroredStrategy().extended

        found["pipeline that shuffles"] = tf.data.Dataset.range(2).shuffle(2)
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            found["mirrored variable"] = keras.Variable([1.0]).value
    return found


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in PRIVATE.items() for name in names]
)
def test_exists(kind, name):
    kind, _, backend = kind.partition(" on ")
    if backend and keras.backend.backend() != backend.lower():
        pytest.skip(f"only on {backend}")
    found = resolve(name) if kind == "module" else hasattr(probes()[kind], name)
    assert found, f"Keras {keras.__version__} has no {name} in its {kind} any more"


def resolve(name):
    """Whether a dotted name exists."""
    module, _, rest = name.partition(".")
    found = import_module(module)
    for part in rest.split("."):
        module = f"{module}.{part}"
        if not hasattr(found, part):
            try:
                found = import_module(module)  # TensorFlow hides some of its modules
            except ImportError:
                return False
            continue
        found = getattr(found, part)
    return True


# -- they are all ----------------------------------------------------------------------------


@cache
def trees():
    """The syntax tree of each file."""
    return {
        str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in NAMEDTUPLE


@cache
def defined_here():
    """Names that the package defines itself and Keras' objects do not have."""
    found = set()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
    return found - {name for probe in probes().values() for name in dir(probe)}


def attributes(tree):
    """Private names that are read, written, overridden or asked for, with their lines."""
    plain = [c for c in ast.walk(tree) if isinstance(c, ast.ClassDef) and not c.bases]
    own = {
        id(node)
        for c in plain
        for node in ast.walk(c)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in own:
            yield node.attr, node.lineno
        elif isinstance(node, ast.ClassDef) and node.bases:
            yield from ((f.name, f.lineno) for f in node.body if isinstance(f, ast.FunctionDef))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attr"):
            yield from ((a.value, a.lineno) for a in node.args if isinstance(a, ast.Constant))
        elif isinstance(node, ast.Tuple):  # a table of names
            yield from ((a.value, a.lineno) for a in node.elts if isinstance(a, ast.Constant))


def foreign_attributes(tree):
    """Those of Keras' objects, and those that nothing in the package defines."""
    for name, line in attributes(tree):
        if isinstance(name, str) and is_private(name) and name not in defined_here():
            yield name, line


def foreign_modules(tree):
    """Private modules and the names imported from them, in full, with their lines."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {a.asname: a.name for a in node.names if a.asname}
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            known |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
            names = [f"{node.module}.{a.name}" for a in node.names]
        elif isinstance(node, ast.Attribute):
            head, _, rest = ast.unparse(node).partition(".")
            names = [f"{known.get(head, head)}.{rest}"]
        else:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
                head, _, rest = ast.unparse(node.value).partition(".")
                known |= {ast.unparse(t): f"{known.get(head, head)}.{rest}" for t in node.targets}
            continue
        for name in names:
            if re.match(r"keras\.src\b|tensorflow\.(python|compiler|__internal__)\b", name):
                yield name, node.lineno


@cache
def uses():
    """Every use of a private name of Keras or TensorFlow: `(file, line, name)`."""
    found = set()
    for file, tree in trees().items():
        for name, line in (*foreign_attributes(tree), *foreign_modules(tree)):
            found.add((file, line, name))
    return sorted(found)


def report(uses):
    return "\n".join(f"keras_gdx/{file}:{line}: {name}" for file, line, name in uses)


def test_only_the_engine_uses_private_names():
    outside = [use for use in uses() if not use[0].startswith(ALLOWED)]
    assert not outside, f"private names outside of {' and '.join(ALLOWED)}:\n{report(outside)}"


def test_the_list_is_complete():
    missing = [
        (file, line, name)
        for file, line, name in uses()
        if file.startswith(ALLOWED) and not any(f"{x}.".startswith(f"{name}.") for x in LISTED)
    ]
    assert not missing, f"add to PRIVATE, with a reason:\n{report(missing)}"


def test_nothing_is_listed_in_vain():
    assert not LISTED - {name for _, _, name in uses()}
