"""A real Ray cluster on this machine: one node that runs three shards at once. Tests add the nodes that are to die."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

# A dead node is noticed within a second or two. Ray spells its settings like this.
os.environ.update(
    {"RAY_USAGE_STATS_ENABLED": "0", "RAY_health_check_failure_threshold": "2", "RAY_health_check_period_ms": "500"}
)


@pytest.fixture(scope="package")
def cluster() -> Iterator[object]:
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 3, "object_store_memory": 128 << 20, "include_dashboard": False},
    )
    ray.init(address=made.address, log_to_driver=False, logging_level=logging.ERROR)
    yield made
    ray.shutdown()
    made.shutdown()
