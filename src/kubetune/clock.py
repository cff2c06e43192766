"""The time of day, for records that people read; never for a result."""

import time


def clock() -> str:
    """Time of day for records that people read."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
