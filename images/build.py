"""Builds, pushes, weighs and lists the images: `make images`, `images-push`, `images-report` and `images-list`.

There is no list of images: each folder with a Dockerfile is one, `shared/` holds those that the others stand on, and
the ARGs before its first FROM say on which. Python 3.11 and a Docker engine with BuildKit are all that it needs.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

IMAGES = Path(__file__).resolve().parent
ROOT = IMAGES.parent
REPOSITORY = "kubetune"
BAD_CONFIGURATION, FAILED = 78, 70
GIGABYTE = 1000**3
FREE_BYTES = {"ml": 14 * GIGABYTE}
"""Disk that building an image takes at its peak: the torch layer, its wheels beside it, and room to commit it."""


@dataclass(frozen=True)
class Image:
    """One Dockerfile.

    Attributes:
        name: Folder name and last part of the image's name.
        dockerfile: The file.
        shared: Only other images stand on it; it is not shipped by itself.
        parents: Names of the images of ours that it stands on or copies from.
        bases: ARGs that are pulled images, with keys in bases.env.
    """

    name: str
    dockerfile: Path
    shared: bool
    parents: tuple[str, ...]
    bases: tuple[str, ...]

    def tag(self, version: str) -> str:
        """Return the local name."""
        return f"{REPOSITORY}/{self.name}:{version}"


class ImageError(Exception):
    """What could not be done, in one sentence, with the exit code that says of which kind it is."""

    def __init__(self, reason: str, code: int = FAILED) -> None:
        super().__init__(reason)
        self.code = code


def version() -> str:
    """Return the one version of wheel, images and chart."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def base_images(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ARG → image to pull: bases.env, where the environment says nothing else."""
    lines = (line.strip() for line in (IMAGES / "bases.env").read_text("utf-8").splitlines())
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {key: environment.get(key) or default for key, default in pairs}


def find_images() -> dict[str, Image]:
    """Return name → image in an order in which they can be built."""
    files = {file.parent.name: file for file in sorted(IMAGES.glob("**/Dockerfile"))}
    found = {name: read_image(name, file, set(files)) for name, file in files.items()}
    order = TopologicalSorter({name: image.parents for name, image in found.items()}).static_order()
    return {name: found[name] for name in order}


def read_image(name: str, file: Path, names: set[str]) -> Image:
    """Return what a Dockerfile's first ARGs say it stands on: an image of ours in capitals, or a key of bases.env."""
    head = re.split(r"^FROM ", file.read_text("utf-8"), maxsplit=1, flags=re.MULTILINE)[0]
    arguments = re.findall(r"^ARG (\w+)$", head, flags=re.MULTILINE)
    parents = tuple(argument.lower() for argument in arguments if argument.lower() in names)
    bases = tuple(argument for argument in arguments if argument.lower() not in names)
    return Image(name, file, file.parent.parent.name == "shared", parents, bases)


def selected(images: Mapping[str, Image], names: Sequence[str]) -> list[Image]:
    """Return the named images after all that they stand on; all images for no name."""
    if unknown := sorted(set(names) - set(images)):
        raise ImageError(f"There is no image {unknown[0]!r}: there are {', '.join(sorted(images))}.", BAD_CONFIGURATION)
    wanted = set(names or images)
    for image in reversed(list(images.values())):
        if image.name in wanted:
            wanted.update(image.parents)
    return [image for image in images.values() if image.name in wanted]


def docker(*arguments: str, capture: bool = False) -> str:
    """Run the client that `DOCKER` names (default `docker`) with BuildKit on.

    Raises:
        ImageError: It is not there or failed.
    """
    command = [*shlex.split(os.environ.get("DOCKER", "docker")), *arguments]
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=capture, check=True)
    except FileNotFoundError:
        raise ImageError(
            f"{command[0]} was not found: install a Docker engine or name a client as DOCKER=…", BAD_CONFIGURATION
        ) from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        raise ImageError(
            f"docker {arguments[0]} ended with {error.returncode}{': ' + said[-1] if said else ''}."
        ) from None
    return done.stdout or ""


def exists(tag: str) -> bool:
    """Tell whether the engine has an image."""
    return tag in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", capture=True).split()


def check_disk(image: Image, version: str) -> None:
    """Print the engine's free disk, and refuse where a large image that is not there yet cannot fit.

    Raises:
        ImageError: It cannot.
    """
    needed = FREE_BYTES.get(image.name)
    if needed is None:
        return
    looked = docker(
        "run",
        "--rm",
        "--network",
        "none",
        f"{REPOSITORY}/base:{version}",
        "df",
        "-B1",
        "--output=avail",
        "/",
        capture=True,
    )
    free = int(looked.split()[-1])
    print(
        f"images: {free / GIGABYTE:.1f} GB of disk are free, {image.name} takes up to {needed / GIGABYTE:.0f} GB",
        flush=True,
    )
    if free < needed and not exists(image.tag(version)):
        raise ImageError(
            f"The engine has {free / GIGABYTE:.1f} GB of free disk and the torch layer needs "
            f"{needed / GIGABYTE:.0f} GB: free some (`docker builder prune`) or give the engine a larger disk.",
            BAD_CONFIGURATION,
        )


