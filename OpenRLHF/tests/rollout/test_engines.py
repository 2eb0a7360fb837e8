"""Both engines against plain transformers: distribution, seeds, endings, limits."""

import json
import math
import shutil

import pytest
import torch
from rollout_models import END, END_ID, forward_logprobs

from openrlhf.errors import UserError
from openrlhf.rollout.engine import Request, Sampling
from openrlhf.rollout.model_files import load_tokenizer
from openrlhf.rollout.opening import open_engine
from openrlhf.rollout.streaming import TextStream
from openrlhf.rollout.vllm_engine import VllmEngine

LENGTH_LIMIT = 128


@pytest.fixture(
    scope="module",
    params=["hf", pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.slow])],
)
def engine(request, model_path):
    if request.param == "vllm":
        pytest.importorskip("vllm")
    opened = open_engine(model_path, request.param, dtype="float32", max_model_len=LENGTH_LIMIT, max_num_seqs=64)
    yield opened
    opened.shutdown()


def run(engine, requests, sampling):
    completions = [completion for part in engine.generate(requests, sampling) for completion in part]
    assert len(completions) == len(requests)
    return {completion.key: completion for completion in completions}


def requests_of_many_lengths(count=20):
    return [Request((i, 0), tuple(range(40 + i, 42 + 3 * i)), seed=7000 + i) for i in range(count)]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_new_tokens=24),
        Sampling(temperature=0.7, top_p=0.9, top_k=12, max_new_tokens=24),
        Sampling(temperature=0.0, max_new_tokens=24),
        Sampling(repetition_penalty=1.5, max_new_tokens=24),
    ],
    ids=["plain", "cut", "greedy", "penalised"],
)
def test_logprobs_are_those_of_a_plain_forward_pass_whatever_the_sampling(engine, reference, sampling):
    requests = requests_of_many_lengths()
    completions = run(engine, requests, sampling)
    for request in requests:
        completion = completions[request.key]
        expected = forward_logprobs(reference, request.prompt_ids, completion.token_ids)
        torch.testing.assert_close(torch.tensor(completion.logprobs), expected, rtol=0, atol=1e-4)


def test_a_sample_does_not_depend_on_what_else_is_generated(engine):
    requests = requests_of_many_lengths()
    sampling = Sampling(temperature=0.9, max_new_tokens=24)
    together = run(engine, requests, sampling)
    backwards = run(engine, requests[::-1], sampling)
    alone = run(engine, requests[5:6], sampling)
    tokens = {key: completion.token_ids for key, completion in together.items()}
    assert tokens == {key: completion.token_ids for key, completion in backwards.items()}
    assert alone[5, 0].token_ids == tokens[5, 0]


def test_prompts_may_have_more_tokens_together_than_one_pass_takes(engine):
    # vLLM takes 4,096 tokens at a time by default; these are 6,400, each with a seed of its own.
    requests = [Request((i,), tuple((i + j) % 250 for j in range(100)), seed=i) for i in range(64)]
    together = run(engine, requests, Sampling(max_new_tokens=4))
    alone = run(engine, requests[45:46], Sampling(max_new_tokens=4))
    assert alone[45,].token_ids == together[45,].token_ids


def test_samples_of_one_prompt_differ_between_seeds_and_repeat_with_the_seed(engine):
    prompt = tuple(range(50, 60))
    requests = [Request((0, i), prompt, seed) for i, seed in enumerate([1, 2, 3, 1, 2**62 + 5])]
    tokens = {key: c.token_ids for key, c in run(engine, requests, Sampling(max_new_tokens=16)).items()}
    assert tokens[0, 0] == tokens[0, 3]
    assert len(set(tokens.values())) == 4


def test_greedy_tokens_are_the_most_likely_ones(engine, reference):
    request = Request((0,), tuple(range(60, 70)), seed=1)
    completion = run(engine, [request], Sampling(temperature=0.0, max_new_tokens=16))[0,]
    ids = torch.tensor([[*request.prompt_ids, *completion.token_ids]])
    with torch.no_grad():
        best = reference(ids).logits[0].argmax(-1)
    assert list(completion.token_ids) == best[len(request.prompt_ids) - 1 : -1].tolist()


