"""What `helm test` asks of an installation: a DAG that is listed, a prediction that is answered."""

import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from kubetune.client.airflow import Airflow
from kubetune.client.http import Way, request
from kubetune.errors import ConfigError, KubetuneError, TemporaryError

NO_MODEL = "serves no model yet"
"""What a gateway says before the first deploy."""
POLL_S = 3.0


def wait_for_dags(airflow: Airflow, wanted: Sequence[str], wait_s: float) -> list[str]:
    """Return all DAG ids as soon as the wanted ones are among them.

    Raises:
        KubetuneError: One is still missing after `wait_s` seconds.
    """
    deadline = time.monotonic() + wait_s
    while True:
        found = airflow.dags()
        missing = sorted(set(wanted) - set(found))
        if not missing:
            return found
        if time.monotonic() >= deadline:
            raise KubetuneError(
                f"Airflow at {airflow.access.url} lists {', '.join(found) or 'no DAG'}, not {', '.join(missing)}: "
                "look at the dag-processor's log."
            )
        time.sleep(POLL_S)


def check_endpoint(way: Way, url: str, text: str, api_key: str | None) -> str:
    """Return a sentence on what an endpoint answers to one text.

    Raises:
        KubetuneError: It answers neither with a prediction nor as one before its first deploy.
        TemporaryError: Nothing answers.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    ready = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}/readyz"
    try:
        state = request(way, "GET", ready)
        reply = request(way, "POST", url, value={"inputs": [{"text": text}]}, headers=headers)
    except OSError as error:
        raise TemporaryError(f"Nothing answers at {url} ({error}): is the pod of the endpoint running?") from error
    answer = str(reply.value)
    if state.status == 200 and reply.status == 503 and NO_MODEL in answer:
        return f"{url} is ready and has no model yet: run a recipe to its stage `deploy`."
    if state.status == 200 and reply.status in {401, 403} and api_key is None:
        return f"{url} asks for a key, as it should; name one in the value tests.apiKeySecret to test a prediction."
    if reply.status in {401, 403} and api_key is not None:
        raise ConfigError(f"{url} refuses the key: put one that it knows into the Secret of tests.apiKeySecret.")
    if state.status == 200 and reply.status == 200 and "label" in answer:
        return f"{url} answers {answer:.200}"
    raise KubetuneError(f"{url} answered {reply.status} ({answer:.200}), /readyz {state.status}: see its pod's log.")
