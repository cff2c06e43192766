"""The build script: order, arguments, the disk it asks for, and where it pushes to."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from chart_stages import stage_pods
from chart_world import PROFILES, pods_of, rendered
from images.builder import ROOT, build

NAMES = list(build.find_images())


def program(folder: Path, body: str) -> str:
    """A client that answers as `docker` would."""
    file = folder / "client"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return str(file)


def test_an_image_comes_after_what_it_stands_on() -> None:
    for image in build.find_images().values():
        for parent in image.parents:
            assert NAMES.index(parent) < NAMES.index(image.name)


def test_one_image_brings_what_it_stands_on() -> None:
    found = build.find_images()
    assert {image.name for image in build.selected(found, ["deploy"])} == {"base", "wheel", "deploy"}
    assert {image.name for image in build.selected(found, ["serve"])} == {"base", "ml", "wheel", "serve"}
    assert len(build.selected(found, [])) == len(found)


def test_an_unknown_image_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["build", "trian"]) == 78
    assert "no image 'trian': there are airflow, base" in capsys.readouterr().err


def test_a_base_image_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_IMAGE", "mirror.example.com/python:3.11")
    monkeypatch.delenv("BUILD_FLAGS", raising=False)
    given = list(
        build.build_arguments(build.find_images()["base"], "1.2.3", {"PYTHON_IMAGE": "mirror.example.com/python:3.11"})
    )
    assert given[:2] == ["--build-arg", "PYTHON_IMAGE=mirror.example.com/python:3.11"]
    assert "org.opencontainers.image.version=1.2.3" in given
    train = list(build.build_arguments(build.find_images()["train"], "1.2.3", {}))
    assert {"ML=kubetune/ml:1.2.3", "WHEEL=kubetune/wheel:1.2.3"} <= set(train)


def test_an_index_is_mounted_and_never_an_argument() -> None:
    given = list(build.build_arguments(build.find_images()["ml"], "1", {"PIP_CONFIG": "/somewhere/pip.conf"}))
    assert given[-2:] == ["--secret", "id=pip,src=/somewhere/pip.conf"]
    assert not [argument for argument in given if "PIP" in argument.upper() and argument.startswith("--build-arg")]


@pytest.mark.parametrize(("free", "there", "code"), [(13, False, 78), (13, True, None), (15, False, None)])
def test_the_torch_layer_asks_for_room(
    free: int,
    there: bool,
    code: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = "kubetune/ml:1" if there else "kubetune/base:1"
    monkeypatch.setenv(
        "DOCKER", program(tmp_path, f"case $1 in run) echo Avail; echo {free}000000000;; image) echo {listed};; esac")
    )
    ml = build.find_images()["ml"]
    if code is None:
        build.check_disk(ml, "1")
    else:
        with pytest.raises(build.ImageError, match=r"13\.0 GB of free disk and the torch layer needs 14 GB") as caught:
            build.check_disk(ml, "1")
        assert caught.value.code == code
    assert f"{free}.0 GB of disk are free" in capsys.readouterr().out


def test_nothing_else_asks_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER", program(tmp_path, "exit 1"))
    build.check_disk(build.find_images()["deploy"], "1")


def test_a_build_that_fails_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER", program(tmp_path, "exit 3"))
    assert build.main(["build", "base"]) == 70
    assert capsys.readouterr().err == "images: docker build ended with 3.\n"
    monkeypatch.setenv("DOCKER", str(tmp_path / "absent"))
    assert build.main(["build", "base"]) == 78
    assert "install a Docker engine" in capsys.readouterr().err


def test_push_names_each_shipped_image_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY_PUSH", raising=False)
    log = tmp_path / "log"
    monkeypatch.setenv("DOCKER", program(tmp_path, f'echo "$@" >> {log}'))
    assert build.main(["push", "--registry", "registry.example.com/team/"]) == 0
    pushed = [line.split()[-1] for line in log.read_text().splitlines() if line.startswith("push")]
    assert len(pushed) == len(set(pushed)) == 10
    assert f"registry.example.com/team/kubetune/train:{build.version()}" in pushed
    assert not [name for name in pushed if "/ml:" in name or "/wheel:" in name]


def test_push_hands_local_names_to_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("REGISTRY_PUSH", f"{program(tmp_path, f'echo $@ > {log}')} put")
    assert build.main(["push", "deploy"]) == 0
    assert log.read_text().split() == ["put", f"kubetune/deploy:{build.version()}"]


def test_push_without_a_registry_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REGISTRY_PUSH", raising=False)
    assert build.main(["push"]) == 78
    assert "make images-push REGISTRY=" in capsys.readouterr().err


def test_the_kind_script_is_whole_and_refuses_other_words() -> None:
    script = ROOT / "images" / "kind.sh"
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    refused = subprocess.run([script, "sideways"], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (78, "kind: say up, demo, settings or down\n")


@pytest.fixture
def kind_up(tmp_path: Path) -> Callable[..., list[str]]:
    """`kind.sh up` with programs that only take notes; returns the calls of Docker."""
    answers = {
        "kind": 'case "$1 $2" in "get clusters") echo toy;; "get nodes") echo node;; esac',
        "kubectl": """case "$*" in *version*) echo '"gitVersion": "v1.34.0"';; esac""",
        "helm": """case $1 in template) echo 'image: postgres:15'; echo 'image: "kubetune/serve:0.1.0"';; esac""",
        "docker": 'echo "$@" >>"$LOG"; case $1 in info) echo https://index.hub.example.com/v1/;;'
        " run) echo 90000000000;; esac",
    }
    for name, body in answers.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)

    def up(**settings: str) -> list[str]:
        given = {"KIND_CLUSTER_NAME": "toy", "PYTHON": sys.executable, "LOG": str(tmp_path / "log"), **settings}
        path = f"{tmp_path}:{os.environ['PATH']}"
        subprocess.run(
            [ROOT / "images" / "kind.sh", "up"], env={"PATH": path, **given}, check=True, capture_output=True
        )
        return (tmp_path / "log").read_text().splitlines()

    return up


def test_kind_pushes_every_image_of_the_chart_to_a_registry(kind_up: Callable[..., list[str]]) -> None:
    pushed = [line.split()[-1] for line in kind_up(REGISTRY="registry.example.com/team/") if line.startswith("push")]
    assert len(pushed) == len(set(pushed)) == 11
    assert "registry.example.com/team/postgres:15" in pushed
    assert f"registry.example.com/team/kubetune/serve:{build.version()}" in pushed


def test_nodes_pull_by_the_full_names_of_what_was_put_for_them(
    kind_up: Callable[..., list[str]], tmp_path: Path
) -> None:
    calls = kind_up(REGISTRY_PUSH=program(tmp_path, f'echo "$@" >{tmp_path}/put'))
    names = [line.split()[-1] for line in calls if line.startswith("exec node ctr")]
    assert "hub.example.com/library/postgres:15" in names
    assert f"hub.example.com/kubetune/serve:{build.version()}" in names
    assert "postgres:15" in (tmp_path / "put").read_text().split()


def test_kind_holds_pods_to_the_version_of_the_manifests() -> None:
    namespace = yaml.safe_load((ROOT / "manifests" / "namespace.yaml").read_text())
    version = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce-version"]
    assert version != "latest"
    assert f"enforce-version={version} " in (ROOT / "images" / "kind.sh").read_text()


def test_kind_maps_the_ports_that_the_profile_opens() -> None:
    cluster = yaml.safe_load((ROOT / "kind-config.yaml").read_text())
    mapped = {m["containerPort"]: m for m in cluster["nodes"][0]["extraPortMappings"]}
    assert all(m["hostPort"] == port and m["listenAddress"] == "127.0.0.1" for port, m in mapped.items())
    profile = yaml.safe_load((ROOT / "charts" / "kubetune" / "profiles" / "kind.yaml").read_text())
    opened = set(node_ports(profile))
    assert {30080, 30082} <= opened <= set(mapped)


def node_ports(value: object) -> list[int]:
    if isinstance(value, dict):
        here = [value["nodePort"]] if value.get("nodePort") else []
        return here + [port for inner in value.values() for port in node_ports(inner)]
    return []


def listed() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for how, what in build.needed({}):
        found.setdefault(how, set()).add(what)
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_a_site_without_the_internet_is_told_of_every_image_that_runs(profile: str) -> None:
    """What the chart renders, and what Airflow makes of its settings: nothing else is pulled."""
    found = rendered(profile)
    pods = [*pods_of(found), *stage_pods(found)]
    runs = {container["image"] for pod in pods for container in pod.containers}
    # Of a registry of the site, and by a digest that only it knows.
    names = {image.removeprefix("registry.example.com/").partition("@")[0].rpartition(":")[0] or image.partition("@")[0]
             .removeprefix("registry.example.com/") for image in runs}  # fmt: skip
    known = {image.rpartition(":")[0] for image in listed()["build and push"] | listed()["pull to run"]}
    assert names - {"example/first", "example/beside"} <= known


def test_the_list_has_nothing_that_no_profile_runs_and_all_that_a_build_takes() -> None:
    runs: set[str] = set()
    for profile in PROFILES:
        found = rendered(profile)
        runs |= {
            container["image"].partition("@")[0]
            for pod in [*pods_of(found), *stage_pods(found)]
            for container in pod.containers
        }
    for image in listed()["build and push"] | listed()["pull to run"]:
        assert any(image in run or run.endswith(image.rpartition(":")[0]) for run in runs), image
    files = [image.dockerfile.read_text() for image in build.find_images().values()]
    assert listed()["Python packages"] == {
        lock for text in files for lock in re.findall(r"requirements/\S+?\.txt", text)
    }
    assert all((ROOT / lock).is_file() for lock in listed()["Python packages"])
    assert listed()["pull to build"] == {"python:3.11-slim-bookworm", "golang:1.26-bookworm"}
    assert "mirror/minio" in {what for _, what in build.needed({"MINIO_BINARY": "mirror/minio"})}
