"""Malformed requests by the hundred: none is answered or logged as our fault, and nothing stays behind."""

import asyncio
import gc
import json
import logging
import random
from collections import Counter
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from kubetune.serving.gateway.app import Gateway
from kubetune.serving.gateway.backend import Backend, Health
from kubetune.serving.gateway.connections import ConnectionBounds
from kubetune.serving.gateway.http import Listener, listen_on
from kubetune.serving.gateway.keys import KeyRing, new_key
from kubetune.serving.gateway.limits import InFlight, KeyShares, RateLimit
from manifests_toys import manifest

METHODS = b"POST POST POST GET HEAD OPTIONS PUT DELETE TRACE CONNECT PATCH post P\xffST".split()
PATHS = [
    *b"/predictions/toy/1.0 /predictions/t%6Fy /predictions/toy?x=1 /predictions/toy#x //predictions/toy".split(),
    *b"http://a/predictions/toy http://[::1 http://a:99999/ * a:443 /%ff%00 /\xff /healthz /metrics /ping".split(),
    *b"/readyz /../readyz /predictions/%2e%2e/x".split(),
    *b"/v2 /v2/models/toy /v2/models/toy/ready /v2/models/%ff/infer /v2/health/ready".split(),
    *b"/v1/embeddings /openapi.json".split(),
    b"",
    b"/" + b"a" * 5000,
]
VERSIONS = [*b"HTTP/1.0 HTTP/1.1 HTTP/0.9 HTTP/2.0 HTTP/1.9 HTCPCP/1.0".split(), b"HTTP/1.1 x", b""]
HEADERS = (
    rb"""Content-Type: application/json
Content-Type: text/plain; charset=\xff
Content-Type: ;;;
Content-Type: text/xml
Content-Encoding: gzip
Content-Encoding: \xff
Transfer-Encoding: gzip, chunked
Transfer-Encoding: identity
Expect: 100-continue
Expect: \xe2
Connection: close
Connection: upgrade
Upgrade: websocket
Upgrade: h2c
HTTP2-Settings: AAMAAABkAAQ
Host: b
Host: \xff:9:9
x-request-id: \xff
x-request-id: mine
x-api-key: other
Authorization: Bearer \xff
Authorization: Basic eDp5
Range: bytes=0-1
If-Match: *
no colon
: empty
 folded: x
a\x00b: c
Content-Length: 5
Content-Length: -1
Content-Length: 99999999999999999999
Content-Length: 5, 5
Keep-Alive: \xff
X-Forwarded-For: \x1b[31m
Accept: text/html
Sec-WebSocket-Version: 13
Trailer: x
Content-Type: application/octet-stream
Content-Type: application/x-www-form-urlencoded
Inference-Header-Content-Length: 5
Inference-Header-Content-Length: -5
Inference-Header-Content-Length: \xff
Inference-Header-Content-Length: 99999999999999999999
Origin: null
Sec-Fetch-Site: \xff""".replace(rb"\xff", b"\xff")
    .replace(rb"\xe2", b"\xe2")
    .replace(rb"\x00", b"\0")
    .replace(rb"\x1b", b"\x1b")
    .split(b"\n")
)
HEADERS += [b"Cookie: " + b"c" * 4000, b"x: " + b"y" * 9000]
BODIES = [b"", b"{", b'{"text": "a"}', b"\xff\x00", b"[" * 500, b"x" * 3000, b'{"text": "\\ud800"}']
BODIES += [
    b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}',
    b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["\\ud800"]}]}',
    b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1e99], "data": {}}], "outputs": {}}',
    b'{"inputs": {"name": []}, "id": {}, "parameters": {"top_k": [[]]}}',
    b"text.text=a&parameter.top_k=1",
    b"text.text=%ff&=&&;%",
]
TARGETS = [b"/predictions/toy", b"/predictions/toy", b"/v2/models/toy/infer", b"/"]
CHUNKS = [
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"zz\r\n",
    b"-1\r\n",
    b"5\r\nhel",
    b"5;x=\xff\r\nhello\r\n",
    b"0\r\nx: y\r\n\r\n",
]
CHUNKS += [b"5\nhello\n0\n\n"]
ALLOWED_5XX = {b"503"}
"""The bound on requests in flight and the like; 500, 501, 502, 504 and 505 would be ours."""


