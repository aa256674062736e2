"""The command `keras-gdx`."""
