"""End the signature of a registered version: nobody promotes its weights, and no start of an endpoint serves them.

What serves it goes on until it starts again: bring back another champion by `rollback` or `promote` first. A sentence
has to say why; it is signed and recorded with the name of who triggered this. `undo` reinstates the version.
"""

from kubetune.orchestration.airflow import RevokeRequest, dag, pod_task, resolve_revocation

with dag("revoke", __doc__, RevokeRequest):
    pod_task("revoke", resolve_revocation())
