"""The artifact `model` as files: `kubetune.json` (what to build), `config.json` and the weights that were trained."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from kubetune.errors import ConfigError, DataError
from kubetune.tasks.base import ModelSpec

SPEC_FILE = "kubetune.json"
FORMAT = 1


def save_model(module: Any, spec: ModelSpec, folder: Path) -> None:
    """Write `model.safetensors`, `config.json` and `kubetune.json`; `build_model(…, pretrained=False)` reads them."""
    from kubetune.tasks.weights import save_weights  # loads torch, which who compares does not need

    save_weights(module, folder)
    _write_json(folder / "config.json", cast("dict[str, Any]", module.configuration()))
    save_spec(spec, folder)


def save_spec(spec: ModelSpec, folder: Path) -> None:
    """Write `spec` to `folder/kubetune.json`, byte-stable."""
    values = asdict(spec)
    if not spec.fitted:
        del values["fitted"]  # as of models from before anything was
    _write_json(folder / SPEC_FILE, {"format": FORMAT, **values})


def load_spec(folder: Path) -> ModelSpec:
    """Read `folder/kubetune.json`.

    Raises:
        DataError: The file is absent, not JSON or lacks a field.
        ConfigError: It has a format that this version does not know.
    """
    path = folder / SPEC_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = values.pop("format")
        if found != FORMAT:
            raise ConfigError(
                f"{SPEC_FILE} has format {found!r:.40}: this version reads {FORMAT}; train again or use the kubetune "
                "that wrote it."
            )
        return ModelSpec(**(values | {"labels": tuple(values["labels"])}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError("model-spec", f"{SPEC_FILE} of the model cannot be read ({type(error).__name__})") from error


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, sort_keys=True, indent=2) + "\n", encoding="utf-8")
