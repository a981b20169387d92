"""What those who run the service ask for: `/healthz`, `/readyz` and `/metrics`."""

from fastapi import APIRouter
from starlette.responses import Response

from .. import metrics
from ..deps import AdminKey, BatcherDep, StateDep
from ..problems import problem_responses
from ..schemas import Status

router = APIRouter()


@router.get("/healthz")
async def healthz() -> Status:
    """Whether the process is alive."""
    return Status(status="ok")


@router.get("/readyz", responses=problem_responses(503))
async def readyz(state: StateDep, batcher: BatcherDep) -> Status:
    """Whether a model is loaded, so that predictions can be asked for."""
    problem = "; the API keys stay as they were: see the log" if state.keys.problem else ""
    return Status(status=f"ready{problem}")


@router.get("/metrics", include_in_schema=False)
def prometheus(key: AdminKey) -> Response:
    """All metrics, of all workers, in Prometheus' text format."""
    return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
