"""Schemas of requests, validated like meetergo's validator, which silently drops unknown fields."""

import re
from typing import Annotated, Any, ClassVar, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError
from pydantic.alias_generators import to_camel
from werkzeug.datastructures import MultiDict

from devtools.sandbox.http.errors import ApiRejection

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def _email(text: str) -> str:
    if not EMAIL.fullmatch(text):
        raise ValueError("must be an email")
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError("must be a valid IANA time zone") from None
    return text


Name = Annotated[str, Field(min_length=1, max_length=255)]
Email = Annotated[str, AfterValidator(_email)]
Zone = Annotated[str, AfterValidator(_zone)]
Flag = StrictBool
Number = StrictInt


class Input(BaseModel):
    """A body or a query; field names are in camel case.

    Attributes:
        repeated: names of query parameters that may be repeated.
    """

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, validate_by_name=False, validate_by_alias=True)
    repeated: ClassVar[frozenset[str]] = frozenset()

    def given_fields(self) -> dict[str, Any]:
        """Return the fields that the request contains."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


InputType = TypeVar("InputType", bound=Input)


def read_body(model: type[InputType], body: Any) -> InputType:
    """Parse a body.

    Raises:
        ApiRejection: 400, with a list of messages.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise ApiRejection(400, [f"{field} {message}" for field, message in _messages(error)]) from None


def read_query(model: type[InputType], query: MultiDict[str, str]) -> InputType:
    """Parse a query.

    Raises:
        ApiRejection: 400, with `errors`.
    """
    values = {name: query.getlist(name) if name in model.repeated else query[name] for name in query}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = [{"field": field, "message": message} for field, message in _messages(error)]
        raise ApiRejection(400, "Validation failed", errors=errors) from None


def _messages(error: ValidationError) -> list[tuple[str, str]]:
    errors = error.errors(include_input=False, include_url=False, include_context=False)
    return [(".".join(map(str, error["loc"])) or "body", _message(error["msg"])) for error in errors]


def _message(message: str) -> str:
    plain = message.removeprefix("Value error, ").removeprefix("Input ")
    return "should not be empty" if plain == "Field required" else plain[:1].lower() + plain[1:]
