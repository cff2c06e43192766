"""Every way in which kubetune refuses, one exit code each.

KubetuneError                     70  our bug
├── DataError                     65  a named rule about the data was broken
├── NotReadyError                 69  an endpoint did not become ready; the former archive serves
├── TrackingAwayError             69  the tracking server does not answer; the store holds all that it misses
├── ConflictingCommitError        70  two different results for one (run, stage)
├── CorruptArtifactError          70  stored bytes do not have their digest
├── TemporaryError                75  run the same command again
│   ├── InterruptedRunError       75  a signal asked the stage to stop; its checkpoint is committed
│   └── StoreUnavailableError     75  the store did not answer inside its deadline
├── RefusedError                  77  a gate refused; the report with the verdict is committed
├── ConfigError                   78  recipe, settings, world size or store cannot be used as asked
└── NothingToDoError              99  the champion stays
"""

from kubetune.redaction import redact

OK = 0


class KubetuneError(Exception):
    """Base of all errors of kubetune; `str(error)` is one sentence: what was found, what is allowed, what to do.

    Sentences are logged, kept with failed attempts and announced, so that each is cleared of secrets here.
    """

    exit_code = 70

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))


class DataError(KubetuneError):
    """The data broke a rule.

    Attributes:
        rule: Short name of the rule, for example `encoding` or `missing-column`.
    """

    exit_code = 65

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{message} [rule: {rule}]")
        self.rule = rule


class NotReadyError(KubetuneError):
    """An endpoint did not answer its golden vectors in time; the former archive serves again."""

    exit_code = 69


class TrackingAwayError(KubetuneError):
    """The tracking server does not answer. Nothing is lost: the store holds what it misses."""

    exit_code = 69


class ConflictingCommitError(KubetuneError):
    """A different result is already committed for this run and stage."""

    exit_code = 70


class TemporaryError(KubetuneError):
    """Nothing is lost and nothing is wrong with the request: run the same command again."""

    exit_code = 75


class InterruptedRunError(TemporaryError):
    """The stage was asked to stop and left a resumable state."""


class StoreUnavailableError(TemporaryError):
    """The store did not answer inside its deadline."""


class RefusedError(KubetuneError):
    """A gate refused. The report with the verdict is committed, so a retry refuses again."""

    exit_code = 77


class ConfigError(KubetuneError):
    """The recipe, a setting or the environment cannot be used as asked."""

    exit_code = 78


class NothingToDoError(KubetuneError):
    """The stage decided that nothing is to be changed."""

    exit_code = 99


class CorruptArtifactError(KubetuneError):
    """Stored bytes do not have the digest that their record states.

    The reader quarantines the key that led here and runs the producer again; the exit code is met
    only where no producer can be run.

    Attributes:
        digest: SHA-256 that the record states, hex.
    """

    def __init__(self, digest: str, message: str) -> None:
        super().__init__(message)
        self.digest = digest
