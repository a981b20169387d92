"""What a model is worth: metrics, plots, the gate and the cards."""
