"""Comparison of training strategies by experiment."""

from keras_gdx.comparison.budget import Budget
from keras_gdx.comparison.experiment import compare, join
from keras_gdx.comparison.result import Comparison
from keras_gdx.comparison.run import Evaluation, Run
from keras_gdx.comparison.spaces import Advised, LogUniform, Uniform
from keras_gdx.comparison.strategies import Strategy
from keras_gdx.comparison.tasks import Comparisons, compare_many

__all__ = [
    "Advised",
    "Budget",
    "Comparison",
    "Comparisons",
    "Evaluation",
    "LogUniform",
    "Run",
    "Strategy",
    "Uniform",
    "compare",
    "compare_many",
    "join",
]
