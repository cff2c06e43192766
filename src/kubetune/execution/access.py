"""Who may do what in the store, derived from the table of stages: the policies as data, for any S3 server.

A bucket's policies know no create-if-absent, so a user that may write a key may replace it; versions of the bucket
bring back what was there. Nothing here lets a stage list the bucket or delete, but `train` in its own checkpoints.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from kubetune import layout, stages
from kubetune.stages import PRODUCER, STAGES, Stage

VERSION = "2012-10-17"  # of the policy language; there is no newer one
ANY = "*"


@dataclass(frozen=True)
class StoreAccess:
    """Key patterns by what may be done there; `*` stands for any text, separators too.

    Attributes:
        get: Read, and ask for size and age.
        put: Write; what lies there is replaced.
        delete: Remove, a version included.
        list: Prefixes that may be listed.
    """

    get: tuple[str, ...] = ()
    put: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()
    list: tuple[str, ...] = ()

    def __or__(self, other: "StoreAccess") -> "StoreAccess":
        """Both together."""
        both = {
            item.name: tuple(dict.fromkeys((*getattr(self, item.name), *getattr(other, item.name))))
            for item in fields(self)
        }
        return StoreAccess(**both)


PROBED = StoreAccess(get=(layout.PROBE,), put=(layout.PROBE,))
"""What `open_store(probe=True)` writes to learn whether the server honours conditions."""


def stage_access(stage: Stage) -> StoreAccess:
    """Return what one stage's process does in the store, from its row in the table.

    It writes in the index of the stages that it reads from as well: a reader that finds broken bytes takes the key
    that led there out of use.
    """
    producers = tuple(dict.fromkeys(PRODUCER[name].name for name in stage.inputs))
    earlier = tuple(layout.commit(ANY, name) for name in dict.fromkeys(all_before(stage)))
    own = (f"{layout.run_prefix(ANY)}{stage.name}/*",)
    indexed = tuple(layout.stage_key(name, ANY) for name in (stage.name, *producers))
    access = PROBED | StoreAccess(get=(layout.run_record(ANY), *earlier, *own), put=(layout.run_record(ANY), *own))
    access |= StoreAccess(get=(*indexed, f"{layout.BLOBS}*"), put=indexed)
    if stage.outputs:
        access |= StoreAccess(put=(f"{layout.BLOBS}*",))
    if stage.reaches_outside and "data.source" in stage.sections:
        access |= StoreAccess(get=(layout.upload(ANY, ANY),))
    if stage.resumable:
        checkpoints = (f"{layout.CHECKPOINTS}*",)
        access |= StoreAccess(get=checkpoints, put=checkpoints, delete=checkpoints)
    models = (layout.model(ANY),)
    if stage.champion:
        access |= StoreAccess(get=(*models, layout.comparisons(ANY)), put=(layout.comparisons(ANY),))
    if stage.effect:
        access |= StoreAccess(get=(*models, layout.POLICIES), put=models)
    if stage.effect and not stage.reaches_kubernetes:
        access |= StoreAccess(put=(f"{layout.BLOBS}*",))  # the document of a version
    if stage.reaches_kubernetes:
        access |= StoreAccess(get=(layout.endpoint(ANY),), put=(layout.endpoint(ANY),))
    if stage.effect and "decision" in stage.inputs:  # what registers an archive signs its statement
        statements = (layout.statement(ANY, ANY), layout.REVOCATIONS)
        access |= StoreAccess(get=statements, put=statements)
    return access


def all_before(stage: Stage) -> list[str]:
    """Return the names of all stages that a stage depends on; a refusal of any of them stops it."""
    return [name for parent in stages.before(stage) for name in (*all_before(stages.BY_NAME[parent]), parent)]


SERVE = StoreAccess(get=(f"{layout.BLOBS}*", layout.statement(ANY, ANY), layout.REVOCATIONS))
"""`kubetune fetch-archive`: a digest is all it is given; blobs, that digest's statement and the list of revoked
versions are all it reads."""

KEPT = (layout.ENDPOINTS, layout.MODELS, layout.COMPARISONS)
EVERYTHING = (layout.RUNS, layout.KEYS, layout.BLOBS, layout.CHECKPOINTS, *KEPT)

HOUSEKEEPING = PROBED | StoreAccess(
    get=tuple(f"{prefix}*" for prefix in EVERYTHING),
    put=(f"{layout.KEYS}*",),
    delete=tuple(f"{prefix}*" for prefix in EVERYTHING if prefix not in KEPT),
    list=EVERYTHING,
)
"""`kubetune gc` and `kubetune delete`."""

CLIENT = PROBED | StoreAccess(
    get=(
        f"{layout.RUNS}*",
        f"{layout.BLOBS}*",
        f"{layout.ENDPOINTS}*",
        f"{layout.STATEMENTS}*",
        f"{layout.MODELS}*",
        layout.POLICIES,
        layout.upload(ANY, ANY),
    ),
    put=(layout.upload(ANY, ANY),),
    list=(layout.RUNS, layout.ENDPOINTS, layout.MODELS),
)
"""A person: uploads files, and reads runs, reports and models. Runs are begun through Airflow alone."""

MIRROR = StoreAccess(
    get=tuple(f"{prefix}*" for prefix in (layout.RUNS, layout.KEYS, layout.BLOBS, *KEPT, layout.STATEMENTS)),
    list=(layout.RUNS, *KEPT),
)
"""`kubetune tracking sync`: reads what people look at, and writes elsewhere."""

EVERY_OBJECT = (*EVERYTHING, layout.STATEMENTS, layout.UPLOADS)
BACKUP = StoreAccess(get=tuple(f"{prefix}*" for prefix in EVERY_OBJECT), list=EVERY_OBJECT)
"""`kubetune store backup`: reads all that a restored store needs, and writes elsewhere."""

_ARTIFACTS = (f"{layout.TRACKING}*",)
TRACKING = StoreAccess(get=_ARTIFACTS, put=_ARTIFACTS, delete=_ARTIFACTS, list=(layout.TRACKING,))
"""The bundled MLflow server: its own artifacts and nothing of ours."""

LOGS = StoreAccess(get=(f"{layout.LOGS}*",), put=(f"{layout.LOGS}*",), list=(layout.LOGS,))
"""Airflow's task logs, in a bucket of their own: whoever holds this key sees nothing of the store."""

