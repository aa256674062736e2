"""Formats durations."""


def clock(seconds: float) -> str:
    """Formats seconds as minutes and seconds, with hours if there are any.

    Example:
        >>> clock(59.7), clock(3725)
        ('1:00', '1:02:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
