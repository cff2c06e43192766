"""The form of an endpoint's page: what a browser sends, what a person reads, and what another site cannot do."""

import base64
import http.client
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway_in_process import NAME, InProcess, gateway_before
from kubetune.serving.gateway import page
from kubetune.serving.gateway.answer_view import view_of
from kubetune.serving.gateway.keys import KeyRing, new_key
from kubetune.serving.predictor import Predictor
from kubetune.serving.protocols import web_form
from kubetune.serving.protocols.base import Received
from kubetune.tasks import load_task
from manifests_toys import manifest, served

FORM = web_form.KINDS[0]


class Tags(HTMLParser):
    """Tags with their attributes, and the words that a person reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def live(predictor: Predictor) -> Iterator[InProcess]:
    with gateway_before(predictor) as found:
        yield found


def submit(
    live: InProcess, fields: Any, path: str = "/", method: str = "POST", **headers: str
) -> tuple[int, dict[str, str], str]:
    """Send a form as a browser does."""
    connection = http.client.HTTPConnection(live.address, timeout=30)
    given = {name.replace("_", "-"): text for name, text in {"Content_Type": FORM, **headers}.items()}
    body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
    connection.request(method, path, body if method == "POST" else None, given)
    reply = connection.getresponse()
    content = reply.read().decode()
    connection.close()
    return reply.status, {name.lower(): text for name, text in reply.getheaders()}, content


@pytest.mark.parametrize("path", ["/", f"/predictions/{NAME}"])
def test_a_text_is_answered_in_the_page(live: InProcess, path: str) -> None:
    opened = Tags(submit(live, {}, path, "GET", Accept="text/html")[2])
    assert [each["name"] for each in opened.named("textarea", "input", "select")] == ["text.text", "parameter.top_k"]
    (form,) = opened.named("form")
    assert (form["method"], form["action"]) == ("post", "#try")
    status, headers, text = submit(live, {"text.text": "a good day\r\n<b>x</b>", "parameter.top_k": ""}, path)
    answered = Tags(text)
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert json.loads(live.asked[-1]) == {"inputs": [{"text": "a good day\n<b>x</b>"}], "all_scores": True}
    assert "positive" in answered.text and re.search(r"\d\d\.\d%", answered.text)
    assert len([each for each in answered.named("span") if each.get("class") == "fill"]) == 2
    assert not answered.named("script", "b", "img", "iframe", "link") or "<b>x</b>" not in text
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "form-action 'self'" in headers["content-security-policy"] and headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"text.text": " "}, 422, "Text is empty after cleaning"),
        ({"text.text": "x" * 5000}, 413, "Text has 5000 characters: at most 2000 are allowed"),
        ({"text.text": "a", "parameter.top_k": "0"}, 400, "`top_k` must be a whole number from 1"),
        ({"text.text": "a", "parameter.top_k": "many"}, 400, "`top_k` must be a whole number from 1"),
        ({"text.text": "a", "text.other": "b"}, 400, "the form has no field `text.other`"),
        ({}, 422, "Text is empty after cleaning"),
        ([("text.text", "a"), ("text.text", "b")], 400, "field `text.text` of the form is there twice"),
        ([(f"f{n}", "") for n in range(65)], 400, "it has at most 64 fields"),
        (b"text.text=%ff", 400, "the form cannot be read"),
        (b"text.text=\xff", 400, "the form cannot be read"),
    ],
)
def test_a_form_that_is_wrong_is_told_so_in_the_page(live: InProcess, fields: Any, status: int, sentence: str) -> None:
    found, headers, text = submit(live, fields)
    assert (found, headers["content-type"].partition(";")[0]) == (status, "text/html")
    assert sentence in Tags(text).text
    assert "default-src 'none'" in headers["content-security-policy"]


def test_what_was_typed_stays(live: InProcess) -> None:
    _, _, text = submit(live, {"text.text": "\"'><i>good</i> {{ 7 * 7 }}", "parameter.top_k": "1"})
    tags = Tags(text)
    assert not tags.named("i") and "{{ 7 * 7 }}" in tags.text
    assert [each.get("value") for each in tags.named("input")] == ["1"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://HOST"}, 200),
        ({"Origin": "https://HOST", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Origin": "https://evil.example", "Sec_Fetch_Site": "same-origin"}, 200),  # behind a proxy with its own name
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://HOST.evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Origin": "http://HOST", "Sec_Fetch_Site": "same-site"}, 403),
    ],
)
def test_another_site_cannot_send_the_form(live: InProcess, headers: dict[str, str], status: int) -> None:
    before = len(live.asked)
    given = {name: text.replace("HOST", live.address) for name, text in headers.items()}
    found, _, text = submit(live, {"text.text": "a good day"}, **given)
    assert found == status
    assert ("sent by another site" in text) == (status == 403) and (len(live.asked) > before) == (status == 200)


def test_a_browser_shows_its_key_as_a_password_and_on_the_page_alone(predictor: Predictor, tmp_path: Path) -> None:
    (alice, line), (bob, other) = new_key("alice"), new_key("bob")
    (tmp_path / "keys").write_text(f"{line}\n{other}:another")
    with gateway_before(predictor, KeyRing(tmp_path / "keys")) as live:

        def login(key: str) -> dict[str, str]:
            return {"Authorization": f"Basic {base64.b64encode(f'me:{key}'.encode()).decode()}", "Accept": "text/html"}

        status, headers, text = submit(live, {}, "/", "GET", Accept="text/html")
        assert status == 401 and headers["www-authenticate"].startswith("Basic realm=")
        assert "positive" not in text
        for path in ("/", f"/predictions/{NAME}", "/openapi.json"):
            assert submit(live, {}, path, "GET", **login(alice))[0] == 200
        status, _, text = submit(live, {"text.text": "a good day"}, **login(alice))
        assert status == 200 and alice not in text
        assert submit(live, {"text.text": "a good day"}, **login(bob))[0] == 403
        for wrong in (
            "Basic",
            "Basic %%%",
            "Basic " + base64.b64encode(b"\xff:\xff").decode(),
            login("kt_wrong")["Authorization"],
        ):
            status, headers, _ = submit(live, {"text.text": "a"}, Authorization=wrong)
            assert status == 401 and headers["www-authenticate"].startswith("Basic")
        # The browser would send the login to any path: a page of another site could then ask with it.
        for path in (f"/predictions/{NAME}", f"/v2/models/{NAME}/infer"):
            status, headers, _ = submit(live, b"{}", path, **{**login(alice), "Content_Type": "application/json"})
            assert status == 401 and headers["www-authenticate"].startswith("Bearer")


VECTOR = ("normalize", "truncate", "truncation_direction", "encoding_format")
CANDIDATES = ("candidate_labels", "hypothesis_template", "multi_label", "top_k")
CONTROLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pair-classification": (("text", "text_pair"), ("top_k",)),
    "question-answering": (("question", "context"), ()),
    "token-classification": (("text",), ()),
    "feature-extraction": (("text",), VECTOR),
    "zero-shot-classification": (("premise",), CANDIDATES),
    "text-classification-multi-label": (("text",), ("top_k", "threshold")),
}


@pytest.mark.parametrize("kind", CONTROLS)
def test_each_task_has_its_fields(kind: str) -> None:
    tags = Tags(page.render_page(served(manifest(task=kind)), "localhost"))
    texts, parameters = CONTROLS[kind]
    expected = [*(f"text.{name}" for name in texts), *(f"parameter.{name}" for name in parameters)]
    assert [each["name"] for each in tags.named("textarea", "input", "select")] == expected
    assert not tags.named("script")


@pytest.mark.parametrize(
    ("kind", "fields", "asked"),
    [
        (
            "zero-shot-classification",
            {"text.premise": "a", "parameter.candidate_labels": "bug, praise,", "parameter.multi_label": "true"},
            {
                "inputs": [{"premise": "a"}],
                "candidate_labels": ["bug", "praise"],
                "multi_label": True,
                "all_scores": True,
            },
        ),
        (
            "zero-shot-classification",
            {"text.premise": "a", "parameter.candidate_labels": "bug, or not\r\npraise\r\n", "parameter.top_k": "2"},
            {"inputs": [{"premise": "a"}], "candidate_labels": ["bug, or not", "praise"], "top_k": 2},
        ),
        (
            "text-classification-multi-label",
            {"text.text": "a", "parameter.threshold": "0.5"},
            {"inputs": [{"text": "a"}], "threshold": 0.5, "all_scores": True},
        ),
        (
            "text-classification-multi-label",
            {"text.text": "a", "parameter.threshold": "tuned"},
            {"inputs": [{"text": "a"}], "threshold": "tuned", "all_scores": True},
        ),
        (
            "question-answering",
            {"text.question": "who", "text.context": "Ada\r\ncame"},
            {"inputs": [{"question": "who", "context": "Ada\ncame"}]},
        ),
        (
            "pair-classification",
            {"text.text": "a", "text.text_pair": ""},
            {"inputs": [{"text": "a"}], "all_scores": True},
        ),
    ],
)
def test_fields_become_a_request(kind: str, fields: dict[str, str], asked: dict[str, Any]) -> None:
    received = Received(urlencode(fields).encode(), FORM, {})
    assert json.loads(web_form.read_request(received, served(manifest(task=kind))).body) == asked


def entity(start: int, end: int, name: str, text: str) -> dict[str, Any]:
    return {"entity_group": name, "score": 0.9, "word": text[start:end], "start": start, "end": end}


def rendered(kind: str, texts: dict[str, str], prediction: Any) -> Tags:
    tried = page.Tried({f"text.{name}": text for name, text in texts.items()}, prediction)
    return Tags(page.render_page(served(manifest(task=kind)), "localhost", tried))


def test_entities_are_marked_in_their_text() -> None:
    text = "Ada <met> Bob in K\u00f6ln \U0001f600 and Ada"
    spans = [entity(0, 3, "PER", text), entity(10, 13, "PER", text), entity(17, 21, "LOC", text)]
    tags = rendered("token-classification", {"text": text}, spans)
    assert [each["class"] for each in tags.named("mark")] == ["h0", "h0", "h1"]
    assert "Ada PER <met> Bob PER in K\u00f6ln LOC \U0001f600 and Ada" in tags.text
    assert "Nothing was found" in rendered("token-classification", {"text": text}, []).text


def test_an_answer_is_shown_in_its_context() -> None:
    context = "word " * 60 + "Ada came. " + "word " * 60
    found = {"answer": "Ada", "score": 0.87, "start": 300, "end": 303}
    tags = rendered("question-answering", {"question": "Who came?", "context": context}, found)
    assert len(tags.named("mark")) == 1 and "Ada 87.0% sure" in tags.text
    empty = {"answer": "", "score": 0.6, "start": 0, "end": 0}
    tags = rendered("question-answering", {"question": "Who came?", "context": context}, empty)
    assert not tags.named("mark") and "There is no answer in this text. 60.0% sure" in tags.text


def test_labels_are_bars_numbers_are_none_and_many_are_counted() -> None:
    schema = load_task("text-classification").form.schema
    many = view_of(("a",), [{"label": str(n), "score": 0.01} for n in range(100)], schema)
    assert (len(many.bars), many.more, many.headline) == (30, 70, "0")
    score = view_of(
        ("a",), [{"label": "score", "score": 4.25}], load_task("text-classification-regression").form.schema
    )
    assert (score.headline, score.bars[0].share) == ("4.25", None)
    several = load_task("text-classification-multi-label").form.schema
    labels = [{"label": "a", "score": 0.6, "chosen": True}, {"label": "b", "score": 0.5, "chosen": False}]
    assert view_of(("a",), labels, several).headline == "a"
    assert view_of(("a",), labels[1:], several).headline == "None of its labels."
    assert view_of(("a",), [3.0, 4.0], load_task("feature-extraction").form.schema).note == "length 5.0000"
