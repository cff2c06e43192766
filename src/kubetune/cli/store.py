"""`kubetune store bootstrap`: the bucket of a bundled MinIO, and a user with as few rights as possible a component."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.cli.common import StoreUrl, print_json, say, settings_for

if TYPE_CHECKING:
    from kubetune.config.settings import Settings

LogsBucket = Annotated[
    str, typer.Option("--logs-bucket", help="Bucket of Airflow's task logs; default: the store's with -logs behind it.")
]
app = typer.Typer(help="Prepare a store.", no_args_is_help=True)


@app.command()
def bootstrap(
    users: Annotated[Path, typer.Option("--users", help="Folder with a folder of two key files for each user.")],
    logs_bucket: LogsBucket = "",
    logs_days: Annotated[
        int, typer.Option("--logs-days", min=1, help="After so many days task logs are removed.")
    ] = 90,
    store: StoreUrl = None,
) -> None:
    """Make bucket, users and policies what they should be; needs the root keys of a MinIO."""
    from kubetune.access import OPTIONAL, USERS, policies
    from kubetune.errors import ConfigError
    from kubetune.platform import s3_settings
    from kubetune.storage.users import Logs, bootstrap, bucket_of, read_keys

    settings = settings_for(store)
    bucket, prefix = bucket_of(settings.store)
    keys, logs = read_keys(users, USERS, OPTIONAL), logs_bucket or f"{bucket}-logs"
    if logs == bucket:
        raise ConfigError("Task logs need a bucket of their own: give --logs-bucket another name than the store's.")
    wanted = policies(bucket, prefix, logs)
    kept = Logs(logs, logs_days) if "logs" in keys else None
    for line in bootstrap(s3_settings(settings), bucket, keys, wanted, kept):
        say(line)
    if settings.policies is not None:
        say(publish(settings, None))


@app.command()
def policy(
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
    from kubetune.platform import open_configured_store
    from kubetune.policies import stored_policies

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
    from kubetune.orchestration.requests import find_recipe
    from kubetune.platform import open_configured_store
    from kubetune.policies import own_policies, put_policies

    folder = recipes or settings.recipes_dir
    policies = own_policies(settings).filled(lambda name: find_recipe(name, [], folder))
    changed = put_policies(open_configured_store(settings, probe=False), policies)
    names = ", ".join(sorted(policies.endpoints)) or "no endpoint"
    return f"policies bind {names}" if changed else f"policies bound {names} already"


@app.command("policies")
def print_policies(logs_bucket: LogsBucket = "", store: StoreUrl = None) -> None:
    """Print the policy of each user as JSON, for stores whose users are made with other tools."""
    from kubetune.access import policies
    from kubetune.storage.users import bucket_of

    bucket, prefix = bucket_of(settings_for(store).store)
    print_json(policies(bucket, prefix, logs_bucket or f"{bucket}-logs"))
