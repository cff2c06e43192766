"""`kubetune endpoints`: what is served on this machine."""

from kubetune.cli.common import AsJson, StoreUrl, print_json, print_table, say, settings_for


def command(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """List the endpoints of this machine: what runs on which port, and how to stop it."""
    from dataclasses import asdict

    from kubetune.config.settings import state_folder
    from kubetune.serving.endpoints import endpoints

    found = endpoints(state_folder(settings_for(store)))
    if as_json:
        print_json([asdict(endpoint) for endpoint in found])
        return
    print_table(
        ["endpoint", "state", "archive", "address", "process", "since", "stop it with"],
        [
            [
                item.name,
                item.state,
                item.digest[:12],
                item.url or "-",
                str(item.pid or "-"),
                item.since,
                f"kubetune stop {item.name}" if item.pid else "-",
            ]
            for item in found
        ],
    )
    if not found:
        say("Nothing has been deployed here yet: `kubetune run RECIPE` does.")