OPTIONAL = frozenset({"logs", "mirror", "tracking", "backup"})
"""Users that a release without kept logs or without MLflow does not have, or where nobody backs up with own keys."""

USERS: Mapping[str, StoreAccess] = MappingProxyType(
    {
        **{stage.name: stage_access(stage) for stage in STAGES},
        "serve": SERVE,
        "housekeeping": HOUSEKEEPING,
        "client": CLIENT,
        "logs": LOGS,
        "mirror": MIRROR,
        "tracking": TRACKING,
        "backup": BACKUP,
    }
)
"""All users of a store by name."""


def policies(bucket: str, prefix: str, logs: str) -> dict[str, dict[str, Any]]:
    """Return the policy document of each user.

    Args:
        bucket: Bucket of the store.
        prefix: Key prefix of the store in it, ending in `/`, or empty.
        logs: Bucket of task logs, another one.
    """
    found = {user: policy(access, bucket, prefix) for user, access in USERS.items()}
    own = policy(LOGS, logs)
    for statement in own["Statement"]:
        # Airflow asks whether a log is there before it writes one. To whoever may list a part alone, S3 says of a key
        # that is not there that it is forbidden; the bucket holds nothing else.
        statement.pop("Condition", None)
    return found | {"logs": own}


def policy(access: StoreAccess, bucket: str, prefix: str = "") -> dict[str, Any]:
    """Return an S3 policy document.

    Args:
        access: What shall be allowed.
        bucket: Bucket of the store.
        prefix: Key prefix of the store in it, ending in `/`, or empty.
    """
    actions = {
        "get": ["s3:GetObject"],
        "put": ["s3:PutObject", "s3:AbortMultipartUpload"],
        "delete": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
    }
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Action": allowed,
            "Resource": [f"arn:aws:s3:::{bucket}/{prefix}{pattern}" for pattern in getattr(access, name)],
        }
        for name, allowed in actions.items()
        if getattr(access, name)
    ]
    if access.list:
        statements.append(
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{bucket}"],
                "Condition": {"StringLike": {"s3:prefix": [f"{prefix}{listed}*" for listed in access.list]}},
            }
        )
    return {"Version": VERSION, "Statement": statements}
