"""`champion/champion.json`: whom the candidate is compared with. The runner writes it, the body reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune.comparison.rows import read_json
from kubetune.errors import KubetuneError

FORMAT = 1
PARTS = ("archive", "report", "behaviour")


@dataclass(frozen=True)
class Champion:
    """The version that serves, or nobody.

    Attributes:
        name: Of the registered model.
        version: None: there is no champion.
        run: That made it.
        archive: Digest of its archive.
        earlier: Comparisons already made on the candidate's test rows, this one left out.
        folder: Holds `archive`, `report` and `behaviour` of the version.
    """

    name: str
    version: int | None
    run: str | None
    archive: str | None
    earlier: int
    folder: Path

    def as_dict(self) -> dict[str, Any] | None:
        """Return what a decision says of it; None where there is none."""
        if self.version is None:
            return None
        return {"name": self.name, "version": self.version, "run": self.run, "archive": self.archive}


def read_champion(folder: Path) -> Champion:
    """Read `champion.json`.

    Raises:
        KubetuneError: It cannot be read, has another format, or a part of the version is missing.
    """
    values = read_json(folder / "champion.json")
    name, version, earlier = (values.get(key) for key in ("name", "version", "earlier"))
    known = values.get("format") == FORMAT and isinstance(name, str) and isinstance(earlier, int)
    if not known or not isinstance(version, int | None):
        raise KubetuneError(f"champion.json is not of format {FORMAT}: compare again with the version that wrote it.")
    if version is not None and (missing := [part for part in PARTS if not (folder / part).is_dir()]):
        raise KubetuneError(f"Version {version} of {name} came without its {' and '.join(missing)}: compare again.")
    return Champion(str(name), version, values.get("run"), values.get("archive"), int(earlier or 0), folder)
