"""Key files: what is taken, and one sentence for each thing that is not."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kubetune.errors import ConfigError
from kubetune.provenance.keys import key_id, load_signing_key, load_trusted_keys, write_key_pair


def private_pem(key, encryption=None) -> bytes:
    how = encryption or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def public_pem(key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_pair_is_written_once_and_read_again(tmp_path: Path) -> None:
    name = write_key_pair(tmp_path / "a" / "b")
    folder = tmp_path / "a" / "b"
    assert stat.S_IMODE((folder / "signing.key").stat().st_mode) == 0o600
    assert key_id(load_signing_key(folder / "signing.key").public_key()) == name
    assert list(load_trusted_keys(folder / "signing.pub")) == [name]
    before = (folder / "signing.key").read_bytes()
    with pytest.raises(ConfigError, match="exists already and is never replaced"):
        write_key_pair(folder)
    (folder / "signing.key").unlink()
    with pytest.raises(ConfigError, match=r"signing\.pub exists already"):
        write_key_pair(folder)
    assert before and not (folder / "signing.key").exists()
    with pytest.raises(ConfigError, match="No key can be written"):
        write_key_pair(folder / "signing.pub")


def test_signing_keys_that_are_refused(tmp_path: Path, key) -> None:
    path = tmp_path / "key"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_signing_key(path)
    write(path, private_pem(key), 0o644)
    with pytest.raises(ConfigError, match="open to every user"):
        load_signing_key(path)
    path.chmod(0o440)  # as a Secret is mounted for a group
    assert load_signing_key(path)
    locked = private_pem(key, serialization.BestAvailableEncryption(b"secret"))
    for data, why in (
        (private_pem(rsa.generate_private_key(65537, 2048)), "of type RSA, only Ed25519"),
        (private_pem(ec.generate_private_key(ec.SECP256R1())), "of type (EC|EllipticCurve), only Ed25519"),
        (locked, "has a passphrase"),
        (public_pem(key), "no private key in PEM"),
        (private_pem(key)[:60], "no private key in PEM"),
        (b"", "no private key in PEM"),
        (b"x" * (65 << 10), "larger than 64 KiB"),
    ):
        path.chmod(0o600)
        write(path, data)
        with pytest.raises(ConfigError, match=why) as caught:
            load_signing_key(path)
        assert "secret" not in str(caught.value) and "BEGIN" not in str(caught.value)


def test_trusted_keys_may_be_several(tmp_path: Path) -> None:
    keys = [Ed25519PrivateKey.generate() for _ in range(3)]
    names = {key_id(key.public_key()) for key in keys}
    both = write(tmp_path / "both.pub", b"# of 2026\n" + b"".join(public_pem(key) for key in keys[:2]), 0o644)
    assert len(load_trusted_keys(both)) == 2
    write(tmp_path / "third.pem", public_pem(keys[2]), 0o644)
    (tmp_path / "..2026_11_22").mkdir()  # Kubernetes' own: names lead there through a link
    write(tmp_path / ".hidden", b"no key")
    assert set(load_trusted_keys(tmp_path)) == names


def test_a_mounted_secret_is_read_through_its_links(tmp_path: Path, key) -> None:
    real = tmp_path / "..2026_11_22"
    real.mkdir()
    write(real / "signing.pub", public_pem(key), 0o644)
    (tmp_path / "..data").symlink_to(real.name)
    (tmp_path / "signing.pub").symlink_to("..data/signing.pub")
    assert list(load_trusted_keys(tmp_path)) == [key_id(key.public_key())]


def test_trusted_keys_that_are_refused(tmp_path: Path, key) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_trusted_keys(tmp_path / "none")
    with pytest.raises(ConfigError, match="No trusted key is in"):
        load_trusted_keys(tmp_path)
    path = tmp_path / "key.pub"
    good = public_pem(key)
    for data, why in (
        (private_pem(key), "is a private key"),
        (good + private_pem(key), "is a private key"),
        (public_pem(rsa.generate_private_key(65537, 2048)), "of type RSA"),
        (good[:50], "no whole PEM"),
        (good + good[:50], "no whole PEM"),
        (b"", "no whole PEM"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key in its PEM"),
        (b"x" * (65 << 10), "larger than"),
    ):
        write(path, data, 0o644)
        with pytest.raises(ConfigError, match=why):
            load_trusted_keys(tmp_path)
    write(path, good, 0o666)
    with pytest.raises(ConfigError, match="may be changed by every user"):
        load_trusted_keys(path)
    path.chmod(0o644)
    write(tmp_path / "readme", b"keys of 2026")  # one bad file refuses all
    with pytest.raises(ConfigError, match="readme is no whole PEM"):
        load_trusted_keys(tmp_path)


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    folder = tmp_path / "pair"
    folder.mkdir()
    (folder / "signing.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        write_key_pair(folder)
    assert not (tmp_path / "elsewhere").exists()
