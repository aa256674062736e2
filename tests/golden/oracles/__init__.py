"""What other implementations of our rules compute, one file for each rule.

`CASES` are the arguments of our rule to record, at learning rates at which a wrong rule is far
outside the tolerance. `trajectory(weights, gradients, **arguments)` yields the weights of `PACKAGE`
after every step, by name, for the variables of `problem.NAMES` or those in its own `NAMES`.
"""
