"""The time of `import keras_gdx` after `import keras`.

Run with `python -m benchmarks.import_time`.
"""

import statistics
import subprocess
import sys

PROGRAM = """
import time, keras
start = time.perf_counter()
import keras_gdx
print(time.perf_counter() - start)
"""


def main(runs=7):
    times = [
        float(subprocess.check_output([sys.executable, "-c", PROGRAM], stderr=subprocess.DEVNULL))
        for _ in range(runs)
    ]
    print(f"import keras_gdx: {1000 * statistics.median(times):.0f} ms over import keras")
    print(f"(median of {runs}; lowest {1000 * min(times):.0f}, highest {1000 * max(times):.0f})")


if __name__ == "__main__":
    main()
