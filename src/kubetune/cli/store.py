"""The store: settings, users, checks, backup; and the space that it takes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.api.opening import opened, require_store, settings_for
from kubetune.cli.common import AsJson, StoreUrl, print_json, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubetune.config.settings import Settings
    from kubetune.storage.base import Store
    from kubetune.storage.users import Keys


LogsBucket = Annotated[
    str, typer.Option("--logs-bucket", help="Bucket of Airflow's task logs; default: the store's with -logs behind it.")
]
Checkpoints = Annotated[
    bool, typer.Option("--checkpoints", help="Also those of trainings under way; without, they begin anew.")
]
Audit = Annotated[bool, typer.Option("--audit", help="Read every byte that is there already instead of its size.")]
app = typer.Typer(help="Prepare a store, copy it, bring it back.", no_args_is_help=True)


@app.command()
def bootstrap(
    users: Annotated[Path, typer.Option("--users", help="Folder with a folder of two key files for each user.")],
    generate: Annotated[
        list[str] | None,
        typer.Option("--generate", help="Draw keys that are not there yet, of `all` needed users or of this one."),
    ] = None,
    secrets: Annotated[
        str,
        typer.Option("--secrets", help="FILE or RELEASE=FILE: write the keys as Kubernetes Secrets, to be applied."),
    ] = "",
    logs_bucket: LogsBucket = "",
    logs_days: Annotated[
        int, typer.Option("--logs-days", min=1, help="After so many days task logs are removed.")
    ] = 90,
    store: StoreUrl = None,
) -> None:
    """Make bucket, users and policies of a MinIO what they should be; needs its root keys, or an administrator's."""
    from kubetune.errors import ConfigError
    from kubetune.execution.access import OPTIONAL, USERS, policies
    from kubetune.execution.platform import s3_settings
    from kubetune.storage.users import Logs, bootstrap_users, bucket_of, read_keys

    settings = settings_for(store)
    bucket, prefix = bucket_of(settings.store)
    logs = logs_bucket or f"{bucket}-logs"
    if logs == bucket:
        raise ConfigError("Task logs need a bucket of their own: give --logs-bucket another name than the store's.")
    draw(users, generate or [], "-".join(filter(None, [bucket, *prefix.split("/")])))
    keys = read_keys(users, USERS, OPTIONAL)
    wanted = policies(bucket, prefix, logs)
    kept = Logs(logs, logs_days) if "logs" in keys else None
    for line in bootstrap_users(s3_settings(settings), bucket, keys, wanted, kept):
        say(line)
    if secrets:
        write_secrets(secrets, keys)
    if settings.policies is not None:
        say(publish(settings, None))


@app.command()
def use(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A store; s3://bucket/prefix as well.")],
) -> None:
    """Use this store from every folder: written into your own settings, after which no --store is needed."""
    from kubetune.config.settings import Settings, user_file
    from kubetune.config.user_file import read_block, write_block
    from kubetune.tracking.target import store_folder

    path = store_folder(folder)
    found = folder if path is None else str(path)
    require_store(settings_for(found))
    write_block(user_file(), {**read_block(user_file(), Settings.model_fields), "store": found})
    say(f"{found} is used from every folder (written to {user_file()}), unless KUBETUNE_STORE or a kubetune.toml says")


