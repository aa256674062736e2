"""Wrong input raises an error immediately, by name, and changes nothing.

Every message has the name of the argument and the value that was given. After an error in a step,
weights and state are unchanged, bit for bit.
"""

import itertools
import math
import re
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx import callbacks, modifiers, optimizers, regularizers, schedules
from keras_gdx.arguments import may_change, needs_tensorflow
from keras_gdx.config import argument_types, declared_arguments
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import REGISTRY
from keras_gdx.schedules import Constant, Linear
from tests.contract.rules import (
    FIRST,
    RULES,
    WRAPPERS,
    core,
    every_rule,
    first_rules,
    make,
    rules_with,
)
from tests.declared import NO_NUMBERS, another_value, wrong_values

nan, inf = math.nan, math.inf


def refused(name, received, call, *args, error=ValueError, **kwargs):
    """Asserts that the call raises, with the name of the argument and the received value."""
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert re.search(rf"\b{name}\b", message), f"{message!r} does not name `{name}`"
    told = received if isinstance(received, str) else repr(received)
    assert told in message, f"{message!r} does not tell of {received!r}"


# -- numbers ---------------------------------------------------------------------------------

OPTIONS = argument_types(optimizers.Optimizer)


def declared():
    """Pairs of a class and an argument; an option that all rules have, of the first ones only."""
    for name, entry in REGISTRY.items():
        if entry.kind in ("optimizer", "modifier"):
            types = argument_types(entry.cls)
            shared = OPTIONS if entry.kind == "optimizer" and name not in FIRST else {}
            for argument in declared_arguments(entry.cls):
                if types[argument] != shared.get(argument) and wrong_values(types[argument]):
                    yield name, argument


DECLARED = list(declared())
every_declared = pytest.mark.parametrize(("name", "argument"), DECLARED)


def test_numbers_and_choices_are_declared():
    assert {"beta_1", "momentum", "ns_steps", "adjust", "nesterov"} <= {a for _, a in DECLARED}


@every_declared
def test_what_the_type_excludes_is_refused(name, argument):
    cls = REGISTRY[name].cls
    for value in wrong_values(argument_types(cls)[argument]):
        refused(argument, value, cls, **{argument: value})


@cache
def built(name):
    """One target for all arguments, which all leave it alone."""
    target = REGISTRY[name].cls()
    if REGISTRY[name].kind == "optimizer":  # a modifier is immutable
        target.build(weights())
    return target


@every_declared
def test_it_is_refused_after_building_too(name, argument):
    target = built(name)
    config = target.get_config()
    for value in wrong_values(argument_types(type(target))[argument]):
        with pytest.raises((AttributeError, ValueError), match=rf"\b{argument}\b"):
            setattr(target, argument, value)
    assert target.get_config() == config


@every_rule
@pytest.mark.parametrize("schedule", [Linear, keras.optimizers.schedules.CosineDecay])
def test_the_class_of_a_schedule_is_no_schedule(rule, schedule):
    refused("learning_rate", schedule, make, rule, schedule)
    refused("weight_decay", schedule, make, rule, weight_decay=schedule)


# -- options ---------------------------------------------------------------------------------


@every_rule
def test_an_unknown_argument_is_refused(rule):
    with pytest.raises(TypeError, match=r"has no argument `betta`"):
        make(rule, betta=0.9)


def test_the_nearest_argument_is_named():
    with pytest.raises(TypeError, match=r"Adam has no argument `betta_1`. Did you mean `beta_1`"):
        optimizers.Adam(betta_1=0.9)


@first_rules
def test_two_kinds_of_clipping_are_refused(rule):
    clips = {"clipnorm": 1.0, "global_clipnorm": 2.0, "clipvalue": 3.0}
    for pair in itertools.combinations(clips.items(), 2):
        for name, value in pair:
            refused(name, value, make, rule, **dict(pair))


def test_coefficients_of_muon():
    for value in ((1.0, 2.0), (1.0, 2.0, nan), (1.0, 2.0, "3"), 3.0, None, "abc"):
        refused("ns_coefficients", value, optimizers.Muon, ns_coefficients=value)
    for rule in (optimizers.Muon, optimizers.NorMuon):
        refused("ns_steps", 4, rule, ns_steps=4, ns_coefficients="polar_express")


@rules_with(name=["before", "after"])
def test_what_is_no_list_of_modifiers_is_refused(rule, name):
    one = modifiers.Centralize()
    for value in (one, [modifiers.Centralize], ["centralize"], "centralize", [one, 3], 3):
        refused(name, value, make, rule, **{name: value})


