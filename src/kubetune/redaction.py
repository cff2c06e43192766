"""What a sentence may repeat of a value: never a secret, never all of it. Pure; everything may import it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from reprlib import Repr
from typing import Any
from urllib.parse import unquote_plus

HIDDEN = "***"
SHOWN = 80
"""Characters of a refused value that a sentence repeats."""
LOOKED_AT = 1 << 16
"""Characters of a refused text that are looked through for a secret before its beginning is shown."""
MOST_ERRORS = 30
"""Errors that one sentence lists; who has more of them sees the rest after mending these."""
WRITABLE_BITS = 1 << 12
"""Python refuses to write out integers of more than 4,300 digits."""
DECODINGS = 3
"""How often a text is percent-decoded: a connection string inside a URL is encoded once or twice."""

WEB = frozenset({"", "http", "https", "ftp", "ftps", "s3", "git", "ssh"})
"""Schemes whose user part ends at the first `/`; a database's password may hold one."""
KEYS = frozenset({"http", "https"})
"""Schemes in which a user alone is a token."""
BREAK = re.compile(r"(\s+|@)")
LOGIN = re.compile(r"(?:(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*):)?//([^:/]*):(.+)", re.IGNORECASE | re.DOTALL)
WEB_LOGIN = re.compile(r"(?:(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*):)?//([^/?#]+)\Z", re.IGNORECASE)
PARAMETER = re.compile(r"([?&;])([^=&;#\s?]{1,80})=(?!\*\*\*)([^&;#\s'\"]+)")
ASSIGNED = re.compile(
    r"(?<![a-z0-9])(?:pass(?:word|wd|phrase)|pwd|(?:api|access|secret|account|private|shared|auth)[ _-]?key"
    r"|(?:access|auth|session|security|bearer|refresh|id)[ _-]?token|(?:client|app)[ _-]?secret|sharedaccesssignature)"
    r"[\"']?\s{0,3}(?:=|:(?!:))\s{0,3}[\"'{]?(?!\*\*\*)([^\s;&'\"}]+)",
    re.IGNORECASE,
)
"""`PWD=…;` of a connection string, `password: …` of a text."""
TOKEN = re.compile(
    r"(?<![A-Za-z0-9_])(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}"
    r"|glpat-[A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])|xox[abeoprs]-[A-Za-z0-9-]{10,}"
    r"|AIza[A-Za-z0-9_-]{30,}|sk-[A-Za-z0-9_-]{20,}|dapi[a-f0-9]{32}|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[\w-]*)"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
)
"""Tokens that are recognised by their beginning: of a hub, a forge, a cloud, a chat; signed claims; private keys."""
QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$\$.*?\$\$", re.DOTALL)
PLAIN_NAMES = frozenset({"auth", "authorization", "bearer", "jwt", "key", "pass", "pw", "pwd", "sas", "sig"})
NAME_PARTS = ("password", "passwd", "passphrase", "secret", "token", "signature", "credential", "apikey", "accesskey",
              "accountkey", "privatekey", "authkey", "accesskeyid")  # fmt: skip


def secret_in(text: str) -> str | None:
    """Return in words what kind of secret a text holds; None: none is recognised. Linear in its length."""
    for form in _forms(text):
        if _has_login(form):
            return "a user's password in an address"
        if any(_is_secret_name(name) for name in _parameters(form)):
            return "a password, token or signature in an address"
        if ASSIGNED.search(form):
            return "a password or key"
        if TOKEN.search(form):
            return "a token"
    return None


def secret_in_query(text: str) -> str | None:
    """As `secret_in` for an SQL query, where a column may be called `token`: assignments count inside quotes alone."""
    for form in _forms(text):
        if _has_login(form):
            return "a user's password in an address"
        if TOKEN.search(form):
            return "a token"
        if any(ASSIGNED.search(found[0][1:-1]) for found in QUOTED.finditer(form)):
            return "a password or key"
    return None


def redact(text: str) -> str:
    """Return a text with each secret in it replaced by `***`; text without one comes back as it is."""
    if secret_in(text) is None:
        return text
    plain = PARAMETER.sub(_without_parameter, _without_logins(text))
    plain = ASSIGNED.sub(lambda found: found[0].replace(found[1], HIDDEN), plain)
    plain = TOKEN.sub(HIDDEN, plain)
    if secret_in(plain) is None:
        return plain
    # What is percent-encoded, or has blanks inside a password: its words go as a whole.
    plain = " ".join(HIDDEN if "%" in word and secret_in(word) else word for word in plain.split(" "))
    return plain if secret_in(plain) is None else HIDDEN