def malformed(chance: random.Random, key: str) -> bytes:
    """Draw one request, or several on one connection; most have one or two faults, since more hide one another."""
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(1, 400))
    parts = []
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        line = [b"POST", chance.choice(TARGETS), b"HTTP/1.1"]
        for place, others in enumerate((METHODS, PATHS, VERSIONS)):
            if chance.random() < 0.15:
                line[place] = chance.choice(others)
        lines = [b" ".join(line), b"Host: a", f"x-api-key: {key}".encode()]
        if chance.random() < 0.1:
            del lines[chance.choice([1, 2])]
        lines += chance.choices(HEADERS, k=chance.choice([0, 0, 1, 1, 2, 100 if chance.random() < 0.1 else 1]))
        body = chance.choice(BODIES)
        if chance.random() < 0.3:
            lines.append(b"Transfer-Encoding: chunked")
            body = b"".join(chance.choices(CHUNKS, k=chance.randrange(1, 4)))
        else:
            lines.append(b"Content-Length: %d" % max(0, len(body) + chance.choice([0, 0, 0, 0, 0, 0, 1, -1])))
        parts.append((b"\n" if chance.random() < 0.05 else b"\r\n").join([*lines, b"", body]))
    whole = bytearray(b"".join(parts))
    for _ in range(chance.choice([0, 0, 0, 0, 1, 3])):
        whole[chance.randrange(len(whole))] = chance.randrange(256)
    return bytes(whole)


async def send(address: tuple[str, int], sent: bytes, chance: random.Random) -> bytes:
    """Send bytes in pieces and read what comes for a moment."""
    reader, writer = await asyncio.open_connection(*address)
    answer = b""
    try:
        for start in range(0, len(sent), piece := chance.choice([1 << 20, 1 << 20, 700, 31])):
            writer.write(sent[start : start + piece])
            if piece == 31:
                await asyncio.sleep(0)
        async with asyncio.timeout(0.25):
            while more := await reader.read(1 << 16):
                answer += more
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close() if chance.random() < 0.5 else writer.transport.abort()
    return answer


def statuses(answer: bytes) -> list[bytes]:
    """Statuses of the answers on one connection."""
    return [line.split(b" ")[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")]


async def fuzz(folder: Path, count: int, seed: int) -> tuple[Counter[bytes], list[int]]:
    """Send `count` requests to a gateway; returns how often each status came, and the process's memory on the way."""

    async def upstream(request: web.BaseRequest) -> web.Response:
        content = await request.read()
        answer: dict[str, object] = {"predictions": []}
        if b'"inputs": [{' in content and b"datatype" not in content:  # what the protocols ask, in our own form
            items = json.loads(content)["inputs"]
            answer = {"results": [{"predictions": [{"label": "a", "score": 0.5}]} for _ in items]}
        return web.json_response(answer, headers={"x-archive-digest": "d"})

    key, line = new_key("fuzz")
    (folder / "keys").write_text(line, encoding="utf-8")
    behind: Listener = await listen_on(upstream, "127.0.0.1", 0)
    at = f"http://127.0.0.1:{behind.address[1]}"
    backend = Backend(at, at, f"{at}/metrics", "toy", 5.0, 10, Health(workers=1))
    bounds = InFlight(50), RateLimit(0), KeyShares(50, 0.5)
    gateway = Gateway("toy", "d" * 64, KeyRing(folder / "keys"), *bounds, backend, archive=manifest())
    front = await listen_on(gateway.handle, "127.0.0.1", 0, ConnectionBounds(headers_s=2, write_s=2))
    found: Counter[bytes] = Counter()
    memory: list[int] = []
    chance, wide = random.Random(seed), asyncio.Semaphore(40)

    async def one(sent: bytes, own: random.Random) -> None:
        async with wide:
            answer = await send(front.address, sent, own)
        found.update(statuses(answer))
        bad = set(statuses(answer)) - ALLOWED_5XX
        assert not [status for status in bad if status.startswith(b"5")], (sent, answer)
        for word in (b"aiohttp", b"Traceback", b"Python/"):
            assert word not in answer, (sent, answer)

    for start in range(0, count, 500):
        batch = [(malformed(chance, key), random.Random(chance.random())) for _ in range(min(500, count - start))]
        await asyncio.gather(*(one(sent, own) for sent, own in batch))
        gc.collect()
        memory.append(psutil.Process().memory_info().rss >> 20)
    assert statuses(await send(front.address, good(key), chance)) == [b"200"]
    while len(front.open) or gateway.in_flight.now:  # whatever hung was given up
        await asyncio.sleep(0.1)
    assert not gateway.incoming.size and not +gateway.shares._now
    await front.close()
    await backend.close()
    await behind.close()
    return found, memory


def good(key: str) -> bytes:
    """A request that is right."""
    body = json.dumps({"text": "a"}).encode()
    head = f"POST /predictions/toy HTTP/1.1\r\nHost: a\r\nx-api-key: {key}\r\nConnection: close\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_no_request_is_our_fault(seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    found, memory = asyncio.run(fuzz(tmp_path, 1500, seed))
    assert found[b"400"] > 50 and found[b"200"] > 10 and len(found) >= 8, found
    wrong = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]
    assert wrong == []
    assert memory[-1] < memory[0] + 30, memory
