"""`kubetune store bootstrap`: the bucket of a bundled MinIO, and a user with as few rights as possible a component."""

from pathlib import Path
from typing import Annotated

import typer

from kubetune.cli.common import StoreUrl, print_json, say, settings_for

app = typer.Typer(help="Prepare a store.", no_args_is_help=True)


@app.command()
def bootstrap(
    users: Annotated[Path, typer.Option("--users", help="Folder with a folder of two key files for each user.")],
    store: StoreUrl = None,
) -> None:
    """Make bucket, users and policies what they should be; needs the root keys of a MinIO."""
    from kubetune.access import OPTIONAL, USERS, policy
    from kubetune.platform import s3_settings
    from kubetune.storage.users import bootstrap, bucket_of, read_keys

    settings = settings_for(store)
    bucket, prefix = bucket_of(settings.store)
    policies = {user: policy(access, bucket, prefix) for user, access in USERS.items()}
    for line in bootstrap(s3_settings(settings), bucket, read_keys(users, USERS, OPTIONAL), policies):
        say(line)


@app.command()
def policies(store: StoreUrl = None) -> None:
    """Print the policy of each user as JSON, for stores whose users are made with other tools."""
    from kubetune.access import USERS, policy
    from kubetune.storage.users import bucket_of

    bucket, prefix = bucket_of(settings_for(store).store)
    print_json({user: policy(access, bucket, prefix) for user, access in USERS.items()})
