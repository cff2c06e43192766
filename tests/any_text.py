"""Any text for property tests: all of Unicode, and what cleaning treats specially, in any mixture."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from kubetune.text.cleaning import STEPS

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / f"kubetune-hypothesis-{os.getuid()}")
"""Its tables of Unicode: not into the folder that the tests are started from."""

FRAGMENTS = (
    *(" ", "  ", "\n", "\t", "\u00a0", "\u2028", "\u3000", "\x1f", "\x85"),
    *("\u200b", "\u200d", "\ufeff", "\u00ad", "\u200f", "\u202e", "\u2066", "\ufe0f", "\u3164", "\ufffd", "\x01"),
    *("&amp;", "&lt;", "&gt;", "&#35;", "&#x40;", "&#769;", "&#0;", "&num;", "&fjlig;", "lig;", "amp;", "&", ";"),
    *("<b>", "</p>", "<br/>", "<!--", "-->", "<", ">", "<3", "<user>", "<script ", "<?x"),
    *("https://", "http://t.co/a", "HTTPS://A", "www.", "www.x.yz/", "http", "://", ".", "/", ":", "\uff1a"),
    *("@", "@@", "@anna", "@user", "@\u5f20\u4e09:", "a@b.c", "#", "##", "#tag", "\uff03", "_", "a", "Z", "1"),
    *("e\u0301", "\u0301", "\u0316", "\u0344", "\u0338", "\u034f", "\u212b", "\u037e", "\u0130", "\u03a3", "\u1e9e"),
    *("\U0001f600", "\U0001f469\u200d\U0001f4bb", "\u2764\ufe0f", "1\ufe0f\u20e3", "#\ufe0f\u20e3", "\U0001f1e6"),
    *("\u7528\u6237", "\u0e01", "\u0939\u093f", "\u0646\u0639\u0645", "\u05d0", "\ud55c", "\U00020000"),
    *("\U0001f1ec", "\u1fef", "&nbsp;", "good", "bad day", "\x00", "\U000e0041", "\ue000"),
)  # fmt: skip
SURROGATES = ("\ud800", "\udfff")


def row_of_fragments(parts: int = 20) -> st.SearchStrategy[str]:
    """So many fragments in a row: most faults lie between two that touch, and lists would be short mostly."""
    return st.tuples(*[st.sampled_from(FRAGMENTS)] * parts).map("".join)


def any_text(parts: int = 12) -> st.SearchStrategy[str]:
    """Any string, some with fragments or lone surrogates in it, some very long."""
    fragment = st.sampled_from((*FRAGMENTS, *SURROGATES))
    mixed = st.lists(fragment | st.text(max_size=3), max_size=parts).map("".join)
    long = st.builds(str.__mul__, st.tuples(fragment, fragment, st.characters()).map("".join), st.integers(60, 400))
    return st.one_of(mixed, mixed, mixed, st.text(max_size=30), long)


def any_steps() -> st.SearchStrategy[tuple[str, ...]]:
    """Any of the cleaning steps, in any order; many rather than few, as faults lie between them."""
    left_out = st.integers(0, len(STEPS))
    return st.tuples(st.permutations(list(STEPS)), left_out).map(lambda drawn: tuple(drawn[0][drawn[1] :]))


def examples(count: int) -> Callable[..., settings]:
    """So many examples, the same at each run, without a clock or a folder."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
