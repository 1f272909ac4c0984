"""The former name of `runtime.errors`, for platform hooks that import it."""

from runtime.errors import Failure, Permanent, Transient

__all__ = ["Failure", "Permanent", "Transient"]
