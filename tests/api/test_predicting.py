"""One model asked in process and over HTTP gives the same answers, and each wrong way says what is wrong."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kubetune as kt
import toys
from kubetune.models.history import pull
from kubetune.serving import request as body
from kubetune.serving.predictor import Refusal
from kubetune.storage.open import open_store
from loopback import QuietHandler, serving

pytestmark = pytest.mark.slow

ASKED = ["we love the food", "", {"text": "a nasty day"}, {"words": "x"}, "x" * 10_001]


@pytest.fixture(scope="module")
def predictor(place: Path) -> kt.TextPredictor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBETUNE_STATE_DIR", str(place / "state"))
        return kt.load_predictor("toy-1", store=place / "store")


@pytest.fixture(scope="module")
def url(predictor: kt.TextPredictor) -> Iterator[str]:
    """The archive behind HTTP, with the server's own reader and writer of bodies, and a key."""
    model = predictor._predictor

    class Handler(QuietHandler):
        def answer(self) -> None:
            raw = self.body()
            if self.headers.get("Authorization") not in (None, "Bearer right"):
                self.send(401, b'{"error": {"reason": "no such key"}}')
                return
            form = body.request_form(model.task, 64, model.archive.texts)
            request = body.parse_request(raw, self.headers["Content-Type"], form)
            assert isinstance(request, body.Request), request
            answers = iter(model.predict([item for item in request.items if not isinstance(item, Refusal)]))
            outcomes = [item if isinstance(item, Refusal) else next(answers) for item in request.items]
            status, text = body.answer(request, outcomes, model.task, model.archive.labels, 1)
            self.send(status, text.encode(), Content_Type="application/json")

    with serving(Handler) as address:
        yield f"{address}/predictions/toy"


def test_the_predictor_answers_as_was_evaluated(predictor: kt.TextPredictor, place: Path) -> None:
    table = kt.open_run("toy-1", store=place / "store").predictions()
    found = predictor.predict(list(table["raw_text"]))
    assert [one.label for one in found] == list(table["prediction"])
    assert [one.score for one in found] == pytest.approx(list(table["confidence"]), abs=1e-3)
    assert predictor.labels == toys.LABELS


def test_refused_items_are_beside_answered_ones(predictor: kt.TextPredictor) -> None:
    found = predictor.predict(ASKED)
    assert [one.status for one in found] == [200, 422, 200, 400, 413]
    assert [bool(one.reason) for one in found] == [False, True, False, True, True]
    assert [one.item for one in found] == ASKED
    assert all((one.label is None) == (one.score is None) == (not one.scores) == (one.status != 200) for one in found)
    answered = found[0]
    assert sum(answered.scores.values()) == pytest.approx(1.0) and answered.score == max(answered.scores.values())
    assert len(predictor.predict(["fine"], top_k=1)[0].scores) == 1
    assert predictor.predict([]) == []


def test_an_endpoint_answers_as_the_predictor_does(predictor: kt.TextPredictor, url: str, here: Path) -> None:
    assert kt.EndpointClient(url).predict(ASKED) == predictor.predict(ASKED)
    many = [row["text"] for row in toys.toy_rows(70)]
    assert kt.EndpointClient(url, key="right").predict(many, top_k=1) == predictor.predict(many, top_k=1)
    assert kt.EndpointClient(url).predict([]) == []


@pytest.mark.parametrize("ask", ["predictor", "endpoint"])
def test_a_lone_text_or_no_labels_are_refused(ask: str, predictor: kt.TextPredictor, url: str, here: Path) -> None:
    asked: Any = predictor if ask == "predictor" else kt.EndpointClient(url)
    for items in ("a text", {"text": "a text"}):
        with pytest.raises(kt.ConfigError, match="Give a list of texts"):
            asked.predict(items)
    with pytest.raises(kt.ConfigError, match="top_k is 0"):
        asked.predict(["a text"], top_k=0)


