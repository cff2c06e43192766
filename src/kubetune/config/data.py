"""Section `data`: the rows, how they are read, cleaned, labelled and split."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from kubetune.config.data_sources import DataSource
from kubetune.schema.numbers import as_written
from kubetune.schema.section import Section
from kubetune.text.label_names import label_name
from kubetune.text.languages import TAG

CleaningStep = Literal[
    "unicode-nfc", "html", "urls", "mentions", "hashtags", "whitespace", "lower-case", "emoji-keep", "emoji-spell"
]
REQUEST_KEYS = frozenset({"inputs", "parameters", "top_k", "all_scores"})
"""Keys of a request that are no text."""


class Columns(Section):
    """Names of the source's columns."""

    text: str | list[str] | None = None
    """The text; several columns are joined to one text, in training and by the server alike. None: the column that the
    task's data usually have, see [Tasks](tasks.md)."""
    text_pair: str | list[str] | None = None
    """Second text, or the columns of it, of tasks that have two. None: as for `text`."""
    separator: str = Field(default="\n", max_length=20)
    """Between joined columns; a column that is missing or blank in a row is left out with its separator. Cleaning step
    `whitespace` makes one blank of a line end."""
    label: str | None = "label"
    """The truth. Left out: the column that the task's data usually have; null only with `weak_labels`, and for tasks
    without one."""
    negative: str | None = None
    """Embeddings of pairs that belong together: a text that does not belong to the row's anchor, though it seems to (a
    hard negative). Other rows' anchors of a micro-batch are told from it too."""
    keep: list[str] = Field(default_factory=list)
    """Further columns carried along, for slices."""
    group: str | None = None
    """Column whose rows of one value stay in one split: a document, a person, a template."""

    @field_validator("text", "text_pair")
    @classmethod
    def can_be_asked(cls, value: str | list[str] | None) -> str | list[str] | None:
        """A request to the server may name joined columns, beside the keys that it has anyway."""
        if isinstance(value, list):
            if not value or len(set(value)) < len(value):
                raise ValueError("a list of columns to join must name at least one, each once")
            if taken := sorted(set(value) & REQUEST_KEYS):
                raise ValueError(f"column {taken[0]} cannot be joined, as requests have a key of that name: rename it")
        return value

    @model_validator(mode="after")
    def told_apart(self) -> "Columns":
        """A key of a request must belong to one text."""
        first = set(self.text) if isinstance(self.text, list) else {"text"}
        second = set(self.text_pair) if isinstance(self.text_pair, list) else {"text_pair"}
        if both := sorted((first | {"text"}) & (second | {"text_pair"})):
            raise ValueError(f"column {both[0]} is part of both texts: a request could not tell them apart")
        if self.label in {name for of in (self.text, self.text_pair) if isinstance(of, list) for name in of}:
            raise ValueError(f"label names {self.label}, which is a text as well: the model would read its own answer")
        return self

    @model_validator(mode="after")
    def distinct(self) -> "Columns":
        """A model that reads its own label learns nothing else, and what groups rows is not what they say."""
        roles = {"text": self.text, "text_pair": self.text_pair, "label": self.label, "negative": self.negative}
        given = [(role, name) for role, of in roles.items() for name in ([of] if isinstance(of, str) else of or [])]
        for place, (role, name) in enumerate(given):
            for earlier, other in given[:place]:
                if name == other:
                    raise ValueError(f"{earlier} and {role} name the same column {name!r:.80}: name two")
        return self

    @model_serializer(mode="wrap")
    def as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a negative that is not set, so that recipes from before there were some keep their stages' keys."""
        found: dict[str, Any] = dump(self)
        return {name: value for name, value in found.items() if name != "negative" or value is not None}


class WeakLabels(Section):
    """Labels for unlabelled text from a published rule set."""

    kind: Literal["vader"] = "vader"
    """VADER compound polarity (Hutto and Gilbert, ICWSM 2014)."""
    positive_from: float = Field(default=0.05, ge=-1, le=1)
    """A compound score at or above this is `positive`."""
    negative_to: float = Field(default=-0.05, ge=-1, le=1)
    """A compound score at or below this is `negative`; what lies between is `neutral`."""

    @model_validator(mode="after")
    def ordered(self) -> "WeakLabels":
        """The two thresholds must leave a middle."""
        if self.negative_to >= self.positive_from:
            raise ValueError("negative_to must be less than positive_from")
        return self


class Splits(Section):
    """How a pool is split; ignored for splits that the source already has."""

    validation: float = Field(default=0.1, ge=0, lt=1)
    """Share of the pool."""
    test: float = Field(default=0.1, ge=0, lt=1)
    """Share of the pool."""
    seed: int = 0
    """Another seed draws other splits."""

    @model_validator(mode="after")
    def leaves_train(self) -> "Splits":
        """Something must be left to train on."""
        if as_written(self.validation) + as_written(self.test) >= 1:
            raise ValueError("validation + test must be less than 1, so that rows are left for train")
        return self


