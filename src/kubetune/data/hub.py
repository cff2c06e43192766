"""A Hugging Face hub as settings describe it, and its errors in our words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kubetune.data.bounds import check_allowed
from kubetune.errors import ConfigError, TemporaryError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ANSWER_WITHIN_S = 30.0
"""For `timeout=` of calls that ask and download nothing; the client's own default is to wait for ever."""


def hub_client(platform: Mapping[str, Any]) -> "HfApi":
    """Open a client of the hub that settings name, with the token that settings hold and no other.

    Proxies and a private CA reach the client through the environment that the runner sets around a stage.

    Raises:
        ConfigError: Settings forbid every outside address.
    """
    check_allowed("hub", "A hub's repository", platform)
    if platform.get("offline"):
        raise ConfigError(
            "A hub was to be asked and settings say offline: unset KUBETUNE_OFFLINE and HF_HUB_OFFLINE, or give the "
            "source by override, for example data.source.kind=files or model.source.kind=path."
        )
    import huggingface_hub

    huggingface_hub.close_session()  # the next one is opened with the proxies and the CA of now
    token = platform.get("hub_token")
    # False: no token, where None would take one that lies in somebody's home folder.
    return huggingface_hub.HfApi(endpoint=platform.get("hub_endpoint"), token=token or False, library_name="kubetune")


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Raise what the hub client raises inside the block as our errors.

    Args:
        what: Repository in words, for example `Data set dair-ai/emotion`; starts the sentence.

    Raises:
        ConfigError: It does not exist, is gated, or the hub was not to be asked.
        TemporaryError: The hub did not answer, or delivered half a file.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise ConfigError(
            f"{what} is gated: accept its terms on the hub with your account and set HF_TOKEN to a token of it."
        ) from None
    except errors.RevisionNotFoundError:
        raise ConfigError(f"{what} has no such revision: give a branch, tag or commit that the hub lists.") from None
    except (errors.RepositoryNotFoundError, errors.DisabledRepoError, errors.HFValidationError):
        raise ConfigError(
            f"{what} does not exist on the hub, or is private: check the name, and set HF_TOKEN if it is private."
        ) from None
    except errors.RemoteEntryNotFoundError:
        raise ConfigError(f"{what} lacks a file that was asked for: choose another revision or repository.") from None
    except errors.OfflineModeIsEnabled:
        raise ConfigError(f"{what} cannot be asked for: HF_HUB_OFFLINE is set in this process.") from None
    except errors.HfHubHTTPError as error:
        raise _refused(what, error.response.status_code) from None
    except (errors.HTTPError, errors.LocalEntryNotFoundError) as error:  # type: ignore[attr-defined]  # not in __all__
        raise _unreachable(what, error) from None
    except OSError as error:
        if error.errno is not None and not isinstance(error, ConnectionError | TimeoutError):
            raise  # the disk's
        raise _unreachable(what, error) from None


def _refused(what: str, status: int) -> ConfigError | TemporaryError:
    if status in {401, 403}:
        return ConfigError(f"{what} was refused by the hub (HTTP {status}): set HF_TOKEN to a token that may read it.")
    if status in {408, 429} or status >= 500:
        return TemporaryError(f"{what}: the hub answered HTTP {status}; run the same command again later.")
    return ConfigError(
        f"{what}: the hub answered HTTP {status}, so the recipe's source cannot be used; check its name."
    )


def _unreachable(what: str, error: BaseException) -> ConfigError | TemporaryError:
    if any("CERTIFICATE_VERIFY_FAILED" in str(cause) for cause in _causes(error)):
        return ConfigError(
            f"{what}: the hub's certificate cannot be trusted; set KUBETUNE_CA_BUNDLE to the PEM file of the authority "
            "that signed it."
        )
    return TemporaryError(
        f"{what} could not be had whole from the hub ({type(error).__name__}): nothing is kept of it, run the same "
        "command again when the hub is reachable."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
