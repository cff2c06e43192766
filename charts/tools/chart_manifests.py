"""Write `manifests/`: the profiles rendered for people without Helm; every Secret is theirs to make."""

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from chart_helm import CHART, NAMESPACE, ROOT, objects, template

FOLDER = ROOT / "manifests"
EXISTING = CHART / "examples" / "existing-secrets.yaml"
PROFILES = {
    "kind": ("kind", EXISTING),
    "production": ("prod", EXISTING, CHART / "examples" / "production.yaml"),
}
HEAD = """\
# The chart's profile {profile}, rendered by `make manifests`; a test compares the two. Do not edit: change the values.
# Read manifests/README.md first: the namespace and the Secrets come before this file.
"""


def text(profile: str) -> str:
    """Return the manifest of one profile: all objects but the test pods, which only `helm test` starts."""
    rendered = objects(template(PROFILES[profile], settings=["tests.enabled=false"]))
    for item in rendered:
        # Nobody but Helm reads these two; kubectl would keep them as if Helm managed the objects.
        labels = item["metadata"].get("labels", {})
        labels.pop("helm.sh/chart", None)
        item["metadata"].setdefault("namespace", NAMESPACE)
        if item["kind"] == "PriorityClass":
            del item["metadata"]["namespace"]
    body = yaml.safe_dump_all(rendered, sort_keys=False, width=120, explicit_start=True)
    return HEAD.format(profile=profile) + body.replace("managed-by: Helm", "managed-by: kubectl")


def files() -> Iterator[tuple[Path, str]]:
    """Yield path and text of each file."""
    for profile in PROFILES:
        yield FOLDER / f"{profile}.yaml", text(profile)


if __name__ == "__main__":
    for path, content in files():
        if "--check" in sys.argv and path.read_text(encoding="utf-8") != content:
            sys.exit(f"{path.relative_to(ROOT)} is not what the chart renders: run `make manifests`.")
        path.write_text(content, encoding="utf-8")