def penalised_greedy(reference, prompt, penalty, length):
    """Token by token over everything written so far; also how often the penalty changed the choice."""
    ids, changed = list(prompt), 0
    while len(ids) < len(prompt) + length and ids[-1] != END_ID:
        with torch.no_grad():
            scores = reference(torch.tensor([ids])).logits[0, -1]
        weaker = scores.clone()
        for token in set(ids):
            weaker[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
        changed += int(weaker.argmax() != scores.argmax())
        ids.append(int(weaker.argmax()))
    return ids[len(prompt) :], changed


def test_a_repetition_penalty_weakens_what_prompt_and_completion_hold_and_padding_is_neither(engine, reference):
    requests = requests_of_many_lengths()
    completions = run(engine, requests, Sampling(temperature=0.0, repetition_penalty=1.4, max_new_tokens=16))
    changes = 0
    for request in requests:
        expected, changed = penalised_greedy(reference, request.prompt_ids, 1.4, 16)
        assert list(completions[request.key].token_ids) == expected
        changes += changed
    assert changes > 10


def test_a_penalised_end_token_is_penalised_only_where_the_prompt_holds_it(engine, reference):
    # The Hugging Face engine pads with the end token, which must not count as written.
    requests = [
        Request((0,), (END_ID, 70, 71), seed=1),
        Request((1,), tuple(range(40, 70)), seed=1),
        Request((2,), (80,), 1),
    ]
    completions = run(engine, requests, Sampling(temperature=0.0, repetition_penalty=3.0, max_new_tokens=12))
    for request in requests:
        expected, _ = penalised_greedy(reference, request.prompt_ids, 3.0, 12)
        assert list(completions[request.key].token_ids) == expected


@pytest.mark.parametrize("penalty", [0.0, -1.0, math.inf, math.nan])
def test_a_repetition_penalty_out_of_range_is_refused(penalty):
    with pytest.raises(UserError, match="repetition penalty"):
        Sampling(repetition_penalty=penalty)


def test_first_tokens_are_distributed_as_temperature_top_k_and_top_p_say(engine, reference):
    prompt = tuple(range(60, 70))
    sampling = Sampling(temperature=1.5, top_k=6, top_p=0.9, max_new_tokens=1)
    with torch.no_grad():
        scores = reference(torch.tensor([prompt])).logits[0, -1].double() / sampling.temperature
    best, ids = scores.topk(sampling.top_k)
    shares = best.softmax(0)
    kept = (shares.cumsum(0) - shares) < sampling.top_p
    shares = shares[kept] / shares[kept].sum()
    count = 1500
    completions = run(engine, [Request((i,), prompt, seed=i) for i in range(count)], sampling)
    drawn = [completion.token_ids[0] for completion in completions.values()]
    assert set(drawn) <= set(ids[kept].tolist())
    for token, share in zip(ids[kept].tolist(), shares.tolist(), strict=True):
        spread = math.sqrt(share * (1 - share) / count)
        assert abs(drawn.count(token) / count - share) < 5 * spread


def test_a_completion_ends_with_the_length_limit_or_with_the_context(engine):
    long_prompt = Request((1,), tuple(i % 200 for i in range(LENGTH_LIMIT - 5)), seed=1)
    short_prompt = Request((2,), (70, 71, 72), seed=1)
    completions = run(engine, [long_prompt, short_prompt], Sampling(temperature=0.0, max_new_tokens=9))
    assert [len(completions[key].token_ids) for key in [(1,), (2,)]] == [5, 9]
    assert {completion.finish_reason for completion in completions.values()} == {"length"}


def test_a_stop_token_ends_a_completion_and_is_kept_but_not_read(engine):
    request = Request((0,), tuple(range(60, 70)), seed=1)
    free = run(engine, [request], Sampling(temperature=0.0, max_new_tokens=12))[0,]
    stop = next(token for at, token in enumerate(free.token_ids) if at > 2 and token not in free.token_ids[:at])
    ids = free.token_ids
    cut = ids.index(stop) + 1
    sampling = Sampling(temperature=0.0, max_new_tokens=12, stop_token_ids=(stop,))
    stopped = run(engine, [request], sampling)[0,]
    assert stopped.token_ids == ids[:cut]
    assert stopped.finish_reason == "stop"
    assert len(stopped.logprobs) == cut
    shorter = run(engine, [request], Sampling(temperature=0.0, max_new_tokens=cut - 1))[0,]
    assert stopped.text == shorter.text


def test_the_end_of_sequence_token_ends_a_completion(engine):
    # Among many seeds at a high temperature some reach the end token.
    requests = [Request((i,), (80, 81, 82), seed=i) for i in range(60)]
    completions = run(engine, requests, Sampling(temperature=2.0, max_new_tokens=60)).values()
    end = END_ID
    stopped = [completion for completion in completions if completion.finish_reason == "stop"]
    assert stopped
    for completion in completions:
        assert (end in completion.token_ids) == (completion.finish_reason == "stop")
        assert end not in completion.token_ids[:-1]
        assert END not in completion.text


def test_a_stop_string_ends_a_completion_and_is_cut_off_its_text(engine):
    request = Request((0,), tuple(range(60, 70)), seed=5)
    sampling = Sampling(temperature=0.0, max_new_tokens=12)
    free = run(engine, [request], sampling)[0,]
    letters = [at for at, letter in enumerate(free.text) if at > 0 and letter.isascii() and letter.isprintable()]
    stop = next(free.text[at] for at in letters if free.text.index(free.text[at]) == at)
    stopped = run(engine, [request], Sampling(temperature=0.0, max_new_tokens=12, stop=(stop,)))[0,]
    assert stopped.finish_reason == "stop"
    assert stopped.text == free.text[: free.text.index(stop)]
    assert free.token_ids[: len(stopped.token_ids)] == stopped.token_ids
    assert len(stopped.token_ids) < len(free.token_ids)


def test_the_tokens_of_a_stop_string_belong_to_the_completion_and_none_behind_it(engine, model_path):
    """What is trained on: a token a byte here, so the completion ends with the stop string's last letter."""
    tokenizer = load_tokenizer(model_path)
    request = Request((0,), tuple(range(60, 70)), seed=5)
    free = run(engine, [request], Sampling(temperature=0.0, max_new_tokens=24))[0,]
    written = tokenizer.decode(free.token_ids)
    stop = next(
        pair
        for at in range(3, len(written) - 3)
        if (pair := written[at : at + 2]).isascii() and pair.isprintable() and written.index(pair) == at
    )
    stopped = run(engine, [request], Sampling(temperature=0.0, max_new_tokens=24, stop=("never said", stop)))[0,]
    whole = written[: written.index(stop) + len(stop)]
    assert tokenizer.decode(stopped.token_ids) == whole
    assert stopped.text + stop == whole
    assert stopped.logprobs == pytest.approx(free.logprobs[: len(stopped.token_ids)], abs=1e-4)


@pytest.mark.parametrize(("length", "said"), [(LENGTH_LIMIT, "has 128 tokens"), (0, "empty prompt")])
def test_a_prompt_that_cannot_be_continued_is_named_before_anything_runs(engine, length, said):
    bad = Request((3, 1), tuple(i % 200 for i in range(length)), seed=1)
    good = Request((0, 0), (1, 2, 3), seed=1)
    with pytest.raises(UserError, match=said) as caught:
        engine.generate([good, bad], Sampling())
    assert "(3, 1)" in str(caught.value)


def test_a_generation_given_up_half_way_leaves_no_request_behind(engine):
    part = next(iter(engine.generate(requests_of_many_lengths(), Sampling(max_new_tokens=8))))
    assert part
    request = Request((9,), (70, 71), seed=1)
    assert set(run(engine, [request], Sampling(max_new_tokens=4))) == {(9,)}


def test_sleep_and_wake_change_nothing_on_the_cpu(engine):
    request = Request((0,), tuple(range(60, 70)), seed=5)
    before = run(engine, [request], Sampling(max_new_tokens=8))
    engine.sleep(keep_weights=True)
    engine.wake_weights()
    engine.wake_cache()
    assert run(engine, [request], Sampling(max_new_tokens=8)) == before


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["vllm"], indirect=True)
def test_sampling_that_vllm_does_not_support_is_refused_before_anything_runs(engine):
    with pytest.raises(UserError, match="temperature must be in"):
        engine.generate([Request((0,), (1, 2), seed=1)], Sampling(temperature=3.0))


