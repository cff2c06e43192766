"""DSSE by its published vector, and what must be refused: every changed byte, every other key, every other archive."""

import base64
import copy
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import chain_toys
from kubetune.errors import ConfigError, DataError
from kubetune.provenance.envelope import (
    MOST_BYTES,
    PAYLOAD_TYPE,
    canonical_bytes,
    load_json,
    pae,
    read_envelope,
    sign,
    verify_envelope,
)
from kubetune.provenance.keys import key_id

ARCHIVE = chain_toys.digest("file", "archive")


def test_pae_is_that_of_the_published_vector() -> None:
    found = pae("http://example.com/HelloWorld", b"hello world")
    assert found == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("ä", b"") == b"DSSEv1 2 \xc3\xa4 0 "  # lengths are of bytes


def test_two_splits_of_the_same_text_are_two_encodings() -> None:
    assert pae("a b", b"c") != pae("a", b"b c")


def test_a_signature_is_deterministic_and_verifies(statement, key, trusted) -> None:
    envelope = sign(statement, key)
    assert envelope == sign(statement, key)
    assert verify_envelope(envelope, "tweets", ARCHIVE, trusted) == statement
    assert verify_envelope(json.loads(json.dumps(envelope)), "tweets", ARCHIVE, trusted) == statement


def test_the_signature_is_plain_ed25519_of_the_encoding(statement, key) -> None:
    envelope = sign(statement, key)
    key.public_key().verify(
        base64.b64decode(envelope["signatures"][0]["sig"]), pae(PAYLOAD_TYPE, canonical_bytes(statement))
    )


@pytest.mark.parametrize("region", ["payload", "payloadType", "sig"])
def test_each_changed_byte_is_refused(region: str, statement, key, trusted) -> None:
    envelope = sign(statement, key)
    text = envelope["signatures"][0]["sig"] if region == "sig" else envelope[region]
    step = max(1, len(text) // 400)
    tried = 0
    for place in range(0, len(text), step):
        for other in {"A", "/", "=", chr(ord(text[place]) ^ 1)} - {text[place]}:
            changed = copy.deepcopy(envelope)
            target = changed["signatures"][0] if region == "sig" else changed
            target[region] = text[:place] + other + text[place + 1 :]
            with pytest.raises(DataError, match="rule: statement"):
                verify_envelope(changed, "tweets", ARCHIVE, trusted)
            tried += 1
    assert tried > 80


def test_a_payload_that_is_cut_or_grows_is_refused(statement, key, trusted) -> None:
    envelope = sign(statement, key)
    raw = base64.b64decode(envelope["payload"])
    for payload in (raw[:-1], raw + b" ", b"", raw * 2):
        with pytest.raises(DataError, match="was changed"):
            verify_envelope({**envelope, "payload": base64.b64encode(payload).decode()}, "tweets", ARCHIVE, trusted)


def test_base64_has_one_spelling(statement, key, trusted) -> None:
    envelope = sign(statement, key)
    sig = envelope["signatures"][0]["sig"]
    assert sig.endswith("==")
    loose = sig[:-3] + chr(ord(sig[-3]) + 1) + "=="  # the same bytes with other bits in the padding
    for spelling in (loose, sig + "\n", sig.rstrip("=")):
        with pytest.raises(DataError, match="no DSSE envelope"):
            verify_envelope({**envelope, "signatures": [{"sig": spelling}]}, "tweets", ARCHIVE, trusted)


def test_another_key_is_refused_and_named(statement, key, trusted) -> None:
    other = Ed25519PrivateKey.generate()
    with pytest.raises(DataError, match=f"signed by '{key_id(other.public_key())[:12]}'"):
        verify_envelope(sign(statement, other), "tweets", ARCHIVE, trusted)


def test_a_key_id_is_a_hint_and_nothing_rests_on_it(statement, key, trusted) -> None:
    other, (name,) = sign(statement, Ed25519PrivateKey.generate()), trusted
    other["signatures"][0]["keyid"] = name
    with pytest.raises(DataError, match="was changed"):
        verify_envelope(other, "tweets", ARCHIVE, trusted)
    unnamed = sign(statement, key)
    del unnamed["signatures"][0]["keyid"]
    assert verify_envelope(unnamed, "tweets", ARCHIVE, trusted) == statement


def test_one_trusted_signature_among_several_is_enough(statement, key, trusted) -> None:
    envelope, other = sign(statement, key), sign(statement, Ed25519PrivateKey.generate())
    envelope["signatures"] = other["signatures"] + envelope["signatures"]
    assert verify_envelope(envelope, "tweets", ARCHIVE, trusted) == statement
    assert verify_envelope(
        sign(statement, key), "tweets", ARCHIVE, {"other": Ed25519PrivateKey.generate().public_key(), **trusted}
    )


def test_the_statement_of_another_archive_is_refused(statement, key, trusted) -> None:
    with pytest.raises(DataError, match="it is of archive a8f8cb7af872, not of 000000000000"):
        verify_envelope(sign(statement, key), "tweets", "0" * 64, trusted)


def test_the_statement_of_another_model_is_refused(statement, key, trusted) -> None:
    with pytest.raises(DataError, match="it is of model 'tweets', not of 'topics'"):
        verify_envelope(sign(statement, key), "topics", ARCHIVE, trusted)


@pytest.mark.parametrize(
    ("predicate", "why"),
    [({"stages": []}, "names no model"), (None, "names no model"), ({"model": ["tweets"]}, r"of model \['tweets'\]")],
)
def test_a_statement_that_names_no_model_counts_for_none(predicate, why, statement, key, trusted) -> None:
    with pytest.raises(DataError, match=why):
        verify_envelope(sign({**statement, "predicate": predicate}, key), "tweets", ARCHIVE, trusted)


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"predicateType": "https://slsa.dev/provenance/v1"},
        {"subject": []},
        {"subject": None},
        {"subject": [{"name": "archive.json"}]},
        {"subject": [{"digest": {"sha512": ARCHIVE}}]},
    ],
)
def test_what_the_same_key_signed_for_another_purpose_is_refused(change, statement, key, trusted) -> None:
    with pytest.raises(DataError):
        verify_envelope(sign({**statement, **change}, key), "tweets", ARCHIVE, trusted)


