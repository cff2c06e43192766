"""`kubetune verify ARCHIVE_DIR|RUN`: is this archive signed by someone who is trusted."""

from pathlib import Path
from typing import Annotated

import typer

from kubetune.cli.common import AsJson, StoreUrl, opened, print_json, say, settings_for


def command(
    target: Annotated[str, typer.Argument(help="A folder that holds an archive, or a run.")],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="Public key, or a folder of them. [env: KUBETUNE_TRUSTED_KEYS]", show_default=False),
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check an archive's signed statement: of a folder, every file too; of a run, that its commits say the same."""
    from kubetune.errors import ConfigError
    from kubetune.provenance.trust import Trust
    from kubetune.signing import verify_run
    from kubetune.storage.statements import read_statement

    keys = key or settings_for(store).trusted_keys
    if keys is None:
        raise ConfigError("No key is trusted: give --key FILE, or set KUBETUNE_TRUSTED_KEYS.")
    folder = Path(target).absolute()
    if (folder / "archive.json").is_file():
        from kubetune.serving.archive import archive_digest, read_archive

        read_archive(folder)
        # The store is asked only where nothing valid lies beside the archive: a copy can be checked anywhere.
        trust = Trust(keys, lambda digest: read_statement(opened(store)[1], digest))
        statement = trust.find(folder.parent, archive_digest(folder))
    else:
        statement = verify_run(opened(store)[1], target, keys)
    if as_json:
        print_json(statement)
        return
    digest, stages = statement["subject"][0]["digest"]["sha256"], statement["predicate"]["stages"]
    say(f"valid: archive {digest[:12]} is signed by a trusted key")
    say(f"chain: {' '.join(link['stage'] for link in stages)}")
