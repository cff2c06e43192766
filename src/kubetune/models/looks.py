"""The archive of a run for a look: that which it packaged, or one made now of a candidate that nobody decided for."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from kubetune.config.settings import Settings
from kubetune.contract import Progress
from kubetune.execution.adopt import prepare_call
from kubetune.execution.run import new_attempt
from kubetune.execution.stage import Execution
from kubetune.models.history import artifact_of, recipe_of_run
from kubetune.plan import ManualOverride, call_of
from kubetune.storage.base import Store
from kubetune.storage.blobs import fetch_tree
from kubetune.storage.commits import read_commit


@contextmanager
def archive_for_look(
    store: Store, settings: Settings, run: str, progress: Progress, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Path]:
    """Give a block the archive of a run in a folder that is removed after it.

    One that was not packaged, since its comparison did not say promote, is packaged now and committed nowhere: a look
    decides nothing, and the run stays what it is.

    Raises:
        ConfigError: The run does not exist, or was not compared yet.
        RefusedError: It missed a threshold.
    """
    if read_commit(store, run, "package") is not None or read_commit(store, run, "compare") is None:
        found = artifact_of(store, run, "archive")
        with tempfile.TemporaryDirectory(prefix="kubetune-look-") as name:
            archive = Path(name) / "archive"
            archive.mkdir()
            fetch_tree(store, found.outputs["archive"], archive)
            yield archive
        return
    # Looking stands above a decision as a manual override does, and like that never above a refusal.
    call = replace(call_of("package", recipe_of_run(store, run), run), override=ManualOverride("look", "to look at it"))
    progress.note(f"run {run} was not packaged: its archive is made now for this look, and kept nowhere")
    work = Execution(prepare_call(call, store, settings), store, settings, progress, should_stop, new_attempt(settings))
    with work.body_result() as (_, outputs):
        yield outputs["archive"]
