"""What each profile installs, by kind and name: nothing appears or goes unnoticed."""

import os
from pathlib import Path

import pytest

from chart_world import PROFILES, hashless, rendered

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("profile", PROFILES)
def test_inventory(profile: str) -> None:
    found = sorted(
        f"{item['kind']} {item['metadata'].get('namespace', '-')}/{hashless(item['metadata']['name'])}"
        for item in rendered(profile)
    )
    assert len(found) == len(set(found)), "two objects of one kind and name"
    golden = GOLDEN / f"inventory-{profile}.txt"
    if os.environ.get("KUBETUNE_TEST_REGENERATE"):
        golden.write_text("\n".join(found) + "\n", encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8").splitlines()
