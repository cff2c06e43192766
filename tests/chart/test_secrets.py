"""Nothing is known by default, production renders only with Secrets that exist, and notes say no secret."""

import base64
import re
from pathlib import Path

import pytest
import yaml
from chart_helm import HelmError, notes, template

from chart_world import EXAMPLES, EXISTING, named, of_kind, pods_of, rendered, values_of
from kubetune.stages import STAGES

CANARY = "canary-9c1f-never-shown"
GIVEN = (
    f'airflow.secrets.fernetKey="{base64.urlsafe_b64encode(b"k" * 32).decode()}"',
    f'airflow.secrets.apiSecretKey="{CANARY}-api"',
    f'airflow.secrets.jwtSecret="{CANARY}-jwt-of-thirty-two-characters"',
    f'airflow.auth.admin.password="{CANARY}-admin"',
    f'airflow.auth.trigger.password="{CANARY}-trigger"',
    f'database.password="{CANARY}-database"',
    'objectStore.bundled.root.user="rootuser"',
    f'objectStore.bundled.root.password="{CANARY}-root"',
    f'tracking.secrets.flaskSecretKey="{CANARY}-flask"',
    f'tracking.auth.admin.password="{CANARY}-tracking-admin"',
    f'tracking.auth.mirror.password="{CANARY}-tracking-mirror"',
    f'tracking.database.password="{CANARY}-tracking-database"',
    *(
        f'objectStore.users.{user}={{"accessKey":"{user}-key","secretKey":"{CANARY}-{user}"}}'
        for user in (
            "ingest", "fetch", "prepare", "train", "evaluate", "behave", "compare", "package", "register", "deploy",
            "serve", "housekeeping", "client", "logs", "mirror", "tracking",
        )
    ),
)  # fmt: skip


def test_production_renders_with_existing_secrets_and_makes_none_but_key_hashes() -> None:
    assert of_kind(rendered("prod"), "Secret") == []


@pytest.mark.parametrize("profile", ["prod", "dev", "kind"])
def test_no_credentials_no_render(profile: str) -> None:
    """Every missing Secret is named at once, so that one is not corrected after the other."""
    values = ["prod", EXAMPLES / "production.yaml"] if profile == "prod" else [profile]
    with pytest.raises(HelmError) as caught:
        template(values, settings=["secrets.generate=false"])
    missing = set(re.findall(r"Secret (kubetune-[a-z-]+) has no value", str(caught.value)))
    assert missing >= {"kubetune-admin", "kubetune-airflow", "kubetune-database", "kubetune-trigger"}
    more = {"dev": [], "prod": ["logs"], "kind": ["logs", "mirror", "tracking"]}[profile]
    users = ", ".join(sorted([*(stage.name for stage in STAGES), "client", "housekeeping", "serve", *more]))
    assert ("kubetune-tracking-admin" in missing) == (profile == "kind")
    assert f"users {users} have no keys" in str(caught.value)
    assert "existingSecret" in str(caught.value)


def test_production_generates_nothing() -> None:
    with pytest.raises(HelmError, match=r"secrets\.generate is true, which global\.production refuses"):
        template(values_of("prod"), settings=["secrets.generate=true"])


def test_production_wants_keys_of_endpoints() -> None:
    with pytest.raises(HelmError, match=r"serving\.endpoints\.open has no API keys"):
        template(values_of("prod"), settings=["serving.endpoints.open={}"])


def test_given_secrets_are_rendered_the_same_each_time_and_nowhere_else() -> None:
    settings = ("secrets.generate=false", *GIVEN)
    first = template(["kind"], settings=settings)
    assert first == template(["kind"], settings=settings)
    found = rendered("kind", settings=settings)
    assert len(of_kind(found, "Secret")) >= 14
    others = [item for item in found if item["kind"] != "Secret"]
    assert CANARY not in yaml.safe_dump(others)
    encoded = base64.b64encode(CANARY.encode()).decode().rstrip("=")[:-2]
    assert encoded not in yaml.safe_dump(others)
    assert encoded in yaml.safe_dump(of_kind(found, "Secret")), "the canary must be somewhere for this to mean anything"


def test_no_two_generated_secrets_are_equal_or_short() -> None:
    values = [
        value
        for secret in of_kind(rendered("kind"), "Secret")
        for key, value in secret["data"].items()
        if re.search("password|secret|fernet", key)
    ]
    assert len(values) >= 15
    assert len(set(values)) == len(values)
    assert min(len(base64.b64decode(value)) for value in values) >= 20


def test_generated_secrets_survive_an_uninstall() -> None:
    for secret in of_kind(rendered("kind"), "Secret"):
        assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep", secret["metadata"]["name"]


@pytest.mark.parametrize("profile", ["dev", "kind", "prod", "all-features"])
def test_no_secret_is_a_variable(profile: str) -> None:
    """Variables leak in dumps and crash reports; secrets are files."""
    shown = [
        f"{pod} {container['name']} {entry['name']}"
        for pod in pods_of(rendered(profile))
        for container in pod.containers
        for entry in container.get("env", [])
        if "secretKeyRef" in entry.get("valueFrom", {})
    ]
    assert shown == []


@pytest.mark.parametrize("major", [3, 4])
def test_notes_say_what_next_and_no_secret(tmp_path: Path, major: int) -> None:
    values = tmp_path / "given.yaml"
    text = template(["kind"], settings=GIVEN, major=major)  # the same values render, so what follows is about notes
    assert CANARY not in text
    values.write_text(yaml.safe_dump(nested(GIVEN)), encoding="utf-8")
    shown = notes(["kind", values], major=major, folder=tmp_path / "copy")
    assert CANARY not in shown
    assert base64.b64encode(CANARY.encode()).decode()[:20] not in shown
    assert "kubetune-tracking-admin" in shown
    for wanted in ("helm test kubetune", "kubetune-admin", "kubetune submit", "predictions/tweets", "30080"):
        assert wanted in shown


def nested(settings: tuple[str, ...]) -> dict:
    """The pairs as a values file."""
    values: dict = {}
    for setting in settings:
        path, _, value = setting.partition("=")
        *parents, last = path.split(".")
        node = values
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = yaml.safe_load(value)
    return values


def test_the_keys_of_an_endpoint_are_hashes_in_the_form_that_the_gateway_reads() -> None:
    from kubetune.serving.gateway.keys import parse_keys

    secret = named(rendered("all-features"), "Secret", "kubetune-endpoint-keys-tweets")
    keys, wrong = parse_keys(secret["stringData"]["keys"])
    assert [key.name for key in keys] == ["tests"]
    assert wrong == ()


def test_existing_secrets_replace_every_secret_of_ours() -> None:
    found = template(["kind", EXISTING])
    assert "kind: Secret" not in found
