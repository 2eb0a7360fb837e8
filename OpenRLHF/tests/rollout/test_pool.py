"""How requests are shared out, and what happens when an engine is not there any more."""

import pytest
import ray

from openrlhf.errors import UserError
from openrlhf.rollout.actor import actor_options
from openrlhf.rollout.engine import Request, Sampling
from openrlhf.rollout.errors import EngineError
from openrlhf.rollout.pool import EnginePool, open_pool, spread


def test_samples_of_a_prompt_stay_together_and_engines_get_equal_shares():
    requests = [Request((p, s), (p, p, p), seed=0) for p in range(6) for s in range(4)]
    shares = spread(requests, 3, max_new_tokens=10)
    assert [len(share) for share in shares] == [8, 8, 8]
    homes = [{request.key[0] for request in share} for share in shares]
    assert sum(len(home) for home in homes) == len(set.union(*homes)) == 6


def test_heavy_prompts_are_placed_first():
    # Weights with 10 new tokens each: 3 samples 1 + 30, the others 1 + 10, so 31 | 11 + 11 + 11.
    sizes = [1, 1, 3, 1]
    requests = [Request((p, s), (p,), seed=0) for p, size in enumerate(sizes) for s in range(size)]
    shares = spread(requests, 2, max_new_tokens=10)
    assert [{request.key[0] for request in share} for share in shares] == [{2}, {0, 1, 3}]


def test_engines_with_nothing_to_do_are_allowed():
    assert spread([Request((0,), (1,), seed=0)], 3, 5) == [[Request((0,), (1,), seed=0)], [], []]


def test_an_engine_in_one_process_holds_its_share_of_a_gpu():
    options = actor_options(gpus_per_worker=0.5)
    assert options["num_gpus"] == 0.5
    assert "VLLM_RAY_BUNDLE_INDICES" not in options["runtime_env"]["env_vars"]


def test_a_tensor_parallel_engine_leaves_the_gpus_to_its_workers():
    options = actor_options(tensor_parallel_size=2, gpus_per_worker=0.4, bundle_indices=[2, 3])
    assert options["num_gpus"] == 0
    environment = options["runtime_env"]["env_vars"]
    assert environment["VLLM_RAY_BUNDLE_INDICES"] == "2,3"
    assert environment["VLLM_RAY_PER_WORKER_GPUS"] == "0.4"


def test_a_tensor_parallel_engine_without_a_bundle_per_worker_is_refused():
    with pytest.raises(ValueError, match="size 2 needs as many bundles, got \\[0\\]"):
        actor_options(tensor_parallel_size=2, bundle_indices=[0])


def test_an_error_of_an_engine_keeps_its_particulars_when_it_is_pickled():
    import pickle

    error = pickle.loads(pickle.dumps(EngineError("engine 1 died", 1, [(3, 0)])))
    assert (str(error), error.engine, error.unfinished) == ("engine 1 died", 1, ((3, 0),))


class StubbornEngine:
    """An engine that answers with one completion per request until it is told to hang or to exit."""

    def generate(self, requests, sampling):
        import os
        import time

        from openrlhf.rollout.engine import Completion

        for request in requests:
            if sampling.stop == ("hang",):
                time.sleep(60)
            if sampling.stop == ("die",) and request.key == (1,):
                os._exit(1)
            yield [Completion(request.key, (1,), (0.0,), "stop", "x")]

    def ready(self):
        return True

    def sleep(self, keep_weights):
        raise RuntimeError("no bed")


@pytest.fixture
def stubborn(cluster):
    engines = [ray.remote(StubbornEngine).remote() for _ in range(2)]
    ray.get([engine.ready.remote() for engine in engines])
    pool = EnginePool(engines, stall_limit_s=3)
    yield pool
    pool.shutdown()


TWO = [Request((0,), (1,), seed=0), Request((1,), (2,), seed=0)]


@pytest.mark.slow
def test_a_dead_engine_is_named_with_what_it_owed(stubborn):
    assert {c.key for part in stubborn.generate(TWO, Sampling()) for c in part} == {(0,), (1,)}
    with pytest.raises(EngineError, match="engine 1 died") as caught:
        list(stubborn.generate(TWO, Sampling(stop=("die",))))
    assert caught.value.unfinished == ((1,),)


@pytest.mark.slow
def test_an_engine_that_hangs_is_named_within_the_limit(stubborn):
    with pytest.raises(EngineError, match="no completion for 3 s; engine 0 still owes 1"):
        list(stubborn.generate(TWO, Sampling(stop=("hang",))))


@pytest.mark.slow
def test_an_exception_of_an_engine_is_told_with_its_number(stubborn):
    with pytest.raises(EngineError, match=r"(?s)engine 0 failed.*no bed"):
        stubborn.sleep(keep_weights=True)


@pytest.mark.slow
def test_two_real_engines_answer_every_request_once(cluster, model_path, reference):
    from rollout_models import forward_logprobs  # not above: workers import this file, and torch takes long

    pool = open_pool(model_path, "hf", num_engines=2, dtype="float32", stall_limit_s=60)
    try:
        requests = [Request((p, s), (70 + p, 71, 72), seed=10 * p + s) for p in range(5) for s in range(3)]
        parts = list(pool.generate(requests, Sampling(max_new_tokens=6)))
        completions = {completion.key: completion for part in parts for completion in part}
        assert sum(map(len, parts)) == len(completions) == 15
        for request in requests:
            found = completions[request.key]
            expected = forward_logprobs(reference, request.prompt_ids, found.token_ids)
            assert found.logprobs == pytest.approx(expected.tolist(), abs=1e-4)
        with pytest.raises(UserError, match="has 256 tokens"):
            list(pool.generate([Request((9,), tuple([70] * 256), seed=1)], Sampling()))
    finally:
        pool.shutdown()
