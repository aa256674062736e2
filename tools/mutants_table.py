"""The faults that `mutants.py` plants, each with the tests that should notice it."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """One fault in one place.

    Attributes:
        file: The file, in `keras_gdx/`.
        fault: What is wrong then.
        old: Text that occurs once in the file.
        new: The text instead of it.
        tests: Arguments of pytest: files, and `-k` with an expression.
    """

    file: str
    fault: str
    old: str
    new: str
    tests: str

    def planted(self, text):
        """The text of the file with the fault."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} does not contain once: {self.old}")
        return text.replace(self.old, self.new)


MUTANTS = [
    # -- the order of one step ----------------------------------------------------------------
    Mutant(
        "engine/clipping.py",
        "the norm is taken before unscaling and averaging",
        "    norm = norm * factor\n",
        "",
        "tests/contract/test_order.py",
    ),
    Mutant(
        "engine/clipping.py",
        "the global norm leaves out all buckets but the first",
        "ops.sqrt(sum(energies))",
        "ops.sqrt(energies[0])",
        "tests/contract/test_order.py",
    ),
    Mutant(
        "engine/clipping.py",
        "packed variables are clipped by one norm together",
        "parts = bucket.split(task.gradient) if bucket.packed else [task.gradient]",
        "parts = [task.gradient] * len(bucket.indices)",
        "tests/contract/test_order.py",
    ),
    Mutant(
        "engine/clipping.py",
        "only positive entries are clipped by value",
        "ops.clip(values, -most, most)",
        "ops.minimum(values, most)",
        "tests/contract/test_order.py",
    ),
    Mutant(
        "engine/step.py",
        "a window is one micro-batch too long",
        ">= window.value",
        "> window.value",
        "tests/contract/test_counting.py -k micro",
    ),
    Mutant(
        "engine/step.py",
        "NaN and infinity are looked for before gradients are reduced",
        "finite = all_finite(gradients, *factor)",
        "finite = all_finite([task.gradient for task in tasks], *factor)",
        "tests/contract/test_replicas.py -k infinity",
    ),
    Mutant(
        "engine/step.py",
        "scalars of the next update",
        "optimizer.scalars(iterations, dtype)",
        "optimizer.scalars(iterations + 1, dtype)",
        "tests/test_golden.py",
    ),
    Mutant(
        "engine/step.py",
        "loss scaling is not undone",
        "/ optimizer.loss_scale_factor",
        "/ 1.0",
        "tests/contract/test_precision.py -k loss_scaling",
    ),
    Mutant(
        "engine/step.py",
        "a skipped update is counted",
        "    optimizer.iterations.assign(iterations + 1)\n",
        "",
        "tests/contract/test_counting.py -k skipped",
    ),
    Mutant(
        "optimizers/base.py",
        "t counts from 0",
        "h.t = ops.cast(step + 1, dtype)",
        "h.t = ops.cast(step, dtype)",
        "tests/test_golden.py -k adam",
    ),
    # -- windows ------------------------------------------------------------------------------
    Mutant(
        "engine/window.py",
        "the last micro-batch alone says which variables had a gradient",
        "ops.maximum(state.seen, marks)",
        "ops.convert_to_tensor(marks)",
        "tests/contract/test_missing_gradients.py",
    ),
    Mutant(
        "engine/window.py",
        "a window begins with the sums of the last one",
        "ops.where(first, gradient, total + gradient)",
        "total + gradient",
        "tests/contract/test_counting.py -k micro",
    ),
    Mutant(
        "engine/window.py",
        "a variable that has no gradient at first keeps its sum",
        "ops.where(first, ops.zeros((), total.dtype), total)",
        "total",
        "tests/contract/test_missing_gradients.py",
    ),
    Mutant(
        "engine/window.py",
        "the tail of a window is divided by the whole window",
        '1.0 / ops.cast(count, "float32")',
        "1.0 / optimizer.gradient_accumulation_steps",
        "tests/contract/test_counting.py -k tail",
    ),
    Mutant(
        "engine/window.py",
        "of overwritten variables the last value counts, not the largest",
        "more = ops.maximum(largest, gradients[i])",
        "more = gradients[i]",
        "tests/contract/test_kinds_of_variables.py -k largest",
    ),
    # -- one update ---------------------------------------------------------------------------
    Mutant(
        "engine/update.py",
        "the moving average begins at the second update",
        "ops.where(h.t == 1, w,",
        "ops.where(h.t == 2, w,",
        "tests/contract/test_counting.py -k ema",
    ),
    Mutant(
        "engine/update.py",
        "constraints come after the moving average",
        "    w = masked(w if constraint is None else constraint(w), mask)\n    if not averages:\n",
        "    if not averages:\n"
        "        w = masked(w if constraint is None else constraint(w), mask)\n",
        "tests/contract/test_order.py",
    ),
    Mutant(
        "engine/update.py",
        "weights are overwritten by averages one update late",
        "% every == 0",
        "% every == 1",
        "tests/contract/test_order.py",
    ),
    Mutant(
        "engine/update.py",
        "variables without a gradient move with their bucket",
        "return [bucket.choose(present, x, was) for x, was in zip(new, old, strict=True)]",
        "return [ops.cast(x, was.dtype) for x, was in zip(new, old, strict=True)]",
        "tests/contract/test_missing_gradients.py tests/contract/test_ways.py -k without",
    ),
    Mutant(
        "engine/update.py",
        "lazy rows are not clipped",
        "gradient = backend.values(scaled(task.gradient, factor, h))",
        "gradient = backend.values(scaled(task.gradient))",
        "tests/contract/test_programs.py -k rows",
    ),
    Mutant(
        "engine/state/packing.py",
        "compiled programs are shared across masks",
        "self.spec.decays, masks",
        "self.spec.decays",
        "tests/contract/test_programs.py tests/contract/test_ways.py -k program",
    ),
    Mutant(
        "engine/state/packing.py",
        "compiled programs are shared across roles",
        "shapes, self.spec.role, self.spec.decays",
        "shapes, self.spec.decays",
        "tests/contract/test_programs.py tests/contract/test_ways.py -k program",
    ),
    Mutant(
        "engine/state/packing.py",
        "compiled programs are shared by decayed and exempt variables",
        "self.spec.role, self.spec.decays, masks",
        "self.spec.role, masks",
        "tests/contract/test_programs.py tests/contract/test_ways.py -k program",
    ),
    # -- precision ----------------------------------------------------------------------------
    Mutant(
        "engine/low_precision.py",
        "all variables of a shape are rounded by the same random numbers",
        "ops.stack([h.t, h.index])",
        "ops.stack([h.t, 0.0 * h.index])",
        "tests/contract/test_programs.py -k random",
    ),
    Mutant(
        "engine/low_precision.py",
        "rounding errors are carried with the wrong sign",
        "w - ops.cast(stored, w.dtype)",
        "ops.cast(stored, w.dtype) - w",
        "tests/contract/test_precision.py -k arrive",
    ),
    Mutant(
        "engine/state/storage.py",
        "8-bit codes are rounded down",
        "ops.view(x + 1.5",
        "ops.view(x - 0.5 + 1.5",
        "tests/contract/test_precision.py -k codes",
    ),
    Mutant(
        "engine/state/storage.py",
        "the scale of a block leaves out its first quarter",
        "ops.split(rows, 4, axis=1)",
        "ops.split(rows, 4, axis=1)[1:]",
        "tests/contract/test_precision.py -k codes",
    ),
    Mutant(
        "integration/epochs.py",
        "the optimizer is built in the train step, which is traced again",
        "                build_before_tracing(self.model)\n",
        "                pass\n",
        "tests/defects/test_traces.py",
    ),
    Mutant(
        "integration/model_hooks.py",
        "metrics create their variables inside the train step",
        "        build_metrics_unnoticed(model)\n",
        "",
        "tests/defects/test_traces.py",
    ),
    Mutant(
        "backends/tensorflow/in_place.py",
        "slots do not wait for the weights that need them",
        "tf.reduce_any(tf.concat(entries, 0) > math.inf)",
        "tf.constant(False)",
        "tests/test_in_place.py -k copied",
    ),
    Mutant(
        "engine/state/storage.py",
        "what all replicas have accumulated is written to each of them in full",
        "ops.cast(value, copy.dtype) / self.replicas",
        "ops.cast(value, copy.dtype)",
        "tests/contract/test_resume.py tests/contract/test_shards.py -k replicas",
    ),
    Mutant(
        "engine/sharding.py",
        "factors are not cut to the shard",
        "        factor = bucket.cut(factor, replica)\n",
        "        factor = bucket.cut(factor, 0)\n",
        "tests/contract/test_shards.py -k equal_one",
    ),
    # -- rules and schedules ------------------------------------------------------------------
    Mutant(
        "engine/hyperparameters.py",
        "schedules other than the learning rate are frozen at update 0",
        "ops.cast(value(step), dtype)",
        "ops.cast(value(0 * step), dtype)",
        "tests/contract/test_counting.py tests/modifiers -k schedule",
    ),
    Mutant(
        "math.py",
        "the ratio of norms is 0 where one is zero",
        "ops.where(both, a / ops.where(both, b, 1.0), 1.0)",
        "ops.where(both, a / ops.where(both, b, 1.0), 0.0)",
        "tests/modifiers",
    ),
    Mutant(
        "optimizers/muon.py",
        "Newton-Schulz takes one iteration too few",
        "[h.ns_coefficients] * h.ns_steps",
        "[h.ns_coefficients] * (h.ns_steps - 1)",
        "tests/test_golden.py -k muon",
    ),
    Mutant(
        "engine/variables/spec.py",
        "the last matching multiplier counts",
        "in multipliers.items() if _matches",
        "in reversed(multipliers.items()) if _matches",
        "tests/contract/test_identity.py",
    ),
    Mutant(
        "engine/variables/spec.py",
        '`no_decay="auto"` decays embeddings',
        'role.kind != "kernel"',
        'role.kind not in ("kernel", "embedding")',
        "tests/contract/test_identity.py -k create",
    ),
    Mutant(
        "schedules/multi_step.py",
        "a milestone counts one update late",
        "t >= milestone",
        "t > milestone",
        "tests/schedules/test_schedule_values.py",
    ),
    Mutant(
        "schedules/math.py",
        "the end of a restart belongs to the next cycle",
        "ops.maximum(t - 1, 0)",
        "ops.maximum(t, 0)",
        "tests/schedules",
    ),
    # -- evaluation weights -------------------------------------------------------------------
    Mutant(
        "integration/weight_swap.py",
        "trained weights are not restored",
        "            self._assign(trained)\n",
        "",
        "tests/contract/test_evaluation.py -k identity",
    ),
    Mutant(
        "integration/weight_swap.py",
        "weights set from outside are not adopted by the slots that copy them",
        "        self.owner.adopt(changed)\n",
        "",
        "tests/contract/test_evaluation.py -k somebody",
    ),
    Mutant(
        "integration/weight_swap.py",
        "one changed variable counts as all",
        "        for i in changed:\n",
        "        changed = changed and [*range(len(self.trained))]\n        for i in changed:\n",
        "tests/contract/test_evaluation.py -k one_variable",
    ),
    # -- resume -------------------------------------------------------------------------------
    Mutant(
        "checkpoint/snapshot.py",
        "Python's and NumPy's random states are forgotten",
        '        restore_random_state(snapshot["random"])\n',
        "        pass\n",
        "tests/callbacks/test_learning_rate_finder.py -k generators",
    ),
    Mutant(
        "checkpoint/snapshot.py",
        "Keras' global random state is forgotten",
        "found += [*random_variables(), *held_variables(model)]",
        "found += held_variables(model)",
        "tests/resume/test_positions.py -k global_generator",
    ),
    Mutant(
        "checkpoint/snapshot.py",
        "numbers set during training are forgotten",
        '            _put_numbers(optimizer, saved["numbers"])\n',
        "            pass\n",
        "tests/resume/test_changed_programs.py -k number",
    ),
    Mutant(
        "callbacks/resumable_checkpoint.py",
        "a signal saves nothing",
        "if self._due or self._is_signalled():",
        "if self._due:",
        "tests/distribute/test_resuming_workers.py -k more_workers",
    ),
    Mutant(
        "checkpoint/directory.py",
        "one checkpoint too many is kept",
        "self.found()[self.keep :]",
        "self.found()[self.keep + 1 :]",
        "tests/resume/test_directory.py -k newest",
    ),
    Mutant(
        "integration/data_position.py",
        "a resumed epoch trains on its last batch again",
        "return passed, done - passed * size",
        "return max(passed - 1, 0), done - passed * size",
        "tests/resume/test_positions.py -k in_any_data",
    ),
    Mutant(
        "integration/data_position.py",
        "a resumed epoch has the order of the next one",
        'before = resume["begun"] - (0 if resume["over"] else 1)',
        'before = resume["begun"]',
        "tests/resume/test_positions.py -k in_any_data",
    ),
    # -- callbacks ----------------------------------------------------------------------------
    Mutant(
        "callbacks/learning_rate_finder.py",
        "the finder leaves the state of its sweep",
        "            snapshot.put(self.model, self._before)\n",
        "            pass\n",
        "tests/callbacks/test_learning_rate_finder.py -k leaves",
    ),
    Mutant(
        "callbacks/learning_rate_finder.py",
        "the finder leaves Python's and NumPy's random states",
        "snapshot.put(self.model, self._before)",
        "snapshot.put(self.model, self._before, random=False)",
        "tests/callbacks/test_learning_rate_finder.py -k generators",
    ),
    Mutant(
        "callbacks/_lib/plateau.py",
        "a plateau takes one value more",
        "state.wait + 1 < patience",
        "state.wait < patience",
        "tests/callbacks/test_plateau_controller.py -k core",
    ),
    Mutant(
        "callbacks/weight_averager.py",
        "SWA weighs samples as an EMA does",
        'share = 1 / n if self.kind == "swa"',
        'share = 1 / (n + 1) if self.kind == "swa"',
        "tests/callbacks/test_averages_and_ensembles.py -k averages",
    ),
    Mutant(
        "engine/variables/masks.py",
        "masks forget a variable's own constraint",
        "return constraint.inner if isinstance(constraint, Masked) else constraint",
        "return None if isinstance(constraint, Masked) else constraint",
        "tests/callbacks/test_masks.py -k own",
    ),
    Mutant(
        "engine/state/packing.py",
        "packed variables have no masks",
        "if m is None else backend.dense(m) for m",
        "for m",
        "tests/contract/test_masks.py -k usual",
    ),
    Mutant(
        "engine/variables/constraints.py",
        "constraints of a user are compiled",
        "type(constraint) in PURE",
        "isinstance(constraint, PURE)",
        "tests/contract/test_masks.py -k written",
    ),
    Mutant(
        "engine/variables/constraints.py",
        "compiled updates are shared by different constraints",
        "return type(constraint), str(constraint.get_config())",
        "return type(constraint)",
        "tests/contract/test_masks.py -k eager",
    ),
    Mutant(
        "callbacks/_lib/masks.py",
        "a step that was compiled without masks goes on",
        "            model.train_function = None\n",
        "            pass\n",
        "tests/callbacks/test_masks.py -k later",
    ),
    Mutant(
        "callbacks/_lib/amount.py",
        "an interval ends only where an execution ends at its multiple",
        "after // self.number > before // self.number",
        "after % self.number == 0",
        "tests/callbacks/test_amounts.py -k interval",
    ),
    Mutant(
        "callbacks/_lib/amount.py",
        "an interval of epochs ends an epoch late",
        "(epoch + 1) % self.number",
        "epoch % self.number",
        "tests/callbacks/test_amounts.py -k interval",
    ),
    Mutant(
        "callbacks/base.py",
        "batch hooks are there although they are not needed",
        "self.hook if callback.needs_batches else default",
        "self.hook",
        "tests/callbacks/test_callback_contract.py -k 'nothing and plateaucontroller'",
    ),
    Mutant(
        "callbacks/base.py",
        "an interval of time begins only once",
        "        if due:\n            self._acted_at = self._clock()\n",
        "",
        "tests/callbacks/test_amounts.py -k evaluates",
    ),
    Mutant(
        "callbacks/energy_budget.py",
        "the end of an epoch shortens an interval",
        "if self._before is None",
        "if True",
        "tests/callbacks/test_amounts.py -k energy",
    ),
    Mutant(
        "callbacks/unfreezing.py",
        "steps are not counted",
        "        self.advance(batch)\n",
        "",
        "tests/callbacks/test_amounts.py -k unfreezes",
    ),
    Mutant(
        "callbacks/weight_averager.py",
        "the first sample is a step early",
        "is_past(self.memory.step - 1,",
        "is_past(self.memory.step,",
        "tests/callbacks/test_amounts.py -k start",
    ),
    Mutant(
        "optimizers/rule.py",
        "cautious decay ignores entries that the step leaves alone",
        "ops.cast(u * w >= 0, w.dtype)",
        "ops.cast(u * w > 0, w.dtype)",
        "tests/contract/test_cautious_decay.py -k adopt",
    ),
    Mutant(
        "engine/global_stats.py",
        "variables without a gradient count in the norm of the step",
        "if task.present is not None:",
        "if False:",
        "tests/modifiers/test_whole_model.py -k without_a_gradient",
    ),
    Mutant(
        "engine/state/packing.py",
        "noise is that of the first variable of a shard",
        "self.cut(ops.convert_to_tensor(self.indices, self.dtype), replica)",
        "float(self.indices[0])",
        "tests/modifiers/test_whole_model.py -k noise",
    ),
    # -- replicas -----------------------------------------------------------------------------
    Mutant(
        "distribute/batch_share.py",
        "dropout is the same on every replica",
        "index * tf.constant(STRIDE, seed.dtype)",
        "index * tf.constant(0, seed.dtype)",
        "tests/distribute/test_prepare.py -k dropout",
    ),
    # -- a second gradient --------------------------------------------------------------------
    Mutant(
        "integration/reused_gradient.py",
        "a second gradient that is not finite is not tried again",
        "tf.where(finite, (kept.age + 1) % ascent.k, kept.age)",
        "(kept.age + 1) % ascent.k",
        "tests/sam/test_looksam.py -k not_finite",
    ),
    Mutant(
        "integration/reused_gradient.py",
        "every replica adds all of a second gradient that is reused",
        "tf.cast(p / replicas, g.dtype)",
        "tf.cast(p, g.dtype)",
        "tests/sam/test_looksam.py -k without_prepare",
    ),
    Mutant(
        "sharpness/ascent.py",
        "a second gradient that is parallel leaves rounding errors to reuse",
        "return [ops.where(known, x, ops.zeros_like(x)) for x in v]",
        "return v",
        "tests/sam/test_looksam.py -k parallel",
    ),
    Mutant(
        "checkpoint/snapshot.py",
        "what a second gradient left to reuse is forgotten",
        "    found += direction_variables(model)\n",
        "",
        "tests/sam/test_looksam.py -k resumes",
    ),
    # -- comparisons --------------------------------------------------------------------------
    Mutant(
        "comparison/settings.py",
        "the first seed that reports is that of the search",
        "self.search_seed + 1 + index",
        "self.search_seed + index",
        "tests/comparison/test_planning.py -k order",
    ),
    Mutant(
        "comparison/plan.py",
        "a trial is pruned by those that happen to be finished",
        "bars = settings.search_seed, _bars(settings, past)",
        "bars = settings.search_seed, _bars(settings, [*done.values()])",
        "tests/comparison/test_planning.py -k order",
    ),
    Mutant(
        "comparison/journal.py",
        "a run that another process has just made is made again",
        'if (self.folder / "runs" / f"{task.key}.json").exists():',
        "if False:",
        "tests/comparison/test_planning.py -k journal",
    ),
    Mutant(
        "comparison/data.py",
        "every seed has the same order of batches",
        "random = np.random.default_rng(seed)",
        "random = np.random.default_rng(0)",
        "tests/comparison/test_trials.py -k batches",
    ),
    Mutant(
        "comparison/trial.py",
        "the weights do not depend on the seed",
        "    keras.utils.set_random_seed(seed)\n    model",
        "    keras.utils.set_random_seed(0)\n    model",
        "tests/comparison/test_running.py -k equal_seeds",
    ),
    Mutant(
        "comparison/trial.py",
        "time for evaluations is part of the budget",
        "self._before, self._since = self.seconds, time.perf_counter()",
        "self._since = self._since or time.perf_counter()",
        "tests/comparison/test_trials.py -k time_is_that",
    ),
]
