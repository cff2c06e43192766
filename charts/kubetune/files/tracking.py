"""What MLflow's pods do around `mlflow server`; keys are files, so that none is in a pod's specification.

`database` makes its role and database in the release's PostgreSQL, `prepare` its tables and users, `serve` starts the
server, `ask URL` ends well where the server answers a call that needs a login and reads the database.
"""

import base64
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

SECRETS = Path(os.environ.get("TRACKING_SECRETS", "/run/secrets/tracking"))
LOGIN = Path(os.environ.get("TRACKING_LOGIN", "/run/secrets/kubetune"))
CONFIG = "MLFLOW_AUTH_CONFIG_PATH"
SHORTEST = 12
"""MLflow's own rule for passwords."""


def secret(name: str) -> str:
    """Return a mounted key; end with a sentence where it is empty."""
    value = (SECRETS / name).read_text(encoding="utf-8").strip()
    return value or sys.exit(f"The Secret holds an empty {name}: write one into it.")


def connected(name: str, seconds: int) -> object:
    """Connect by a SQLAlchemy URL, whose driver suffix PostgreSQL does not know; wait for the server."""
    import psycopg2

    scheme, rest = secret(name).split("://", 1)
    until = time.monotonic() + seconds
    while True:
        try:
            return psycopg2.connect(f"{scheme.split('+')[0]}://{rest}", connect_timeout=5)
        except psycopg2.OperationalError as error:
            if time.monotonic() > until:
                sys.exit(f"The database does not answer after {seconds} s: {error}")
            time.sleep(1)


def database(seconds: int) -> None:
    """Make role and database what the Secret says; a second time changes nothing."""
    from psycopg2 import sql

    owner = urlsplit(secret("connection"))
    name = sql.Identifier(unquote(owner.path.lstrip("/")))
    role, password = unquote(owner.username or ""), unquote(owner.password or "")
    connection = connected("root_connection", seconds)
    connection.autocommit = True  # a database is not made in a transaction
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
        verb = sql.SQL("ALTER ROLE" if cursor.fetchone() else "CREATE ROLE")
        parts = {"verb": verb, "role": sql.Identifier(role), "password": sql.Literal(password), "name": name}
        rights = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {password}"
        cursor.execute(sql.SQL("{verb} {role} " + rights).format(**parts))
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (unquote(owner.path.lstrip("/")),))
        if not cursor.fetchone():
            cursor.execute(sql.SQL("CREATE DATABASE {name} OWNER {role}").format(**parts))
        # PostgreSQL lets every role into every database unless told otherwise.
        cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {name} FROM PUBLIC").format(**parts))
        theirs = sql.Identifier(connection.info.dbname)
        cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {name} FROM PUBLIC").format(name=theirs))
    connection.close()


def configured() -> str:
    """Write the login's configuration, without the administrator's password; return the database's URL."""
    url = secret("connection")
    text = f"[mlflow]\ndefault_permission = READ\nadmin_username = {os.environ['TRACKING_ADMIN']}\n"
    # A password is hashed for tens of milliseconds, at each request without this; a changed one counts after a restart.
    text += "auth_cache_ttl_seconds = 60\n"
    path = Path(os.environ[CONFIG])
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text + f"database_uri = {url.replace('%', '%%')}\n", encoding="utf-8")
    return url


def prepare(seconds: int) -> None:
    """Migrate the tables and make both users what the Secrets say; so a changed password counts after a restart."""
    connected("connection", seconds).close()
    url = configured()
    from mlflow.store.db import utils
    from sqlalchemy import inspect

    engine = utils.create_sqlalchemy_engine_with_retry(url)
    fresh = "alembic_version" not in inspect(engine).get_table_names()
    (utils._initialize_tables if fresh else utils._upgrade_db)(engine)  # what `mlflow db upgrade` calls
    from mlflow.server.auth import store

    store.init_db(url)
    admin, mirror = os.environ["TRACKING_ADMIN"], secret("kubetune_tracking_user")
    for name, key in ((admin, "password"), (mirror, "kubetune_tracking_password")):
        word = secret(key)
        if len(word) < SHORTEST:
            sys.exit(f"The password of {name} has {len(word)} characters: give it {SHORTEST} or more, as MLflow asks.")
        if not store.has_user(name):
            store.create_user(name, word)
        store.update_user(name, password=word, is_admin=name == admin)


def serve(*arguments: str) -> None:
    """Become the server, which takes these secrets from its environment alone."""
    taken = {
        "MLFLOW_BACKEND_STORE_URI": configured(),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secret("flask_secret_key"),
        "AWS_ACCESS_KEY_ID": secret("kubetune_s3_access_key"),
        "AWS_SECRET_ACCESS_KEY": secret("kubetune_s3_secret_key"),
    }
    os.execvpe("mlflow", ["mlflow", "server", *arguments], {**os.environ, **taken})


def ask(url: str) -> None:
    """End with 1 where the server does not answer the mirror's user, for any reason."""
    request = urllib.request.Request(f"{url}/api/2.0/mlflow/experiments/search?max_results=1")
    files = [LOGIN / f"kubetune_tracking_{name}" for name in ("user", "password")]
    if files[0].exists():
        user, password = (file.read_text(encoding="utf-8").strip() for file in files)
        request.add_header("Authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}")
    context = ssl.create_default_context(cafile=os.environ.get("KUBETUNE_CA_BUNDLE"))
    try:
        with urllib.request.urlopen(request, timeout=15, context=context) as answer:
            answer.read()
    except (OSError, urllib.error.URLError) as error:
        sys.exit(f"MLflow at {url} does not answer the mirror's user: {error}")
    sys.stdout.write(f"MLflow at {url} answers.\n")


if __name__ == "__main__":
    command, *given = sys.argv[1:]
    if command in {"database", "prepare"}:
        {"database": database, "prepare": prepare}[command](int(given[0]))
    else:
        {"serve": serve, "ask": ask}[command](*given)
