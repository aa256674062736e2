"""Connects the engine to Keras' models and trainer, through their private names where needed."""