@pytest.mark.parametrize("value", ["centralize", modifiers.Centralize, modifiers.Centralize()])
def test_how_a_modifier_is_written_is_told(value):
    with pytest.raises(ValueError, match=re.escape("before=[modifiers.Centralize()]")):
        optimizers.SGD(before=value)


@rules_with(name=["before", "after"])
def test_a_modifier_on_the_wrong_side_is_refused(rule, name):
    """It would compute something else, or nothing."""
    for entry in (entry for entry in REGISTRY.values() if entry.kind == "modifier"):
        given = [modifiers.Centralize(), entry.cls()]
        if name in entry.cls.sides:
            make(rule, **{name: given})
        else:
            (right,) = entry.cls.sides
            refused(name, given, make, rule, **{name: given})
            with pytest.raises(ValueError, match=f"{entry.cls.__name__}, .* in `{right}`"):
                make(rule, **{name: given})


def test_modifiers_of_the_rule_inside_have_their_side_too():
    adam = {"before": [modifiers.Cautious()]}
    with pytest.raises(ValueError, match="in `after`"):
        optimizers.Muon(adam=optimizers.AdamW(**adam))


@pytest.mark.parametrize("name", ["before", "after"])
def test_one_modifier_twice_would_share_its_memory(name):
    twice = 2 * [modifiers.Centralize()]
    refused(name, twice, optimizers.SGD, **{name: twice})


@pytest.mark.parametrize("rule", WRAPPERS)
@pytest.mark.parametrize("value", ["nonsense", 3, [0.1], optimizers.SGD], ids=str)
def test_what_is_no_inner_optimizer_is_refused(rule, value):
    refused("inner", value, REGISTRY[rule].cls, value)


def test_what_cannot_be_averaged_is_refused():
    for value in (optimizers.Muon(), optimizers.DoG(), optimizers.Adan(), keras.optimizers.SGD()):
        refused("inner", value, optimizers.ScheduleFree, value)
    refused("use_ema", True, optimizers.ScheduleFreeSGD, use_ema=True)
    refused("use_ema", True, optimizers.ScheduleFree, optimizers.SGD(use_ema=True))


def test_a_beta_that_changes_is_refused_with_lazy_rows():
    """The average of a row would need the `beta` of the row's own last update."""
    falling = Linear(0.9, 9, 0.5)
    refused("beta", falling, optimizers.ScheduleFreeSGD, beta=falling, sparse="lazy")
    inner = optimizers.SGD(sparse="lazy")
    refused("beta", falling, optimizers.ScheduleFree, inner, beta=falling)
    optimizer = optimizers.ScheduleFree(inner)
    optimizer.build(weights())
    refused("beta", 0.5, setattr, optimizer, "beta", 0.5)
    optimizer.beta = 0.9
    assert optimizer.beta == 0.9


def test_what_is_no_fallback_is_refused():
    for value in ("adamw", 3, keras.optimizers.Adam(), optimizers.AdamW):
        refused("fallback", value, optimizers.Muon, fallback=value)


@pytest.mark.parametrize(
    "option",
    [
        {"no_decay": ("bias",)}, {"lr_multipliers": {"bias": 0.5}}, {"state_dtype": "bfloat16"},
        {"sparse": "lazy"}, {"skip_nonfinite": True}, {"clipnorm": 1.0}, {"use_ema": True},
        {"loss_scale_factor": 2.0}, {"gradient_accumulation_steps": 2},
    ],
    ids=str,
)  # fmt: skip
def test_an_option_that_a_fallback_would_ignore_is_refused(option):
    ((name, value),) = option.items()
    refused(name, value, optimizers.Muon, fallback=optimizers.AdamW(**option))


@every_rule
def test_lazy_is_refused_where_rows_are_mixed(rule):
    lazy = {"sparse": "lazy"}
    if not core(make(rule)).elementwise:
        refused("sparse", "lazy", make, rule, **lazy)
        assert not core(make(rule, sparse="dense")).elementwise
    else:
        make(rule, **lazy)
        refused("sparse", "lazy", make, rule, before=[modifiers.Centralize()], **lazy)
        refused("sparse", "lazy", make, rule, after=[modifiers.TrustRatio()], **lazy)


BEFORE_BUILDING = [  # what is assigned, and the part of it that the message has
    ({"state_dtype": "int4"}, "int4"),
    ({"sparse": "rows"}, "rows"),
    ({"gradient_accumulation_steps": 0}, 0),
    ({"no_decay": "bias"}, "bias"),
    ({"lr_multipliers": {"(bias": 0.5}}, "(bias"),
    ({"before": [3]}, [3]),
    ({"clipnorm": 1.0, "clipvalue": 2.0}, 2.0),
]