@app.command()
def promotion(
    file: Annotated[
        Path | None, typer.Argument(help="YAML: endpoint (`*`: all others) → its policy; without it, what stands.")
    ] = None,
    recipes: Annotated[
        Path | None, typer.Option("--recipes", help="Folder of the recipes that are named and not shipped.")
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Show or set who may move which champion, and by which recipes; needs keys that may write `policies.json`."""
    from kubetune.errors import ConfigError
    from kubetune.execution.platform import open_configured_store
    from kubetune.execution.policies import stored_policies

    settings = settings_for(store)
    if file is None:
        found = stored_policies(open_configured_store(settings, probe=False))
        shown = {} if found is None else found.model_dump(mode="json", exclude_defaults=True)["endpoints"]
        print_json({name: {key: one[key] for key in one if key != "documents"} for name, one in shown.items()})
        return
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as text: give a YAML file of policies.") from error
    say(publish(settings.model_copy(update={"policies": text}), recipes))


def publish(settings: "Settings", recipes: Path | None) -> str:
    """Put the policies of the settings into the store, with the recipes that they name; say what was done."""
    from kubetune.execution.platform import open_configured_store
    from kubetune.execution.policies import own_policies, put_policies
    from kubetune.orchestration.requests import find_recipe

    folder = recipes or settings.recipes_dir
    policies = own_policies(settings).filled(lambda name: find_recipe(name, [], folder))
    changed = put_policies(open_configured_store(settings, probe=False), policies)
    names = ", ".join(sorted(policies.endpoints)) or "no endpoint"
    return f"policies bind {names}" if changed else f"policies bound {names} already"


def draw(folder: Path, names: list[str], prefix: str) -> None:
    """Draw the keys that are not there yet, of `all` users that a release needs or of single ones."""
    from kubetune.errors import ConfigError
    from kubetune.execution.access import OPTIONAL, USERS
    from kubetune.storage.users import make_keys

    if unknown := sorted(set(names) - {"all", *USERS}):
        raise ConfigError(f"--generate {unknown[0]!r:.40} is no user: allowed are all, {', '.join(USERS)}.")
    wanted = [user for user in USERS if user in names or ("all" in names and user not in OPTIONAL)]
    for user in make_keys(folder, wanted, prefix):
        say(f"keys of {user} were drawn: {folder / user}")


def write_secrets(where: str, keys: "Mapping[str, Keys]") -> None:
    """Write keys as the Secrets that the chart names."""
    from yaml import safe_dump_all

    from kubetune.storage.users import secrets_of, write_private

    release, _, path = where.rpartition("=")
    write_private(Path(path), safe_dump_all(secrets_of(keys, release or "kubetune")))
    say(f"Secrets are in {path}: kubectl --namespace NAMESPACE apply --filename {path}, then remove it")


@app.command("policies")
def print_policies(
    logs_bucket: LogsBucket = "",
    to: Annotated[Path | None, typer.Option("--to", help="Write a file USER.json for each there instead.")] = None,
    store: StoreUrl = None,
) -> None:
    """Print the policy of each user as JSON, for stores whose users are made with other tools."""
    import json

    from kubetune.execution.access import policies
    from kubetune.storage.users import bucket_of, write_private

    bucket, prefix = bucket_of(settings_for(store).store)
    documents = policies(bucket, prefix, logs_bucket or f"{bucket}-logs")
    if to is None:
        print_json(documents)
        return
    for user, document in documents.items():
        write_private(to / f"{user}.json", json.dumps(document, indent=2) + "\n")
    say(f"{len(documents)} policies are in {to}")


@app.command()
def backup(
    to: Annotated[str, typer.Argument(help="A folder or s3://bucket/prefix; KUBETUNE_BACKUP_S3_… name its server.")],
    checkpoints: Checkpoints = False,
    audit: Audit = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Copy the store, every digest checked, while runs go on; again: bring it up to date, or finish a killed copy."""
    from kubetune.execution.platform import open_backup, open_configured_store

    settings = settings_for(store)
    require_store(settings)
    source = open_configured_store(settings, probe=False)
    copied(source, open_backup(settings, to, probe=True), checkpoints=checkpoints, audit=audit, as_json=as_json)


@app.command()
def restore(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A folder or s3://bucket/prefix that `backup` wrote.")],
    checkpoints: Checkpoints = False,
    audit: Audit = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bring a backup into an empty store, or one with an earlier state of it, with keys that may write all of it."""
    from kubetune.execution.platform import open_backup

    settings, target = opened(store, new=True)
    copied(open_backup(settings, source, probe=False), target, checkpoints=checkpoints, audit=audit, as_json=as_json)


def copied(source: "Store", target: "Store", *, checkpoints: bool, audit: bool, as_json: bool) -> None:
    """Copy a store and print what was copied."""
    from dataclasses import asdict

    from kubetune.storage.backup import copy_store

    quiet = (lambda _: None) if as_json else say
    done = copy_store(source, target, checkpoints=checkpoints, audit=audit, report=quiet)
    if as_json:
        print_json({name: value for name, value in asdict(done).items() if name not in {"broken", "conflicts"}})
    else:
        say(
            f"{target.url} has {done.runs} runs and {done.models} models of {source.url}; this copy wrote "
            f"{done.records} records and {done.files} files ({done.bytes / 1e6:.1f} MB)"
        )


def gc(
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
