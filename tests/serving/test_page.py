"""The page of an endpoint: what it says, and that nothing in it can do harm."""

import ast
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest
from huggingface_hub import InferenceClient

from kubetune.serving.archive.manifest import Archive
from kubetune.serving.gateway import page
from kubetune.serving.request import Request, from_json, request_form
from kubetune.tasks import load_task
from kubetune.text.joining import Joined
from manifests_toys import manifest, served


def rendered(archive: Archive, host: str = "localhost", **more: bool) -> str:
    return page.render_page(served(archive, **more), host)


class Blocks(HTMLParser):
    """Collects tags and the text of each `pre`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.blocks: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        del attrs
        self.tags.append(tag)
        if tag == "pre":
            self.blocks.append("")

    def handle_data(self, data: str) -> None:
        if self.blocks and self.tags[-1] == "pre":
            self.blocks[-1] += data


def test_the_examples_are_asked_at_the_address_the_page_was_asked_at() -> None:
    found = Blocks(rendered(manifest(), "localhost:8080")).blocks
    assert len(found) == 6
    for block in found[:4]:
        assert "http://localhost:8080/predictions/tweets" in block
    assert "Bearer" not in "".join(found)
    for block in found[4:]:
        assert json.loads(unescape(block))["type"] == "object"
    compile(found[1], "example", "exec")
    compile(found[2], "example", "exec")


def test_columns_that_were_joined_are_named() -> None:
    joined = replace(manifest(), texts={"text": Joined(("subject", "<b>ody"), "\n")})
    text = rendered(joined, "localhost")
    assert "<code>subject</code>, <code>&lt;b&gt;ody</code>" in text
    (*_, request, _) = Blocks(text).blocks
    forms = json.loads(unescape(request))["properties"]["inputs"]["items"]["anyOf"]
    assert set(forms[-1]["properties"]) == {"subject", "<b>ody"}
    assert "joined of" not in rendered(manifest(), "localhost")


def test_keys_are_named_where_they_are_asked_for() -> None:
    found = Blocks(rendered(manifest(), "localhost", keyed=True)).blocks
    assert all("KEY" in block for block in found[:4])


@pytest.mark.parametrize("host", ["", '"><script>', "a b", "evil/..", "a" * 300, "[::1"])
def test_a_host_that_is_none_is_not_repeated(host: str) -> None:
    found = rendered(manifest(), host)
    assert "http://HOST/predictions/tweets" in found
    assert not host or host not in found


def test_labels_are_data_and_many_are_counted() -> None:
    text = rendered(manifest("<script>alert(1)</script>", "b" * 10), "localhost")
    assert "script" not in Blocks(text).tags
    many = rendered(manifest(*(f"label-{number}" for number in range(1000))), "x")
    assert "and 800 more" in re.sub(r"\s+", " ", many)
    assert "default-src 'none'" in page.HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    "kind",
    [
        "text-classification",
        "pair-classification",
        "token-classification",
        "question-answering",
        "zero-shot-classification",
    ],
)
def test_the_examples_are_what_the_task_takes(kind: str) -> None:
    found = replace(manifest(), task=kind)
    text = rendered(found, "localhost")
    blocks = [unescape(block) for block in Blocks(text).blocks]
    task = load_task(kind)
    form = request_form(task, 4, {})
    (sent,) = re.findall(r"-d '(.*)'", blocks[0])
    (python,) = [block for block in blocks if block.startswith("import json")]
    (body,) = re.findall(r"json\.dumps\((.*)\)\.encode", python)
    for value in (json.loads(sent), ast.literal_eval(body)):
        request = from_json(value, form)
        assert isinstance(request, Request), request
        (item,) = request.items
        assert isinstance(item, tuple)
        assert {len(asked) for asked in task.asked(item, request.parameters)} == {len(task.columns)}
    calls = [block for block in blocks if "huggingface_hub" in block]
    assert all(hasattr(InferenceClient, re.findall(r"client\.(\w+)\(", block)[0]) for block in calls)
    assert [bool(calls)] == [kind != "pair-classification"]  # their client sends one text
    schema = json.loads(blocks[-1])["properties"]["results"]["items"]["oneOf"][0]["properties"]["predictions"]
    assert schema == json.loads(json.dumps(task.form.schema))
