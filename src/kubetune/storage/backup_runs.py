"""Runs and their index from one store to another: a run's commits last, and none without what it was made from."""

from collections.abc import Callable, Mapping

from kubetune import layout
from kubetune.storage.base import Stat, Store
from kubetune.storage.blobs import in_parallel
from kubetune.storage.commit_record import Commit, parse_commit
from kubetune.storage.commits import index, parse_entry
from kubetune.storage.records import ROUNDS, find
from kubetune.storage.runs import recorded_recipe
from kubetune.storage.transfer import Transfer, read_whole, relate_commits, relate_runs

Report = Callable[[str], None]
COMMIT = "/COMMIT.json"
Results = dict[tuple[str, str], str]
"""(run, stage) → digest of the result, of the commits that the target has now."""


def copy_runs(transfer: Transfer, report: Report) -> Results:
    """Copy all runs; returns the results that the target has now."""
    runs = sorted({stat.key.split("/")[1] for stat in transfer.source.list(layout.RUNS)})
    results: Results = {}
    for run in runs:
        files, sent, records = transfer.done.files, transfer.done.bytes, transfer.done.records
        results |= copy_run(transfer, run)
        done = transfer.done
        if (done.files, done.records) != (files, records):
            report(
                f"run {run}: {done.records - records} records, {done.files - files} files, "
                f"{(done.bytes - sent) / 1e6:.1f} MB"
            )
    return results


def copy_run(transfer: Transfer, run: str) -> Results:
    """Copy one run: content, the recipe, telemetry and attempts, and its commits last."""
    stats = stable_list(transfer.source, layout.run_prefix(run))
    lying = {stat.key: stat.size for stat in transfer.target.list(layout.run_prefix(run))}
    record = layout.run_record(run)
    commits: dict[str, tuple[bytes, Commit]] = {}
    for key in (stat.key for stat in stats if stat.key.endswith(COMMIT)):
        found = copy_content_of_commit(transfer, key, reached=key in lying)
        if found is not None:
            commits[key] = found
    data, recipe = read_whole(transfer.source, record, recorded_recipe)
    if data is not None and recipe is None:
        transfer.note_broken(record, "the record is not whole")
    if data is None or recipe is None or not transfer.record(record, data, relate_runs):
        return {}  # deleted meanwhile, broken, or another run of this name
    rest = [stat for stat in stats if stat.key != record and not stat.key.endswith(COMMIT)]
    in_parallel(lambda stat: copy_plain(transfer, stat, lying), rest)
    transfer.done.runs += 1
    return {
        (commit.run, commit.stage): commit.result
        for key, (whole, commit) in commits.items()
        if transfer.record(key, whole, relate_commits)
    }


def stable_list(store: Store, prefix: str) -> list[Stat]:
    """List a run until two listings show the same commits: then each has the commits that came before it beside it."""
    before: set[str] | None = None
    for _ in range(ROUNDS):
        stats = list(store.list(prefix))
        commits = {stat.key for stat in stats if stat.key.endswith(COMMIT)}
        if commits == before:
            break
        before = commits
    return stats


def copy_content_of_commit(transfer: Transfer, key: str, *, reached: bool) -> tuple[bytes, Commit] | None:
    """Copy the outputs of a commit; returns the record, or None if it cannot be had whole any more."""
    data, commit = read_whole(transfer.source, key, parse_commit)
    if data is None:
        return None
    if commit is None or layout.commit(commit.run, commit.stage) != key:
        transfer.note_broken(key, "the record is not whole")
        return None
    lost = transfer.blobs(commit.files, reached=reached)
    if lost and transfer.source.stat(key) is not None:  # else the run was deleted meanwhile
        transfer.note_broken(key, f"blobs {', '.join(digest[:12] for digest in lost[:3])} are missing or broken")
    return None if lost else (data, commit)


def copy_plain(transfer: Transfer, stat: Stat, lying: Mapping[str, int]) -> None:
    """Copy telemetry or the record of an attempt, which are small and nobody's input."""
    if lying.get(stat.key) == stat.size:
        return
    stored = transfer.source.get(stat.key)
    if stored is not None:
        transfer.target.put(stat.key, stored.data)
        transfer.count_record()


def copy_entry(transfer: Transfer, key: str, results: Results) -> None:
    """Enter a stage key in the target's index, if the commit that it names was copied."""
    entry = find(transfer.source, key, parse_entry).value
    commit = entry.commit if entry is not None and not entry.retired else None
    if commit is None or results.get((commit.run, commit.stage)) != commit.result:
        return
    if transfer.target.stat(key) is None or transfer.audit:
        index(transfer.target, commit)
        transfer.count_record()
