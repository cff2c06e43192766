"""Holds the locks against a folder of advisories: `make audit ADVISORIES=FOLDER`, a clone of pypa/advisory-database.

It reads files alone, so that it works where no advisory service is reached. Whatever it cannot judge counts as found: a
scanner that skips a package in silence is worse than none.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

HERE = Path(__file__).resolve().parent
BAD_CONFIGURATION, FOUND = 78, 65


@dataclass(frozen=True, order=True)
class Finding:
    """One advisory that concerns one pin.

    Attributes:
        package: Normalised name.
        version: The pinned one.
        advisory: Id, with its aliases.
        locks: Names of the locks that pin it.
    """

    package: str
    version: str
    advisory: str
    locks: tuple[str, ...]


def pins(folder: Path) -> dict[tuple[str, str], set[str]]:
    """Return (normalised name, version) → names of the locks that pin it."""
    found: dict[tuple[str, str], set[str]] = {}
    for lock in sorted(folder.rglob("*.txt")):
        for name, version in re.findall(
            r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", lock.read_text("utf-8"), flags=re.MULTILINE
        ):
            key = (re.sub(r"[-_.]+", "-", name).lower(), version)
            found.setdefault(key, set()).add(lock.relative_to(folder).as_posix())
    return found


def concerns(affected: dict[str, Any], version: str) -> bool:
    """Whether a version is among those that an advisory (OSV's format) calls affected."""
    if version in (affected.get("versions") or ()):
        return True
    return any(within(item["events"], version) for item in affected.get("ranges") or () if item["type"] == "ECOSYSTEM")


def within(events: Sequence[dict[str, str]], version: str) -> bool:
    """Whether a version lies in a range of events; what is no version at all counts as inside."""
    inside = False
    try:
        pinned = Version(version)
        for event in events:
            if "introduced" in event:
                inside = inside or event["introduced"] == "0" or pinned >= Version(event["introduced"])
            if ("fixed" in event and pinned >= Version(event["fixed"])) or (
                "last_affected" in event and pinned > Version(event["last_affected"])
            ):
                inside = False
    except InvalidVersion:
        return True
    return inside


def findings(advisories: Path, locked: dict[tuple[str, str], set[str]]) -> Iterator[Finding]:
    """Yield what the advisories say of the pins."""
    for (package, version), locks in sorted(locked.items()):
        for file in sorted((advisories / "vulns" / package).glob("*.yaml")):
            value = yaml.safe_load(file.read_text("utf-8"))
            if value.get("withdrawn") or not any(concerns(item, version) for item in value["affected"]):
                continue
            names = " ".join([value["id"], *(value.get("aliases") or ())])
            yield Finding(package, version, names, tuple(sorted(locks)))


def main(arguments: Sequence[str]) -> int:
    """Print what was found and how much was looked at; return the exit code."""
    folder = Path(arguments[0]) if arguments and arguments[0] else None
    if folder is None or not (folder / "vulns").is_dir():
        print("audit: name a clone of pypa/advisory-database: make audit ADVISORIES=FOLDER", file=sys.stderr)
        return BAD_CONFIGURATION
    locked = pins(HERE)
    known = sum(1 for package, _ in locked if (folder / "vulns" / package).is_dir())
    newest = max(
        (str(yaml.safe_load(file.read_text("utf-8"))["modified"]) for file in newest_files(folder)), default="?"
    )
    found = list(findings(folder, locked))
    for item in found:
        print(f"{item.package} {item.version}: {item.advisory} ({', '.join(item.locks)})")
    print(f"{len(locked)} pins, {known} of packages with advisories, newest of {newest[:10]}: {len(found)} found")
    return FOUND if found else 0


def newest_files(folder: Path) -> list[Path]:
    """Return the advisories with the highest numbers, which say how old the clone is."""
    return sorted((folder / "vulns").rglob("PYSEC-*.yaml"), key=lambda path: path.name)[-20:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
