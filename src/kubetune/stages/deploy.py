"""Stage `deploy`: the endpoint serves this archive, or still the former one. Looks first; re-running is free."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetune.contract import Context, Result
from kubetune.errors import KubetuneError, NotReadyError
from kubetune.serving.archive import archive_digest, read_archive
from kubetune.serving.local_target import LocalTarget
from kubetune.serving.target import Observed, Target

READY_TIMEOUT_S = 180.0


def run(config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context) -> Result:
    """Point the endpoint `context.platform["endpoint"]` at the archive; see `StageBody`.

    Platform keys: `state_dir` and `endpoint`; optional `port` (loopback) and `ready_timeout_s`.

    Raises:
        NotReadyError: The archive did not become ready; the former one serves again.
        ConfigError: No Java, port in use, or no archive.
    """
    platform = context.platform
    target = LocalTarget(Path(platform["state_dir"]), str(platform["endpoint"]), platform.get("port"))
    return deploy(target, inputs["archive"], context, float(platform.get("ready_timeout_s", READY_TIMEOUT_S)))


def deploy(target: Target, archive: Path, context: Context, timeout_s: float) -> Result:
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
        return _result(digest, before, target.observe(), changed=True)


def _undo(target: Target, before: Observed, timeout_s: float) -> str:
    """Bring the former archive back and say how that went."""
    if before.digest is None:
        return "Nothing was served before."
    try:
        target.rollback(timeout_s)
    except NotReadyError as error:
        return f"The former archive {before.digest[:12]} does not serve either: {error}"
    after = target.observe()
    if after.problems:
        return f"The former archive {before.digest[:12]} does not serve: {'; '.join(after.problems)}."
    return f"The former archive {before.digest[:12]} serves."


def _result(digest: str, before: Observed, after: Observed, *, changed: bool) -> Result:
    return Result(facts={"archive": digest, "previous": before.digest, "changed": changed, **after.facts})
