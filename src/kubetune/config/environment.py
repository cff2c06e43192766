"""The environment that libraries and our own processes see. Apart from the settings, so that no key holds those."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with `extra`, for a process that we start."""
    return {**os.environ, **extra}


def is_set(*names: str) -> bool:
    """Whether a person, or who started this process, has set one of the variables."""
    return any(name in os.environ for name in names)


def value_of(name: str) -> str | None:
    """Return a variable that a library reads, for a record of its setting; None: it is not set."""
    return os.environ.get(name)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for libraries that read them, and put the former ones back."""
    former = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
