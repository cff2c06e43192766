"""The archive for others: a `.mar` for any TorchServe, a folder for `transformers.pipeline`."""

import json
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from os import defpath
from pathlib import Path
from typing import Any

from kubetune.errors import ConfigError, KubetuneError
from kubetune.serving.archive.cards import render_template
from kubetune.serving.archive.manifest import MODEL_CONFIG, read_archive
from kubetune.serving.torchserve.config import MODEL_VERSION
from kubetune.tasks import load_task

WITHOUT_PIPELINE = {
    "own": "its own head (model.head.kind=own)",
    "bilstm": "a bi-LSTM trained from scratch",
}


def export_mar(archive_dir: Path, out: Path) -> None:
    """Write a `.mar` with torch-model-archiver; the TorchServe that loads it needs kubetune installed.

    Args:
        archive_dir: A served directory.
        out: New file `NAME.mar`; NAME becomes the model's name.

    Raises:
        ConfigError: `out` exists, is not a `.mar`, or has a name that TorchServe refuses.
        KubetuneError: torch-model-archiver failed.
    """
    read_archive(archive_dir)
    if out.suffix != ".mar" or out.stem.startswith("token"):
        raise ConfigError(f"{out.name!r:.80} cannot be exported: use NAME.mar where NAME does not start with `token`.")
    if out.exists():
        raise ConfigError(f"{out} exists already: remove it or export elsewhere.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kubetune-mar-") as name:
        scratch = Path(name)
        _archiver(archive_dir.resolve(), out.stem, scratch)
        shutil.move(scratch / out.name, out)


def export_hf(archive_dir: Path, out: Path) -> None:
    """Write a folder that `transformers.pipeline` of the task loads.

    Its predictions are the archive's for text that was cleaned as the README in it says.

    Args:
        archive_dir: A served directory.
        out: New or empty folder.

    Raises:
        ConfigError: `out` is not empty, or the model has no architecture of transformers.
    """
    from transformers.models.auto import modeling_auto

    archive = read_archive(archive_dir)
    hub = load_task(archive.task).form.hub
    spec = json.loads((archive_dir / "kubetune.json").read_text(encoding="utf-8"))
    if spec["architecture"] != "stock":
        what = WITHOUT_PIPELINE.get(spec["architecture"], spec["architecture"])
        raise ConfigError(
            f"This model has {what}, which no class of transformers can load: export it with --mar, or train with "
            "model.head.kind=stock on a pretrained encoder."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not an empty folder: remove it or export elsewhere.")
    out.mkdir(parents=True, exist_ok=True)
    for source in (archive_dir / "model.safetensors", *(archive_dir / "tokenizer").iterdir()):
        shutil.copyfile(source, out / source.name)
    # Special tokens in a text are text, as in training and in serving; but for a request that has to write one.
    changes = {"model_max_length": archive.max_length, "split_special_tokens": not hub.writes_token}
    values = _read_object(out / "tokenizer_config.json") | changes
    if values.get("pad_token") is None and values.get("eos_token") is not None:
        values["pad_token"] = values["eos_token"]  # as in training, where the end token pads for want of another
    _write_object(out / "tokenizer_config.json", values)
    config = _read_object(archive_dir / "config.json")
    # Servers choose the class by this; archives of older versions name the encoder that the weights came from.
    classes = getattr(modeling_auto, f"MODEL_FOR_{hub.classes}_MAPPING_NAMES") if hub.classes else {}
    config["architectures"] = [classes[config["model_type"]]] if hub.classes else config["architectures"]
    _write_object(out / "config.json", config)
    if not hub.classes:
        _write_sentence_transformer(out, config, spec["head"]["pooling"], archive.max_length)
    card = (archive_dir / "MODEL_CARD.md").read_text(encoding="utf-8")
    head, card = _front_matter(card)
    text = head + render_template("EXPORT.md.j2", archive=archive, hub=hub) + "\n" + card
    (out / "README.md").write_text(text, encoding="utf-8")


def _write_sentence_transformer(out: Path, config: dict[str, Any], pooling: str, max_length: int) -> None:
    """Write what sentence-transformers reads beside a model: that its states are pooled, and how."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(modules)
    ]
    (out / "modules.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    _write_object(out / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    (out / "1_Pooling").mkdir()
    ways = {f"pooling_mode_{way}": way.startswith(pooling) for way in ("cls_token", "mean_tokens", "max_tokens")}
    _write_object(out / "1_Pooling" / "config.json", {"word_embedding_dimension": config["hidden_size"], **ways})


def _front_matter(card: str) -> tuple[str, str]:
    """Split a card into its YAML head, which a hub looks for at the beginning, and the rest."""
    if not card.startswith("---\n"):
        return "", card
    end = card.index("---\n", 4) + 4
    return card[:end], card[end:]


def _read_object(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _write_object(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, sort_keys=True, indent=2) + "\n", encoding="utf-8")


def _archiver(archive_dir: Path, name: str, scratch: Path) -> None:
    """Run torch-model-archiver in a process of its own: it deletes `<temporary folder>/<model name>` if that exists."""
    (scratch / "tmp").mkdir()
    (scratch / "extra").mkdir()
    (scratch / "extra" / "archive").symlink_to(archive_dir, target_is_directory=True)
    handler = scratch / "kubetune_handler.py"
    handler.write_bytes((files("kubetune.serving.torchserve") / "mar_handler.py").read_bytes())
    command = [sys.executable, "-m", "model_archiver.model_packaging"]
    command += ["--model-name", name, "--version", MODEL_VERSION, "--handler", str(handler)]
    command += ["--extra-files", str(scratch / "extra"), "--config-file", str(archive_dir / MODEL_CONFIG)]
    command += ["--export-path", str(scratch), "--archive-format", "zip-store"]
    variables = {"PATH": defpath, "TMPDIR": str(scratch / "tmp"), "LANG": "C.UTF-8"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not (scratch / f"{name}.mar").is_file():
        last = done.stderr.strip().splitlines()[-1:] or ["it gave no reason"]
        raise KubetuneError(f"torch-model-archiver failed ({last[0]:.200}): is kubetune[serve] installed?")
