"""Everything that can go wrong, as a tree.

::

    RagError(Exception)
    ├─ SettingsError(ValueError)
    ├─ MissingDependency(ImportError)
    ├─ DocumentError
    │  ├─ UnsupportedFormat
    │  ├─ UnreadableDocument
    │  └─ EmptyDocument
    ├─ CorpusError
    │  ├─ CorpusNotFound
    │  ├─ CorpusLocked
    │  └─ CorpusMismatch
    ├─ ProviderError
    │  ├─ ProviderTimeout
    │  ├─ RateLimited
    │  └─ BadResponse
    └─ WindowExceeded

The caller's mistakes are ``ValueError`` or ``TypeError``, raised before any work; the
world's faults are a ``RagError``. A message says what happened, to which input, and what
to do; the attributes carry the same as data. Every error can be pickled, with its cause.
"""

import importlib
from types import ModuleType
from typing import Any


class RagError(Exception):
    """The root: catch it to catch whatever this package raises about the world."""

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        for name, value in data.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the message, the data and the cause, which ``Exception`` alone would lose."""
        return _restore, (type(self), str(self), dict(self.__dict__), _portable(self.__cause__))


def _restore(
    kind: type[RagError], message: str, data: dict[str, Any], cause: BaseException | None
) -> RagError:
    error = kind.__new__(kind, message)
    error.__dict__.update(data)
    error.__cause__ = cause
    return error


def _portable(cause: BaseException | None) -> BaseException | None:
    """Replace an error of another library, few of which can be pickled, by its words."""
    if cause is None or isinstance(cause, RagError) or type(cause).__module__ == "builtins":
        return cause
    return Exception(f"{type(cause).__qualname__}: {cause}")


class SettingsError(RagError, ValueError):
    """A setting is unknown or out of range; ``key`` and ``value`` say which."""

    key: str
    value: object

    def __init__(self, message: str, *, key: str, value: object) -> None:
        super().__init__(message, key=key, value=value)


class MissingDependency(RagError, ImportError):
    """An optional package is not installed; ``extra`` brings it."""

    module: str
    extra: str

    def __init__(self, module: str, *, extra: str) -> None:
        super().__init__(
            f"{module!r} is not installed; it comes with: pip install 'rag[{extra}]'",
            module=module,
            extra=extra,
        )


class DocumentError(RagError):
    """A document cannot be used; ``source`` says which."""

    source: str

    def __init__(self, message: str, *, source: str) -> None:
        super().__init__(message, source=source)


class UnsupportedFormat(DocumentError):
    """No reader knows this kind of file."""


class UnreadableDocument(DocumentError):
    """The file is damaged, encrypted, too large, undecodable or may not be read."""


class EmptyDocument(DocumentError):
    """The file holds no text, for example scanned pages."""


class CorpusError(RagError):
    """The corpus or its index is at fault; ``path`` says where."""

    path: str

    def __init__(self, message: str, *, path: str, **data: Any) -> None:
        super().__init__(message, path=path, **data)


class CorpusNotFound(CorpusError):
    """No folder, or no index in it yet."""


class CorpusLocked(CorpusError):
    """Another process is writing; ``pid`` and ``since`` name it (None where unknown)."""

    pid: int | None
    since: str | None

    def __init__(self, message: str, *, path: str, pid: int | None, since: str | None) -> None:
        super().__init__(message, path=path, pid=pid, since=since)


class CorpusMismatch(CorpusError):
    """The index was made otherwise than it is opened; ``expected`` and ``found`` say how."""

    expected: str
    found: str

    def __init__(self, message: str, *, path: str, expected: str, found: str) -> None:
        super().__init__(message, path=path, expected=expected, found=found)


class ProviderError(RagError):
    """A model or its server failed; ``status`` is the HTTP status, None where none came.

    ``retryable`` says whether the same call may succeed later; ``usage`` is what the
    failed call had cost, None where unknown.
    """

    provider: str
    status: int | None
    retryable: bool
    usage: object

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        retryable: bool = False,
        usage: object = None,
        **data: Any,
    ) -> None:
        super().__init__(
            message, provider=provider, status=status, retryable=retryable, usage=usage, **data
        )


class ProviderTimeout(ProviderError):
    """The server did not answer in time, or could not be reached."""


class RateLimited(ProviderError):
    """The server asks for patience; ``retry_after_s`` says how much (None where it did not)."""

    retry_after_s: float | None

    def __init__(
        self, message: str, *, provider: str, retry_after_s: float | None, usage: object = None
    ) -> None:
        super().__init__(
            message,
            provider=provider,
            status=429,
            retryable=True,
            usage=usage,
            retry_after_s=retry_after_s,
        )


class BadResponse(ProviderError):
    """The server answered something that is not what the protocol promises."""


class WindowExceeded(RagError):
    """The prompt does not fit the window even without passages."""

    needed: int
    window: int

    def __init__(self, message: str, *, needed: int, window: int) -> None:
        super().__init__(message, needed=needed, window=window)


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Parameters
    ----------
    module : the name to import.
    extra : the extra of this package that installs it.

    Raises
    ------
    MissingDependency
        The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # The package is there, and something that it needs is not.
        raise MissingDependency(module, extra=extra) from error
