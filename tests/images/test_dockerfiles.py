"""What every image promises, read from its Dockerfile: no root, labels, hashed installs, bases by ARG alone."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from images.builder import ROOT, build
from kubetune.stages import STAGES

FOUND = build.find_images()
SHIPPED = sorted(name for name, image in FOUND.items() if not image.shared)
SHARED = sorted(name for name, image in FOUND.items() if image.shared)
LOCKS = [*sorted((ROOT / "requirements" / "images").glob("*.txt")), ROOT / "requirements" / "airflow.txt"]


def instructions(name: str) -> list[str]:
    """The file's instructions, continued lines joined, comments left out."""
    text = FOUND[name].dockerfile.read_text("utf-8")
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [line for line in kept.replace("\\\n", " ").splitlines() if line.strip()]


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", lock.read_text("utf-8"), flags=re.MULTILINE))


def test_the_images_are_all_there() -> None:
    assert {stage.image for stage in STAGES} <= set(SHIPPED)
    beside = ["airflow", "minio", "serve", "tracking"]
    assert sorted([*beside, "deploy", "evaluate", "ingest", "package", "prepare", "train"]) == SHIPPED
    assert SHARED == ["base", "ml", "wheel"]


@pytest.mark.parametrize("name", SHIPPED + SHARED)
def test_it_stands_on_arguments_alone(name: str) -> None:
    lines = instructions(name)
    head = [line.split()[1] for line in lines[: next(i for i, line in enumerate(lines) if line.startswith("FROM "))]]
    stages: set[str] = {"scratch"}
    froms = [line.split() for line in lines if line.startswith("FROM ")]
    assert froms
    for _, source, *rest in froms:
        assert source in stages or source.removeprefix("${").removesuffix("}") in head, source
        stages.update(rest[1:])
    assert set(FOUND[name].bases) <= set(build.base_images({}))
    assert len(head) == len(FOUND[name].bases) + len(FOUND[name].parents)
    assert len(FOUND[name].dockerfile.read_text("utf-8").splitlines()) <= 60


@pytest.mark.parametrize("name", SHIPPED + SHARED)
def test_it_does_not_end_as_root(name: str) -> None:
    last_stage = "\n".join(instructions(name)).rsplit("\nFROM ", maxsplit=1)[-1].splitlines()
    assert [line for line in last_stage if line.startswith("USER ")][-1] == "USER 10001:10001"


@pytest.mark.parametrize("name", SHIPPED)
def test_it_says_what_it_is(name: str) -> None:
    text = "\n".join(instructions(name))
    assert f'org.opencontainers.image.title="kubetune {name}"' in text
    assert re.search(r'org\.opencontainers\.image\.description="[^"]+"', text)
    program = {"airflow": "airflow", "minio": "minio"}.get(name, "kubetune")
    assert instructions(name)[-1] == f'ENTRYPOINT ["{program}"]'


@pytest.mark.parametrize("name", SHIPPED + SHARED)
def test_it_installs_from_hashed_locks_only(name: str) -> None:
    steps = [line for line in instructions(name) if line.startswith("RUN ")]
    for step in steps:
        assert not re.search(r"apt-get|apk |curl|wget|git clone|latest", step), step
        for call in re.findall(r"\bpip (?:--python \S+ )?(?:install|wheel) [^&]*", step):
            assert "--no-index" in call, call  # every other package comes through install.sh
        for used in re.findall(r"sh /build/install\.sh /build/(\w+)\.txt", step):
            assert re.search(rf"source=(requirements/\S+\.txt),target=/build/{used}\.txt", step), used
    assert not [line for line in instructions(name) if line.startswith("ADD ")]


def test_install_refuses_what_is_not_hashed_and_keeps_no_cache() -> None:
    text = (ROOT / "images" / "shared" / "install.sh").read_text("utf-8")
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "--compile", "PIP_NO_CACHE_DIR=1"):
        assert option in text


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_pin_has_a_hash_and_no_address(lock: Path) -> None:
    text = lock.read_text("utf-8")
    entries = re.split(r"^(?=[a-z0-9])", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert len(entries) == len(pins(lock)) >= 1
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_an_image_runs_the_versions_that_the_tests_ran(lock: Path) -> None:
    """Where Airflow's or MLflow's lock disagreed with the core's, its layer would carry the package a second time."""
    tested = pins(ROOT / "requirements" / "dev.txt") | pins(ROOT / "requirements" / "demo.txt")
    mine = pins(lock)
    if lock.stem in {"airflow", "tracking"}:  # environments of their own above the core
        tested = pins(ROOT / "requirements" / "images" / "core.txt")
        assert lock.stem == "tracking" or set(tested) <= set(mine)
    assert {name: tested[name] for name in mine if name in tested} == {
        name: mine[name] for name in mine if name in tested
    }


def test_torch_is_in_the_shared_layer_and_nowhere_else() -> None:
    folder = ROOT / "requirements" / "images"
    assert "torch" in pins(folder / "torch.txt")
    assert set(pins(folder / "torch.txt")) <= set(pins(folder / "ml.txt")) <= set(pins(folder / "serve.txt"))
    assert not {"torch", "transformers"} & {*pins(folder / "deploy.txt"), *pins(folder / "core.txt"), *pins(LOCKS[-1])}


def test_the_tracking_image_leaves_out_what_its_server_does_not_import() -> None:
    """The client that the mirror imports comes with the server, in its version."""
    mine = pins(ROOT / "requirements" / "images" / "tracking.txt")
    dropped = (ROOT / "requirements" / "images" / "tracking-overrides.in").read_text("utf-8")
    names = set(re.findall(r"^([a-z-]+);", dropped, flags=re.MULTILINE))
    assert len(names) >= 5 and not names & set(mine)
    assert mine["mlflow"] == mine["mlflow-skinny"]
    assert {"psycopg2-binary", "boto3", "flask-wtf"} <= set(mine)


@pytest.mark.parametrize("name", SHIPPED + SHARED)
def test_what_it_copies_is_in_the_context_and_in_the_repository(name: str) -> None:
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignore  # nothing enters that is not named
    allowed = [line.removeprefix("!") for line in ignore if line.startswith("!")]
    text = "\n".join(instructions(name))
    sources = re.findall(r"source=(\S+?),", text)
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, flags=re.MULTILINE):
        sources += line.split()[:-1]
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in allowed), source
