"""`GET /v1/model` and `/v1/samples`: which model answers, and images to try it with."""

from fastapi import APIRouter

from ..deps import BatcherDep, PredictKey, StateDep
from ..problems import problem_responses
from ..samples import load_samples
from ..schemas import ModelInfo, Sample

router = APIRouter()


@router.get("/v1/model", responses=problem_responses(401, 403, 429, 503))
async def model(key: PredictKey, batcher: BatcherDep) -> ModelInfo:
    """The model that is served, and its metrics on the test set."""
    return ModelInfo.model_validate(batcher.predictor.metadata)


@router.get("/v1/samples", responses=problem_responses(401, 403, 429))
def samples(state: StateDep, key: PredictKey) -> list[Sample]:
    """Some images of the test set to try the model with; none if it came without."""
    return load_samples(state.settings.model_dir)
