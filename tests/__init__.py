"""What tests and the processes that they start must know before anything is imported.

Where there is no GPU, Triton runs in its interpreter. No test may ask a hub: what is not on this disk is refused
at once.
"""

import os

_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Devices of NVIDIA's and AMD's drivers, and of Windows' within Linux. torch takes two seconds of every process."""


def _has_gpu() -> bool:
    if not any(map(os.path.exists, _DRIVERS)):
        return False
    import torch

    return torch.cuda.is_available()


if not _has_gpu():
    os.environ.setdefault("TRITON_INTERPRET", "1")

os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub reads it once.
