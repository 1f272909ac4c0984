"""The base class of the objects of the API, and the types of their fields."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from meetergo.wire import MAX_ID


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _identifier(value: Any) -> Any:
    """Ids in production are strings for bookings and integers for webhooks; here they are text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _utc(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("it should be an ISO 8601 time with an offset") from None


def _without_nulls(value: Any) -> Any:
    return [item for item in value if item is not None] if isinstance(value, list) else value


Item = TypeVar("Item")
Many = Annotated[list[Item], BeforeValidator(_without_nulls)]
Text = Annotated[str, BeforeValidator(_text)]
Identifier = Annotated[str, BeforeValidator(_identifier), Field(min_length=1, max_length=MAX_ID)]
Moment = Annotated[datetime, BeforeValidator(_utc)]


class ApiModel(BaseModel):
    """An object of the API that must be well-formed: unknown keys are ignored, and no error quotes its content."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        """Drop nulls, so that of two names for one field the one with a value counts."""
        if not isinstance(value, dict):
            return value
        return {name: item for name, item in value.items() if item is not None}


class TolerantModel(ApiModel):
    """An object whose required fields must be well-formed: any other that cannot be read counts as absent.

    meetergo documents neither which fields are optional nor all their types, and most of them decide nothing.

    Attributes:
        STRICT: names of further fields that must be well-formed.
    """

    STRICT: ClassVar[frozenset[str]] = frozenset()

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_if_unreadable(cls, value: Any, parse: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return parse(value)
        except ValidationError:
            name = str(info.field_name)
            field = cls.model_fields[name]
            if field.is_required() or name in cls.STRICT:
                raise
            return field.get_default(call_default_factory=True)
