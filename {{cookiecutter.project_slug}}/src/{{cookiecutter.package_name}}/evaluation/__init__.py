"""How good a model is: metrics, baseline and gate; plain data in and out."""
