"""Two Ray nodes on this machine, each with two GPUs that do not exist; `test_placement.py` reads what this prints."""

import os
import sys
import time
from typing import Any

import ray
from learner_program import FLAGS, examples
from ray.cluster_utils import Cluster
from ray.util.placement_group import placement_group

from configuring import rl_config
from openrlhf.trainer.policy_worker import PolicyWorker
from openrlhf.trainer.ray import cluster
from openrlhf.trainer.ray.cluster import Bundles, place
from openrlhf.trainer.ray.role_group import RankError, RayRoleGroup

# Ray's strategy for a group that is to be spread puts neighbouring bundles on different nodes.
SPREAD = {"STRICT_PACK": "SPREAD", "PACK": "SPREAD"}


class Rank(PolicyWorker):
    def gpu(self) -> str:
        return os.environ["CUDA_VISIBLE_DEVICES"]

    def hang(self) -> None:
        time.sleep(600)


def main() -> None:
    os.environ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"] = "1"
    node: dict[str, Any] = {"num_cpus": 4, "num_gpus": 2}
    nodes = Cluster(initialize_head=True, head_node_args={**node, "node_name": "alpha", "include_dashboard": False})
    second = nodes.add_node(**node, node_name="beta")
    ray.init(address=nodes.address, log_to_driver=False)

    def spread(bundles: list[dict[str, float]], strategy: str) -> Any:
        return placement_group(bundles, strategy=SPREAD[strategy])

    ray.util.placement_group.placement_group = spread  # type: ignore[attr-defined]
    share = place([Bundles(("actor",), 4)])["actor"]
    print("nodes:", *share.nodes)
    bundles = [cluster.engine_bundles(share, number, 2, colocated=True) for number in range(2)]
    assert [name for _, name in bundles] == [share.nodes[0], share.nodes[2]]
    config = rl_config(**FLAGS, pretrain=sys.argv[1], micro_train_batch_size=2)
    group = RayRoleGroup("actor", "two_nodes:Rank", config, share, 4, step_timeout=180)
    group.begin_setup()()
    print("gpus:", *group.call("gpu"))
    losses = [group.begin_train_step(examples(), 1e-2, {})().totals["loss"] for _ in range(2)]
    print("losses:", *losses)
    pending = group.begin("hang", [()] * 4)
    nodes.remove_node(second, allow_graceful=False)
    try:
        pending()
    except RankError as error:
        print("loss:", str(error).splitlines()[0])
    ray.shutdown()
    nodes.shutdown()


if __name__ == "__main__":
    main()
