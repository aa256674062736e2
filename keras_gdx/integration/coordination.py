"""Coordination of the processes that train together: here, a single process."""


class SingleProcess:
    """A process that trains by itself."""

    count = 1
    index = 0

    def same(self, number):
        """Returns the number that the first process has."""
        return number

    def choose(self, steps):
        """Returns the first step that all processes have; `None` if none has any."""
        return next(steps, None)

    def poll(self, question):
        """Returns a function that tells whether any process answers yes.

        All processes must call it after the same batches. With several processes, it returns the
        answers given before the last batch.

        Args:
            question: Function that returns this process's answer.
        """
        return question
