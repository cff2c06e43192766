"""Statements and lineage from commits: what they hold, that they are pure, and that a broken chain is seen."""

import json
import os
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

import chain_toys
from kubetune.contract import Verdict
from kubetune.errors import DataError
from kubetune.execution.champion import ChampionInput
from kubetune.provenance.chain import archive_of, chain_of
from kubetune.provenance.envelope import canonical_bytes
from kubetune.provenance.lineage import lineage, tree_of
from kubetune.provenance.lineage_page import page
from kubetune.provenance.lineage_text import tree_text
from kubetune.provenance.statement import build_statement, differing_stages
from kubetune.storage.versions import NO_CHAMPION

ARCHIVE = chain_toys.digest("file", "archive")
GOLDEN = Path(__file__).parent / "golden" / "lineage.txt"
HELD_BACK = Verdict(99, ("macro-F1 is not shown to be higher: 0.012 (95 % -0.003 to 0.027).",))


@pytest.fixture
def commits() -> dict:
    return chain_toys.commits()


def test_a_statement_holds_the_whole_chain(commits, statement) -> None:
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "archive.json", "digest": {"sha256": ARCHIVE}}]
    stages = {link["stage"]: link for link in statement["predicate"]["stages"]}
    assert list(stages)[-1] == "package" and set(stages) == set(commits)
    for name, link in stages.items():
        assert link["key"] == commits[name].key
        assert set(link["inputs"]) == set(chain_toys.INPUTS[name])
        assert set(link["outputs"]) == set(chain_toys.OUTPUTS[name])
        assert link["metrics"] == commits[name].metrics and link["locks"] == commits[name].locks
        assert link["image"] == commits[name].image and link["packages"] == {"torch": "2.15.0"}
    assert stages["fetch"]["identity"].startswith("hub:")
    assert statement["predicate"]["decision"] == {"outcome": "promote"}
    assert statement["predicate"]["model"] == "tweets"
    places = {name: number for number, name in enumerate(stages)}
    for name, link in stages.items():  # sources first
        assert all(
            places[chain_toys_producer(artifact)] < places[name]
            for artifact in link["inputs"]
            if artifact != "champion"
        )


def chain_toys_producer(artifact: str) -> str:
    return next(stage for stage, names in chain_toys.OUTPUTS.items() if artifact in names)


def test_equal_chains_are_equal_statements_whatever_the_run_and_the_order(statement) -> None:
    other = chain_toys.commits("another-7")
    other = {name: replace(commit, attempt="adopted:tweets-1:x") for name, commit in other.items()}
    values = list(reversed(chain_toys.as_json(other)))
    assert canonical_bytes(build_statement("tweets", ARCHIVE, values, {"outcome": "promote"})) == canonical_bytes(
        statement
    )


def test_what_the_archive_does_not_need_is_left_out(commits) -> None:
    stray = replace(commits["train"], stage="sweep", inputs={}, outputs={"other": commits["train"].outputs["model"]})
    assert [link.stage for link in chain_of([stray.to_json(), *chain_toys.as_json(commits)])][-1] == "package"
    assert "sweep" not in [link.stage for link in chain_of([stray.to_json(), *chain_toys.as_json(commits)])]


def test_a_digest_that_does_not_fit_is_refused(commits) -> None:
    for stage, names in chain_toys.INPUTS.items():
        for name in set(names) - {"champion"}:
            broken = {**commits, stage: replace(commits[stage], inputs={**commits[stage].inputs, name: "0" * 64})}
            with pytest.raises(DataError, match=f"Stage {stage} read {name} 000000000000"):
                build_statement("tweets", ARCHIVE, chain_toys.as_json(broken))


def test_what_is_no_run_with_an_archive_is_refused(commits) -> None:
    with pytest.raises(DataError, match="is a8f8cb7af872, not 000000000000"):
        build_statement("tweets", "0" * 64, chain_toys.as_json(commits))
    del commits["package"]
    with pytest.raises(DataError, match="holds an archive"):
        archive_of(chain_toys.as_json(commits))
    with pytest.raises(DataError, match="holds 'archive'"):
        chain_of(chain_toys.as_json(commits))
    with pytest.raises(DataError, match="cannot be read"):
        chain_of([{"format": 1}])
    with pytest.raises(DataError, match="cannot be read"):
        chain_of([{**commits["train"].to_json(), "format": 2}])


