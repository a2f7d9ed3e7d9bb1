"""Where there is no GPU, Triton's kernels run in its interpreter: told here, before torch may import Triton."""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
