"""Checksums compared over fused, sharded, replicated and padded parameters."""

import pytest
import torch

from openrlhf.rollout.checksum import bit_sum, engine_checksums, first_difference


def test_the_sum_is_that_of_the_bit_patterns():
    # float32 1.0 is 0x3f800000, -0.0 is 0x80000000 (the smallest int32); bfloat16 1.0 is 0x3f80, 2.0 is
    # 0x4000.
    assert bit_sum(torch.tensor([1.0, 0.0])) == 0x3F800000
    assert bit_sum(torch.tensor([1.0, -0.0])) == 0x3F800000 - 2**31
    assert bit_sum(torch.tensor([1.0, 2.0], dtype=torch.bfloat16)) == 0x3F80 + 0x4000


def test_a_change_of_the_last_bit_is_seen():
    weights = torch.linspace(-1, 1, 1001)
    changed = weights.clone()
    changed.view(torch.int32)[500] += 1
    assert bit_sum(weights) != bit_sum(changed)


class FusedLayer(torch.nn.Module):
    packed_modules_mapping = {"qkv_proj": ["q_proj", "k_proj", "v_proj"]}

    def __init__(self, **parameters):
        super().__init__()
        self.qkv_proj = torch.nn.Module()
        self.norm = torch.nn.Module()
        self.qkv_proj.weight = torch.nn.Parameter(parameters["qkv"])
        self.norm.weight = torch.nn.Parameter(parameters["norm"])


def names_and_sums():
    torch.manual_seed(0)
    tensors = {f"{name}.weight": torch.randn(4, 3) for name in ("q_proj", "k_proj", "v_proj")}
    tensors["norm.weight"] = torch.randn(3)
    return tensors, {name: bit_sum(tensor) for name, tensor in tensors.items()}


def test_fused_sharded_replicated_and_padded_parameters_agree_with_what_was_sent():
    tensors, sent = names_and_sums()
    parts = [tensors[f"{name}.weight"] for name in ("q_proj", "k_proj", "v_proj")]
    ranks = [
        engine_checksums(
            FusedLayer(
                qkv=torch.cat([*(part[2 * rank : 2 * rank + 2] for part in parts), torch.zeros(5, 3)]),
                norm=tensors["norm.weight"],
            ),
            torch.float32,
        )
        for rank in range(2)
    ]
    assert set(ranks[0]) == {("q_proj.weight", "k_proj.weight", "v_proj.weight"), ("norm.weight",)}
    assert first_difference(sent, ranks) is None


def test_one_rank_with_old_weights_is_noticed_by_name():
    tensors, sent = names_and_sums()
    qkv = torch.cat([tensors[f"{name}.weight"] for name in ("q_proj", "k_proj", "v_proj")])
    good = FusedLayer(qkv=qkv, norm=tensors["norm.weight"])
    stale = FusedLayer(qkv=qkv, norm=tensors["norm.weight"] + 1)
    ranks = [engine_checksums(layer, torch.float32) for layer in (good, stale)]
    assert first_difference(sent, ranks) == ("norm.weight",)


def test_what_was_not_sent_or_cannot_be_read_back_is_left_out():
    tensors, sent = names_and_sums()
    packed = FusedLayer(qkv=torch.empty(0), norm=tensors["norm.weight"])
    assert set(engine_checksums(packed, torch.float32)) == {("norm.weight",)}
    assert engine_checksums(packed, torch.bfloat16) == {}
    del sent["norm.weight"]
    assert first_difference(sent, [engine_checksums(packed, torch.float32)]) is None


def engine_ranks(full):
    """vLLM's own fused layer of 12 query and 2 key-value heads on four tensor-parallel ranks, loaded from `full`."""
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.model_executor import parameter
    from vllm.model_executor.layers import linear

    ranks = []
    for rank in range(4):
        with pytest.MonkeyPatch.context() as patch, set_current_vllm_config(VllmConfig()):
            for module in (linear, parameter):
                patch.setattr(module, "get_tensor_model_parallel_world_size", lambda: 4)
                patch.setattr(module, "get_tensor_model_parallel_rank", lambda rank=rank: rank)
            model = torch.nn.Module()
            model.packed_modules_mapping = FusedLayer.packed_modules_mapping
            model.qkv_proj = linear.QKVParallelLinear(64, 32, 12, 2, bias=True, params_dtype=torch.float32)
            for shard, name in zip("qkv", FusedLayer.packed_modules_mapping["qkv_proj"], strict=True):
                for kind in ("weight", "bias"):
                    own = getattr(model.qkv_proj, kind)
                    own.weight_loader(own, full[f"{name}.{kind}"], shard)
            ranks.append(model)
    return ranks


@pytest.mark.vllm
@pytest.mark.slow
def test_fewer_key_value_heads_than_ranks_are_compared_apart_from_the_queries():
    """Qwen2.5-1.5B on four GPUs: two ranks hold the same keys and values, none the same queries."""
    pytest.importorskip("vllm")
    torch.manual_seed(0)
    heads = {"q_proj": 12, "k_proj": 2, "v_proj": 2}
    full = {f"{name}.weight": torch.randn(32 * count, 64) for name, count in heads.items()}
    full |= {f"{name}.bias": torch.randn(32 * count) for name, count in heads.items()}
    sent = {name: bit_sum(tensor) for name, tensor in full.items()}
    models = engine_ranks(full)
    ranks = [engine_checksums(model, torch.float32) for model in models]
    assert ("q_proj.weight",) in ranks[0]
    assert ("k_proj.bias", "v_proj.bias") in ranks[0]
    assert first_difference(sent, ranks) is None
    for rank, row, names in ((3, -1, ("k_proj.weight", "v_proj.weight")), (1, 0, ("q_proj.weight",))):
        with torch.no_grad():
            models[rank].qkv_proj.weight[row, 0] += 1
        stale = [engine_checksums(model, torch.float32) for model in models]
        assert first_difference(sent, stale) == names
        with torch.no_grad():
            models[rank].qkv_proj.weight[row, 0] -= 1


def test_a_parameter_that_some_ranks_share_must_add_up_over_each_set_of_them():
    """Ranks 0 and 1 hold one half, 2 and 3 the other: 5 + 7 was sent."""
    names = ("k", "v")
    sent = {"k": 10, "v": 2}

    def difference(*values):
        return first_difference(sent, [{names: value} for value in values])

    assert difference(5, 5, 7, 7) is None
    assert difference(5, 7, 5, 7) == names  # not vLLM's order
    assert difference(4, 6, 7, 7) == names  # adds up to twice as much, and yet rank 0 is wrong
