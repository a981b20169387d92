"""Settings of a quick training run on digits; tests change what they are about."""

from package_name.config import TrainConfig

TRAIN_CONFIG = TrainConfig(
    seed=0,
    device="cpu",
    precision="float32",
    data_location="device",
    compile=False,
    fused_loss=False,
    sync_batch_norm=True,
    shard_weights=False,
    epochs=4,
    batch_size=64,
    accumulation_steps=1,
    optimizer="adamw",
    learning_rate=0.01,
    weight_decay=0.05,
    schedule="one-cycle",
    label_smoothing=0.05,
    ema_decay=0.0,
    crop_padding=1,
    horizontal_flip=False,
    patience=10,
)
