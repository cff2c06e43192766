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
    from kubetune.models.history import marks_of_archive, model_of_run
    from kubetune.models.sign import verify_run
    from kubetune.provenance.trust import Trust, revocations_file
    from kubetune.storage.statements import read_revocations, read_statement

    settings = settings_for(store)
    marks: tuple[str, ...] = ()
    keys = key or settings.trusted_keys
    if keys is None:
        raise ConfigError("No key is trusted: give --key FILE, or set KUBETUNE_TRUSTED_KEYS.")
    folder = Path(target).absolute()
    if (folder / "archive.json").is_file():
        from kubetune.serving.archive.manifest import archive_digest, read_archive

        if endpoint is None:
            raise ConfigError(f"The folder {target} does not say which model it is of: name it with --endpoint.")
        read_archive(folder)
        # The store is asked only where nothing valid lies beside the archive, or where it is named: a copy can be
        # checked anywhere, and is then checked by the list that was copied with it.
        copied = store is None and revocations_file(folder.parent).exists()
        trust = Trust(
            keys=keys,
            model=endpoint,
            source=lambda model, digest: read_statement(opened(store, new=True)[1], model, digest),
            revocations=None if copied else lambda: read_revocations(opened(store, new=True)[1]),
            least_epoch=settings.revocation_epoch,
        )
        statement = trust.find(folder.parent, archive_digest(folder))
    else:
        opened_store = opened(store)[1]
        model = endpoint or model_of_run(opened_store, target)
        statement = verify_run(opened_store, target, model, keys, settings.revocation_epoch)
        marks = marks_of_archive(opened_store, model, statement["subject"][0]["digest"]["sha256"])
    if as_json:
        print_json(statement)
        return
    digest, stated = statement["subject"][0]["digest"]["sha256"], statement["predicate"]
    say(f"valid: archive {digest[:12]} is signed as model {stated['model']} by a trusted key")
    say(f"chain: {' '.join(link['stage'] for link in stated['stages'])}")
    for mark in marks:
        say(f"note: {mark}; its signature counts until `kubetune revoke` ends it.")
