"""Rollouts with Hugging Face `generate`: the engine that needs nothing but transformers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openrlhf.errors import UserError
from openrlhf.rollout.engine import Completion, Request, Sampling, before_stop
from openrlhf.rollout.model_files import (
    check_requests,
    context_length,
    end_token_ids,
    load_config,
    load_tokenizer,
    read_text,
    room,
)

if TYPE_CHECKING:
    import torch


class HfEngine:
    """A transformers model on one device, generating in batches with a key-value cache.

    A request's sample is a function of its prompt and seed: every row draws its own noise. (Logits still
    depend on a row's neighbours through rounding, by about 1e-5 in float32.)

    model_path: folder in Hugging Face format.
    dtype: "float32", "bfloat16", "float16" or "auto" (the checkpoint's).
    max_model_len: tokens of prompt and completion together; None takes the model's own.
    enable_sleep: `sleep` moves the weights off the GPU.
    sync_backend: "gloo" if weights are to be received (see `weight_sync`), else None.
    max_num_seqs: rows of a batch.
    device: where to run; None takes the GPU if there is one.
    attn_implementation: as transformers names it: "sdpa", "flash_attention_2", …
    load_in_4bit: quantise the weights while loading (bitsandbytes, on a GPU).
    sampled_logprobs: log-probabilities are those at the sampling temperature, not at 1.
    """

    def __init__(
        self,
        model_path: str,
        *,
        dtype: str = "bfloat16",
        max_model_len: int | None = None,
        enable_sleep: bool = False,
        sync_backend: str | None = None,
        max_num_seqs: int = 64,
        device: str | None = None,
        attn_implementation: str = "sdpa",
        load_in_4bit: bool = False,
        sampled_logprobs: bool = False,
    ) -> None:
        import torch

        if sync_backend not in (None, "gloo"):
            raise UserError(
                f"the Hugging Face engine receives weights over gloo, not {sync_backend}; "
                "set --vllm_sync_backend gloo or choose --rollout_engine vllm"
            )
        self.max_model_len = context_length(load_config(model_path), max_model_len)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._tokenizer = load_tokenizer(model_path)
        self._ends = end_token_ids(model_path, self._tokenizer)
        self._model = _load_model(model_path, dtype, attn_implementation, self.device if load_in_4bit else None)
        if not load_in_4bit:
            self._model.to(self.device)
        self._model.eval()
        self._can_sleep = enable_sleep and self.device.type == "cuda"
        self._max_num_seqs = max_num_seqs
        self._sampled_logprobs = sampled_logprobs
        self._receiver: Any = None
        self._version = 0

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """See `RolloutEngine.generate`; yields batch by batch, longest prompts first.

        Raises: UserError for an empty prompt or one that leaves no room in the context, before anything runs.
        """
        check_requests(requests, self.max_model_len)
        by_length = sorted(requests, key=lambda request: len(request.prompt_ids), reverse=True)
        size = self._max_num_seqs
        batches = [by_length[start : start + size] for start in range(0, len(by_length), size)]
        return (self._batch(batch, sampling) for batch in batches)

    def answer(self, request: Request, sampling: Sampling, show: Callable[[str], None]) -> Completion:
        """One completion, as `generate` gives it; `show` is called with the pieces of its text as they are written.

        Raises: as `generate`.
        """
        from openrlhf.rollout.streaming import TextStream

        check_requests([request], self.max_model_len)
        stream = TextStream(self._tokenizer, {*self._ends, *sampling.stop_token_ids}, show)
        (completion,) = self._batch([request], sampling, stream)
        return completion

    def _batch(self, batch: Sequence[Request], sampling: Sampling, stream: Any = None) -> list[Completion]:
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        from openrlhf.rollout.seeded_sampling import SeededSampler

        rooms = [room(request, sampling.max_new_tokens, self.max_model_len) for request in batch]
        ends = sorted({*self._ends, *sampling.stop_token_ids})
        width = max(len(request.prompt_ids) for request in batch)
        fill = ends[0] if ends else 0
        ids = torch.full((len(batch), width), fill, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(batch):  # padded on the left, so that all rows end at the same place
            ids[row, width - len(request.prompt_ids) :] = torch.tensor(request.prompt_ids)
            mask[row, width - len(request.prompt_ids) :] = 1
        scale = sampling.temperature or 1.0 if self._sampled_logprobs else 1.0
        sampler = SeededSampler(sampling, [request.seed for request in batch], mask, self.device, scale)
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids.to(self.device),
                attention_mask=mask.to(self.device),
                generation_config=GenerationConfig(
                    do_sample=False,
                    max_new_tokens=max(rooms),
                    eos_token_id=ends or None,
                    pad_token_id=fill,
                    stop_strings=list(sampling.stop) or None,
                ),
                logits_processor=LogitsProcessorList([sampler]),
                tokenizer=self._tokenizer if sampling.stop else None,
                streamer=stream,
            )
        rows = output[:, width:].tolist()
        logprobs = torch.stack(sampler.logprobs, dim=1).tolist()
        return [
            self._completion(request, row[:limit], scores, sampling, ends)
            for request, row, scores, limit in zip(batch, rows, logprobs, rooms, strict=True)
        ]

    def _completion(
        self,
        request: Request,
        ids: list[int],
        logprobs: list[float],
        sampling: Sampling,
        ends: Sequence[int],
    ) -> Completion:
        """Cuts the padding behind the first stop off a generated row."""
        length = next((at + 1 for at, token in enumerate(ids) if token in ends), None)
        text = None
        if sampling.stop:
            length, text = self._cut_at_stop_string(ids[:length], sampling.stop, length)
        kept = ids if length is None else ids[:length]
        return Completion(
            key=request.key,
            token_ids=tuple(kept),
            logprobs=tuple(logprobs[: len(kept)]),
            finish_reason="length" if length is None else "stop",
            text=read_text(self._tokenizer, kept, ends) if text is None else text,
            versions=(self._version,) * len(kept),
        )

    def _cut_at_stop_string(
        self, ids: list[int], stops: Sequence[str], length: int | None
    ) -> tuple[int | None, str | None]:
        """The number of tokens up to the one that completes a stop string, and the text before the string."""
        if not any(stop in self._tokenizer.decode(ids, skip_special_tokens=True) for stop in stops):
            return length, None
        for end in range(1, len(ids) + 1):
            text = self._tokenizer.decode(ids[:end], skip_special_tokens=True)
            if (before := before_stop(text, stops)) != text:
                return end, before
        raise AssertionError("the whole text has the stop string, so one of its beginnings has it")

    def sleep(self, keep_weights: bool) -> None:
        if self._can_sleep:
            import torch

            self._model.to("cpu")
            torch.cuda.empty_cache()

    def wake_weights(self) -> None:
        if self._can_sleep:
            self._model.to(self.device)

    def wake_cache(self) -> None:
        """Nothing: the cache of a batch lives as long as the batch."""

    def shutdown(self) -> None:
        self.shutdown_weight_transfer_engine()

    # Weight updates: the same calls as the vLLM engine has.

    def init_weight_transfer_engine(self, init_info: Mapping[str, Any]) -> None:
        from openrlhf.rollout.gloo_transport import GlooReceiver

        self.shutdown_weight_transfer_engine()
        self._receiver = GlooReceiver(**init_info)

    def shutdown_weight_transfer_engine(self) -> None:
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None

    def start_weight_update(self) -> None:
        if self._receiver is None:
            raise RuntimeError("start_weight_update before init_weight_transfer_engine")

    def update_weights(self, update_info: Mapping[str, Any]) -> None:
        self._receiver.receive(update_info, self.load_weights)

    def load_weights(self, weights: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        """Copies into the parameters where they stand."""
        import torch

        own = self._model.state_dict(keep_vars=True)
        with torch.no_grad():
            for name, tensor in weights:
                if name not in own:
                    raise ValueError("the engine's model has no such parameter")
                if own[name].shape != tensor.shape:
                    raise ValueError(f"the engine's has shape {list(own[name].shape)}")
                own[name].copy_(tensor)

    def finish_weight_update(self, version: int) -> None:
        """Nothing to finish: weights are copied in place and no prefix is cached between calls."""
        self._version = version

    def transfer_info(self) -> dict[str, Any]:
        """See `VllmEngine.transfer_info`."""
        return {"workers": 1, "dtype": str(self._model.dtype).removeprefix("torch.")}

    def parameter_checksums(self) -> list[dict[tuple[str, ...], int]]:
        """Checksums of the weights in use, one rank; see `checksum.engine_checksums`."""
        from openrlhf.rollout.checksum import engine_checksums

        return [engine_checksums(self._model, self._model.dtype)]


def _load_model(model_path: str, dtype: str, attn_implementation: str, quantised_on: "torch.device | None") -> Any:
    """quantised_on: the GPU onto which 4-bit weights are loaded; None loads them as they are, on the CPU."""
    import torch
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {}
    if quantised_on is not None:
        from openrlhf.models.loader import four_bit_config

        options = {"quantization_config": four_bit_config(), "device_map": {"": quantised_on}}
    return AutoModelForCausalLM.from_pretrained(
        model_path,
        dtype=dtype if dtype == "auto" else getattr(torch, dtype),
        attn_implementation=attn_implementation,
        trust_remote_code=False,
        **options,
    )
