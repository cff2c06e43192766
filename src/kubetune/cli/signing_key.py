"""`kubetune signing-key FOLDER`: a new pair of keys for statements."""

from pathlib import Path
from typing import Annotated

import typer

from kubetune.cli.common import AsJson, print_json, say


def command(
    folder: Annotated[Path, typer.Argument(help="Gets signing.key (0600) and signing.pub; neither is ever replaced.")],
    as_json: AsJson = False,
) -> None:
    """Draw a pair of Ed25519 keys: signing.key signs registered archives, signing.pub lets servers check them."""
    from kubetune.provenance.keys import PRIVATE, PUBLIC, write_key_pair

    name = write_key_pair(folder)
    if as_json:
        print_json({"key_id": name, "private": str(folder / PRIVATE), "public": str(folder / PUBLIC)})
        return
    say(f"key id:  {name}")
    say(f"private: {folder / PRIVATE}   KUBETUNE_SIGNING_KEY of whoever registers; keep it out of the store")
    say(f"public:  {folder / PUBLIC}   KUBETUNE_TRUSTED_KEYS of whoever serves")
