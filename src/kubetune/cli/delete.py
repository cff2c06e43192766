"""`kubetune delete RUN`: forget a run."""

from kubetune.cli.common import RunName, StoreUrl, opened, say


def command(run: RunName, store: StoreUrl = None) -> None:
    """Delete a run's records; `kubetune gc` removes the content that only it needed."""
    from kubetune.errors import ConfigError
    from kubetune.history import endpoints_of, known_run
    from kubetune.layout import check_run, run_record
    from kubetune.storage.runs import delete_run

    opened_store = opened(store)[1]
    if opened_store.stat(run_record(check_run(run))) is None:  # a broken record is one that may be deleted
        known_run(opened_store, run)
    serving = endpoints_of(opened_store, run)
    if serving:
        raise ConfigError(f"Run {run} is served by {', '.join(serving)}: deploy another run there first.")
    say(f"deleted {delete_run(opened_store, run)} records of {run}.")
