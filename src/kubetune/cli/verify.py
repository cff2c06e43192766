"""`kubetune verify ARCHIVE_DIR|RUN`: is this archive signed, as this model, by someone who is trusted."""

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
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", help="Model that the statement has to name; default: that of the run's recipe."),
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check an archive's signed statement: of a folder, every file too; of a run, that its commits say the same."""
    from kubetune.errors import ConfigError
    from kubetune.history import model_of_run
    from kubetune.provenance.trust import Trust
    from kubetune.signing import verify_run
    from kubetune.storage.statements import read_statement

    keys = key or settings_for(store).trusted_keys
    if keys is None:
        raise ConfigError("No key is trusted: give --key FILE, or set KUBETUNE_TRUSTED_KEYS.")
    folder = Path(target).absolute()
    if (folder / "archive.json").is_file():
        from kubetune.serving.archive import archive_digest, read_archive

        if endpoint is None:
            raise ConfigError(f"The folder {target} does not say which model it is of: name it with --endpoint.")
        read_archive(folder)
        # The store is asked only where nothing valid lies beside the archive: a copy can be checked anywhere.
        trust = Trust(keys, endpoint, lambda model, digest: read_statement(opened(store)[1], model, digest))
        statement = trust.find(folder.parent, archive_digest(folder))
    else:
        opened_store = opened(store)[1]
        statement = verify_run(opened_store, target, endpoint or model_of_run(opened_store, target), keys)
    if as_json:
        print_json(statement)
        return
    digest, stated = statement["subject"][0]["digest"]["sha256"], statement["predicate"]
    say(f"valid: archive {digest[:12]} is signed as model {stated['model']} by a trusted key")
    say(f"chain: {' '.join(link['stage'] for link in stated['stages'])}")
