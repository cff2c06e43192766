"""`kubetune store bootstrap`: the bucket of a bundled MinIO, and a user with as few rights as possible a component."""

from pathlib import Path
from typing import Annotated

import typer

from kubetune.cli.common import StoreUrl, print_json, say, settings_for

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


@app.command("policies")
def print_policies(logs_bucket: LogsBucket = "", store: StoreUrl = None) -> None:
    """Print the policy of each user as JSON, for stores whose users are made with other tools."""
    from kubetune.access import policies
    from kubetune.storage.users import bucket_of

    bucket, prefix = bucket_of(settings_for(store).store)
    print_json(policies(bucket, prefix, logs_bucket or f"{bucket}-logs"))