def quoted(value: Any, most: int = SHOWN) -> str:
    """Return a refused value for a sentence: shortened before it is written out, and hidden if it holds a secret."""
    return _Short(most).repr(value)[:most]


def listed(lines: Sequence[str]) -> str:
    """Return `2 errors: … | …`, the first `MOST_ERRORS` of them."""
    many = f"{len(lines)} errors" if len(lines) > 1 else "1 error"
    rest = [f"and {len(lines) - MOST_ERRORS} more"] if len(lines) > MOST_ERRORS else []
    return f"{many}: " + " | ".join([*lines[:MOST_ERRORS], *rest])


class _Short(Repr):
    """`reprlib` with our limits: a deep, wide or repeated value costs no more than what is shown of it."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple, self.maxset = 3, 4, 6, 6, 6
        self.maxstring = self.maxother = most

    def repr_str(self, x: str, level: int) -> str:
        if secret_in(x[:LOOKED_AT]):
            return HIDDEN
        return repr(x) if len(x) <= self.maxstring else repr(x[: self.maxstring]) + "..."

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < WRITABLE_BITS else f"a number of {x.bit_length()} bits"

    def repr_instance(self, x: Any, level: int) -> str:
        return redact(super().repr_instance(x, level))


def secrets_in(value: Any) -> Iterator[tuple[str, str]]:
    """Yield (place below `value`, kind of secret) for texts and keys in lists and maps of plain values."""
    if isinstance(value, str):
        found = secret_in(value)
        if found is not None:
            yield "", found
    elif isinstance(value, Mapping):
        for number, (name, child) in enumerate(value.items()):
            found = secret_in(name) if isinstance(name, str) else None
            if found is not None:
                yield f".{number}", found
                continue
            held = isinstance(child, str) and bool(child) and isinstance(name, str) and _is_secret_name(name)
            inside = [("", "a password or key")] if held else secrets_in(child)
            yield from ((f".{name}{place}", kind) for place, kind in inside)
    elif isinstance(value, list | tuple | set | frozenset):
        for number, child in enumerate(value):
            yield from ((f".{number}{place}", kind) for place, kind in secrets_in(child))


def _forms(text: str) -> Iterator[str]:
    """Yield a text and what it is percent-decoded, as long as that changes it."""
    for _ in range(1 + DECODINGS):
        yield text
        if "%" not in text:
            return
        decoded = unquote_plus(text)
        if decoded == text:
            return
        text = decoded


def _has_login(text: str) -> bool:
    if "@" not in text:
        return False
    parts = BREAK.split(text)
    if any(_login_span(part) for part, end in zip(parts[::2], parts[1::2], strict=False) if end == "@"):
        return True
    # A database's password may hold blanks and `@`.
    found = LOGIN.match(text.strip()[: text.strip().rfind("@") + 1])
    return found is not None and (found[1] or "").lower() not in WEB and found[3] not in (HIDDEN, HIDDEN + "@")


def _login_span(part: str) -> tuple[int, int] | None:
    """Return where a secret lies in a text before an `@`; None: there is none."""
    web = WEB_LOGIN.search(part)
    if web is not None and (web[1] or "").lower() in WEB:
        if web[2] != HIDDEN and ((web[1] or "").lower() in KEYS or ":" in web[2]):
            return web.span(2)
        return None
    found = LOGIN.search(part)
    if found is None or (found[1] or "").lower() in WEB or found[3] == HIDDEN:
        return None
    return found.span(3)


def _without_logins(text: str) -> str:
    parts = BREAK.split(text)
    place = 0
    while place < len(parts) - 1:
        span = _login_span(parts[place]) if parts[place + 1] == "@" else None
        if span is not None:
            parts[place] = parts[place][: span[0]] + HIDDEN
            while place + 3 < len(parts) and parts[place + 3] == "@":  # a password may hold `@`
                place += 2
                parts[place - 1] = parts[place] = ""
        place += 2
    return "".join(parts)


def _parameters(text: str) -> Iterator[str]:
    return (found[2] for found in PARAMETER.finditer(text))


def _without_parameter(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}={HIDDEN}" if _is_secret_name(found[2]) else found[0]


def _is_secret_name(name: str) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain.endswith(("path", "file")):
        return False
    return plain in PLAIN_NAMES or any(part in plain for part in NAME_PARTS)
