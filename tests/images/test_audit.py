"""The check of the locks against advisories, on advisories of packages that the locks have."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "requirements" / "audit.py"
PACKAGE = "jinja2"
LOCK = (ROOT / "requirements" / "pipeline.txt").read_text(encoding="utf-8")
(PINNED,) = {line.split("==")[1].split()[0] for line in LOCK.splitlines() if line.startswith(f"{PACKAGE}==")}


def audit(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)


def advisories(folder: Path, affected: dict[str, object], **more: object) -> Path:
    (folder / "vulns" / PACKAGE).mkdir(parents=True)
    value = {
        "id": "PYSEC-2030-1",
        "aliases": ["CVE-2030-1"],
        "modified": "2030-01-02T00:00:00Z",
        "affected": [affected],
    }
    (folder / "vulns" / PACKAGE / "PYSEC-2030-1.yaml").write_text(yaml.safe_dump(value | more))
    return folder


def events(**ends: str) -> dict[str, object]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, *([ends] if ends else [])]}]}


@pytest.mark.parametrize(
    "affected",
    [{"versions": [PINNED]}, events(), events(fixed="9999"), events(last_affected=PINNED), events(fixed="no version")],
    ids=["named", "never fixed", "fixed later", "last of all", "cannot be judged"],
)
def test_a_pin_that_an_advisory_concerns_is_found(tmp_path: Path, affected: dict[str, object]) -> None:
    done = audit(str(advisories(tmp_path, affected)))
    assert done.returncode == 65, done.stdout + done.stderr
    assert f"{PACKAGE} {PINNED}: PYSEC-2030-1 CVE-2030-1 (" in done.stdout and "pipeline.txt" in done.stdout


@pytest.mark.parametrize(
    ("affected", "more"),
    [({"versions": ["0.1"]}, {}), (events(fixed=PINNED), {}), (events(last_affected="0.1"), {}),
     (events(), {"withdrawn": "2030-01-03T00:00:00Z"})],
    ids=["another", "fixed in it", "before it", "withdrawn"],
)  # fmt: skip
def test_a_pin_that_none_concerns_is_not(tmp_path: Path, affected: dict[str, object], more: dict[str, object]) -> None:
    done = audit(str(advisories(tmp_path, affected, **more)))
    assert done.returncode == 0, done.stdout
    assert "1 of packages with advisories, newest of 2030-01-02: 0 found" in done.stdout


def test_without_advisories_nothing_is_called_clean(tmp_path: Path) -> None:
    for words in ((), ("",), (str(tmp_path),)):
        done = audit(*words)
        assert done.returncode == 78 and "make audit ADVISORIES=FOLDER" in done.stderr
