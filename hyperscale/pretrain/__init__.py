"""Trains the model that hyperscale ships, from nothing: `make train-tiny` (docs/tiny.md)."""
