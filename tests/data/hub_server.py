"""A hub of data sets on loopback: enough of its protocol for the real client, with the faults that real hubs show."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from loopback import QuietHandler, serving

KIND = "datasets"


@dataclass
class Repository:
    """A repository: every commit is a whole tree."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    card: dict[str, object] = field(default_factory=dict)
    gated: bool = False

    def push(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Put a tree on a branch; returns the commit."""
        content = repr(sorted(files.items())).encode() + repr(self.branches.get(branch)).encode()
        commit = hashlib.sha1(content).hexdigest()
        self.commits[commit] = dict(files)
        self.branches[branch] = commit
        return commit

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.branches.get(revision)


@dataclass
class Hub:
    """The hub's state; tests change it while it runs."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    token: str = "hf_right"
    cut_after: int | None = None
    """Bytes of a data file after which the connection is cut; None: never."""
    damaged: bool = False
    """Whether large files arrive with one byte flipped."""
    status: int | None = None
    """Status that answers everything; None: the usual."""
    requests: list[str] = field(default_factory=list)
    endpoint: str = ""

    def repository(self, name: str) -> Repository:
        return self.repositories.setdefault(name, Repository())


def etag(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(path: str) -> bool:
    """Whether the hub keeps a file in its large file storage, with a SHA-256."""
    return path.endswith((".parquet", ".safetensors", ".bin"))


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a hub on a free port."""
    hub = Hub()

    class Handler(QuietHandler):
        def answer(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            parts = urlsplit(self.path).path.strip("/").split("/")
            if hub.status is not None:
                return self.fail(hub.status, "")
            if parts[0] == "api" and parts[1] == KIND:
                return self.describe("/".join(parts[2:4]), "/".join(parts[5:]) or "main")
            if parts[0] == KIND and parts[3] == "resolve":
                return self.file("/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
            return self.fail(404, "EntryNotFound")

        def allowed(self, found: Repository) -> bool:
            return not found.gated or self.headers.get("Authorization") == f"Bearer {hub.token}"

        def describe(self, name: str, revision: str) -> None:
            found = hub.repositories.get(name)
            if found is None:
                return self.fail(401, "RepoNotFound")
            commit = found.resolve(revision)
            if commit is None:
                return self.fail(404, "RevisionNotFound")
            siblings = []
            for path, data in found.commits[commit].items():
                item: dict[str, object] = {"rfilename": path, "size": len(data), "blobId": etag(data)}
                if is_large(path):
                    item["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
                siblings.append(item)
            body = {"id": name, "sha": commit, "private": False, "gated": found.gated and "manual", "tags": []}
            return self.reply(json.dumps({**body, "cardData": found.card, "siblings": siblings}).encode(), {})

        def file(self, name: str, revision: str, path: str) -> None:
            found = hub.repositories.get(name)
            if found is None:
                return self.fail(401, "RepoNotFound")
            commit = found.resolve(revision)
            if commit is None:
                return self.fail(404, "RevisionNotFound")
            if not self.allowed(found):
                return self.fail(401, "GatedRepo")
            data = found.commits[commit].get(path)
            if data is None:
                return self.fail(404, "EntryNotFound")
            mark = hashlib.sha256(data).hexdigest() if is_large(path) else etag(data)
            return self.reply(data, {"X-Repo-Commit": commit, "ETag": f'"{mark}"', "Accept-Ranges": "bytes"}, path)

        def reply(self, data: bytes, headers: dict[str, str], path: str = "") -> None:
            start, status = 0, 200
            if ranged := self.headers.get("Range"):
                start, status = int(ranged.removeprefix("bytes=").split("-")[0]), 206
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            body = data[start:]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if is_large(path) and hub.damaged:
                body = bytes([body[0] ^ 1]) + body[1:]
            if is_large(path) and hub.cut_after is not None:
                self.wfile.write(body[: hub.cut_after])
                self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(body)

        def fail(self, status: int, code: str) -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
                self.send_header("X-Error-Message", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Handler) as hub.endpoint:
        yield hub
