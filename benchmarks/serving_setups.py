"""The servers that `serving.py` compares, and closed-loop clients for them."""

import dataclasses
import http.client
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from transformers import AutoTokenizer

from kubetune.config.recipe import ServingSection
from kubetune.serving.archive.export import export_hf
from kubetune.serving.archive.manifest import read_archive, write_manifest
from kubetune.serving.local import processes
from kubetune.serving.torchserve import config as configuration
from kubetune.serving.torchserve import server
from kubetune.serving.torchserve.server import find_java
from kubetune.stages import package
from kubetune.tasks import load_task
from kubetune.tasks.arrays import softmax
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.inference import predict_logits
from kubetune.tasks.spec import save_model
from kubetune.text.cleaning import clean

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import served_toys

LABELS = ("sadness", "joy", "love", "anger", "fear", "surprise")
CLEANING = ("unicode-nfc", "whitespace")
MAX_LENGTH = 150
OWN_THREADS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "TOKENIZERS_PARALLELISM")
"""What kubetune sets for its workers and a handler written the usual way does not."""


@dataclass(frozen=True)
class Running:
    """A server under test."""

    url: str
    process: processes.Process
    plain: bool

    def cpu_seconds(self) -> float:
        """CPU time of java and worker so far."""
        parent = psutil.Process(self.process.pid)
        times = [member.cpu_times() for member in (parent, *parent.children(recursive=True))]
        return sum(time.user + time.system for time in times)


