import re
from functools import partial
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from kubetune.comparison.report_parts import CONTENTS, SECTIONS, insert
from kubetune.evaluation.assessment import Assessment
from kubetune.evaluation.report import Evidence, render_report
from kubetune.metrics.catalogue import CLASSES
from kubetune.tasks.classes import in_words

HOSTILE = '<script>alert(1)</script> =HYPERLINK("http://evil.example") \x1b[31m\u202e<!channel> ' + "long " * 100
VOID = {"meta", "link", "br", "img", "hr", "input"}
SPEC = {
    "task": "text-classification",
    "architecture": "stock",
    "head": {"kind": "stock", "dropout": 0.1},
    "encoder_dropout": None,
    "max_length": 64,
}

EVALUATION = {"step": 9, "epoch": 1.0, "train_loss": 0.7, "validation": {"loss": 0.6, "macro_f1": 0.8}}
TRAINING = {
    "best": {"metric": "macro_f1", "value": 0.8} | EVALUATION,
    "evaluations": [EVALUATION],
    "steps": 9,
    "rows": 1234,
    "tokens": 5678,
    "padding_ratio": 1.034,
    "stopped_early": False,
    "precision": "fp32",
    "parameters": [{"shape": [10, 4], "trainable": True}, {"shape": [10], "trainable": False}],
    "settings": {"learning_rate": 2e-4, "schedule": "linear", "batch": 32, "seed": 0},
}


class Page(HTMLParser):
    """Collects tags, attributes, ids and text; complains of tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text, self.open = "", list[str]()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def page_of(made: tuple[Assessment, pa.Table], **evidence: object) -> str:
    assessment, table = made
    names = assessment.document["labels"]
    dataset = {
        "labels": names,
        "splits": {"train": 10, "validation": 5, "test": table.num_rows},
        "label_counts": {split: [2] * len(names) for split in ("train", "validation", "test")},
        "cleaning": ["unicode-nfc"],
        "max_length": 64,
    }
    document = {**assessment.document, "task": "text-classification"}
    return render_report(document, Evidence(table, CLASSES, partial(in_words, labels=names), dataset, SPEC, **evidence))


def test_hostile_text_is_shown_harmless(assessed) -> None:
    page = page_of(assessed(names=("<b>x</b>", "cross\u202e", "glad"), text=HOSTILE))
    found = Page(page)
    assert "script" not in found.tags
    assert "b" in found.tags  # ours, in the mistakes
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    shown = re.findall(r'<blockquote dir="auto">(.*?)</blockquote>', page)
    assert shown
    assert all(len(text.replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", '"')) <= 200 for text in shown)


def test_the_page_needs_nothing_from_outside(assessed) -> None:
    page = page_of(assessed(), training=TRAINING)
    found = Page(page)
    assert not found.open
    assert not {"script", "link", "iframe", "img", "object", "embed", "base", "form"} & set(found.tags)
    for name, value in found.attributes:
        assert not name.startswith("on")
        if name in ("href", "src", "xlink:href"):
            assert (value or "").startswith("#")
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_the_page_is_well_formed_and_its_anchors_exist(assessed) -> None:
    found = Page(page_of(assessed(), training=TRAINING))
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    anchors = {value.removeprefix("#") for name, value in found.attributes if name == "href" and value}
    assert {"headline", "mistakes", "training", "method"} <= anchors <= set(ids)
    labelled = {value for name, value in found.attributes if name == "aria-labelledby"}
    assert labelled <= set(ids)


def test_the_page_is_byte_stable(assessed) -> None:
    first, second = (page_of(assessed(slices=["length", "label", "place"])) for _ in range(2))
    assert first == second


def test_the_verdict_comes_first_with_its_reasons(assessed) -> None:
    bars = [{"metric": "macro_f1", "at_least": 0.99}]
    refused = Page(page_of(assessed(thresholds=bars))).text
    assert refused.index("Refused") < refused.index("at least 0.99 is required: missed by") < refused.index("Headline")
    passed = Page(page_of(assessed(thresholds=[{"metric": "macro_f1", "at_least": 0.1}]), thresholds=1)).text
    assert "The recipe's one threshold is met" in passed


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "table"), [(3, True), (30, False)])
def test_many_classes_are_a_heat_map(assessed, classes: int, table: bool) -> None:
    page = page_of(assessed(names=tuple(f"class {number}" for number in range(classes)), rows=800))
    assert ('class="confusion"' in page) == table
    assert ("Confusion matrix as a heat map" in page) != table
    assert ("<summary>All 30 rows</summary>" in page) != table
    assert ("The 24 weakest of 30 classes." in page) != table
    assert not Page(page).open


def test_no_mistakes_and_no_training_leave_no_empty_sections(assessed) -> None:
    page = page_of(assessed(strength=1e6, rows=60))
    assert "No mistakes on the test rows." in page
    assert 'id="mistakes"' not in page
    assert 'href="#mistakes"' not in page
    assert 'id="training"' not in page
    assert "Not a number" not in page
    assert "nan" not in Page(page).text


def test_facts_of_data_and_model_are_named(assessed) -> None:
    text = Page(page_of(assessed(), training=TRAINING)).text
    for fact in (
        "50, of which 40 were trained",
        "9 steps over 1,234 rows",
        "5,678, padded by a factor of 1.03",
        "of step 9, by validation macro f1 0.800",
        "0.0002, linear schedule",
        "encoder with its own classification head (dropout 0.1)",
        "unicode-nfc",
    ):
        assert fact in text


def test_slices_of_few_rows_show_no_interval(assessed) -> None:
    page = page_of(assessed(rows=60, slices=["place"]))
    row = re.search(r"<tr><th scope=\"row\"><bdi>there</bdi>.*?</tr>", page, re.DOTALL)
    assert row
    assert "few rows" in row[0]
    assert " to " not in row[0]


def test_later_stages_find_one_place_for_their_sections(assessed) -> None:
    page = page_of(assessed(text=f"{CONTENTS} {SECTIONS}", names=(SECTIONS, CONTENTS, "glad")))
    found = Page(insert(page, '<li><a href="#more">More</a></li>', '<section><h2 id="more">More</h2></section>'))
    assert found.text.index("Method") < found.text.rindex("More") < found.text.rindex("Headline")
