"""Whether XLA will compile what is being traced."""

import tensorflow as tf
from tensorflow.python.ops import control_flow_util  # private: whether XLA compiles a step


def compiling():
    """Whether the graph that is being built will be compiled by XLA."""
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
