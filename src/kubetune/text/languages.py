"""Languages as BCP 47 tags, and as data sets write them in a column."""

from collections.abc import Mapping
from types import MappingProxyType

TAG = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
COLUMN = "language"
"""Column whose values are languages, as the Hub's data sets name it."""
ENGLISH = "en"
OTHER_NAMES: Mapping[str, str] = MappingProxyType({"eng": ENGLISH, "english": ENGLISH})
"""How a column may write a language that something here is made for."""


def primary(value: str) -> str:
    """Return the language of a tag or a cell without script and region: `en` of `en-GB`, `EN_us` and `English`."""
    name = value.strip().replace("_", "-").partition("-")[0].lower()
    return OTHER_NAMES.get(name, name)
