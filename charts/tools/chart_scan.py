"""Scan the rendered profile prod with checkov: every finding is fixed or accepted here, with its reason."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from chart_helm import CHART, template

VALUES = ("prod", CHART / "examples" / "existing-secrets.yaml", CHART / "examples" / "production.yaml")
TESTS = ("kubetune-test-store", "kubetune-test-recipes", "kubetune-test-airflow", "kubetune-test-tweets")
ACCEPTED: dict[str, tuple[str, frozenset[str] | None]] = {
    "CKV_K8S_38": (
        "These three start, watch and read the pods of stages; their Roles are those of the tests.",
        frozenset({"kubetune-api-server", "kubetune-scheduler", "kubetune-triggerer"}),
    ),
    "CKV_K8S_8": ("A pod of `helm test` ends by itself, and by its deadline.", frozenset(TESTS)),
    "CKV_K8S_9": (
        "A pod of `helm test` serves nobody, and neither do the other three: no Service sends them requests.",
        frozenset({*TESTS, "kubetune-dag-processor", "kubetune-scheduler", "kubetune-triggerer"}),
    ),
}
"""Reason and resources (None: any) by checkov's id."""


def findings(program: Path) -> list[dict[str, Any]]:
    """Return checkov's failed checks; it runs without network."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "prod.yaml").write_text(template(VALUES), encoding="utf-8")
        arguments = ["--framework", "kubernetes", "--directory", folder, "--output", "json", "--quiet", "--compact"]
        done = subprocess.run(
            [str(program), *arguments, "--skip-download"], capture_output=True, text=True, check=False, timeout=300
        )
    report = json.loads(done.stdout)
    if report["summary"]["parsing_errors"] or report["summary"]["passed"] < 500:
        sys.exit(f"checkov read less than it should: {report['summary']}.")
    sys.stdout.write(f"checkov {report['summary']}\n")
    return list(report["results"]["failed_checks"])


def judge(found: list[dict[str, Any]]) -> list[str]:
    """Return what is neither fixed nor accepted, and what is accepted without need."""
    lines = []
    for item in found:
        _, resources = ACCEPTED.get(item["check_id"], ("", frozenset()))
        name = item["resource"].rpartition(".")[2]
        if resources is not None and name not in resources:
            lines.append(f"{item['check_id']} {item['check_name']}: {item['resource']}")
    seen = {item["check_id"] for item in found}
    return lines + [
        f"{check} is accepted and not found: take it off the list" for check in sorted(set(ACCEPTED) - seen)
    ]


if __name__ == "__main__":
    if faults := judge(findings(Path(sys.argv[1]))):
        sys.exit("\n".join(faults))
    for check, (reason, _) in ACCEPTED.items():
        sys.stdout.write(f"accepted {check}: {reason}\n")
