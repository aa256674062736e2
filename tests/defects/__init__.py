"""Defects of Keras that must not exist here: each function runs on Keras' class and on ours."""
