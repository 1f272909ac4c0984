"""The OpenAPI document and the routes agree, as schemathesis finds by asking what the document allows."""

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from read_api.openapi import ROUTES, document
from tests.read_api.conftest import Book, client_with

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
EXAMPLES = 15

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # it refuses more than SQLite does


def test_the_document_names_every_route_and_is_served(app: Flask) -> None:
    rules = {str(rule).replace("<id:booking_id>", "{booking_id}") for rule in app.url_map.iter_rules()}
    assert rules == {*ROUTES, "/healthz", "/api/v1/openapi.json", "/calendar/<token>.ics"}
    assert client_with(app, None).get("/api/v1/openapi.json").get_json() == document()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", ROUTES)
def test_the_routes_answer_as_the_document_says(app: Flask, token: str, book: Book, path: str) -> None:
    book("b1", "b2")
    schema = schemathesis.openapi.from_wsgi(
        "/api/v1/openapi.json", app, config=SchemathesisConfig.from_dict({"generation": {"mode": "all"}})
    )

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        if isinstance(case.query, dict):
            case.query.pop("wait", None)
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)

    given(case=schema[path]["GET"].as_strategy())(ask)()


def test_what_is_there_fits_the_document(app: Flask, token: str, book: Book) -> None:
    book("b1")
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    for path in ROUTES:
        case = schema[path]["GET"].Case(path_parameters={"booking_id": "b1"} if "{" in path else None)
        response = case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)
        assert response.status_code == 200
