"""Combinations of values in `params.yaml` that cannot work."""

from collections.abc import Iterator

from .schema import Config

# Images per micro-batch for batch normalisation. Measured on digits: 4 cost no accuracy, 2 half a
# point, and 1 leaves a model of 15 %, as every image is normalised to the same mean.
MIN_NORMALIZED = 4
MIN_CNN_SIZE = 4  # pixels; the CNN halves the sides twice
HALVED = 32  # the pretrained network halves them five times, and each of them has to be even


def conflicts(config: Config) -> Iterator[str]:
    """Yield one sentence for each conflict: a key, its value, and what would be valid."""
    yield from _fetch_conflicts(config)
    yield from _size_conflicts(config)
    yield from _batch_conflicts(config)
    yield from _fused_loss_conflicts(config)
    yield from _sharding_conflicts(config)
    yield from _compress_conflicts(config)
    yield from _robustness_conflicts(config)


def _fetch_conflicts(config: Config) -> Iterator[str]:
    url = config.fetch.base_url
    is_own = config.fetch.dataset == "image-folder"
    schemes = ("file:",) if is_own else ("file:", "http:", "https:")
    if url is not None and not url.startswith(schemes):
        yield f"fetch.base_url = {url!r}: must begin with {' or '.join(schemes)}, or be null"


def _size_conflicts(config: Config) -> Iterator[str]:
    size, vit = config.prepare.image_size, config.model.vit
    if config.model.name == "cnn" and size < MIN_CNN_SIZE:
        yield f"prepare.image_size = {size}: model.name = cnn needs at least {MIN_CNN_SIZE}"
    if config.model.name == "vit" and size % vit.patch_size:
        yield f"model.vit.patch_size = {vit.patch_size}: must divide prepare.image_size = {size}"
    if config.model.name == "vit" and vit.width % vit.num_heads:
        yield f"model.vit.num_heads = {vit.num_heads}: must divide model.vit.width = {vit.width}"
    scaled = config.model.pretrained.image_size
    if config.model.name == "pretrained" and (scaled % HALVED or scaled < size):
        yield (
            f"model.pretrained.image_size = {scaled}: must be a multiple of {HALVED}, and at least "
            f"prepare.image_size = {size}"
        )
    if config.train.crop_padding >= size:
        yield (
            f"train.crop_padding = {config.train.crop_padding}: must be below "
            f"prepare.image_size = {size}, or images are shifted out of sight"
        )


def _batch_conflicts(config: Config) -> Iterator[str]:
    train, name = config.train, config.model.name
    # Networks without batch normalisation, or that keep the statistics of ImageNet.
    minimum = 1 if name in ("vit", "pretrained") else MIN_NORMALIZED
    images = train.batch_size // train.accumulation_steps
    if images < minimum:
        yield (
            f"train.accumulation_steps = {train.accumulation_steps}: splits train.batch_size = "
            f"{train.batch_size} into micro-batches of {images}; model.name = {name} needs at "
            f"least {minimum}"
        )


def _fused_loss_conflicts(config: Config) -> Iterator[str]:
    if config.train.fused_loss and config.train.device != "cuda":
        yield f"train.fused_loss = true: needs train.device = cuda, not {config.train.device}"


def _sharding_conflicts(config: Config) -> Iterator[str]:
    train = config.train
    if train.shard_weights and config.model.name != "vit":
        yield f"train.shard_weights = true: needs model.name = vit, not {config.model.name}"
    if train.shard_weights and train.optimizer != "adamw":
        yield f"train.shard_weights = true: needs train.optimizer = adamw, not {train.optimizer}"
    if train.shard_weights and train.ema_decay:
        yield f"train.shard_weights = true: needs train.ema_decay = 0, not {train.ema_decay}"


def _compress_conflicts(config: Config) -> Iterator[str]:
    student, pruned = config.compress.student_width, config.compress.pruned_width
    name = "cnn" if student else config.model.name
    if pruned and name not in ("cnn", "resnet"):
        yield f"compress.pruned_width = {pruned}: needs model.name = cnn or resnet, not {name}"
    elif pruned:
        width = student or getattr(config.model, name).width
        if pruned >= width:
            yield f"compress.pruned_width = {pruned}: must be below the {name}'s width = {width}"


def _robustness_conflicts(config: Config) -> Iterator[str]:
    limit = config.robustness.max_slice_drop
    if limit is not None and not config.robustness.slices:
        yield f"robustness.max_slice_drop = {limit}: needs robustness.slices = true"
