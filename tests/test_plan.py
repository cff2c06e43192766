"""The plan is data: derived edges, one row a stage, a golden listing."""

from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kubetune.cli.app import app
from kubetune.config.load import load_recipe
from kubetune.errors import ConfigError
from kubetune.plan import call_of, plan
from kubetune.stages import PRODUCER, STAGES

GOLDEN = """\
stage     after                                reads                                      writes             does
ingest    -                                    -                                          raw                freezes the data at a revision, with digests
fetch     -                                    -                                          tokenizer weights  freezes the pretrained model and its tokenizer
prepare   ingest fetch                         raw tokenizer                              dataset            cleans, checks, labels, splits and tokenises the rows; writes a data report
train     prepare fetch                        dataset tokenizer weights                  model              fine-tunes on 0, 1 or N devices, resumes from verified checkpoints
evaluate  prepare fetch train                  dataset tokenizer model                    report             measures on the test rows, writes the report and the verdict
behave    prepare fetch train evaluate         dataset tokenizer model report             behaviour          runs the behavioural tests of a suite, writes what failed and the verdict
compare   prepare train evaluate behave        dataset model report behaviour             decision           compares with the champion on the same test rows and decides who serves
package   fetch train evaluate behave compare  tokenizer model report behaviour decision  archive            builds the served directory with golden vectors and a model card
register  compare package                      decision                                   -                  records the version and makes it the champion if the decision says so
deploy    package register                     archive                                    -                  points an endpoint at the champion's archive and waits until it answers the golden vectors
"""  # noqa: E501


def test_the_printed_plan_is_the_golden_one() -> None:
    shown = CliRunner().invoke(app, ["plan", "tweets"])
    assert shown.exit_code == 0
    assert [line.split() for line in shown.stdout.splitlines()] == [line.split() for line in GOLDEN.splitlines()]


def test_each_stage_has_a_body_a_test_and_inputs_that_somebody_writes() -> None:
    for stage in STAGES:
        module, _, function = stage.entry.partition(":")
        assert callable(getattr(import_module(module), function))
        assert (Path(__file__).parent / "stages" / f"test_{stage.name}.py").is_file()
        assert all(name in PRODUCER for name in stage.inputs)


def test_a_stage_comes_after_what_it_reads() -> None:
    seen: set[str] = set()
    for call in plan(load_recipe("tweets"), "tweets-1"):
        assert set(call.after) <= seen
        seen.add(call.stage.name)


@pytest.mark.parametrize("run", ["", "Tweets", "a" * 54, "-a", "a-", "a_b", "../x", "a/b", "a\n"])
def test_a_run_id_that_would_not_fit_everywhere_is_refused(run: str) -> None:
    with pytest.raises(ConfigError, match="lower-case letters, digits and inner hyphens"):
        plan(load_recipe("tweets"), run)


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ConfigError, match="allowed are ingest, fetch"):
        call_of("trian", load_recipe("tweets"), "r")
