"""Each perturbation by examples, and what all of them promise."""

import gc
import subprocess
import sys
import time

import pytest

from kubetune.behaviour.lexicons import shipped_lexicon, shipped_lexicons
from kubetune.behaviour.perturbations import PERTURBATIONS, ListPerturbation, perturb
from kubetune.behaviour.typos import NEIGHBOURS
from kubetune.behaviour.words import negations, protected
from kubetune.errors import ConfigError

SENTENCES = [["It was all fine.", "Nothing new."]]
EXAMPLES = [
    ("contract", "I do not think it is good, and we are not happy.", "I don't think it's good, and we're not happy."),
    ("contract", "I am here and Anna will not come.", "I'm here and Anna won't come."),
    ("contract", "Yes, it is.", None),
    ("contract", "You cannot win, I have been told.", "You can't win, I've been told."),
    ("expand", "I don't think it's good, and we aren't happy.", "I do not think it is good, and we are not happy."),
    ("expand", "I’m sure they won’t come.", "I am sure they will not come."),
    ("expand", "It's been a long day.", None),
    ("expand", "Isn't it good?", None),
    ("expand", "Isn't Anna here?", None),
    ("expand", "Don't go there.", "Do not go there."),
    ("expand", "It's late, don't you think?", "It is late, don't you think?"),
    ("contract", "That's what it is and what it was.", None),
    ("negate", "We can win.", "We cannot win."),
    ("affirm", 'He said "not today" and left.', 'He said "today" and left.'),
    ("punctuation-add", "look at https://example.org/a", None),
    ("punctuation-add", "wonderful #weather", None),
    ("expand", "I CAN'T wait", "I CANNOT wait"),
    ("negate", "The food is good.", "The food is not good."),
    ("negate", "I loved the film.", "I did not love the film."),
    ("negate", "She really enjoys it.", "She really does not enjoy it."),
    ("negate", "They are here and it is late.", "They are not here and it is late."),
    ("negate", "I'm happy", "I'm not happy"),
    ("negate", "It's a good film", "It's not a good film"),
    ("negate", "Is it good?", None),
    ("negate", "The food is not good.", None),
    ("negate", "Good food!", None),
    ("affirm", "The food is not good.", "The food is good."),
    ("affirm", "The food isn't good.", "The food is good."),
    ("affirm", "I can't recommend it.", "I can recommend it."),
    ("affirm", "Won't come back", "Will come back"),
    ("affirm", "I would never go.", "I would go."),
    ("affirm", "I do not know nobody.", None),
    ("affirm", "There was no coffee.", None),
    ("affirm", "Never again", None),
    ("upper-case", "see https://example.org/Ab @Me now", "SEE https://example.org/Ab @Me NOW"),
    ("lower-case", "SEE https://example.org/Ab Now", "see https://example.org/Ab now"),
    ("lower-case", "already low", None),
    ("punctuation-add", "no end", "no end."),
    ("punctuation-drop", "The end!!", "The end"),
    ("punctuation-drop", "The end?", None),
    ("punctuation-drop", "...", None),
    ("emoji-drop", "good 🎉🎉 day ❤️", "good day"),
    ("emoji-drop", "good day", None),
    ("swap-number", "It was 10/10, $45, 5 stars, 20 stars, 1999, 30% and 7:30", None),
    ("swap-name", "anna", None),
    ("swap-name", "@Anna #Anna www.Anna.org", None),
    ("synonym", "nothing listed here", None),
    ("intensify", "It is not good.", None),
    ("intensify", "It is very good.", None),
    ("intensify", "It is a good film.", None),
    ("break-agreement", "The dog is here.", "The dog are here."),
    ("break-agreement", "Is it here?", None),
    ("break-order", "We saw the dog.", "We saw dog the."),
    ("repeat-word", "We saw the dog.", "We saw the the dog."),
    ("repeat-word", "We saw dogs.", None),
    ("typo", "I am not so", None),
    ("typo", "@someone never https://example.org/long", None),
]
TEXTS = (
    "I do not think it's good: Anna paid 350 in Lisbon, but she isn't happy about the movie.",
    "Nobody told Peter that the big shop in Kenya never opens! See www.example.org/Nothing @nobody #notgood 🎉",
    "They are friendly and I loved the helpful nurse; we'll be back, we won't wait",
    "note that nose and None are words, knot and cant too",
    "THE SERVICE WAS BAD AND WE ARE NOT AMUSED",
    "Ça n'est pas l’été — 東京は静か。 Привет, мир 👩‍👩‍👧",
    "lone \ud800 surrogate is bad",
    "x",
    "  spaces  are   kept \n and lines are too ",
    "(*[regex] signs? a\\b {brace} are fine$",
)


@pytest.mark.parametrize(("name", "text", "wanted"), EXAMPLES)
def test_examples(name: str, text: str, wanted: str | None) -> None:
    assert {perturb(name, text, str(seed)) for seed in range(5)} == {wanted}


