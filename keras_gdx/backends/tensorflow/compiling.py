"""Detects whether XLA will compile the code that is being traced."""

import tensorflow as tf
from tensorflow.python.ops import control_flow_util  # private: whether XLA compiles a step


def compiling():
    """Whether XLA will compile the graph that is being built."""
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
