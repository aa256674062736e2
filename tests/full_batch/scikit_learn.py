"""Logistic regression on digits, with the minimum that scikit-learn finds.

    pip install scikit-learn==1.9.1
    python -m tests.full_batch.scikit_learn

writes `scikit_learn.npz`, which the tests read: they do not need scikit-learn.
"""

from pathlib import Path

import numpy as np

from keras_gdx.datasets import Mnist5k

FILE = Path(__file__).with_name("scikit_learn.npz")


def digits():
    """256 digits in 4 x 4 pixels, and their labels."""
    rows = np.loadtxt(Mnist5k.source(), delimiter=",", dtype=np.uint8)[:4864:19]
    x = (rows[:, :-1] / 255.0).reshape(-1, 4, 7, 4, 7).mean((2, 4)).reshape(len(rows), 16)
    return x, rows[:, -1].astype("int64")


def main():
    from sklearn.linear_model import LogisticRegression

    x, y = digits()
    found = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=100).fit(x, y)
    np.savez(FILE, coefficients=found.coef_.T, intercepts=found.intercept_)


if __name__ == "__main__":
    main()