def test_another_payload_type_is_refused_though_it_is_signed(statement, key, trusted) -> None:
    payload = canonical_bytes(statement)
    for kind in ("application/json", "", "application/vnd.in-toto+JSON"):
        sig = base64.b64encode(key.sign(pae(kind, payload))).decode()
        envelope = {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": kind,
            "signatures": [{"keyid": next(iter(trusted)), "sig": sig}],
        }
        with pytest.raises(DataError, match="its payload is of type"):
            verify_envelope(envelope, "tweets", ARCHIVE, trusted)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"payload": 1, "payloadType": PAYLOAD_TYPE, "signatures": []},
        {"payload": "", "payloadType": PAYLOAD_TYPE, "signatures": None},
        {"payload": "", "payloadType": PAYLOAD_TYPE, "signatures": ["x"]},
        {"payload": "", "payloadType": PAYLOAD_TYPE, "signatures": []},
        {"payload": "ä", "payloadType": PAYLOAD_TYPE, "signatures": []},
        {"payload": "", "payloadType": None, "signatures": []},
        {"payload": "", "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": "AAAA"}]},
        {"payload": "", "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": ""}] * 17},
    ],
)
def test_what_is_no_envelope_is_refused(value, trusted) -> None:
    with pytest.raises(DataError, match="not valid"):
        verify_envelope(value, "tweets", ARCHIVE, trusted)


def test_files_that_are_none(tmp_path, statement, key) -> None:
    file = tmp_path / "x.intoto.json"
    with pytest.raises(DataError, match="there is no "):
        read_envelope(file)
    whole = json.dumps(sign(statement, key)).encode()
    for data, why in (
        (whole[:-1], "no whole JSON"),
        (b"", "no whole JSON"),
        (b"\xff\xfe", "no whole JSON"),
        (b"[]", "no JSON object"),
        (b'{"payload": "a", "payload": "b"}', "no whole JSON"),
        (b"[" * 200_000, "no whole JSON"),
    ):
        file.write_bytes(data)
        with pytest.raises(DataError, match=why):
            read_envelope(file)
    with file.open("wb") as stream:
        stream.truncate(100 << 20)
    with pytest.raises(DataError, match="larger than 1 MiB"):
        read_envelope(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_envelope(tmp_path)
    with pytest.raises(DataError):
        load_json(b" " * (MOST_BYTES + 1))
