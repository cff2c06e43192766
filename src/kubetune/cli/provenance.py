"""Where a version came from, who signed it, and withdrawing it."""

from pathlib import Path
from typing import Annotated

import typer

from kubetune.api.opening import opened, settings_for
from kubetune.cli.common import AsJson, Request, StoreUrl, override_of, print_json, say


def lineage(
    name: Annotated[str, typer.Argument(metavar="RUN|MODEL@VERSION", help="A run, or a registered version.")],
    html: Annotated[Path | None, typer.Option("--html", help="Write the chain as a picture here.")] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Print the chain from the served archive back to the data and the pretrained model, with digests."""
    from kubetune.errors import ConfigError
    from kubetune.models.lineage import lineage_of
    from kubetune.provenance.lineage import tree_of

    found = lineage_of(opened(store)[1], name)
    root = tree_of(found.chain)
    title = f"Lineage of {name}" if name == found.run else f"Lineage of {name}, run {found.run}"
    if html is not None:
        from kubetune.provenance.lineage_page import page

        try:
            served = "; ".join([f"served as archive {found.archive}", *found.marks])
            html.write_text(page(found.chain, title, served), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{html} cannot be written ({error.strerror}): name another file.") from error
    if as_json:
        facts = {"name": name, "run": found.run, "archive": found.archive, "marks": found.marks}
        print_json(facts | {"tree": root.to_json()})
    elif html is None:
        from kubetune.provenance.lineage_text import tree_text

        say(tree_text(root, f"{title}, served as archive {found.archive[:12]}").rstrip("\n"))
        for mark in found.marks:
            say(mark)
    else:
        say(f"wrote {html}")


def verify(
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


def signing_key(
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


def revoke(
    what: Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="A registered version.")],
    why: Annotated[str, typer.Option("--why", help="The reason, in one sentence; it is recorded and signed.")],
    by: Annotated[str | None, typer.Option("--by", help="Who says so; default: the user of this machine.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Reinstate it: a person may promote it again.")] = False,
    store: StoreUrl = None,
    request: Request = "",
) -> None:
    """End the signatures of a version's weights; what serves them goes on until it starts again."""
    from kubetune.clock import clock
    from kubetune.errors import ConfigError
    from kubetune.models.pending import remembered
    from kubetune.models.revoke import revoke

    override = override_of(by, why, request)
    if override is None:
        raise ConfigError("A revocation needs a reason: say it with --why.")
    settings, opened_store = opened(store)
    with remembered(settings, "reinstate" if undo else "revoke", what, override) as override:
        done = revoke(opened_store, settings, what, clock(), override, undo=undo)
    name, number, champion = done.model.name, done.version.number, done.model.champion
    if undo:
        say(f"version {number} of {name} is reinstated: `kubetune promote {name}@{number}` makes it the champion.")
    else:
        say(f"version {number} of {name} is revoked: nobody promotes its weights, and no start serves them.")
    if done.epoch is None:
        say("nothing is signed here (KUBETUNE_SIGNING_KEY), so who serves it elsewhere does not hear of it.")
    else:
        say(
            f"the signed list has epoch {done.epoch}: KUBETUNE_REVOCATION_EPOCH={done.epoch} (value "
            "`signing.revocationEpoch`) refuses every older one."
        )
    if not undo and champion is not None and champion.model == done.version.model:
        back = done.model.previous
        advice = (
            f"`kubetune rollback {name} --why …` brings back version {back.number}"
            if back is not None
            else f"`kubetune promote {name}@N --why …` names another, or `kubetune stop {name}` ends it"
        )
        say(f"it is the champion and serves until its next start: {advice}.")
