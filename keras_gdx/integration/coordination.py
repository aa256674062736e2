"""The processes that train together, as a callback sees them: here, this one alone."""


class SingleProcess:
    """A process that trains by itself."""

    count = 1
    index = 0

    def same(self, number):
        """The number, as the first process has it."""
        return number

    def choose(self, steps):
        """The first of the steps that all processes have; `None` if nobody has any."""
        return next(steps, None)

    def poll(self, question):
        """A function that returns whether any process says yes.

        All must ask after the same batches. With several processes it is the answer of before
        the batch.

        Args:
            question: Function that returns what this process says.
        """
        return question
