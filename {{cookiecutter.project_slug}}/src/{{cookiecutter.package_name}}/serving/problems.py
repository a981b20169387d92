"""Every error as `application/problem+json` (RFC 9457), and never a stack trace."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from .schemas import Problem

# A client that tries again at once, on and on, takes the time that other responses need. It gets
# its refusal a moment later, which costs little here and slows it down.
REJECTION_SECONDS = 0.5
CLIENT_CLOSED_REQUEST = 499  # nginx's number for a client that hangs up before its response


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """An error response whose body says what was wrong."""
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return Response(problem.model_dump_json(), status, headers, "application/problem+json")


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Say in the OpenAPI document which errors an operation may answer with."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": "Problem", "content": content} for status in statuses}


def overloaded(headers: Mapping[str, str] | None = None) -> HTTPException:
    """The error for a request that the service has no time for."""
    return HTTPException(
        503, "the service is busy: try again", {"Retry-After": "1"} | dict(headers or {})
    )


def describe_errors(errors: Sequence[Any]) -> str:
    """What Pydantic found wrong, with the names of the fields."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in errors)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer wrong requests and unknown paths with a problem; middleware.py does so for bugs."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return problem_response(error.status_code, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        return problem_response(422, describe_errors(error.errors()))

    @app.exception_handler(ClientDisconnect)
    async def client_hung_up(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)  # for the log; nobody is there to get it