@first_rules
def test_what_is_assigned_before_building_is_checked_too(rule):
    def assign_and_build(options):
        optimizer = make(rule)
        for name, value in options.items():
            setattr(core(optimizer), name, value)
        optimizer.build(weights())

    for options, received in BEFORE_BUILDING:
        refused(list(options)[-1], received, assign_and_build, options)


# -- patterns --------------------------------------------------------------------------------


def patterns_of(rule):
    return ["no_decay", *REGISTRY[rule].cls.masks]


@every_rule
def test_what_is_no_list_of_patterns_is_refused(rule):
    for name in patterns_of(rule):
        for value in ("bias", 3, 0.5):
            refused(name, value, make, rule, **{name: value})
        for value in ("(bias", "*", 3, None):
            refused(name, value, make, rule, **{name: ["kernel", value]})


@first_rules
def test_what_is_no_dictionary_of_multipliers_is_refused(rule):
    for value in ("bias", ["bias"], 0.5, {"bias": -0.1}, {"bias": nan}, {"bias": inf}):
        refused("lr_multipliers", value, make, rule, lr_multipliers=value)
    for value in ({"bias": "0.1"}, {"bias": None}, {"bias": Constant(0.1)}):
        refused("lr_multipliers", value, make, rule, lr_multipliers=value)
    for pattern in ("(bias", "*", 3):
        refused("lr_multipliers", pattern, make, rule, lr_multipliers={"bias": 1, pattern: 0.5})


@every_rule
def test_a_pattern_that_matches_nothing_is_told(rule):
    options = {"lr_multipliers": {"bias": 1.0, "dense_7": 0.5}}
    options |= {name: ["kernel", f"{name}_nowhere$"] for name in patterns_of(rule)}
    optimizer = make(rule, **options)
    with pytest.warns(UserWarning, match="matches no variable") as warned:
        optimizer.build(weights())
    told = " ".join(str(w.message) for w in warned)
    for pattern in ("dense_7", *(f"{name}_nowhere$" for name in patterns_of(rule))):
        assert repr(pattern) in told
    assert "'bias'" not in told
    assert "'kernel'" not in told


def test_excluding_from_decay_takes_lists():
    optimizer = optimizers.AdamW()
    refused("var_names", "bias", optimizer.exclude_from_weight_decay, var_names="bias")
    assert optimizer.no_decay == ()
    refused("var_names", "(", optimizer.exclude_from_weight_decay, var_names=["bias", "("])
    assert optimizer.no_decay == ()
    variables = weights()
    optimizer.exclude_from_weight_decay(variables[:1], ["bias"])
    optimizer.build(variables)
    optimizer.exclude_from_weight_decay(variables[:1], ["bias"])  # already excluded
    for given in ({"var_names": ["kernel"]}, {"var_list": variables[:2]}):
        with pytest.raises(ValueError, match="exclude_from_weight_decay"):
            optimizer.exclude_from_weight_decay(**given)


def test_what_names_no_variable_without_decay_is_refused():
    for value in ("bias", [("w",)], [("w", -1)], [("w", 0.5)], [(0, "w")]):
        refused("no_decay", value, optimizers.SGD, no_decay=value)


# -- variables and gradients -----------------------------------------------------------------


def weights():
    noise = np.random.default_rng(0)
    return [
        keras.Variable(noise.normal(size=shape).astype("float32"), name=name)
        for name, shape in (("kernel", (4, 3)), ("bias", (3,)))
    ]


def gradients(seed):
    noise = np.random.default_rng(seed)
    return [noise.normal(size=(4, 3)).astype("float32"), noise.normal(size=3).astype("float32")]


class Trained:
    """A rule after three micro-batches of two variables: with accumulation a window is open."""

    def __init__(self, rule, **options):
        self.weights = weights()
        self.optimizer = make(rule, **options)
        self.optimizer.build(self.weights)
        for seed in range(3):
            self.optimizer.apply(gradients(seed), self.weights)

    def values(self):
        return [np.asarray(v.numpy()) for v in (*self.weights, *self.optimizer.variables)]


