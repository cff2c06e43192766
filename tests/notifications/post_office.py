"""A place that takes notices over HTTP on loopback, and a sink that a child process can use without a library."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kubetune.notifications.events import Notice
from loopback import QuietHandler, serving


@dataclass
class PostOffice:
    """What came in, and how the next requests are answered."""

    url: str = ""
    taken: list[dict[str, object]] = field(default_factory=list)
    asked: int = 0
    status: int = 200
    delay: float = 0.0

    @property
    def titles(self) -> list[str]:
        return [str(item["title"]) for item in self.taken]

    @property
    def address(self) -> str:
        """Apprise's address of it."""
        return self.url.replace("http://", "json://") + "/"


@contextmanager
def post_office() -> Iterator[PostOffice]:
    office = PostOffice()

    class Handler(QuietHandler):
        def answer(self) -> None:
            office.asked += 1
            time.sleep(office.delay)
            value = json.loads(self.body())
            if office.status == 200:
                office.taken.append(value)
            self.send(office.status, b"")

    with serving(Handler) as url:
        office.url = url
        yield office


class Post:
    """Posts title and body as JSON."""

    def __init__(self, url: str) -> None:
        self.url, self.name, self.identity = url, "post", "post"

    def send(self, notice: Notice) -> None:
        data = json.dumps({"title": notice.title, "message": notice.body()}).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url, data), timeout=5) as answer:
            answer.read()