def test_an_endpoint_that_does_not_answer_or_exist_is_said(url: str, here: Path) -> None:
    with pytest.raises(kt.TemporaryError, match="Nothing answers at"):
        kt.EndpointClient("http://127.0.0.1:9/predictions/toy").predict(["a"])
    with pytest.raises(kt.ConfigError, match="set KUBETUNE_API_KEY to a key that opens it") as refused:
        kt.EndpointClient(url, key="a-wrong-secret").predict(["a"])
    assert "a-wrong-secret" not in str(refused.value)
    with pytest.raises(kt.ConfigError, match="'toy' does not exist on this machine"):
        kt.EndpointClient("toy").predict(["a"])
    with pytest.raises(kt.ConfigError, match="Which endpoint is meant"):
        kt.EndpointClient().predict(["a"])


def test_an_archive_in_a_folder_is_loaded_and_a_wrong_one_is_not(
    here: Path, tmp_path: Path, predictor: kt.TextPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pull(open_store(str(here / "store")), "toy-1", ["archive"], tmp_path)["archive"]
    assert kt.load_predictor(folder).predict(["a good day"]) == predictor.predict(["a good day"])
    with pytest.raises(kt.ConfigError, match="is no archive"):
        kt.load_predictor(tmp_path)
    golden = folder / "golden.json"
    golden.chmod(0o644)
    content = golden.read_text(encoding="utf-8")
    golden.write_text(content + " ", encoding="utf-8")
    with pytest.raises(kt.CorruptArtifactError, match=r"golden\.json"):
        kt.load_predictor(folder)
    monkeypatch.setenv("KUBETUNE_TRUSTED_KEYS", str(tmp_path / "keys.pem"))
    with pytest.raises(kt.ConfigError, match="give its run"):
        kt.load_predictor(folder)


def test_an_archive_that_gives_other_answers_is_not_loaded(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every digest is right, and the numbers are not: a library that computes otherwise."""
    from kubetune.serving.archive.manifest import read_archive, write_manifest

    folder = pull(open_store(str(here / "store")), "toy-1", ["archive"], tmp_path)["archive"]
    archive = read_archive(folder)
    golden = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    for vector in golden["vectors"]:
        vector["scores"] = {name: 1 - value for name, value in vector["scores"].items()}
        first = next(iter(vector["scores"]))
        vector["scores"][first] += 0.2
    for name in ("golden.json", "archive.json"):
        (folder / name).chmod(0o644)
    (folder / "golden.json").write_text(json.dumps(golden), encoding="utf-8")
    write_manifest(folder, archive)
    with pytest.raises(kt.KubetuneError, match="does not reproduce what was evaluated: golden vector"):
        kt.load_predictor(folder)


def test_a_run_without_archive_or_signature_is_refused(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubetune.provenance.keys import write_key_pair  # a real key that signed nothing

    with pytest.raises(kt.ConfigError, match="stage package has not committed it"):
        kt.load_predictor("toy-2")
    write_key_pair(tmp_path / "signer")
    (public,) = (tmp_path / "signer").glob("*.pub")
    monkeypatch.setenv("KUBETUNE_TRUSTED_KEYS", str(public))
    with pytest.raises(kt.DataError, match="statement"):
        kt.load_predictor("toy-1")


def test_a_run_is_started_in_the_main_thread(here: Path) -> None:
    raised: list[BaseException] = []

    def start() -> None:
        try:
            kt.run(kt.load_recipe("toy.yaml"), until="ingest")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert isinstance(raised[0], kt.ConfigError) and "main thread" in str(raised[0])


def test_the_page_about_python_runs_as_it_stands(own: Path, url: str) -> None:
    """Each block, in order; a toy recipe stands in for a reader's, and its two runs for theirs."""
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
    ours = page.replace("mine.yaml", "toy.yaml").replace("http://127.0.0.1:8080/predictions/tickets", url)
    blocks = re.findall(r"```python\n(.*?)```", ours.replace("tickets", "toy"), re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["run"].name == "toy-1" and len(names["wrong"]) == (~names["rows"]["correct"]).sum()
    assert set(re.findall(r"\bkt\.(\w+)", page)) <= set(kt.__all__)