def test_a_statement_says_where_another_run_differs(commits, statement) -> None:
    assert differing_stages(statement, chain_toys.as_json(commits)) == []
    elsewhere = {**commits, "train": replace(commits["train"], image="sha256:other", locks={})}
    assert differing_stages(statement, chain_toys.as_json(elsewhere)) == []
    better = {**commits, "evaluate": replace(commits["evaluate"], metrics={"accuracy": 1.0})}
    assert differing_stages(statement, chain_toys.as_json(better)) == ["evaluate"]


def test_the_tree_is_the_golden_one(commits) -> None:
    commits["compare"] = replace(commits["compare"], verdict=HELD_BACK)
    text = tree_text(lineage(chain_toys.as_json(commits)), f"Lineage of tweets-1, served as archive {ARCHIVE[:12]}")
    if os.environ.get("KUBETUNE_TEST_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_the_tree_of_a_statement_is_that_of_its_run(commits, statement) -> None:
    from kubetune.provenance.chain import Link

    links = [Link(**link) for link in statement["predicate"]["stages"]]
    assert tree_of(links) == lineage(chain_toys.as_json(commits))


def test_json_of_a_tree_is_complete(commits) -> None:
    found = lineage(chain_toys.as_json(commits)).to_json()
    assert json.loads(json.dumps(found)) == found
    assert found["artifact"] == "archive" and found["stage"] == "package" and len(found["digest"]) == 64
    assert [node["artifact"] for node in found["inputs"]] == ["tokenizer", "model", "report", "behaviour", "decision"]
    assert found["inputs"][0]["identity"].startswith("hub:")
    report = found["inputs"][2]
    assert report["metrics"] == chain_toys.METRICS["evaluate"] and report["inputs"][0]["again"]


class Outside(HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        names = {name for name, _ in attrs}
        if tag in {"script", "link", "img", "iframe", "object", "embed"} or names & {
            "src",
            "href",
            "onload",
            "onclick",
        }:
            self.found.append(tag)


def test_the_page_needs_and_runs_nothing_and_escapes_all(commits) -> None:
    evil = "</title></svg><script>alert(1)</script>"
    commits["fetch"] = replace(commits["fetch"], fields={**commits["fetch"].fields, "identity": evil}, image=evil)
    commits["evaluate"] = replace(commits["evaluate"], verdict=Verdict(77, (evil,)), metrics={evil: 1.0})
    text = page(chain_of(chain_toys.as_json(commits)), evil, evil)
    watching = Outside()
    watching.feed(text)
    assert not watching.found and "<script" not in text
    assert text.count("&lt;script&gt;") >= 5
    drawing = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    assert len([part for part in drawing if part.tag == "rect"]) == len(commits)
    for commit in commits.values():
        assert commit.key in text
    for link in chain_of(chain_toys.as_json(commits)):
        assert all(digest in text for digest in link.outputs.values())


def test_lanes_of_the_picture_never_overlap(commits) -> None:
    from kubetune.provenance.lineage_picture import lanes_of, placed

    boxes = placed(chain_of(chain_toys.as_json(commits)))
    lanes = lanes_of(boxes)
    assert set(lanes) == {name for names in chain_toys.OUTPUTS.values() for name in names} - {"archive"}
    spans: dict = {}
    for row, box in enumerate(boxes):
        for port in box.ports:
            spans.setdefault(port.artifact, []).append(row)
    for one in lanes:
        for other in lanes:
            if one < other and lanes[one] == lanes[other]:
                assert max(spans[one]) < min(spans[other]) or max(spans[other]) < min(spans[one]), (one, other)


def test_a_first_model_names_no_champion_from_outside(commits) -> None:
    assert "champion " in tree_text(lineage(chain_toys.as_json(commits)), "with one")
    nobody = ChampionInput(NO_CHAMPION).digest
    compare = commits["compare"]
    first = commits | {"compare": replace(compare, inputs={**compare.inputs, "champion": nobody})}
    values = chain_toys.as_json(first)
    said = tree_text(lineage(values), "first")
    assert "champion" not in said and "from outside the run" not in said
    assert f"champion {nobody[:12]}" not in page(chain_of(values), "first", "")