def build_arguments(image: Image, version: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the options of `docker build` for one image."""
    bases = base_images(environment)
    values = {parent.upper(): f"{REPOSITORY}/{parent}:{version}" for parent in image.parents}
    values |= {argument: bases[argument] for argument in image.bases}
    if environment.get("GOPROXY"):
        values["GOPROXY"] = environment["GOPROXY"]
    for key, value in values.items():
        yield from ("--build-arg", f"{key}={value}")
    labels = {"version": version, "revision": revision()}
    for key, value in labels.items():
        yield from ("--label", f"org.opencontainers.image.{key}={value}")
    if environment.get("PIP_CONFIG"):  # a private index with its credentials: mounted, so never in a layer
        yield from ("--secret", f"id=pip,src={environment['PIP_CONFIG']}")
    yield from shlex.split(environment.get("BUILD_FLAGS", ""))


def revision() -> str:
    """Return the commit that is checked out, `-dirty` after it where files differ, or `unknown` outside a checkout."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"


def build(images: Iterable[Image]) -> None:
    """Build images one after the other, each with a line that says how long it took."""
    number = version()
    for image in images:
        check_disk(image, number)
        began = time.monotonic()
        file = str(image.dockerfile.relative_to(ROOT))
        docker("build", "--file", file, "--tag", image.tag(number), *build_arguments(image, number, os.environ), ".")
        print(f"images: {image.tag(number)} built in {time.monotonic() - began:.0f} s", flush=True)


def push(images: Iterable[Image], registry: str) -> None:
    """Push what is shipped to a registry, or hand the local names to the command in REGISTRY_PUSH."""
    tags = [image.tag(version()) for image in images if not image.shared]
    if hook := os.environ.get("REGISTRY_PUSH"):
        if subprocess.run([*shlex.split(hook), *tags], check=False).returncode:
            raise ImageError(f"The command in REGISTRY_PUSH failed for {', '.join(tags)}.")
        return
    if not registry:
        raise ImageError("No registry was named: say make images-push REGISTRY=registry.example.com", BAD_CONFIGURATION)
    for tag in tags:
        docker("tag", tag, f"{registry.rstrip('/')}/{tag}")
        docker("push", "--quiet", f"{registry.rstrip('/')}/{tag}")


def report(images: Mapping[str, Image]) -> None:
    """Print each image's size, what of it is its own, and what all of them take when layers are stored once."""
    number = version()
    sizes = {
        i.name: int(docker("image", "inspect", "--format", "{{.Size}}", i.tag(number), capture=True))
        for i in images.values()
    }
    pulled = int(
        docker("image", "inspect", "--format", "{{.Size}}", base_images(os.environ)["PYTHON_IMAGE"], capture=True)
    )
    print(f"{'image':<10}{'MB':>8}{'own MB':>9}  stands on")
    stored = pulled
    for image in images.values():
        parents = [parent for parent in image.parents if parent != "wheel"]
        below = sizes[parents[0]] if parents else pulled if "PYTHON_IMAGE" in image.bases else 0
        own = sizes[image.name] - below if image.name != "wheel" else 0
        stored += own
        if image.name != "wheel":
            stands_on = parents[0] if parents else "the pulled Python" if below else "nothing"
            print(f"{image.name:<10}{sizes[image.name] / 1e6:>8.0f}{own / 1e6:>9.1f}  {stands_on}")
    shipped = sum(sizes[image.name] for image in images.values() if not image.shared)
    print(f"shipped, added up: {shipped / 1e6:.0f} MB; stored once: {stored / 1e6:.0f} MB")


def needed(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (how it comes, what) of all that a site without the internet mirrors, builds or brings along."""
    images, bases = find_images(), base_images(environment)
    used = {argument for image in images.values() for argument in image.bases}
    for argument in sorted(used - {"MINIO_BINARY"}):
        yield "pull to build", bases[argument]
    if bases["MINIO_BINARY"] != "build":
        yield "pull to build", bases["MINIO_BINARY"]
    locks = {lock for image in images.values() for lock in locks_of(image)}
    for lock in sorted(locks):
        yield "Python packages", lock
    yield "Go modules", "images/minio/Dockerfile"
    for image in images.values():
        if not image.shared:
            yield "build and push", image.tag(version())
    for foreign in foreign_images():
        yield "pull to run", foreign


def locks_of(image: Image) -> list[str]:
    """Return the hashed locks that an image is installed from."""
    return re.findall(r"source=(requirements/\S+?\.txt),", image.dockerfile.read_text("utf-8"))


def foreign_images() -> list[str]:
    """Return the images that the chart runs and that are not ours: those which its values name in full."""
    values = (ROOT / "charts" / "kubetune" / "values.yaml").read_text("utf-8")
    return sorted(set(re.findall(r"^ +image: ([a-z0-9][^\s#]*[:@]\S+)$", values, flags=re.MULTILINE)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("command", choices=("build", "push", "report", "names", "list"))
    parser.add_argument("images", nargs="*", help="names; all for none")
    parser.add_argument("--registry", default="", help="for push: where to, for instance registry.example.com/team")
    given = parser.parse_args(arguments)
    images = find_images()
    try:
        chosen = selected(images, given.images)
        if given.command == "build":
            build(chosen)
        elif given.command == "push":
            push(chosen, given.registry)
        elif given.command == "names":
            print("\n".join(image.tag(version()) for image in chosen if not image.shared))
        elif given.command == "list":
            print("\n".join(f"{how}\t{what}" for how, what in needed(os.environ)))
        else:
            report(images)
    except ImageError as error:
        print(f"images: {error}", file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
