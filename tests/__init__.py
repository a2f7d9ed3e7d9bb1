"""No test may ask a hub: what is not on this disk is refused at once, in the processes that tests start, too."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # Before huggingface_hub is imported, which reads it once.
