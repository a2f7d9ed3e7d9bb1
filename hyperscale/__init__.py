"""hyperscale: inference-time hyper-scaling, measured. See docs/architecture.md."""

__version__ = "0.1.0"