class Clients:
    """Closed-loop clients: each keeps its connection and sends as soon as it has an answer."""

    def __init__(self, running: Running, texts: list[str]) -> None:
        self.running, self.texts, self.parts = running, texts, urlsplit(running.url)

    def run(self, count: int, seconds: float) -> tuple[list[float], int, float]:
        """Return latencies in ms, requests that were not answered with 200, and the seconds it took."""
        latencies: list[float] = []
        failed = [0] * count
        start = time.perf_counter()
        threads = [
            threading.Thread(target=self._one, args=(number, start + seconds, latencies, failed))
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return latencies, sum(failed), time.perf_counter() - start

    def _one(self, number: int, until: float, latencies: list[float], failed: list[int]) -> None:
        connection = http.client.HTTPConnection(self.parts.hostname, self.parts.port, timeout=60)
        position = number * 37
        while (begin := time.perf_counter()) < until:
            status, _ = self.ask(connection, self.texts[position % len(self.texts)])
            latencies.append(1000 * (time.perf_counter() - begin))
            failed[number] += status != 200
            position += 1
        connection.close()

    def ask(self, connection: http.client.HTTPConnection, text: str) -> tuple[int, bytes]:
        """Both sides get what they take: the usual handler plain text, kubetune JSON."""
        body = text if self.running.plain else json.dumps({"text": text})
        kind = "text/plain" if self.running.plain else "application/json"
        connection.request("POST", self.parts.path, body.encode(), {"Content-Type": kind})
        response = connection.getresponse()
        return response.status, response.read()

    def labels(self, count: int) -> list[str]:
        """Labels of the first texts, one request each."""
        connection = http.client.HTTPConnection(self.parts.hostname, self.parts.port, timeout=60)
        replies = [self.ask(connection, text)[1] for text in self.texts[:count]]
        connection.close()
        if self.running.plain:
            return [reply.decode() for reply in replies]
        return [json.loads(reply)["predictions"][0]["label"] for reply in replies]


def untrained_archive(model: Path, texts: list[str], folder: Path, **serving: int) -> Path:
    """Package the encoder with a random head, wide enough that labels differ."""
    task = load_task("text-classification")
    spec = ModelSpec(
        task.kind, LABELS, "stock", {"pooling": "cls", "hidden_size": None, "dropout": 0.0}, None, MAX_LENGTH
    )
    torch.manual_seed(0)
    module = task.build_model(spec, model, pretrained=True).eval()
    with torch.no_grad():
        for name in task.parameter_groups(module)["head"]:
            module.state_dict(keep_vars=True)[name].mul_(10)
    inputs = {name: folder / name for name in ("model", "tokenizer", "report")}
    beside = {
        "behaviour": served_toys.write_behaviour(folder / "behaviour"),
        "decision": served_toys.write_decision(folder / "decision"),
    }
    for path in (*inputs.values(), folder / "archive"):
        path.mkdir(parents=True)
    save_model(module, spec, inputs["model"])
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.save_pretrained(inputs["tokenizer"])
    cleaned = [clean(text, CLEANING) for text in texts[:300]]
    encoding = task.encode(tokenizer, [(text,) for text in cleaned], MAX_LENGTH)
    rows, truncated = encoding.features, encoding.truncated
    logits = predict_logits(module, rows, task, tokenizer.pad_token_id, 8)
    probabilities = softmax(logits)
    table = {
        "row_id": [f"{number:06}" for number in range(len(rows))],
        "raw_text": texts[:300],
        "text": cleaned,
        "length": [len(row["input_ids"]) for row in rows],
        "prediction": logits.argmax(axis=1).astype(np.int32),
        "confidence": probabilities.max(axis=1),
        "probabilities": list(probabilities),
    }
    pq.write_table(pa.table(table), inputs["report"] / "predictions.parquet")
    metrics = {"metrics": {}, "rows": len(rows), "truncated": sum(truncated), "per_class": [], "slices": {}}
    metrics |= {"labels": list(LABELS), "verdict": {"code": 0, "reasons": []}}
    (inputs["report"] / "metrics.json").write_text(json.dumps(metrics))
    return packaged(inputs | beside, folder / "archive", CLEANING, **serving)


def packaged(inputs: dict[str, Path], out: Path, cleaning: tuple[str, ...], **serving: int) -> Path:
    """Run stage `package`."""
    recipe = SimpleNamespace(
        task=SimpleNamespace(kind="text-classification"),
        data=SimpleNamespace(cleaning=list(cleaning)),
        model=SimpleNamespace(max_length=MAX_LENGTH),
        serving=ServingSection(golden_tolerance=0.02, **serving),
    )
    silent = SimpleNamespace(note=lambda _: None, record=lambda *_, **__: None)
    package.run(recipe, inputs, {"archive": out}, SimpleNamespace(progress=silent, telemetry=silent))
    return out


def with_settings(archive: Path, out: Path, **serving: int) -> Path:
    """Copy an archive with other serving settings."""
    shutil.copytree(archive, out)
    found = read_archive(archive)
    settings = dataclasses.replace(found.serving, **serving)
    path = out / "model-config.yaml"
    values = yaml.safe_load(path.read_text())
    values |= {"batchSize": settings.batch_size, "maxBatchDelay": settings.max_batch_delay_ms}
    values |= {"minWorkers": settings.workers, "maxWorkers": settings.workers}
    path.write_text(yaml.safe_dump(values))
    write_manifest(out, dataclasses.replace(found, serving=settings))
    return out


@contextmanager
def kubetune_server(archive: Path, folder: Path) -> Iterator[Running]:
    """Serve an archive as `kubetune serve` does."""
    running = server.start_server("bench", archive, folder)
    try:
        server.wait_ready(running, archive, 300, lambda: False)
        yield Running(running.url, running.process, plain=False)
    finally:
        server.stop_server(running)


@contextmanager
def padded_server(archive: Path, folder: Path, workers: int) -> Iterator[Running]:
    """Serve the same model through the usual handler: batch size 1, default threads, the same java settings."""
    java, ports = find_java(), configuration.choose_ports(None)
    folder.mkdir()
    configuration.write_files(folder, "padded", archive, read_archive(archive), ports)
    store = folder / "model-store" / "padded"
    (store / "archive").unlink()
    export_hf(archive, store / "model")
    shutil.copy(Path(__file__).with_name("padded_handler.py"), store)
    (store / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(configuration.manifest("padded", "padded_handler")))
    (store / "model-config.yaml").write_text(f"minWorkers: {workers}\nmaxWorkers: {workers}\nbatchSize: 1\n")
    variables = configuration.server_environment(java, folder)
    variables = {name: value for name, value in variables.items() if name not in OWN_THREADS}
    temporary = Path(tempfile.mkdtemp(prefix="kubetune-"))
    mark = str(folder / "config.properties")
    process = processes.spawn(
        configuration.torchserve_command(java, folder, temporary), variables, folder, folder / "server.log", mark
    )
    running = Running(f"http://{configuration.LOOPBACK}:{ports.inference}/predictions/padded", process, plain=True)
    try:
        wait_for(Clients(running, ["ready"]), folder / "server.log")
        yield running
    finally:
        processes.terminate(process)
        shutil.rmtree(temporary, ignore_errors=True)


def wait_for(clients: Clients, log: Path) -> None:
    """Return once the first request is answered."""
    for _ in range(600):
        time.sleep(0.5)
        try:
            connection = http.client.HTTPConnection(clients.parts.hostname, clients.parts.port, timeout=60)
            if clients.ask(connection, "ready")[0] == 200:
                return
        except OSError:
            continue
        finally:
            connection.close()
    raise SystemExit(f"The baseline did not start: {server.last_words(log)}")