def entries_of(name: str) -> list[list[str]] | None:
    chosen = PERTURBATIONS[name]
    return SENTENCES if isinstance(chosen, ListPerturbation) and chosen.lexicon is None else None


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_promises(name: str) -> None:
    """Deterministic, never empty, never the same text; where the meaning is kept, so is the number of negations."""
    applied = 0
    for text in TEXTS:
        for seed in map(str, range(8)):
            changed = perturb(name, text, seed, entries_of(name))
            assert changed == perturb(name, text, seed, entries_of(name))
            if changed is None:
                continue
            applied += 1
            assert changed.strip()
            assert changed != text
            if PERTURBATIONS[name].keeps_meaning:
                assert negations(changed) == negations(text), (text, changed)
            kept = [text[start:end] for start, end in protected(text)]
            assert [span for span in kept if span not in changed] == [], (text, changed)
    assert applied
    assert perturb(name, "", "0", entries_of(name)) is None
    assert perturb(name, " \n ", "0", entries_of(name)) is None


HOSTILE = (
    "good ",
    "@a ",
    "Anna film a ",
    ".",
    "is ",
    "not ",
    "www.a #b it's ",
    "\u00e9",
    "a\u2019",
    "12 ",
    "\U0001f389",
)


def _seconds(name: str, characters: int) -> float:
    gc.disable()  # else it walks what all tests before have left
    try:
        began = time.process_time()
        for piece in HOSTILE:
            perturb(name, piece * (characters // len(piece)) + "x", "0", entries_of(name))
        return time.process_time() - began
    finally:
        gc.enable()


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_long_hostile_texts_take_linear_time(name: str) -> None:
    """Four times the characters take four times as long; what is quadratic takes 16 times, and seconds."""
    assert _seconds(name, 20_000) < 9 * _seconds(name, 5_000) + 0.5


@pytest.mark.parametrize("name", ["typo", "typo-swap", "typo-drop", "typo-repeat", "typo-neighbour"])
def test_a_typo_is_one_slip_behind_the_first_letter(name: str) -> None:
    for seed in map(str, range(40)):
        changed = perturb(name, "The wonderful weather stayed", seed)
        assert changed is not None
        words = zip(["The", "wonderful", "weather", "stayed"], changed.split(), strict=True)
        slipped = [(old, new) for old, new in words if old != new]
        assert len(slipped) == 1
        old, new = slipped[0]
        assert old[0] == new[0]
        assert abs(len(old) - len(new)) <= 1
        if name == "typo-swap":
            assert sorted(old) == sorted(new)
        if name == "typo-neighbour":
            assert next(b in NEIGHBOURS[a] for a, b in zip(old, new, strict=True) if a != b)


def test_other_names_stay_in_their_group_and_change_wherever_they_stand() -> None:
    women, _ = shipped_lexicon("names")
    found = {perturb("swap-name", "Anna said she knew Anna. Annabel too.", str(seed)) for seed in range(200)}
    assert found == {f"{name} said she knew {name}. Annabel too." for name in women if name != "Anna"}


def test_synonyms_keep_case_and_article() -> None:
    assert perturb("synonym", "A Film and a FILM", "0") == "A Movie and a MOVIE"
    assert perturb("synonym", "an ill man", "0") is None  # `an sick man` would be wrong


def test_numbers_keep_their_digits() -> None:
    for seed in map(str, range(50)):
        changed = perturb("swap-number", "We saw 45 birds in 1999.", seed)
        assert changed is not None
        assert changed.endswith("birds in 1999.")
        assert len(changed) == len("We saw 45 birds in 1999.")


def test_a_number_is_never_drawn_again() -> None:
    """Drawing the number itself would take a row out of the test, which the table would not show."""
    assert all(perturb("swap-number", "We saw 45 birds.", str(seed)) is not None for seed in range(500))


def test_sentences_are_parted_by_a_full_stop() -> None:
    assert perturb("append", "It rained", "0", [["We left."]]) == "It rained. We left."
    assert perturb("append", "It rained!", "0", [["We left."]]) == "It rained! We left."
    assert perturb("prepend", "It rained", "0", [["We left."]]) == "We left. It rained"


def test_the_same_in_another_process() -> None:
    program = (
        "from kubetune.behaviour.perturbations import PERTURBATIONS, perturb\n"
        f"print([perturb(n, {TEXTS[0]!r}, '7') for n in PERTURBATIONS if n not in ('append', 'prepend')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "123"}
    )
    names = [name for name in PERTURBATIONS if name not in ("append", "prepend")]
    assert done.stdout.strip() == repr([perturb(name, TEXTS[0], "7") for name in names])


@pytest.mark.parametrize(
    ("name", "entries", "why"),
    [("no-such", None, "allowed are typo"), ("typo", SENTENCES, "takes no list"), ("append", None, "needs a list")],
)
def test_wrong_use_is_refused(name: str, entries: list[list[str]] | None, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        perturb(name, "text", "0", entries)


def test_shipped_lists_are_clean() -> None:
    """No entry is empty or twice in a list, and none negates: it would turn round what it is put into."""
    assert len(shipped_lexicons()) == 6
    for name in shipped_lexicons():
        entries = [entry for group in shipped_lexicon(name) for entry in group]
        assert len(entries) == len(set(entries)) >= 6, name
        assert all(entry.strip() == entry and entry and negations(entry) == 0 for entry in entries), name
