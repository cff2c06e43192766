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
TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)(?=[\s/>])|<!doctype(?=[\s>])|<\?", re.IGNORECASE)
NAMES = frozenset(
    """
    a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink blockquote body
    br button canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em
    embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i
    iframe image img input ins kbd keygen label legend li link listing main map mark marquee math menu meta meter
    nav nobr noembed noframes noscript object ol optgroup option output p param picture plaintext pre progress q rb
    rp rt rtc ruby s samp script search section select slot small source span strike strong style sub summary sup
    svg table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr xmp
    """.split()  # noqa: SIM905 – a word list
)
"""Elements of the HTML standard, obsolete ones included: `<user>`, `<unk>` and `List<String>` are text."""
LONGEST_HEAD = max(map(len, NAMES)) + len("</>")
PLAIN = re.compile(r"[^&<>;]+")


def strip_html(text: str) -> str:
    """Return `text` without HTML: entities are decoded, each tag and comment becomes one space.

    Only entities that end in `;` are decoded, so that `?a=1&copy=2` stays. A `<` that opens no tag (`<3`, `a < b`)
    stays, also one before a name that HTML does not have (`<user>`), and so does the text between tags, that of
    `script` and `style` included. Idempotent and linear.
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
        head = "".join(piece[:LONGEST_HEAD] for piece in self.pieces[first : first + LONGEST_HEAD])
        if head.startswith("<!--"):
            if not "".join(piece[-3:] for piece in self.pieces[-3:]).endswith("-->"):
                return  # a `>` inside a comment
        elif not _opens_tag(head):
            self.opened.clear()
            return
        del self.pieces[first:]
        self.opened.pop()
        self.pieces.append(" ")


def _opens_tag(head: str) -> bool:
    """Whether a `<` and what follows it are a tag, a document type or a processing instruction."""
    found = TAG.match(head)
    return found is not None and (found[1] is None or found[1].lower() in NAMES)
