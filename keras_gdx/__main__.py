"""`python -m keras_gdx` is the command `keras-gdx`."""

import sys

from keras_gdx.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
