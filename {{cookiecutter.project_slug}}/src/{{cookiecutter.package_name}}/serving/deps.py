"""What routes depend on: the shared state, the model, and an API key with the right permission."""

from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import HTTPBearer
from structlog.contextvars import bind_contextvars

from . import metrics
from .batching import Batcher
from .keys import ApiKey, Permission
from .state import AppState


async def get_state(request: Request) -> AppState:
    """What all requests of this worker share."""
    state: AppState = request.app.state.serving
    return state


StateDep = Annotated[AppState, Depends(get_state)]


async def get_batcher(state: StateDep) -> Batcher:
    """What runs the model.

    Raises:
        HTTPException: 503 as long as no model is loaded.
    """
    if state.batcher is None:
        raise HTTPException(503, state.no_model_reason, {"Retry-After": "5"})
    return state.batcher


BatcherDep = Annotated[Batcher, Depends(get_batcher)]


class RequireKey(HTTPBearer):
    """A dependency: the API key of a request, or None where `ENVIRONMENT` is `development`.

    It runs before the body is read: who has no key cannot make the service read one.

    Raises:
        HTTPException: 401 without a valid key, 403 without the permission, 429 over its rate.
    """

    def __init__(self, permission: Permission) -> None:
        super().__init__(
            scheme_name="api_key",
            description="Not asked for in development.",
            auto_error=False,  # HTTPBearer's own error is not a problem of RFC 9457
        )
        self.permission = permission

    # HTTPBearer gives the credentials; this gives the ApiKey that they belong to.
    async def __call__(self, request: Request) -> ApiKey | None:  # type: ignore[override]
        """Authenticate, authorise, and consume one request of the key's quota."""
        state = await get_state(request)
        if state.settings.environment == "development":
            return None
        credentials = await super().__call__(request)
        key = state.keys.find(credentials.credentials) if credentials else None
        if key is None:
            metrics.REJECTED.labels("unauthorized").inc()
            raise HTTPException(
                401,
                "send a valid API key as `Authorization: Bearer …`",
                {"WWW-Authenticate": "Bearer"},
            )
        bind_contextvars(key=key.name)  # to all that is logged for this request
        if self.permission not in key.permissions:
            metrics.REJECTED.labels("forbidden").inc()
            raise HTTPException(
                403, f"the key {key.name} does not have the permission {self.permission}"
            )
        if wait := state.limiter.consume(key):
            metrics.REJECTED.labels("rate").inc()
            raise HTTPException(
                429,
                f"the key {key.name} may send {key.rate:g} requests per second",
                {"Retry-After": str(int(wait) + 1)},
            )
        return key


# For FastAPI's routes; `predict` calls a RequireKey itself (routes/predict.py).
PredictKey = Annotated[ApiKey | None, Security(RequireKey("predict"))]
FeedbackKey = Annotated[ApiKey | None, Security(RequireKey("feedback"))]
AdminKey = Annotated[ApiKey | None, Security(RequireKey("admin"))]
