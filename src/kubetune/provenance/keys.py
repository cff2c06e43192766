"""Ed25519 keys as PEM files: one private key that signs, any number of public keys that are trusted."""

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetune.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PRIVATE = "signing.key"
PUBLIC = "signing.pub"
MOST_BYTES = 64 << 10
MOST_KEYS = 64
BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def load_signing_key(path: Path) -> "Ed25519PrivateKey":
    """Read the private key that signs.

    Args:
        path: PEM file, PKCS8 without a passphrase.

    Raises:
        ConfigError: It cannot be read, others may read it, or it holds no Ed25519 private key.
    """
    asymmetric, serialization = _libraries()
    data = _read(path, "The signing key")
    if stat.S_IMODE(path.stat().st_mode) & 0o007:
        raise ConfigError(
            f"The signing key {path} is open to every user of this machine: `chmod 600` it; a Secret is mounted with "
            "defaultMode 0440."
        )
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError:
        raise ConfigError(
            f"The signing key {path} has a passphrase, and nobody is there to type it: remove it."
        ) from None
    except Exception as error:  # ValueError, UnsupportedAlgorithm: the library's list grows
        raise ConfigError(
            f"The signing key {path} is no private key in PEM, PKCS8 ({type(error).__name__}): make a pair with "
            "`kubetune signing-key FOLDER`."
        ) from error
    if not isinstance(key, asymmetric.Ed25519PrivateKey):
        raise ConfigError(
            f"The signing key {path} is of type {_kind(key)}, only Ed25519 is allowed: make a pair with "
            "`kubetune signing-key FOLDER`."
        )
    return key  # type: ignore[no-any-return]


def load_trusted_keys(path: Path) -> "dict[str, Ed25519PublicKey]":
    """Read the public keys that are trusted, by key id; one bad file refuses all, so that no typing error goes unseen.

    Args:
        path: PEM file with one or several keys (SubjectPublicKeyInfo), or a folder of such files; names that begin
            with a dot are left out, as Kubernetes keeps its own files there.

    Raises:
        ConfigError: Nothing is there, a file cannot be read, may be written by everybody, or holds something else.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if not file.name.startswith(".") and file.is_file())
    else:
        files = [path]
    found: dict[str, Ed25519PublicKey] = {}
    for file in files[: MOST_KEYS + 1]:
        found |= _public_keys(file)
    if not found:
        raise ConfigError(f"No trusted key is in {path}: put a public key there, `kubetune signing-key` makes one.")
    if len(found) > MOST_KEYS:
        raise ConfigError(f"More than {MOST_KEYS} trusted keys are in {path}: remove those that sign no more.")
    return found


def _public_keys(file: Path) -> "dict[str, Ed25519PublicKey]":
    data = _read(file, "The trusted key")
    if stat.S_IMODE(file.stat().st_mode) & 0o002:
        raise ConfigError(f"The trusted key {file} may be changed by every user of this machine: `chmod 644` it.")
    blocks = [(match.group(1), match.group(0)) for match in BLOCK.finditer(data)]
    if not blocks or data.count(b"-----BEGIN") != len(blocks):
        raise ConfigError(f"The trusted key {file} is no whole PEM: give the file that `kubetune signing-key` wrote.")
    return dict(_public_key(file, label.decode(), block) for label, block in blocks)


def _public_key(file: Path, label: str, block: bytes) -> "tuple[str, Ed25519PublicKey]":
    asymmetric, serialization = _libraries()
    if "PRIVATE" in label:
        raise ConfigError(
            f"The trusted key {file} is a private key, which must not lie where archives are served: "
            "give the public one."
        )
    try:
        key = serialization.load_pem_public_key(block)
    except Exception as error:  # ValueError, UnsupportedAlgorithm: the library's list grows
        raise ConfigError(f"The trusted key {file} holds no public key in its PEM ({type(error).__name__}).") from error
    if not isinstance(key, asymmetric.Ed25519PublicKey):
        raise ConfigError(f"The trusted key {file} is of type {_kind(key)}: only Ed25519 is allowed.")
    return key_id(key), key


def key_id(key: "Ed25519PublicKey") -> str:
    """Return the name of a key: SHA-256 (hex) of its SubjectPublicKeyInfo in DER."""
    _, serialization = _libraries()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def write_key_pair(folder: Path) -> str:
    """Draw a new pair and write it as `signing.key` (0600) and `signing.pub`; returns the key id.

    Raises:
        ConfigError: One of the files exists, or the folder cannot be written.
    """
    asymmetric, serialization = _libraries()
    key = asymmetric.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    taken = [name for name in (PRIVATE, PUBLIC) if (folder / name).exists()]
    if taken:
        raise ConfigError(f"{folder / taken[0]} exists already and is never replaced: name another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, data, mode in ((PRIVATE, private, 0o600), (PUBLIC, public, 0o644)):
            with os.fdopen(os.open(folder / name, NEW_FILE, mode), "wb") as file:
                file.write(data)
    except OSError as error:
        raise ConfigError(f"No key can be written to {folder} ({error.strerror}): name another folder.") from error
    return key_id(key.public_key())


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{what} {path} cannot be read ({error.strerror}): mount it, or correct the setting."
        ) from error
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{what} {path} is larger than {MOST_BYTES >> 10} KiB, so it is no key.")
    return data


def _kind(key: Any) -> str:
    return type(key).__name__.strip("_").removesuffix("PrivateKey").removesuffix("PublicKey")


def _libraries() -> tuple[Any, Any]:
    """The two modules of `cryptography` that are used; the light core does without."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ConfigError(
            "Statements need the package `cryptography`: install kubetune[serve] or kubetune[deploy]."
        ) from error
    return ed25519, serialization
