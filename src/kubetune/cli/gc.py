"""`kubetune gc`: the only command that deletes stored content."""

from typing import Annotated

import typer

from kubetune.cli.common import AsJson, StoreUrl, opened, print_json, say


def command(
    grace_hours: Annotated[
        float,
        typer.Option("--grace-hours", min=0, help="Leave alone what is younger; less than 24 only while nothing runs."),
    ] = 24.0,
    checkpoint_hours: Annotated[
        float | None,
        typer.Option(
            "--checkpoint-hours",
            min=0,
            help="Age at which checkpoints of finished trainings go. [env: KUBETUNE_CHECKPOINT_HOURS; default: 1]",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Remove what no run, endpoint or key needs."""
    from dataclasses import asdict

    from kubetune.errors import ConfigError
    from kubetune.storage.gc import collect

    settings, opened_store = opened(store)
    hours = settings.checkpoint_hours if checkpoint_hours is None else checkpoint_hours
    found = collect(opened_store, grace=grace_hours * 3600, finished=hours * 3600, dry_run=dry_run)
    if as_json:
        print_json(asdict(found))
    else:
        verb = "would remove" if dry_run else "removed"
        say(
            f"{verb} {found.blobs} blobs and {found.checkpoints} checkpoint files ({found.bytes / 1e6:.1f} MB), "
            f"{found.keys} keys; {found.retired} keys of deleted runs go next time."
        )
        if found.skew:
            ahead = "ahead of" if found.skew > 0 else "behind"
            say(
                f"this machine's clock is {abs(found.skew):,.0f} s {ahead} the store's: ages were taken by the earlier "
                "of the two, set the wrong one."
            )
    if found.unreadable:
        raise ConfigError(
            f"{len(found.unreadable)} records cannot be read, so no blob was removed: "
            f"{', '.join(found.unreadable)[:300]}; repair or remove them first."
        )
