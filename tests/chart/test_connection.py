"""The database's URL in the Secret survives any character, and its parts come from where the values say."""

import base64

import pytest
from chart_helm import objects, template
from sqlalchemy.engine import make_url

HOSTILE = "p@ss/wo rd?%+#:é"


def connection(*settings: str, major: int = 3) -> str:
    """Return the URL that Airflow's pods read."""
    text = template(["dev"], settings=settings, major=major)
    (secret,) = (item for item in objects(text) if item["kind"] == "Secret" and "connection" in item["data"])
    return base64.b64decode(secret["data"]["connection"]).decode()


@pytest.mark.parametrize("major", [3, 4])
def test_an_external_url_keeps_hostile_characters(major: int) -> None:
    settings = ['database.mode="external"', 'database.host="db.example.org"', "database.port=6432"]
    settings += ['database.user="air flow"', f'database.password="{HOSTILE}"', 'database.sslMode="require"']
    url = make_url(connection(*settings, major=major))
    assert (url.username, url.password, url.host, url.port) == ("air flow", HOSTILE, "db.example.org", 6432)
    assert (url.database, dict(url.query)) == ("airflow", {"sslmode": "require"})


def test_the_bundled_url_names_the_service() -> None:
    url = make_url(connection('database.password="given"', "database.port=6432"))
    assert (url.password, url.host, url.port) == ("given", "kubetune-database.kubetune.svc", 5432)
