"""The small programs that the chart mounts into Airflow's pods do what their containers need."""

import json
import stat
import subprocess
import sys
from pathlib import Path

from chart_helm import CHART

PASSWORDS = CHART / "files" / "passwords.py"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the program that writes the password file."""
    command = [sys.executable, str(PASSWORDS), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_passwords_with_any_character_reach_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('qu"ote\\back $dollar\n', encoding="utf-8")
    (tmp_path / "b").write_text("plain", encoding="utf-8")
    target = tmp_path / "passwords.json"
    done = run(target, f"admin={tmp_path / 'a'}", f"trigger={tmp_path / 'b'}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(target.read_text(encoding="utf-8")) == {"admin": 'qu"ote\\back $dollar', "trigger": "plain"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("\n", encoding="utf-8")
    done = run(tmp_path / "passwords.json", f"admin={tmp_path / 'a'}")
    assert done.returncode == 1
    assert "empty password for admin" in done.stderr
    assert not (tmp_path / "passwords.json").exists()
