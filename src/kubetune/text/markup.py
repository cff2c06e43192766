"""HTML entities decoded and tags removed, in one pass and to a fixed point.

Decoding again and again until nothing changes is quadratic on hostile text (`&&&&#35;35;35;…`). Here the output is a
stack: each `;` or `>` that completes an entity or a tag at its end reduces it there, and what the reduction leaves
is looked at as if it had been read. Each character is pushed once and removed once.
"""

import html
import re
from html.entities import html5

LONGEST_ENTITY = max(map(len, html5)) + 1
ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{0,40});\Z")
TAG = re.compile(r"</?[A-Za-z]|<![A-Za-z]|<\?")
PLAIN = re.compile(r"[^&<>;]+")


def strip_html(text: str) -> str:
    """Return `text` without HTML: entities are decoded, each tag and comment becomes one space.

    Only entities that end in `;` are decoded, so that `?a=1&copy=2` stays. A `<` that opens no tag (`<3`, `a < b`)
    stays, and so does the text between tags, that of `script` and `style` included. Idempotent and linear.
    """
    if "&" not in text and "<" not in text:
        return text
    reducer = _Reducer()
    position = 0
    while position < len(text):
        run = PLAIN.match(text, position)
        if run is not None:
            reducer.pieces.append(run.group())
            position = run.end()
        else:
            reducer.push(text[position])
            position += 1
    return "".join(reducer.pieces)


class _Reducer:
    """The output so far, as pieces whose last ones may still be reduced.

    Attributes:
        pieces: Output; each of `&`, `<`, `>` and `;` is a piece of its own.
        opened: Indices in `pieces` of each `<` that a later `>` may close.
    """

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.opened: list[int] = []

    def push(self, character: str) -> None:
        """Append one character and reduce what it completes; decoded characters are pushed in their turn."""
        waiting = [character]
        while waiting:
            character = waiting.pop()
            if character == "<":
                self.opened.append(len(self.pieces))
            self.pieces.append(character)
            if character == ";":
                waiting.extend(reversed(self._entity()))
            elif character == ">":
                self._tag()

    def _entity(self) -> str:
        """Remove an entity from the end and return what it stands for; nothing where there is none."""
        tail = ""
        first = len(self.pieces)
        while first and len(tail) <= LONGEST_ENTITY and not tail.startswith("&"):
            first -= 1
            tail = self.pieces[first][-LONGEST_ENTITY - 1 :] + tail
        found = ENTITY.search(tail)
        if found is None:
            return ""
        name = found.group(1)
        meant = html.unescape(found.group()) if name.startswith("#") else html5.get(name + ";")
        if meant is None:
            return ""
        del self.pieces[first:]  # `&` is a piece of its own, so the entity is whole pieces
        return meant

    def _tag(self) -> None:
        """Replace a tag or comment at the end by a space."""
        if not self.opened:
            return
        first = self.opened[-1]
        head = "".join(piece[:4] for piece in self.pieces[first : first + 4])
        if head.startswith("<!--"):
            if not "".join(piece[-3:] for piece in self.pieces[-3:]).endswith("-->"):
                return  # a `>` inside a comment
        elif TAG.match(head) is None:
            self.opened.clear()
            return
        del self.pieces[first:]
        self.opened.pop()
        self.pieces.append(" ")
