"""Options that several commands share, and the store they name."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.plan import Word
    from kubetune.storage.base import Store

RecipeName = Annotated[str, typer.Argument(help="A shipped recipe (`kubetune recipes`) or a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Changes to the recipe; values are YAML.")
]
StoreUrl = Annotated[
    str | None,
    typer.Option("--store", help="A folder or s3://bucket/prefix. [env: KUBETUNE_STORE]", show_default=False),
]
Request = Annotated[
    str,
    typer.Option(
        "--request", help="Identity of this request: with an equal one it is never made twice. [default: noted here]"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunName = Annotated[str, typer.Argument(help="A run, as listed by `kubetune runs`.")]
EndpointOfRun = Annotated[
    str | None, typer.Option("--endpoint", help="Model that the statement has to name; default: the run's recipe's.")
]


def settings_for(store: str | None) -> "Settings":
    """Return the settings, with the store of the command line if one is given."""
    from kubetune.config.settings import load_settings

    settings = load_settings()
    return settings if store is None else settings.model_copy(update={"store": store})


def opened(store: str | None, *, patient: bool = False, probe: bool = True) -> "tuple[Settings, Store]":
    """Return the settings and the opened store.

    Args:
        store: Store of the command line; None: the settings' one.
        patient: Whether a store that is away is waited for as a stage does, not as a person would.
        probe: Whether to learn if it honours conditional writes; False where only reads follow.
    """
    from kubetune.platform import open_answering_store, open_configured_store

    settings = settings_for(store)
    return settings, (open_configured_store if patient else open_answering_store)(settings, probe=probe)


def word_of(by: str | None, why: str | None, request: str = "") -> "Word | None":
    """Return what a person said, or None if nobody did; who it is defaults to the user of this machine.

    Raises:
        ConfigError: The reason is empty or not one line, or holds a secret.
    """
    from kubetune.errors import ConfigError
    from kubetune.plan import Word
    from kubetune.redaction import secret_in

    for option, text in (("--why", why), ("--by", by)):
        if text is not None and (not text.strip() or len(text) > 500 or not text.isprintable()):
            raise ConfigError(f"{option} has to be one line of 1 to 500 printable characters: say it in a sentence.")
        if text is not None and (kind := secret_in(text)) is not None:
            raise ConfigError(f"{option} holds {kind} and is kept beside the change: leave that out.")
    if by is None and why is None:
        return None
    return Word(by or user_name(), why or "", request)


def user_name() -> str:
    """Return the name of the user of this machine."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def print_json(value: Any) -> None:
    """Print JSON on standard output."""
    json.dump(value, sys.stdout, indent=2, sort_keys=True, ensure_ascii=False)
    sys.stdout.write("\n")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn in a terminal, aligned plain text elsewhere, so that it can be cut and searched."""
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*(cell.replace("[", "\\[") for cell in row))
        Console().print(table)
        return
    widths = [max(len(row[index]) for row in [headings, *rows]) for index in range(len(headings))]
    for row in [headings, *rows]:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def short(value: str | None) -> str:
    """Return the JSON text of a recipe value (or another field of a key) as `why` and `compare` print it.

    A number has all its digits: two learning rates that differ must not look alike. A digest is cut to what a person
    compares, and what a side lacks is `-`.
    """
    if value is None:
        return "-"
    return value[:12] if len(value) == 64 else value if len(value) <= 60 else value[:57] + "..."


def say(line: str = "") -> None:
    """Print one plain line on standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
