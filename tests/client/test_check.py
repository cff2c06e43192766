"""`kubetune check`: what the pods of `helm test` say of an installation."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_server import Done, FakeAirflow
from gateways import Running, gateway
from loopback import QuietHandler, serving

Kubetune = Callable[..., Done]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A real gateway with keys, before the first deploy."""
    folder = tmp_path_factory.mktemp("gateway")
    keys = folder / "keys"
    keys.write_text(f"tests:{hashlib.sha256(b'kt_right').hexdigest()}\n", encoding="utf-8")
    with gateway(folder, api_keys_file=str(keys)) as running:
        running.wait("/readyz", 200)
        yield running


def url_of(running: Running) -> str:
    return f"http://127.0.0.1:{running.port}/predictions/toy"


def test_an_endpoint_before_its_first_deploy_passes_and_says_so(
    empty: Running, kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBETUNE_API_KEY", "kt_right")
    done = kubetune("check", "endpoint", url_of(empty))
    assert (done.code, "has no model yet" in done.out) == (0, True)


def test_an_endpoint_that_asks_for_a_key_passes_without_one_and_fails_with_a_wrong_one(
    empty: Running, kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = kubetune("check", "endpoint", url_of(empty))
    assert (done.code, "asks for a key, as it should" in done.out) == (0, True)
    monkeypatch.setenv("KUBETUNE_API_KEY", "kt_wrong")
    done = kubetune("check", "endpoint", url_of(empty))
    assert (done.code, "refuses the key" in done.last) == (78, True)


@pytest.mark.parametrize(
    ("ready", "status", "body", "code"),
    [
        (200, 200, {"predictions": [[{"label": "positive", "score": 0.9}]]}, 0),
        (503, 200, {"predictions": [[{"label": "positive", "score": 0.9}]]}, 70),
        (503, 401, {"error": {"reason": "no key"}}, 70),
        (200, 401, {"error": {"reason": "no key"}}, 0),
        (200, 500, {"error": {"reason": "broken"}}, 70),
        (200, 503, {"error": {"reason": "the model is loading"}}, 70),
    ],
)
def test_only_a_ready_pod_that_predicts_or_asks_for_a_key_passes(
    kubetune: Kubetune, ready: int, status: int, body: object, code: int
) -> None:
    class Handler(QuietHandler):
        def answer(self) -> None:
            self.body()
            shown = (ready, {}) if self.path == "/readyz" else (status, body)
            self.send(shown[0], json.dumps(shown[1]).encode(), Content_Type="application/json")

    with serving(Handler) as url:
        assert kubetune("check", "endpoint", f"{url}/predictions/toy").code == code


def test_an_endpoint_that_is_away_is_named(kubetune: Kubetune) -> None:
    done = kubetune("check", "endpoint", "http://127.0.0.1:1/predictions/toy")
    assert (done.code, "Nothing answers at http://127.0.0.1:1" in done.last) == (75, True)


def listing(airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch, dags: list[str]) -> None:
    def inside(method: str, path: str, *_: object) -> tuple[int, object]:
        assert (method, path) == ("GET", "/api/v2/dags")
        return 200, {"dags": [{"dag_id": name} for name in dags], "total_entries": len(dags)}

    monkeypatch.setattr(airflow, "inside", inside)


def test_airflow_lists_the_dags(airflow: FakeAirflow, kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch) -> None:
    listing(airflow, monkeypatch, ["housekeeping", "finetune"])
    done = kubetune("check", "airflow", "--dag", "finetune", "--wait", "0")
    assert (done.code, done.out) == (0, "Airflow lists finetune, housekeeping.\n")


def test_a_dag_that_is_missing_is_named(
    airflow: FakeAirflow, kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing(airflow, monkeypatch, ["housekeeping"])
    done = kubetune("check", "airflow", "--dag", "finetune", "--wait", "0")
    assert (done.code, "lists housekeeping, not finetune" in done.last) == (70, True)


def test_the_store_is_written(kubetune: Kubetune, tmp_path: Path) -> None:
    done = kubetune("check", "store", "--store", str(tmp_path / "store"))
    assert (done.code, "can be written" in done.out) == (0, True)


def test_a_bad_mounted_recipe_is_refused_with_the_sentence_of_a_laptop(
    kubetune: Kubetune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\ntraining: {epocs: 3}\n", encoding="utf-8")
    monkeypatch.setenv("KUBETUNE_RECIPES_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    in_cluster = kubetune("check", "recipes")
    on_laptop = kubetune("validate", "bad.yaml")
    assert in_cluster.code == on_laptop.code == 78
    assert "epocs" in on_laptop.last
    # A mounted recipe is known by its name, a file by its own.
    assert in_cluster.last.replace("bad has", "bad.yaml has") == on_laptop.last


def test_good_mounted_recipes_pass(kubetune: Kubetune, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBETUNE_RECIPES_DIR", str(recipe.parent))
    done = kubetune("check", "recipes")
    assert (done.code, done.out) == (0, "toy: the recipe is valid.\n1 mounted recipes.\n")
