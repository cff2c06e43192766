"""Names and patterns of a command that takes many → the names that are meant."""

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

WILD = frozenset("*?[")


def matched(what: str, patterns: Iterable[str], known: Collection[str]) -> list[str]:
    """Return the names that are meant, each once, in the order in which they were given.

    Args:
        what: For the sentence, for example `run`.
        patterns: Names, and patterns with `*`, `?` and `[…]`.
        known: Names that exist.

    Raises:
        ConfigError: A name does not exist, or a pattern fits none; nothing is to be done then.
    """
    from kubetune.errors import ConfigError
    from kubetune.redaction import shown

    found: dict[str, None] = {}
    for pattern in patterns:
        fits = [name for name in known if fnmatchcase(name, pattern)] if WILD & set(pattern) else [pattern]
        if not fits or (pattern not in known and fits == [pattern]):
            named = ", ".join(list(known)[:5]) or "none"
            raise ConfigError(f"No {what} is called {shown(pattern)}: known are {named}; nothing was deleted.")
        found |= dict.fromkeys(fits)
    return list(found)
