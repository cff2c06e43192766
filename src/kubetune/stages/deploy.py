"""Stage `deploy`: the endpoint serves this archive, or still the former one. Looks first; re-running is free."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetune.contract import Context, Result
from kubetune.errors import KubetuneError, NotReadyError
from kubetune.serving.archive.manifest import archive_digest, read_archive
from kubetune.serving.target import DeploymentTarget, Observed

READY_TIMEOUT_S = 180.0


def run(config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context) -> Result:
    """Point the endpoint `context.platform["endpoint"]` at the archive; see `StageBody`.

    Platform keys: `endpoint`; optional `ready_timeout_s` and `serving` (`local` or `cluster`); locally `state_dir` and
    optional `port` (loopback), `serve_hosts` (names besides loopback) and `trust` (whose statements count); in a
    cluster `serving_namespace` and `serving_release`.

    Raises:
        NotReadyError: The archive did not become ready; the former one serves again.
        DataError: The archive has no valid statement, and `trust` asks for one; the former one serves.
        ConfigError: No Java, port in use, no Deployment, or no archive.
        TemporaryError: Another deployment of the endpoint is under way, or the Kubernetes API is away.
    """
    platform = context.platform
    timeout_s = float(platform.get("ready_timeout_s", READY_TIMEOUT_S))
    return deploy(deployment_target(platform), inputs["archive"], context, timeout_s)


def deployment_target(platform: Mapping[str, Any]) -> DeploymentTarget:
    """Return the endpoint where the settings say that endpoints live; each kind needs libraries of its own image."""
    endpoint = str(platform["endpoint"])
    if platform.get("serving", "local") == "local":
        from kubetune.serving import hosts
        from kubetune.serving.local.target import LocalTarget

        names = hosts.parse_hosts(platform.get("serve_hosts", ""))
        return LocalTarget(Path(platform["state_dir"]), endpoint, platform.get("port"), platform.get("trust"), names)
    from kubetune.serving.cluster.target import ClusterTarget

    return ClusterTarget(str(platform["serving_namespace"]), str(platform["serving_release"]), endpoint)


def deploy(target: DeploymentTarget, archive: Path, context: Context, timeout_s: float) -> Result:
    """Make `target` serve `archive`.

    Returns:
        Facts: `archive` and `previous` (digests), `changed`, and what the target says of itself.
    """
    read_archive(archive, verify=False)
    digest = archive_digest(archive)
    with target.exclusive():
        before = target.observe()
        if before.digest == digest and not before.problems:
            context.progress.note(f"archive {digest[:12]} is already served and answers its golden vectors")
            return _result(digest, before, before, changed=False)
        context.progress.note(f"starting archive {digest[:12]}; its golden vectors decide whether it is ready")
        try:
            target.apply(archive, timeout_s, context.should_stop)
        except KubetuneError as error:
            outcome = _undo(target, before, timeout_s)
            context.progress.note(outcome)
            if isinstance(error, NotReadyError):
                raise NotReadyError(f"{error} {outcome}") from error
            raise
        after = target.observe()
        context.progress.note(f"archive {digest[:12]} is asked at {after.facts.get('url', 'the address it had')}")
        return _result(digest, before, after, changed=True)


def _undo(target: DeploymentTarget, before: Observed, timeout_s: float) -> str:
    """Bring the former archive back and say how that went."""
    try:
        target.rollback(timeout_s)
        if before.digest is None:
            return "Nothing was served before."
    except NotReadyError as error:
        former = f"former archive {before.digest[:12]}" if before.digest else "state before"
        return f"The {former} does not serve either: {error}"
    after = target.observe()
    if after.digest != before.digest:
        return f"Archive {(after.digest or 'none')[:12]} of another deployment is there now."
    if after.problems:
        return f"The former archive {before.digest[:12]} does not serve: {'; '.join(after.problems)}."
    return f"The former archive {before.digest[:12]} serves."


def _result(digest: str, before: Observed, after: Observed, *, changed: bool) -> Result:
    return Result(facts={"archive": digest, "previous": before.digest, "changed": changed, **after.facts})
