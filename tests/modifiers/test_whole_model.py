"""Modifiers that look at all variables, or at which variable and update it is, in every run."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx.modifiers import (
    Centralize,
    GradientNoise,
    Grokfast,
    NormalizeByGlobalNorm,
    UpdateClip,
    ZClip,
)
from keras_gdx.optimizers import SGD, Adam, AdamW, DoG, Muon, ScheduleFree
from tests.contract.harness import assert_same, batches
from tests.contract.tower import Tower
from tests.reference.zclip import trajectory

SHAPES = (6, 5), (7,), (2, 2, 3, 2), (), (130, 130)  # the last one is not packed
SPIKES = {28: 30.0, 31: 4.0, 32: 100.0, 40: 3.0, 50: 0.1}


def spiky(count=55):
    rng = np.random.default_rng(3)
    for t in range(count):
        scale = SPIKES.get(t, 1.0) * (1 + 0.2 * rng.random())
        yield [scale * rng.normal(size=s) / np.sqrt(max(np.prod(s), 1)) for s in SHAPES]


def steps_of(optimizer, steps, dtype="float64", mode="graph"):
    """What each step subtracts from the weights, divided by the learning rate of one."""
    variables = [keras.Variable(np.zeros(s), dtype=dtype) for s in SHAPES]
    optimizer.build(variables)

    def apply(gradients):
        for v in variables:
            v.assign(keras.ops.zeros(v.shape, dtype))
        optimizer.apply(gradients, variables)

    run = apply if mode == "eager" else tf.function(apply, jit_compile=mode == "xla")
    for gradients in steps:
        run([tf.constant(g, dtype) for g in gradients])
        yield [-v.numpy() for v in variables]


@pytest.mark.parametrize("fused", [False, True])
def test_zclip_clips_what_its_paper_clips(fused):
    steps, options = list(spiky()), {"alpha": 0.75, "z": 2.0}
    found = steps_of(SGD(1.0, before=[ZClip(**options)], fused=fused), steps)
    clipped = []
    for t, (ours, theirs) in enumerate(zip(found, trajectory(steps, **options), strict=True)):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9, err_msg=f"step {t}")
        if not np.allclose(theirs[0], steps[t][0]):
            clipped.append(t)
    assert {28, 32} <= {*clipped}
    assert len(clipped) < 15


def test_zclip_sees_the_gradient_after_what_precedes_it():
    steps = list(spiky(40))
    before = [Grokfast(0.5, 1.0), ZClip(0.75, 2.0)]
    found = list(steps_of(SGD(1.0, before=before), steps))
    amplified = list(steps_of(SGD(1.0, before=[Grokfast(0.5, 1.0)]), steps))
    for a, b in zip(found, trajectory(amplified, 0.75, 2.0), strict=True):
        np.testing.assert_allclose(a[4], b[4], rtol=1e-6, atol=1e-9)


def test_zclip_goes_on_from_a_file():
    steps, rule = list(spiky()), lambda: SGD(1.0, before=[ZClip(0.75, 2.0)])
    expected = list(steps_of(rule(), steps))
    first, second, store = rule(), rule(), {}
    list(steps_of(first, steps[:30]))
    first.save_own_variables(store)
    variables = [keras.Variable(np.zeros(s), dtype="float64") for s in SHAPES]
    second.build(variables)
    second.load_own_variables(store)
    for gradients, wanted in zip(steps[30:], expected[30:], strict=True):
        for v in variables:
            v.assign(keras.ops.zeros_like(v))
        second.apply([tf.constant(g) for g in gradients], variables)
        for v, x in zip(variables, wanted, strict=True):
            np.testing.assert_allclose(-v.numpy(), x, rtol=1e-12)


@pytest.mark.parametrize("mode", ["eager", "xla"])
def test_a_step_has_the_length_of_the_learning_rate(mode):
    """Of the direction, which the state of the rule is needed for."""
    after = [UpdateClip(0.5), NormalizeByGlobalNorm()]
    for step in steps_of(AdamW(1.0, weight_decay=None, after=after), list(spiky(4)), mode=mode):
        length = np.sqrt(sum(np.sum(x**2) for x in step))
        np.testing.assert_allclose(length, 1.0, rtol=1e-5)


def test_a_variable_without_a_gradient_does_not_count():
    variables = [keras.Variable(np.zeros(3)), keras.Variable(np.zeros(4))]
    optimizer = SGD(1.0, momentum=0.5, after=[NormalizeByGlobalNorm()])
    optimizer.build(variables)
    optimizer.apply([tf.ones(3), tf.ones(4)], variables)
    before = variables[0].numpy()
    optimizer.apply([tf.ones(3)], variables[:1])
    np.testing.assert_allclose(np.linalg.norm(variables[0].numpy() - before), 1.0, rtol=1e-5)


def test_each_part_of_a_rule_has_its_own_statistics():
    """Directions are normalized among the variables that the modifier applies to."""
    fallback = SGD(0.5, after=[NormalizeByGlobalNorm()])
    optimizer = Muon(1.0, fallback=fallback, after=[NormalizeByGlobalNorm()], before=[ZClip()])
    for a, b, c, d, e in steps_of(optimizer, list(spiky(3)), "float32"):
        matrices, others = (np.sqrt(sum(np.sum(x**2) for x in xs)) for xs in ((a, c, e), (b, d)))
        np.testing.assert_allclose([matrices, others], [1.0, 0.5], rtol=1e-5)


def test_a_part_measures_the_variables_that_it_updates():
    steps = list(spiky(3))
    vectors = [keras.Variable(np.ones(s, "float32")) for s in ((7,), ())]
    alone, part = DoG(reps_rel=0.1), Muon(fallback=DoG(reps_rel=0.1))
    twins = [keras.Variable(v) for v in vectors]
    matrix = keras.Variable(np.ones((6, 5), "float32"))
    for a, b, _, d, _ in steps:
        alone.apply([tf.constant(g, "float32") for g in (b, d)], vectors)
        part.apply([tf.constant(g, "float32") for g in (a, b, d)], [matrix, *twins])
    for v, twin in zip(vectors, twins, strict=True):
        np.testing.assert_allclose(twin.numpy(), v.numpy(), rtol=1e-6)
        assert np.abs(v.numpy() - 1).max() > 1e-3


def test_inside_an_average_statistics_exist_once():
    optimizer = ScheduleFree(SGD(1.0, before=[ZClip()]))
    list(steps_of(optimizer, list(spiky(2))))
    assert [n for n in optimizer.state.shared if "zclip" in n] == [
        "zclip_mean",
        "zclip_variance",
        "zclip_count",
    ]
    assert optimizer.state.shared["zclip_count"].numpy() == 2


def test_a_rule_with_statistics_can_be_combined():
    steps = list(spiky(3))
    plain, clipped = (steps_of(DoG(before=b), steps) for b in ((), (ZClip(),)))
    for a, b in zip(plain, clipped, strict=True):
        np.testing.assert_array_equal(a[0], b[0])


DATA = list(batches(6))
CHAINS = {
    "clipped": {"before": [lambda: ZClip(0.5, 0.1)]},
    "noise": {"before": [Centralize, lambda: GradientNoise(0.5, seed=3)]},
    "normalized": {"after": [NormalizeByGlobalNorm]},
}


def tower(chain, strategy=None, mode="graph", **options):
    def make():
        given = {side: [m() for m in modifiers] for side, modifiers in CHAINS[chain].items()}
        return Adam(0.02, **given, **options)

    return Tower(make, strategy, mode).train(DATA)


@pytest.mark.parametrize("chain", CHAINS)
def test_replicas_take_the_steps_of_one_device(chain, mirrored):
    shard = chain != "normalized"
    expected = tower(chain, mode="eager", fused=False)
    found = tower(chain, mirrored, shard_state=shard, gradient_accumulation_steps=1)
    assert_same(found, expected)
    assert any(b.replicas == 2 for b in found.optimizer.state.buckets) == shard
    assert_same(tower(chain, mode="xla"), expected)


@pytest.mark.parametrize(
    "options",
    [{"after": [NormalizeByGlobalNorm()]}, {"before": [Centralize(), ZClip()]}],
    ids=["after", "second"],
)
@pytest.mark.parametrize("option", [{"shard_state": True}, {"sparse": "lazy"}], ids=str)
def test_says_what_cannot_be_known(options, option):
    with pytest.raises(ValueError, match=rf"`{next(iter(option))}`.*the first in `before`"):
        SGD(0.1, **options, **option)


@pytest.mark.parametrize("fallback", [DoG(), SGD(after=[NormalizeByGlobalNorm()])])
def test_says_so_of_a_part_too(fallback):
    with pytest.raises(ValueError, match="`shard_state`"):
        Muon(shard_state=True, fallback=fallback)


def test_zclip_counts_only_the_rows_of_a_sparse_gradient():
    rows = tf.IndexedSlices(tf.constant([[3.0], [4.0], [0.0]]), tf.constant([1, 1, 3]), (5, 1))
    table = keras.Variable(np.zeros((5, 1)))
    optimizer = SGD(1.0, before=[ZClip()], sparse="lazy")
    optimizer.apply([rows], [table])
    np.testing.assert_allclose(optimizer.state.shared["zclip_mean"].numpy(), 7.0)
    np.testing.assert_allclose(table.numpy().ravel(), [0, -7, 0, 0, 0])


def noise(seed=0, eta=1.0, gamma=0.5, count=2, mode="graph", **options):
    optimizer = SGD(1.0, before=[GradientNoise(eta, gamma, seed)], **options)
    zeros = [np.zeros(s) for s in SHAPES]
    return list(steps_of(optimizer, [zeros] * count, "float32", mode))


def test_noise_is_standard_normal_and_its_variance_decays():
    found = noise(eta=0.25, count=4)
    for t, (*_, large) in enumerate(found, 1):
        x = large / np.sqrt(0.25 / t**0.5)
        moments = [np.mean(x), np.mean(x**2), np.mean(x**3), np.mean(x**4)]
        np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.15)


def test_noise_depends_on_seed_update_and_variable_alone():
    first, second = noise()
    for a, b in zip(first, noise(fused=False)[0], strict=True):
        np.testing.assert_array_equal(a, b)
    different = [first[4], second[4] * 2**0.25, noise(seed=1)[0][4]]
    for i, a in enumerate(different):
        for b in different[:i]:
            assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.03
    optimizer = SGD(1.0, before=[GradientNoise()])
    twins = [keras.Variable(np.zeros(100)) for _ in range(2)]
    optimizer.apply([tf.zeros(100)] * 2, twins)
    assert abs(np.corrcoef(*(v.numpy() for v in twins))[0, 1]) < 0.5


def test_noise_goes_on_from_a_file():
    zeros = [tf.zeros(s) for s in SHAPES]
    optimizer = SGD(1.0, before=[GradientNoise(1.0, 0.5)])
    variables = [keras.Variable(np.zeros(s, "float32")) for s in SHAPES]
    optimizer.build(variables)
    store = {}
    optimizer.apply(zeros, variables)
    optimizer.save_own_variables(store)
    again = SGD.from_config(optimizer.get_config())
    again.build(variables)
    again.load_own_variables(store)
    for v in variables:
        v.assign(keras.ops.zeros_like(v))
    again.apply(zeros, variables)
    for v, x in zip(variables, noise(mode="eager")[1], strict=True):
        np.testing.assert_array_equal(-v.numpy(), x)
