"""Coordination between workers, as used by callbacks."""

from contextlib import contextmanager

import tensorflow as tf

from keras_gdx.distribute.consistency import gather

QUESTIONS = 8  # maximum in one `fit`; fixed, because it shapes the compiled step
NEWEST = 32  # maximum number of checkpoints that are compared
NONE, UNREADABLE = -1, -2  # placeholders for a step


class WorkerGroup:
    """The workers that train together, including this one; alone, use `SingleProcess`.

    Callbacks' questions are evaluated before a batch; the answers are reduced with its logs.

    Args:
        strategy: The workers' strategy.
    """

    def __init__(self, strategy):
        self._strategy = strategy
        self._local = len(strategy.extended.worker_devices)
        self.count = strategy.num_replicas_in_sync // self._local
        self.index = strategy.extended._id_in_cluster
        with tf.device("CPU:0"):
            self.votes = tf.Variable(tf.zeros(QUESTIONS), trainable=False)
        self.begin()

    def begin(self):
        """Removes the questions of an earlier `fit`."""
        self._questions: list = []
        self._answers = [0.0] * QUESTIONS

    def same(self, number):
        """Returns the first worker's `number` on all workers."""
        return int(gather(self._strategy, [number])[0, 0])

    def choose(self, steps):
        """The largest step that all workers have; `None` if no worker has any.

        Raises:
            ValueError: On all workers, if one cannot read its steps, or if no step is common
                to all.
        """
        problem = None
        try:
            mine = [*steps][:NEWEST]
        except ValueError as error:
            mine, problem = [UNREADABLE], error
        found = gather(self._strategy, mine + [NONE] * (NEWEST - len(mine)))
        if problem:
            raise problem
        if (found == UNREADABLE).any():
            raise ValueError("Another worker cannot read the checkpoints; see its error message.")
        common = set.intersection(*({*row.tolist()} for row in found)) - {NONE}
        if not common and (found != NONE).any():
            raise ValueError(
                "The workers have no complete checkpoint in common. All must use the same "
                f"directory. This one found {mine or 'none'}."
            )
        return max(common, default=None)

    def poll(self, question):
        """Returns a function: whether any worker answered yes before the last batch."""
        index = len(self._questions)
        if index == QUESTIONS:
            raise ValueError(f"At most {QUESTIONS} conditions can be polled over several workers.")
        self._questions.append(question)
        return lambda: self._answers[index] > 0

    def ask(self):
        """Evaluates this worker's questions, before a batch."""
        said = [float(question()) for question in self._questions]
        if any(said) or any(self._answers):
            self.votes.assign(said + [0.0] * (QUESTIONS - len(said)))

    def hear(self, answers):
        """Stores the answers of all workers, after the batch."""
        self._answers = answers.numpy().tolist()


@contextmanager
def watched(peers):
    """Context that turns the loss of a worker into an error that says what to do.

    Raises:
        RuntimeError: If another worker no longer responds.
    """
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise RuntimeError(
            f"One of the {peers.count} workers was lost; this is worker {peers.index}. The lost "
            "one cannot rejoin: stop all workers and start them again. With ResumableCheckpoint "
            "they resume from the last checkpoint."
        ) from error
