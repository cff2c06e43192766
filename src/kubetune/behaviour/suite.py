"""What a suite of behavioural tests may say: a closed schema, a docstring a field."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from kubetune.schema.section import Section
from kubetune.text.languages import TAG

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9 ,'-]{0,79}$")]
"""Lower-case words: it stands in tables and sentences."""
Entry = Annotated[str, Field(min_length=1, max_length=300)]
Template = Entry | tuple[Entry, Entry] | tuple[Entry, Entry, Entry]
"""A text, a pair, or a pair and what its second text is compared with. Placeholders are such as `{food}`; `{food}`
twice is the same entry, `{food#2}` another one of the list."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Capability(Section):
    """Something a model must be able to do; the bar holds for each of its tests."""

    at_most: float | None = Field(default=None, ge=0, lt=1)
    """Highest failure rate of any of its tests; None: shown, not judged."""
    bound: Literal["lower", "point", "upper"] = "lower"
    """What must pass: the `lower` end of the 95 % interval (a miss is certain: with some thirty tests a suite, chance
    alone would refuse sound models at the point), the rate itself, or the `upper` end (a pass is certain)."""


class RowInputs(Section):
    """Which of the given rows (the test split) are inputs."""

    labels: list[str] = Field(default_factory=list)
    """Only rows with one of these labels; empty: all rows, unlabelled ones too."""
    longest_words: int | None = Field(default=None, ge=1)
    """Only rows of at most that many words in all their texts."""
    most: int | None = Field(default=None, ge=1)
    """At most so many cases, drawn by the seed; None: every row to which the perturbation applies."""


class Common(Section):
    """What all tests have."""

    expects: ClassVar[str] = "labels"
    """What of an answer the test judges: `labels` are class probabilities, `places` characters of the texts that it
    points at, `similarity` is a number of two texts, `label-sets` are any number of labels. A task without them refuses
    the suite."""

    name: Name
    """Unique in the suite."""
    capability: Name
    """One of `capabilities`."""
    most: int = Field(default=200, ge=1)
    """At most so many cases out of templates, drawn by the seed, each template in equal parts."""


class MinimumFunctionality(Common):
    """Filled templates have one right answer."""

    kind: Literal["mft"]
    """Minimum functionality test."""
    templates: list[Template] = Field(min_length=1)
    """Texts with placeholders, or pairs of them."""
    expect: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
    """The right label, or several that are right."""


class Perturbed(Common):
    """Inputs and what is done to them."""

    templates: list[Template] = Field(default_factory=list)
    """Inputs from templates; give either these or `rows`."""
    rows: RowInputs | None = None
    """Inputs from the given rows."""
    perturb: str
    """Name of a perturbation."""
    using: str | None = None
    """Lexicon that the perturbation draws from; None: its shipped list."""
    column: Literal[0, 1] = 0
    """Which text of a pair is perturbed."""
    times: int = Field(default=1, ge=1, le=10)
    """How often the perturbation is applied in turn."""
    variants: int = Field(default=1, ge=1, le=50)
    """Draws an input; the case fails where any of them does, so that cases stay independent."""

    @model_validator(mode="after")
    def one_origin(self) -> "Perturbed":
        """Templates and rows are two populations: their rates must not be mixed."""
        if bool(self.templates) == (self.rows is not None):
            raise ValueError("give exactly one of templates and rows")
        return self


class Invariance(Perturbed):
    """The predicted label must stay the same."""

    kind: Literal["inv"]
    """Invariance test."""


class Direction(Perturbed):
    """The probability of a label must move as stated."""

    kind: Literal["dir"]
    """Directional expectation test."""
    label: str
    """Whose probability."""
    moves: Literal["up", "down", "not-up", "not-down"]
    """`up` and `down`: it must move by more than `by`, or end beyond 0.99 or 0.01. `not-…`: it may move that way by
    `by` and no more."""
    by: float = Field(default=0.0, ge=0, lt=1)
    """A difference of probabilities."""


class Kept(Perturbed):
    """The answer must point at the same places, moved by what the perturbation did to the characters."""

    expects: ClassVar[str] = "places"

    kind: Literal["kept"]
    """Invariance test of answers that point at characters: entities, or the answer to a question."""


class Similar(Perturbed):
    """The similarity of two texts must move as stated, or stay."""

    expects: ClassVar[str] = "similarity"

    kind: Literal["similar"]
    """Directional expectation test of a similarity."""
    perturb: str | None = None  # type: ignore[assignment]
    """Name of a perturbation; null: each template has three texts, and the third one takes the place of the second."""
    moves: Literal["up", "down", "not-up", "not-down", "stays"]
    """As of kind `dir`; `stays`: it may move by `by` either way."""
    by: float = Field(default=0.0, ge=0, lt=2)
    """A difference of similarities."""

    @model_validator(mode="after")
    def has_another_text(self) -> "Similar":
        """A pair alone has nothing to be compared with."""
        if self.perturb is None and (self.rows is not None or any(len(each) != TRIPLE for each in self.templates)):
            raise ValueError("name a perturbation in `perturb`, or give templates of three texts")
        return self


class ChosenLabels(Perturbed):
    """The labels that the model chooses must stay, however many they are."""

    expects: ClassVar[str] = "label-sets"

    kind: Literal["chosen"]
    """Invariance test of any number of labels."""
    may_gain: bool = False
    """Whether others may be chosen as well, as where a second text was set beside."""
    ignore: list[str] = Field(default_factory=list)
    """Labels that may come and go, as one that says that there is no other; the model need not have them."""


TRIPLE = 3
"""Texts of a template that compares two pairs."""
AnyTest = Annotated[
    MinimumFunctionality | Invariance | Direction | Kept | Similar | ChosenLabels, Field(discriminator="kind")
]


class Suite(Section):
    """A set of behavioural tests for one kind of model."""

    keeps_order: ClassVar[bool] = True

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    """Lower-case letters, digits and hyphens."""
    description: Entry
    """One line."""
    language: Annotated[str, Field(pattern=TAG)] | None = None
    """Of its texts, lists and perturbations, as a BCP 47 tag: where rows have a column `language`, the suite takes
    those of this one. None: of any."""
    labels: list[str] = Field(default_factory=list)
    """Labels that the tests speak of; a model must have them. None where the tests judge no classes."""
    optional_labels: list[str] = Field(default_factory=list)
    """Labels a model may lack: a test that needs one is then left out, and the result says so."""
    lexicons: dict[Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")], Annotated[list[Entry], Field(min_length=1)]] = (
        Field(default_factory=dict)
    )
    """Lists for placeholders and perturbations, beside the shipped ones."""
    capabilities: dict[Name, Capability] = Field(min_length=1)
    """By name."""
    tests: list[AnyTest] = Field(min_length=1)
    """In the order of the table."""

    @model_validator(mode="after")
    def judges_one_thing(self) -> "Suite":
        """Labels are those of classes, and no model answers in two ways."""
        if len(self.expects) > 1:
            judged = {test.expects: test.kind for test in self.tests}
            said = " and ".join(f"kind {kind} judge {what}" for what, kind in sorted(judged.items()))
            raise ValueError(f"tests of {said}: write a suite of each")
        if self.expects == {"labels"} and len(self.labels) < 2:
            raise ValueError("`labels` must name at least two classes")
        return self

    @property
    def expects(self) -> frozenset[str]:
        """What its tests judge of answers."""
        return frozenset(test.expects for test in self.tests)
