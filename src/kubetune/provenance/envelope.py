"""DSSE: a signature over a payload and its type, so that nothing signed for one purpose passes for another.

The envelope is that of https://github.com/secure-systems-lab/dsse, the payload an in-toto Statement, the signatures
Ed25519: deterministic, so equal content and equal key give equal bytes.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetune.errors import ConfigError, DataError
from kubetune.provenance.keys import key_id

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

RULE = "statement"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://kubetune.io/chain/v1"
MOST_BYTES = 1 << 20
MOST_SIGNATURES = 16
SIGNATURE_BYTES = 64


class EnvelopeError(DataError):
    """What was read is no envelope that counts here.

    Attributes:
        why: What is wrong with it, without saying what it was to be.
    """

    def __init__(self, why: str) -> None:
        super().__init__(RULE, f"The archive's statement is not valid: {why}.")
        self.why = why


@dataclass(frozen=True)
class Envelope:
    """A signed payload, taken apart.

    Attributes:
        payload: The signed bytes.
        payload_type: What they are.
        signatures: (key id, signature) each; the key id is a hint and nothing rests on it.
    """

    payload: bytes
    payload_type: str
    signatures: tuple[tuple[str, bytes], ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding of type and payload."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(value: Mapping[str, Any], key: "Ed25519PrivateKey", kind: str = PAYLOAD_TYPE) -> dict[str, Any]:
    """Return the envelope of a statement, or of another value of a named type, signed with one key."""
    payload = canonical_bytes(value)
    signature = {
        "keyid": key_id(key.public_key()),
        "sig": base64.b64encode(key.sign(pae(kind, payload))).decode(),
    }
    return {"payload": base64.b64encode(payload).decode(), "payloadType": kind, "signatures": [signature]}


def verify_envelope(
    envelope: Mapping[str, Any], model: str, digest: str, keys: "Mapping[str, Ed25519PublicKey]"
) -> dict[str, Any]:
    """Return the statement in an envelope if a trusted key signed it and it is of this archive as this model's.

    Args:
        envelope: As it was read.
        model: Registered model that the archive is to be a version of: a good model of another task may be signed too.
        digest: SHA-256 (hex) of the archive's `archive.json`.
        keys: Trusted keys by key id.

    Raises:
        DataError: It is not; rule `statement`.
    """
    statement = signed_value(envelope, keys)
    found = (statement.get("_type"), statement.get("predicateType"))
    if found != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise _refused(f"it states {found[1]!r:.80} in the form {found[0]!r:.80}, allowed is {PREDICATE_TYPE}")
    subjects = statement.get("subject")
    stated = [_sha256(subject) for subject in subjects] if isinstance(subjects, list) else []
    if digest not in stated:
        raise _refused(f"it is of archive {str(stated[0])[:12] if stated else 'none'}, not of {digest[:12]}")
    _verify_model(statement, model)
    return statement


def signed_value(
    envelope: Mapping[str, Any], keys: "Mapping[str, Ed25519PublicKey]", kind: str = PAYLOAD_TYPE
) -> dict[str, Any]:
    """Return the JSON object in an envelope if a trusted key signed it as this type.

    Args:
        envelope: As it was read.
        keys: Trusted keys by key id.
        kind: Payload type.

    Raises:
        DataError: It is of another type, or no trusted key signed it.
    """
    parsed = parse_envelope(envelope)
    if parsed.payload_type != kind:
        raise _refused(f"its payload is of type {parsed.payload_type!r:.80}, allowed is {kind}")
    _verify_signature(parsed, keys)
    return load_json(parsed.payload)


def _verify_model(statement: Mapping[str, Any], model: str) -> None:
    predicate = statement.get("predicate")
    stated = predicate.get("model") if isinstance(predicate, dict) else None
    if stated is None:
        raise _refused("it names no model, so it was signed by an older version: run the recipe again")
    if stated != model:
        raise _refused(f"it is of model {stated!r:.80}, not of {model!r:.80}")


def _verify_signature(envelope: Envelope, keys: "Mapping[str, Ed25519PublicKey]") -> None:
    from cryptography.exceptions import InvalidSignature

    signed = pae(envelope.payload_type, envelope.payload)
    for _, signature in envelope.signatures:
        for key in keys.values():
            try:
                key.verify(signature, signed)
                return
            except InvalidSignature:
                continue
    names = sorted({name for name, _ in envelope.signatures})
    if known := [name for name in names if name in keys]:
        raise _refused(f"the signature by key {known[0][:12]} is not of this content, so one of them was changed")
    raise _refused(
        f"it is signed by {', '.join(repr(name[:12]) for name in names) or 'nobody'}, trusted are "
        f"{', '.join(sorted(name[:12] for name in keys))}"
    )


def parse_envelope(value: Mapping[str, Any]) -> Envelope:
    """Take an envelope apart; members that DSSE does not have are ignored.

    Raises:
        DataError: It is none.
    """
    try:
        signatures = value["signatures"]
        if not isinstance(signatures, list) or len(signatures) > MOST_SIGNATURES:
            raise ValueError(f"it has no list of at most {MOST_SIGNATURES} signatures")
        taken = tuple((str(item.get("keyid", "")), _decode(item["sig"])) for item in signatures)
        if any(len(signature) != SIGNATURE_BYTES for _, signature in taken):
            raise ValueError(f"a signature does not have {SIGNATURE_BYTES} bytes")
        if not isinstance(value["payloadType"], str):
            raise TypeError("its payload has no type")
        return Envelope(_decode(value["payload"]), value["payloadType"], taken)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refused(f"it is no DSSE envelope ({type(error).__name__}: {error!s:.100})") from error


def read_envelope(path: Path) -> dict[str, Any]:
    """Read an envelope from a file of at most 1 MiB.

    Raises:
        DataError: There is none, it is larger, or it is no JSON.
        ConfigError: It may not be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise _refused(f"there is no {path}") from None
    except OSError as error:
        raise ConfigError(f"The statement {path} cannot be read ({error.strerror}).") from error
    return load_json(data)


def load_json(data: bytes) -> dict[str, Any]:
    """Read a JSON object; a name that stands there twice is refused, since two readers could take different ones.

    Raises:
        DataError: It is none, or has more than 1 MiB.
    """
    if len(data) > MOST_BYTES:
        raise _refused(f"it is larger than {MOST_BYTES >> 20} MiB")
    try:
        value = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _refused(f"it is no whole JSON ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise _refused("it is no JSON object")
    return value


def canonical_bytes(value: Mapping[str, Any]) -> bytes:
    """Return the bytes of a value: JSON with sorted keys, no spaces, finite numbers only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _decode(text: Any) -> bytes:
    """Strict base64: one spelling for each content."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("its base64 is not canonical")
    return data


def _sha256(subject: Any) -> Any:
    digest = subject.get("digest") if isinstance(subject, dict) else None
    return digest.get("sha256") if isinstance(digest, dict) else None


def _refused(why: str) -> EnvelopeError:
    return EnvelopeError(why)
