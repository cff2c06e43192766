"""The small programs that the chart mounts into Airflow's pods do what their containers need."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

from chart_helm import CHART

PASSWORDS = CHART / "files" / "passwords.py"
USERS = CHART / "files" / "users.sh"


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


def test_no_argument_holds_a_password(tmp_path: Path) -> None:
    """They reach Airflow by its two questions, as they are."""
    for user, password in (("admin", 'qu"ote\\back $dollar'), ("trigger", "plain one")):
        (tmp_path / user).mkdir()
        (tmp_path / user / "username").write_text(f"{user}-name", encoding="utf-8")
        (tmp_path / user / "password").write_text(f"{password}\n", encoding="utf-8")
    airflow, log = tmp_path / "airflow", tmp_path / "log"
    airflow.write_text(
        f"#!{sys.executable}\n"
        "import getpass, json, sys\n"
        "given = [] if '--use-random-password' in sys.argv else [getpass.getpass(), getpass.getpass()]\n"
        f"open({str(log)!r}, 'a').write(json.dumps([sys.argv[2:], given]) + '\\n')\n",
        encoding="utf-8",
    )
    airflow.chmod(0o755)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/python-log\n', encoding="utf-8")
    python.chmod(0o755)
    # A session of its own has no terminal, as in a pod.
    subprocess.run(
        ["sh", USERS, tmp_path],
        env={"PATH": f"{tmp_path}:{os.defpath}"},
        check=True,
        capture_output=True,
        start_new_session=True,
        timeout=60,
    )
    calls = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [arguments[0] for arguments, _ in calls] == ["create", "reset-password"] * 2
    assert [given for _, given in calls if given] == [['qu"ote\\back $dollar'] * 2, ["plain one"] * 2]
    assert not [word for arguments, _ in calls for word in arguments if "quote" in word or "plain" in word]
    assert calls[0][0][:5] == ["create", "--role", "Admin", "--username", "admin-name"]
    assert calls[2][0][:5] == ["create", "--role", "Public", "--username", "trigger-name"]
    given = (tmp_path / "python-log").read_text(encoding="utf-8").split()
    assert given == [str(USERS.with_name("trigger_role.py")), "trigger-name"]


def test_the_keys_of_task_logs_are_what_boto3_asks_a_process_for(tmp_path: Path) -> None:
    (tmp_path / "access_key").write_text("kubetune-logs\n", encoding="utf-8")
    (tmp_path / "secret_key").write_text('qu"ote\\back\n', encoding="utf-8")
    command = [sys.executable, "-I", "-S", str(CHART / "files" / "store_keys.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == {
        "Version": 1,
        "AccessKeyId": "kubetune-logs",
        "SecretAccessKey": 'qu"ote\\back',
    }
