"""Training of the shipped model from scratch: `make train-tiny` (docs/tiny.md)."""