def test_more_context_than_the_model_has_positions_for_is_refused(model_path):
    with pytest.raises(UserError, match="257 tokens together, but the model has 256"):
        open_engine(model_path, "hf", max_model_len=257)


def test_an_unknown_engine_is_refused_by_name(model_path):
    with pytest.raises(UserError, match="'sglang'; choose one of auto, vllm, hf"):
        open_engine(model_path, "sglang")


@pytest.mark.vllm
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_heads_that_vllm_has_no_cpu_kernel_for_are_refused_before_loading(model_path, tmp_path):
    pytest.importorskip("vllm")
    shutil.copytree(model_path, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_attention_heads": 4}))
    with pytest.raises(UserError, match="heads have 16 dimensions; vLLM on the CPU has kernels for 32, 64"):
        open_engine(str(tmp_path), "vllm", dtype="float32")


def test_an_answer_is_shown_while_it_is_written_and_is_the_one_that_generate_gives(model_path):
    engine = open_engine(model_path, "hf", dtype="float32", max_model_len=LENGTH_LIMIT)
    request, sampling = Request((0,), tuple(range(60, 70)), seed=5), Sampling(max_new_tokens=24)
    pieces = []
    answer = engine.answer(request, sampling, pieces.append)
    assert answer == run(engine, [request], sampling)[0,]
    assert "".join(pieces) == answer.text
    assert len(pieces) > 3


def test_a_character_is_shown_once_all_its_bytes_are_there(model_path):
    tokenizer = load_tokenizer(model_path)
    pieces = []
    stream = TextStream(tokenizer, {END_ID}, pieces.append)
    stream.put(torch.tensor([[70, 71]]))  # the prompt
    for token in [*tokenizer("aéb€")["input_ids"], END_ID]:
        stream.put(torch.tensor([token]))
    stream.end()
    assert pieces == ["a", "é", "b", "€"]


def test_a_vllm_engine_that_can_sleep_gives_its_weights_up_unless_they_are_wanted_again():
    """Level 1 copies weights to CPU memory, level 2 drops them; each part wakes by itself."""
    calls = []

    class Asleep:
        def sleep(self, level):
            calls.append(("sleep", level))

        def wake_up(self, tags):
            calls.append(("wake_up", tags))

    engine = VllmEngine.__new__(VllmEngine)
    engine._llm, engine._can_sleep = Asleep(), True
    engine.sleep(keep_weights=True)
    engine.sleep(keep_weights=False)
    engine.wake_weights()
    engine.wake_cache()
    assert calls == [("sleep", 1), ("sleep", 2), ("wake_up", ["weights"]), ("wake_up", ["kv_cache"])]
