"""Write the password file of Airflow's simple login from mounted Secrets, since Airflow opens that file for writing."""

import json
import sys
from pathlib import Path


def main(target: str, *users: str) -> None:
    """Write `target`; each user is `name=file with the password`."""
    pairs = (user.split("=", 1) for user in users)
    passwords = {name: Path(file).read_text(encoding="utf-8").strip() for name, file in pairs}
    if empty := sorted(name for name, password in passwords.items() if not password):
        sys.exit(f"The Secret holds an empty password for {', '.join(empty)}: write one into it.")
    path = Path(target)
    path.touch(mode=0o600)
    path.write_text(json.dumps(passwords) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
