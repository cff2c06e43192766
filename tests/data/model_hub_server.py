"""A Hugging Face hub on a loopback port: what the real client needs of it to find and download a model."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from loopback import QuietHandler, serving


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(name: str) -> bool:
    """A hub keeps such files beside git and redirects to them."""
    return name.endswith((".safetensors", ".bin", ".h5"))


@dataclass
class Hub:
    """Content and faults; a test changes them while the server runs."""

    url: str = ""
    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    branches: dict[tuple[str, str], str] = field(default_factory=dict)
    gated: dict[str, str] = field(default_factory=dict)
    """Repository → the token that may read it."""
    break_after: dict[str, int] = field(default_factory=dict)
    """File name → bytes after which its connection breaks, every time."""
    corrupt: set[str] = field(default_factory=set)
    fail_with: int | None = None
    requests: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def push(self, repository: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Commit `files` and move the branch there."""
        said = json.dumps({name: git_id(content) for name, content in files.items()}, sort_keys=True)
        commit = hashlib.sha1(said.encode()).hexdigest()
        self.repositories.setdefault(repository, {})[commit] = files
        self.branches[repository, branch] = commit
        return commit

    def downloads(self) -> list[str]:
        return [line.rpartition("/")[2] for line in self.requests if line.startswith("GET") and "/resolve/" in line]


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(HubHandler):
        pass

    Handler.hub = hub
    with serving(Handler) as hub.url:
        yield hub


class HubHandler(QuietHandler):
    hub: Hub

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if authorization := self.headers.get("Authorization"):
            self.hub.tokens.add(authorization.removeprefix("Bearer "))
        if self.hub.fail_with is not None:
            return self.refuse(self.hub.fail_with)
        parts = path.strip("/").split("/")
        if parts[0] == "cdn":
            return self.large(parts[1])
        if parts[:2] == ["api", "models"]:
            repository, verb, revision = "/".join(parts[2:4]), parts[4], "/".join(parts[5:])
        else:
            repository, verb, revision = "/".join(parts[:2]), parts[2], parts[3]
        if repository not in self.hub.repositories:
            return self.refuse(401, "RepoNotFound")
        commit = self.hub.branches.get((repository, revision), revision)
        if commit not in self.hub.repositories[repository]:
            return self.refuse(404, "RevisionNotFound")
        files = self.hub.repositories[repository][commit]
        if verb == "revision":
            return self.describe(repository, commit, files)
        if verb == "tree":
            return self.send_json([{"type": "file", "path": name, **facts(files[name])} for name in sorted(files)])
        # As at the real one, a gated repository's description is public and its files are not.
        if repository in self.hub.gated:
            if authorization is None:
                return self.refuse(401, "GatedRepo")
            if authorization != f"Bearer {self.hub.gated[repository]}":
                return self.refuse(403, "GatedRepo")
        return self.resolve(files, "/".join(parts[4:]), commit)

    def describe(self, repository: str, commit: str, files: dict[str, bytes]) -> None:
        siblings = [
            {"rfilename": name, "blobId": git_id(content), **facts(content, name)} for name, content in files.items()
        ]
        self.send_json({"id": repository, "sha": commit, "siblings": siblings, "tags": []})

    def resolve(self, files: dict[str, bytes], name: str, commit: str) -> None:
        if name not in files:
            return self.refuse(404, "EntryNotFound")
        content = files[name]
        if is_large(name):
            digest = hashlib.sha256(content).hexdigest()
            self.send_response(302)
            # another host name, as at the real one: the client follows redirects inside one host by itself
            self.send_header("Location", f"http://localhost:{urlsplit(self.hub.url).port}/cdn/{digest}")
            self.send_header("X-Linked-ETag", f'"{digest}"')
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("X-Repo-Commit", commit)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self.send_file(name, content, {"ETag": f'"{git_id(content)}"', "X-Repo-Commit": commit})

    def large(self, digest: str) -> None:
        for commits in self.hub.repositories.values():
            for files in commits.values():
                for name, content in files.items():
                    if is_large(name) and hashlib.sha256(content).hexdigest() == digest:
                        return self.send_file(name, content, {"ETag": f'"{digest}"'})
        return self.refuse(404, "EntryNotFound")

    def send_file(self, name: str, content: bytes, headers: dict[str, str]) -> None:
        start = 0
        if asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Accept-Ranges", "bytes")
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if name in self.hub.corrupt:
            body = body[:-1] + bytes([body[-1] ^ 1])
        limit = self.hub.break_after.get(name)
        if limit is not None and start + len(body) > limit:
            self.wfile.write(body[: max(limit - start, 0)])
            self.close_connection = True
            return
        self.wfile.write(body)

    def send_json(self, values: object) -> None:
        raw = json.dumps(values).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def refuse(self, status: int, code: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def facts(content: bytes, name: str = "") -> dict[str, object]:
    values: dict[str, object] = {"size": len(content), "oid": git_id(content)}
    if is_large(name):
        sha256 = hashlib.sha256(content).hexdigest()
        values["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 134}
    return values
