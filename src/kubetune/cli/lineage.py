"""`kubetune lineage RUN|MODEL@VERSION`: where an archive comes from."""

from pathlib import Path
from typing import Annotated

import typer

from kubetune.cli.common import AsJson, StoreUrl, opened, print_json, say


def command(
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
