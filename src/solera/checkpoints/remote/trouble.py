"""What can go wrong with a remote object, in the house form: few kinds, the object's address, never a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from solera.checkpoints.remote.address import had_secrets
from solera.checkpoints.remote.patience import Passing
from solera.errors import CheckpointError, NotFound, SoleraError, SourceChanged

_STATUS = re.compile(r"status code: (\d{3}(?: [A-Z][A-Za-z ]*)?)")
_METADATA_SERVERS = (
    "169.254.169.254", "169.254.170.2", "/latest/api/token", "/latest/meta-data", "metadata/identity",
    "metadata.google.internal", "computemetadata",
)  # fmt: skip
"""Where machines of a cloud find their roles: asked when nothing else says who asks."""
_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (read through boto3), or run with a role; "
    "for a public bucket set AWS_SKIP_SIGNATURE=true",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or a client id and secret)",
    "hf": "run: hf auth login, or set HF_TOKEN",
    "http": "give the address with its signature again: signatures are never stored",
}
_FAMILY = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "azure": "az", "adl": "az", "https": "http"}


def family(address: str) -> str:
    """The kind of store that an address belongs to: s3, gs, az, http, hf, or the scheme itself.

    Example:
        >>> family("https://host/m"), family("S3://bucket"), family("memory://m")
        ('http', 's3', 'memory')
    """
    scheme = address.partition("://")[0].lower()
    return _FAMILY.get(scheme, scheme)


class Gone(Exception):
    """There is no such object; the caller knows whether that is news. Caught in this folder."""


class Moved(Exception):
    """The object is not in the state that was asked for. Caught in this folder."""


@contextmanager
def told(address: str) -> Iterator[None]:
    """Turn the errors of obstore and fsspec into `Passing`, `Gone`, `Moved`, or an error in the house form.

    Raises:
        CheckpointError: no access, no credentials, no ranges: asking again would not help.
    """
    try:
        yield
    except (SoleraError, Passing, Gone, Moved):
        raise
    except FileNotFoundError:
        raise Gone(address) from None
    except Exception as error:  # noqa: BLE001 - two libraries, each with errors of its transports
        raise _told(address, error) from None


def _told(address: str, error: Exception) -> Exception:
    names = {type(error).__name__, str(getattr(error, "status", None) or reason(error)[:3])}
    if names & {"PreconditionError", "AlreadyExistsError", "412", "416"}:
        return Moved(address)
    if names & {"NotFoundError", "404", "410"}:
        return Gone(address)
    text = str(error).lower()
    if any(part in text for part in _METADATA_SERVERS):
        return no_credentials(address)
    if names & {"PermissionDeniedError", "UnauthenticatedError", "PermissionError", "401", "403"}:
        return refused(address, reason(error))
    if "credential" in text:
        return no_credentials(address)
    return _hopeless(address, names, error) or Passing(reason(error))


def _hopeless(address: str, names: set[str], error: Exception) -> CheckpointError | None:
    """The errors of a store, or an address, that can never answer."""
    if names & {"NotSupportedError", "NotImplementedError"}:
        return no_ranges(address)
    if names & {"UnknownConfigurationKeyError", "InvalidPathError", "ValueError", "ImportError"}:
        return CheckpointError("The address cannot be opened.", where=address, got=reason(error))
    return None


def reason(error: BaseException) -> str:
    """What an error says, in few words: a status where it has one; without addresses, for they may be signed.

    Example:
        >>> reason(ValueError("GET https://host/m?sig=1 failed"))
        'ValueError: GET ... failed'
    """
    text, _, inside = str(error).partition("\n\nDebug source")
    if found := _STATUS.search(text):
        return found[1].strip()
    if isinstance(error, TimeoutError) or any("timedout" in part.lower().replace(" ", "") for part in (text, inside)):
        return "no answer in time"
    first = re.sub(r"\S+://\S+", "...", text.splitlines()[0] if text else "")
    return f"{type(error).__name__}: {first}"[:160].rstrip(": ")


def no_credentials(address: str) -> CheckpointError:
    """Nobody has said who asks."""
    return CheckpointError("There are no credentials for this address.", where=address, fix=_fix(address))


def refused(address: str, got: str) -> CheckpointError:
    """The server knows who asks, or not, and does not give the object."""
    return CheckpointError("The server does not give access.", where=address, got=got, fix=_fix(address))


def no_ranges(address: str) -> CheckpointError:
    """The server cannot send a part of a file."""
    return CheckpointError(
        "The server does not send parts of files.", where=address, want="ranged requests (Accept-Ranges: bytes)",
        fix="download the model, and give its folder",
    )  # fmt: skip


def changed(address: str, got: str) -> SourceChanged:
    """The object is not what it was when the model was opened."""
    return SourceChanged(
        "A remote object changed while it was in use.", where=address, got=got, fix="start the run again"
    )


def missing(address: str) -> NotFound:
    """There is nothing at the address."""
    signed = " (its signature was not stored)" if had_secrets(address) else ""
    return NotFound(f"There is nothing at this address{signed}.", where=address, fix="check the spelling")


def exhausted(address: str, last: Passing, attempts: int) -> CheckpointError:
    """Asked often enough."""
    return CheckpointError(
        "The server does not deliver.", where=address, got=f"{last} ({attempts} attempts)",
        fix="run again later (--resume goes on); SOLERA_REMOTE_ATTEMPTS and SOLERA_REMOTE_TIMEOUT set the patience",
    )  # fmt: skip


def _fix(address: str) -> str:
    return _CREDENTIALS.get(family(address), "give this library its credentials in the environment")