def assert_identical(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


KERNEL, BIAS = gradients(9)
WRONG_STEPS = {  # gradients, and the message
    "another shape": ([KERNEL, np.ones(4, "float32")], r"`bias` has shape \(4,\).* \(3,\)"),
    "transposed": ([KERNEL.T, BIAS], r"`kernel` has shape \(3, 4\).* \(4, 3\)"),
    "one number": ([1.0, BIAS], r"`kernel` has shape \(\).* \(4, 3\)"),
    "one more axis": ([KERNEL[None], BIAS], r"`kernel` has shape \(1, 4, 3\).* \(4, 3\)"),
    "too few": ([KERNEL], "1 gradient.* 2 variables"),
    "too many": ([KERNEL, BIAS, BIAS], "3 gradient.* 2 variables"),
    "none": ([], "gradient"),
    "all None": ([None, None], "[Nn]o gradient"),
}


@rules_with(mode=["eager", "graph", "window"])
def test_a_wrong_step_is_no_step(rule, mode):
    options = {"gradient_accumulation_steps": 2} if mode == "window" else {}
    run, twin = Trained(rule, **options), Trained(rule, **options)
    before = run.values()

    def attempt(grads, variables):
        step = tf.function(lambda: run.optimizer.apply(grads, variables))
        (step if mode == "graph" else step.python_function)()

    for grads, message in WRONG_STEPS.values():
        with pytest.raises(ValueError, match=message):
            attempt(grads, run.weights)
        assert_identical(run.values(), before)
    for variables, unknown in ((weights(), "kernel"), ([run.weights[0], weights()[1]], "bias")):
        with pytest.raises(ValueError, match=rf"\b{unknown}\b"):
            attempt([KERNEL, BIAS], variables)
        assert_identical(run.values(), before)
    sparse = tf.IndexedSlices(tf.ones((1, 3)), tf.constant([0]), tf.constant([5, 3]))
    with pytest.raises(ValueError, match=r"`kernel` has shape \(5, 3\)"):
        attempt([sparse, BIAS], run.weights)
    assert_identical(run.values(), before)
    for each in (run, twin):  # afterwards both continue as if nothing had happened
        each.optimizer.apply([KERNEL, BIAS], each.weights)
    assert_identical(run.values(), twin.values())


@first_rules
def test_a_wrong_first_step_is_no_step(rule):
    for grads, message in WRONG_STEPS.values():
        optimizer, variables = make(rule), weights()
        with pytest.raises(ValueError, match=message):
            optimizer.apply(grads, variables)
        assert_identical([v.numpy() for v in variables], [v.numpy() for v in weights()])
        assert optimizer.iterations.numpy() == 0
    with pytest.raises(ValueError, match=r"trainable_variables.*None"):
        make(rule).apply([KERNEL, BIAS])
    with pytest.raises(ValueError, match="gradient"):
        make(rule).apply_gradients([])


@first_rules
def test_a_shape_unknown_while_tracing_is_checked_while_running(rule):
    run, twin = Trained(rule), Trained(rule)
    unknown = [tf.TensorSpec((None, 3), "float32"), tf.TensorSpec(None, "float32")]
    step = tf.function(
        lambda *grads: run.optimizer.apply(grads, run.weights), input_signature=unknown
    )
    for each in (lambda: step(KERNEL, BIAS), lambda: twin.optimizer.apply([KERNEL, BIAS])):
        each()
    for a, b in zip(run.weights, twin.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
    kernel = run.weights[0].numpy()
    with pytest.raises(tf.errors.InvalidArgumentError):
        step(KERNEL[:1], BIAS)  # it would fit by broadcasting
    np.testing.assert_array_equal(run.weights[0].numpy(), kernel)


def test_rows_without_the_number_of_all_rows_are_taken():
    results = []
    for shape in (None, tf.constant([4, 3])):
        run = Trained("adam")
        rows = tf.IndexedSlices(tf.constant(KERNEL[:2]), tf.constant([1, 3]), shape)
        run.optimizer.apply([rows, BIAS], run.weights)
        results.append(run.values())
    assert_identical(*results)


@first_rules
def test_a_variable_without_gradient_is_left_alone_and_told(rule):
    run = Trained(rule, weight_decay=0.1)
    state = core(run.optimizer).state

    def bias():
        slots = {**state.slots[1], **run.optimizer.state.slots[1]}.values()
        return [run.weights[1].numpy(), *(np.asarray(slot.read()) for slot in slots)]

    kernel, before, count = run.weights[0].numpy(), bias(), run.optimizer.iterations.numpy()
    with pytest.warns(UserWarning, match="bias"):
        run.optimizer.apply([KERNEL, None], run.weights)
    assert_identical(bias(), before)
    assert (run.weights[0].numpy() != kernel).all()
    assert run.optimizer.iterations.numpy() == count + 1


@first_rules
def test_what_cannot_be_trained_is_refused(rule):
    def fails(variables, *words):
        with pytest.raises(ValueError, match=".*".join(words)):
            make(rule).build(variables)

    fails([*weights(), keras.Variable([1, 2], dtype="int32", name="counter")], "counter", "int32")
    fails([keras.Variable([True], dtype="bool", name="flag")], "flag", "bool")
    fails(weights()[0], "variables", "kernel")
    fails([1.0, 2.0], "variables", "1.0")


@first_rules
def test_a_step_outside_of_replicas_is_refused(rule, mirrored):
    with mirrored.scope():
        variables = weights()
        optimizer = make(rule)
        optimizer.build(variables)
    before = [v.numpy() for v in (*variables, *optimizer.variables)]
    for scope in (mirrored.scope(), mirrored.scope()):
        with scope, pytest.raises(ValueError, match=r"strategy\.run"):
            optimizer.apply([tf.constant(KERNEL), tf.constant(BIAS)], variables)
    assert_identical([v.numpy() for v in (*variables, *optimizer.variables)], before)


# -- changes and state -----------------------------------------------------------------------


@every_rule
def test_what_shapes_the_step_cannot_change_once_built(rule):
    run, twin = Trained(rule), Trained(rule)
    before, config = run.values(), run.optimizer.get_config()
    for target in {id(o): o for o in (run.optimizer, core(run.optimizer))}.values():
        types = argument_types(type(target))
        for name in declared_arguments(type(target)):
            if may_change(types[name]) or name == "learning_rate":
                continue
            other = another_value(types[name], getattr(target, name))
            refused(name, other, setattr, target, name, other)
            assert getattr(target, name) != other
    assert run.optimizer.get_config() == config
    for each in (run, twin):
        each.optimizer.apply([KERNEL, BIAS], each.weights)
    assert_identical(run.values(), twin.values())
    assert any((a != b).any() for a, b in zip(run.values(), before, strict=True))


@every_rule
def test_a_number_cannot_become_a_schedule_once_built(rule):
    run = Trained(rule)
    before = run.values()
    types = argument_types(type(run.optimizer))
    for name in declared_arguments(type(run.optimizer)):
        if may_change(types[name]) and name != "learning_rate":
            value = getattr(run.optimizer, name)
            refused(name, value, setattr, run.optimizer, name, Constant(0.5))
    assert_identical(run.values(), before)


@first_rules
@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("rate", [0.1, Linear(0.1, 9)], ids=["number", "schedule"])
def test_a_wrong_rate_cannot_be_assigned(rule, rate, built):
    optimizer = make(rule, rate)
    if built:
        optimizer.build(weights())
    state, config = [v.numpy() for v in optimizer.variables], optimizer.get_config()
    for value in (-0.1, *NO_NUMBERS, None):
        refused("learning_rate", value, setattr, optimizer, "learning_rate", value)
    for value in (Linear(0.2, 9), keras.optimizers.schedules.CosineDecay(0.2, 9), lambda: 0.2):
        args = (setattr, optimizer, "learning_rate", value)
        refused("learning_rate", value, *args, error=TypeError)
    assert_identical([v.numpy() for v in optimizer.variables], state)
    assert optimizer.get_config() == config
    assert float(optimizer.learning_rate) == pytest.approx(0.1)


@every_rule
def test_the_state_of_another_rule_is_not_for_this_one(rule):
    run = Trained(rule)
    before = run.values()
    for other in ("sgd" if rule != "sgd" else "adam", "radam" if rule != "radam" else "lion"):
        store = {}
        Trained(other).optimizer.save_own_variables(store)
        names = type(make(other)).__name__, type(run.optimizer).__name__
        with pytest.warns(UserWarning, match=r"\b{}\b.*\b{}\b".format(*names)):
            run.optimizer.load_own_variables(store)
        assert_identical(run.values(), before)
    store = {}
    keras_own = keras.optimizers.Adam()
    keras_own.build(weights())
    keras_own.save_own_variables(store)
    with pytest.warns(UserWarning, match="keras_gdx"):
        run.optimizer.load_own_variables(store)
    assert_identical(run.values(), before)


def test_averages_that_are_not_kept_cannot_be_swapped_in():
    model = dense()
    model.compile(optimizers.SGD(0.1), "mse")
    x = np.ones((2, 2), "float32")
    with pytest.raises(ValueError, match="use_ema"):
        model.fit(
            x, x[:, :1], verbose=0, validation_data=(x, x[:, :1]),
            callbacks=[keras.callbacks.SwapEMAWeights()],
        )  # fmt: skip


# -- by name ---------------------------------------------------------------------------------


def dense(built=True):
    return keras.Sequential([keras.Input((2,))] * built + [keras.layers.Dense(1)])


@pytest.mark.parametrize("name", ["adamm", "cosine", "centralize", "", 3, None], ids=repr)
def test_creating_by_an_unknown_name(name):
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        keras_gdx.create(name)


def test_an_unknown_name_is_answered_by_its_neighbours():
    with pytest.raises(ValueError, match=r"Nearest: (\w+, )*adam\b"):
        keras_gdx.create("adamm")
    with pytest.raises(ValueError, match=r"'zzzzzz' in keras_gdx\. keras_gdx\.list\(\) has all"):
        keras_gdx.info("zzzzzz")


@pytest.mark.parametrize("call", [keras_gdx.create, keras_gdx.info])
def test_a_class_is_no_name(call):
    with pytest.raises(ValueError, match="`name` must be a short name such as 'adamw'"):
        call(optimizers.Adam)


def test_a_rate_that_is_given_as_the_model():
    with pytest.raises(ValueError, match=r"given as `learning_rate`\)\. Received: model=0.001"):
        keras_gdx.create("adamw", 1e-3)


def test_a_kind_that_there_is_not():
    with pytest.raises(ValueError, match="'optimizers'") as error:
        keras_gdx.list(kind="optimizers")
    assert "'optimizer', 'schedule', 'callback'" in str(error.value)


@pytest.mark.parametrize(
    "base", [keras.optimizers.SGD, keras.callbacks.Callback, Linear], ids=lambda x: x.__name__
)
@pytest.mark.parametrize("name", ["Lion", "LION", "Linear"])
def test_a_name_that_is_taken_is_refused(base, name):
    """Of any kind: `keras_gdx>Lion` in a file can mean one class only."""
    known = keras_gdx.info(name)
    objects = dict(keras.saving.get_custom_objects())
    with pytest.raises(ValueError, match=rf"{known.kind} keras_gdx\.\w+\.\w+\.\w+ already"):
        keras_gdx.register(type(name, (base,), {}))
    assert keras_gdx.info(name) is known
    assert keras.saving.get_custom_objects() == objects


def test_a_class_may_be_defined_again():
    for summary in ("One.", "Two."):
        again = type("DefinedAgain", (Linear,), {"__doc__": summary})
        keras_gdx.register(again)
        assert keras_gdx.info("definedagain").cls is again
        assert keras_gdx.info("definedagain").summary == summary
    REGISTRY.pop("definedagain")


@pytest.mark.parametrize("rule", RULES)
def test_creating_with_wrong_arguments(rule):
    create = keras_gdx.create
    refused("model", None, create, rule, layer_decay=0.5)
    model = dense(built=False)
    refused("model", model, create, rule, model, layer_decay=0.5)
    for value in (0, -0.5, 1.5, nan, "0.5"):
        refused("layer_decay", value, create, rule, dense(), layer_decay=value)
    refused("learning_rate", -1, create, rule, learning_rate=-1)
    refused("learning_rate", "fast", create, rule, dense(), learning_rate="fast")
    refused("weight_decay", "0.1", create, rule, weight_decay="0.1")
    refused("model", "net", create, rule, "net")
    with pytest.raises((TypeError, ValueError), match="betta"):
        create(rule, betta=0.9)


@pytest.mark.parametrize("name", ["sum", "compensation"])
def test_a_slot_cannot_have_the_name_of_state_of_the_engine(name):
    refused("name", name, Slot, name)


# -- what to type instead --------------------------------------------------------------------


def compiled(optimizer="sgd"):
    model = dense()
    model.compile(optimizer, "mse")
    return model


def fitted(callback, **options):
    x = np.ones((4, 2), "float32")
    return compiled(optimizers.SGD(0.1)).fit(x, x[:, 0], verbose=0, callbacks=callback, **options)


VALIDATED = {"validation_data": (np.ones((4, 2), "float32"), np.ones(4, "float32"))}
ADVICE = {  # a likely mistake, and the parts of the message that answer it
    "lr": (lambda: optimizers.AdamW(lr=1e-3), "AdamW has no argument `lr`", "`learning_rate`"),
    "betas": (lambda: optimizers.Adam(betas=(0.9, 0.99)), "Adam", "`beta_1` and `beta_2`"),
    "eps": (lambda: optimizers.Adam(eps=1e-7), "Adam", "Did you mean `epsilon`?"),
    "T_max": (lambda: schedules.Cosine(1e-3, T_max=9), "Cosine", "Did you mean `decay_steps`?"),
    "ema_decay": (lambda: optimizers.AdamW(ema_decay=0.9), "AdamW", "`ema_momentum`"),
    "momentum": (lambda: optimizers.AdamW(momentum=0.9), "AdamW", "`beta_1`"),
    "wd": (lambda: optimizers.AdamW(wd=0.1), "Did you mean `weight_decay`?"),
    "clipping": (lambda: optimizers.AdamW(max_norm=1.0), "Did you mean `global_clipnorm`?"),
    "params": (
        lambda: optimizers.AdamW(dense().trainable_variables, 1e-3),
        "kernel: float32 of shape (2, 1)>",
        "`compile` lets it find them",
    ),
    "sweep": (lambda: callbacks.LearningRateFinder(max_lr=1), "Did you mean `high`?"),
    "created with a warmup": (
        lambda: schedules.create("cosine", 1e-3, num_warmup_steps=9),
        "create('cosine') has no argument `num_warmup_steps`",
        "`warmup`",
    ),
    "created with another rate": (
        lambda: schedules.create("cosine", initial_learning_rate=1e-3),
        "`learning_rate`",
    ),
    "another module": (lambda: keras_gdx.AdamW, "It is keras_gdx.optimizers.AdamW."),
    "no rule": (lambda: optimizers.SAM, "It is keras_gdx.SAM."),
    "of Keras": (lambda: callbacks.EarlyStopping, "Keras has it: keras.callbacks.EarlyStopping."),
    "learning_rate": (
        lambda: schedules.Cosine(learning_rate=1e-3, decay_steps=9),
        "Cosine",
        "Did you mean `initial_learning_rate`?",
    ),
    "warmup": (
        lambda: schedules.Cosine(1e-3, 9, warmup_steps=2),
        "Cosine has no argument `warmup_steps`",
        "schedules.Warmup(schedule, warmup_steps)",
    ),
    "min_lr": (lambda: callbacks.PlateauController(min_lr=0), "`min_learning_rate`"),
    "min_learning_rate": (lambda: callbacks.ReduceLROnPlateau(min_learning_rate=0), "`min_lr`"),
    "save_freq": (lambda: callbacks.ResumableCheckpoint("a", save_freq=3), "`every`"),
    "jit": (lambda: optimizers.AdamW(jit_compile=True), "AdamW", "argument of `model.compile`"),
    "no near name": (lambda: regularizers.L2(zzz=1), "Its arguments are `l2`"),
    "positions": (
        lambda: optimizers.Adam(1e-3, 0.9, 0.99),
        "Adam takes only learning_rate by position",
        "beta_1=0.9, beta_2=0.99",
    ),
    "set lr": (
        lambda: setattr(optimizers.Adam(), "lr", 1),
        "Adam has no attribute `lr`",
        "`learning_rate`",
    ),
    "read lr": (lambda: optimizers.Adam().lr, "Adam has no attribute `lr`", "`learning_rate`"),
    "quotes": (lambda: optimizers.Adam("1e-3"), "Adam(learning_rate='1e-3')", "learning_rate=1e-3"),
    "rate by name": (
        lambda: keras_gdx.create("adamw", learning_rate="cosine"),
        "AdamW(learning_rate='cosine')",
        "keras_gdx.schedules.create('cosine', 1e-3)",
    ),
    "class of a schedule": (lambda: optimizers.Adam(schedules.Cosine), "learning_rate=Cosine(...)"),
    "variable": (lambda: optimizers.Adam(keras.Variable(0.1)), "Adam(", "Give its number"),
    "decay": (lambda: optimizers.SGD(decay=1e-4), "SGD(decay=0.0001)", "is `weight_decay`"),
    "range": (lambda: optimizers.Adam(beta_1=1.0), "in [0, 1)", "Adam(beta_1=1.0)"),
    "share": (
        lambda: schedules.Warmup(0.1, warmup_steps=0.1),
        "Warmup(warmup_steps=0.1)",
        "number of updates",
        "create('cosine', 1e-3, warmup=0.05)",
    ),
    "whole float": (lambda: schedules.Warmup(0.1, warmup_steps=2.0), "Write warmup_steps=2."),
    "pattern": (lambda: optimizers.SGD(no_decay="bias"), "SGD(", "Write no_decay=['bias']."),
    "clips": (lambda: optimizers.SGD(clipnorm=1, clipvalue=1), "SGD(clipnorm=", "only clipping"),
    "choice": (lambda: optimizers.SGD(decay="cautios"), "Did you mean 'cautious'?"),
    "kind": (lambda: keras_gdx.list(kind="optimizers"), "Did you mean 'optimizer'?"),
    "no pattern": (lambda: keras_gdx.list(3), "`pattern` must be a string"),
    "rate as model": (
        lambda: keras_gdx.create("adamw", 1e-3),
        "Write create('adamw', learning_rate=0.001).",
    ),
    "class for name": (lambda: keras_gdx.create(optimizers.Adam), "Write 'adam'."),
    "schedule for rule": (
        lambda: keras_gdx.create("cosine"),
        "no optimizer 'cosine'",
        "the schedule keras_gdx.schedules.Cosine",
    ),
    "rule for schedule": (
        lambda: schedules.create("adamw"),
        "the optimizer keras_gdx.optimizers.AdamW",
    ),
    "preset": (lambda: keras_gdx.create("adamw", preset="convnet"), "Did you mean 'convnext'?"),
    "other preset": (
        lambda: keras_gdx.create("lion", preset="vit"),
        "one of 'algoperf'",
        "Write create('adamw', preset='vit').",
    ),
    "unbuilt": (
        lambda: keras_gdx.create("adamw", dense(built=False), layer_decay=0.9),
        "`model` must be built",
        "keras.Input(shape), or call model.build(input_shape)",
    ),
    "inner class": (lambda: optimizers.Lookahead(optimizers.Adam), "Lookahead(", "inner=Adam(...)"),
    "inner name": (lambda: optimizers.Lookahead("adamm"), "Lookahead(", "'keras_gdx>Adam'"),
    "compiled class": (lambda: compiled(optimizers.Lion), "optimizer=Lion(...)"),
    "compiled name": (lambda: compiled("lamb"), "Did you mean 'keras_gdx>LAMB'?"),
    "words": (lambda: compiled("schedule_free_sgd"), "Did you mean 'keras_gdx>ScheduleFreeSGD'?"),
    "callback class": (
        lambda: fitted([callbacks.HyperparameterLogger]),
        "Write HyperparameterLogger(...).",
    ),
    "logged": (
        lambda: fitted([callbacks.HyperparameterLogger(["lr"])]),
        "HyperparameterLogger(names=['lr'])",
        "it has no lr",
        "Did you mean `learning_rate`?",
    ),
    "regularizer class": (
        lambda: regularizers.apply(dense(), regularizers.L2),
        "regularizer=L2(...)",
    ),
}


@pytest.mark.parametrize("mistake", ADVICE)
def test_the_answer_says_what_to_type(mistake):
    call, *parts = ADVICE[mistake]
    with pytest.raises((AttributeError, TypeError, ValueError)) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)


def test_what_is_hardly_alike_is_not_suggested():
    with pytest.raises(ValueError, match="'tpu'") as caught:
        keras_gdx.distribute.strategy("gpu")
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("make", [callbacks.PlateauController, callbacks.ReduceLROnPlateau])
def test_a_misspelled_metric(make):
    def told(monitor, **options):
        with pytest.raises(ValueError, match=make.__name__) as caught:
            fitted([make(monitor, mode="min")], **options)
        return str(caught.value)

    with pytest.raises(ValueError, match=r"Did you mean 'val_loss'\?"):
        make("val_los")  # its name does not tell the mode
    message = told("val_los", **VALIDATED)
    assert "which have loss, val_loss" in message
    assert "Did you mean 'val_loss'?" in message
    assert "Give `fit` validation data" in told("val_loss")
    evaluator = callbacks.StepEvaluator(VALIDATED["validation_data"], 1, "los", mode="min")
    with pytest.raises(ValueError, match=r"'loss'.*StepEvaluator.*Did you mean 'loss'\?"):
        fitted([evaluator])


def test_names_of_other_libraries_are_free_in_classes_of_users():
    class Timed(callbacks.HyperparameterLogger):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.period = 3  # `every` is called so elsewhere

    assert Timed().period == 3


def test_what_needs_tensorflow_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="'jax'") as caught:
        needs_tensorflow("keras_gdx.distribute")
    for part in (
        "keras_gdx.distribute needs",
        "'keras_gdx[tensorflow]'",
        "KERAS_BACKEND=tensorflow",
    ):
        assert part in str(caught.value)
