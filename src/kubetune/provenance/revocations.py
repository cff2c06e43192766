"""The signed list of versions whose signatures ended: what a server asks for beside an archive's own statement.

A signature itself has no end, so whoever serves needs a second word. The list is one for all models, counts its changes
(`epoch`), and is signed as a payload of its own type, so that neither passes for the other. No list is no permission.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kubetune.errors import DataError
from kubetune.provenance.envelope import EnvelopeError, sign, signed_value

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT = 1
RULE = "revoked"
PAYLOAD_TYPE = "application/vnd.kubetune.revocations+json"
WEIGHTS = "model"
"""Output of the chain that holds the trained weights: packaged anew they are another archive, and the same model."""


@dataclass(frozen=True)
class Revocation:
    """One version that is not to be served any more.

    Attributes:
        model: Registered model.
        version: Its number.
        archive: Digest by which it is served.
        weights: Digest of the trained model's file list; every archive of these weights is refused as this model's.
        by: Who ended it.
        why: One sentence.
        at: Time of day (ISO 8601).
    """

    model: str
    version: int
    archive: str
    weights: str
    by: str
    why: str
    at: str

    def sentence(self) -> str:
        """Say who ended it, when and why."""
        return f"version {self.version} of {self.model} was revoked by {self.by} at {self.at} ({self.why})"


@dataclass(frozen=True)
class Revocations:
    """The list.

    Attributes:
        epoch: Grows by one with each change, from 1; a list with a lower one than was seen is an old one.
        entries: What is revoked, oldest first.
    """

    epoch: int = 0
    entries: tuple[Revocation, ...] = ()

    def of(self, model: str, archive: str, weights: str | None = None) -> Revocation | None:
        """Return why an archive is not to be served as a model's; None: it may be."""
        for entry in self.entries:
            if entry.model == model and (
                entry.archive == archive or (weights is not None and entry.weights == weights)
            ):
                return entry
        return None

    def signed(self, key: "Ed25519PrivateKey") -> dict[str, Any]:
        """Return its envelope."""
        value = {"format": FORMAT, "epoch": self.epoch, "revoked": [asdict(entry) for entry in self.entries]}
        return sign(value, key, PAYLOAD_TYPE)


def verify_revocations(envelope: Mapping[str, Any], keys: "Mapping[str, Ed25519PublicKey]") -> Revocations:
    """Return the list in an envelope if a trusted key signed it.

    Raises:
        DataError: It is not, or has another form; rule `revoked`.
    """
    try:
        value = signed_value(envelope, keys, PAYLOAD_TYPE)
    except EnvelopeError as error:
        raise DataError(RULE, f"The list of revoked versions is not valid: {error.why}.") from error
    try:
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']!r:.20} is unknown")
        entries = tuple(Revocation(**entry) for entry in value["revoked"])
        return Revocations(int(value["epoch"]), entries)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(RULE, f"The list of revoked versions has another form ({error!s:.100}).") from error


def weights_of(statement: Mapping[str, Any]) -> str | None:
    """Return the digest of the trained weights that a statement's chain names; None: it names none."""
    for link in statement["predicate"].get("stages", ()):
        if WEIGHTS in link.get("outputs", {}):
            return str(link["outputs"][WEIGHTS])
    return None