class DataSection(Section):
    """The rows."""

    source: DataSource
    encoding: str = "utf-8"
    """Of text files; decoding is strict. Any Python codec name."""
    columns: Columns = Columns()
    languages: list[Annotated[str, Field(pattern=TAG)]] | None = Field(default=None, min_length=1)
    """Of the texts, as BCP 47 tags such as `[en, de]`: what is made for English alone (cleaning step `emoji-spell`,
    `weak_labels`, the shipped suites) is then refused, or takes the English rows. None: not stated."""
    cleaning: list[CleaningStep] = Field(default=["unicode-nfc", "whitespace"])
    """Applied in this order, by `prepare` and by the server alike. None at all for tasks whose answers point at
    characters of the text."""
    min_characters: int = Field(default=1, ge=0)
    """Shorter cleaned text is rejected."""
    max_characters: int = Field(default=20_000, ge=1)
    """Longer cleaned text is rejected."""
    labels: list[str] | None = None
    """Allowed labels in the order of their numbers; None: taken from train, sorted."""
    label_numbers: Literal["auto", "names"] | Annotated[int, Field(ge=-1, le=1)] = "auto"
    """What integers in the label column are: `names` of classes, or numbers of `labels` whose first is this one.
    `auto` decides it once for the column and says so; refused (65) where it would be a guess."""
    missing_labels: list[str] = Field(default=["null", "none", "nan", "na", "n/a", "<na>", "#n/a", "#na", "-nan"])
    """Label cells that mean that there is no label, in any case, as an empty cell does; what `labels` lists is none."""
    label_separator: str | None = Field(default=None, min_length=1, max_length=10)
    """Multi-label: what stands between the labels of a text cell. None: a cell is a list, or holds one label."""
    empty_labels: Literal["refuse", "keep"] = "refuse"
    """Multi-label: whether a row without any label is one, or is rejected."""
    score_range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Regression: least and most score; what lies outside is rejected. None: any finite number."""
    tag_repair: Literal["refuse", "begin"] = "refuse"
    """Tags that break IOB2 (`I-X` that continues no `X`): the row is rejected, or the tag begins an entity."""
    rare_class_rows: int = Field(default=10, ge=0, le=1_000_000)
    """A class with fewer rows of train is named as rare."""
    weak_labels: WeakLabels | None = None
    """Drawn from the cleaned text with its case and emoji, which the rules read, whatever `cleaning` makes of them."""
    duplicates: Literal["remove-from-train", "keep"] = "remove-from-train"
    """Texts equal after normalisation: within train, and in train where validation or test has them."""
    conflicts: Literal["drop", "majority", "first", "keep", "refuse"] = "drop"
    """Equal train texts with unequal labels. `majority` drops ties; `refuse` exits 65."""
    group_by: Literal["auto", "texts", "text", "text-pair", "either"] = "auto"
    """What keeps rows in one split, beside `columns.group`: all texts of a row together, one of them, or either.
    `auto`: the context of a question, else all texts."""
    splits: Splits = Splits()
    limit: int | None = Field(default=None, ge=10)
    """Stratified number of rows over all splits, in proportion; None: all."""
    max_reject_share: float = Field(default=0.05, ge=0, le=1)
    """More rejected rows than this share of all stop the run (65)."""
    max_unknown_share: float = Field(default=0.2, ge=0, le=1)
    """A larger share of train's tokens that the tokenizer does not know stops the run (65)."""

    @field_validator("labels")
    @classmethod
    def classes(cls, value: list[str] | None) -> list[str] | None:
        """Names as they are read from cells: at least two, none blank, no two alike."""
        if value is None:
            return value
        names = [label_name(name) for name in value]
        for given, name in zip(value, names, strict=True):
            if not name:
                raise ValueError("a name is empty: give every class a name")
            if given != given.strip():
                raise ValueError(f"{given!r:.80} has white space at an end, which label cells lose: write {name!r:.80}")
        alike = sorted({name for name in names if names.count(name) > 1})
        if alike:
            raise ValueError(f"{alike[0]!r:.80} is there twice (Unicode forms do not count): give each class once")
        return names

    @field_validator("score_range")
    @classmethod
    def least_first(cls, value: list[float] | None) -> list[float] | None:
        """A range has a length."""
        if value is not None and value[0] >= value[1]:
            raise ValueError("its first number must be less than its second: write [least, most]")
        return value

    @model_validator(mode="after")
    def labelled_once(self) -> "DataSection":
        """Labels are given or weak, never both."""
        if self.columns.label is not None and self.weak_labels is not None:
            raise ValueError("weak_labels needs columns.label=null: labels are given or weak, never both")
        if isinstance(self.label_numbers, int) and self.labels is None:
            raise ValueError("label_numbers counts the names of labels, which are not given: list them")
        if self.min_characters > self.max_characters:
            raise ValueError("min_characters is greater than max_characters")
        return self
