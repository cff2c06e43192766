"""Ask the metadata database what probes and init containers want to know, without importing Airflow (seconds of CPU).

`database.py wait SECONDS` ends once the server answers. `database.py alive JOB startup|liveness` ends well where this
pod's job wrote a heartbeat lately.
"""

import socket
import sys
import time
from pathlib import Path

import psycopg2

URL = Path("/run/secrets/airflow/connection")
LATE_S = 90
"""Age of a heartbeat that counts as stopped; one is written every few seconds."""


def connect(timeout_s: int) -> "psycopg2.extensions.connection":
    """Connect by Airflow's own URL, whose driver suffix PostgreSQL does not know."""
    scheme, rest = URL.read_text(encoding="utf-8").strip().split("://", 1)
    return psycopg2.connect(f"{scheme.split('+')[0]}://{rest}", connect_timeout=timeout_s)


def wait(seconds: int) -> None:
    """Return once the server answers; end with 1 after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        try:
            connect(5).close()
        except psycopg2.OperationalError as error:
            if time.monotonic() > until:
                sys.exit(f"The database does not answer after {seconds} s: {error}")
            time.sleep(1)
        else:
            return


def alive(job: str, kind: str) -> None:
    """End with 1 where this pod's job has no fresh heartbeat.

    An absent database is no reason to restart a pod that waits for it.
    """
    name = socket.gethostname()
    found = socket.getaddrinfo(name, None, 0, socket.SOCK_DGRAM, 0, socket.AI_CANONNAME)
    names = [name, *(entry[3] for entry in found if entry[3])]
    try:
        connection = connect(5)
    except psycopg2.OperationalError as error:
        if kind == "startup":
            sys.exit(f"The database does not answer: {error}")
        return
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(latest_heartbeat) > now() - %s * interval '1 second' FROM job"
            " WHERE job_type = %s AND state = 'running' AND hostname = ANY(%s)",
            (LATE_S, job, names),
        )
        if not cursor.fetchone()[0]:
            sys.exit(f"{job} on {name} wrote no heartbeat within {LATE_S} s.")


if __name__ == "__main__":
    if sys.argv[1] == "wait":
        wait(int(sys.argv[2]))
    else:
        alive(sys.argv[2], sys.argv[3])
