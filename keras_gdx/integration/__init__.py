"""Where Keras' models and trainer meet the engine: all that touches their private names."""
