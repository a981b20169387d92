"""Every error as `application/problem+json` (RFC 9457), and never a stack trace."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from .schemas import Problem

UNEXPECTED = "something went wrong here; it has been logged"


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """An error response whose body says what was wrong."""
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return Response(problem.model_dump_json(), status, headers, "application/problem+json")


def install_problem_handlers(app: FastAPI) -> None:
    """Answer with a problem whatever goes wrong in `app`, unknown paths and bugs included."""

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        return problem_response(error.status_code, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    def validation_error(request: Request, error: RequestValidationError) -> Response:
        details = (f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors())
        return problem_response(422, "; ".join(details))

    @app.exception_handler(Exception)
    def unexpected_error(request: Request, error: Exception) -> Response:
        return problem_response(500, UNEXPECTED)
