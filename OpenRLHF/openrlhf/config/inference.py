"""Batch inference, chat, the reward server and the LoRA combiner."""

from dataclasses import dataclass

from openrlhf.config.model import LoadingConfig
from openrlhf.config.settings import gpu_count, section, setting, switch

CHAT_TEMPLATE = "User: {}\nAssistant: "


@dataclass(frozen=True)
class SamplingConfig:
    greedy_sampling: bool = switch("Take the most likely token everywhere.")
    temperature: float = setting(1.0, "Sampling temperature; 0 is greedy.", at_least=0)
    top_p: float = setting(
        1.0,
        "Sample from the most likely tokens that have this probability together; 1 cuts nothing.",
        more_than=0,
        at_most=1,
    )
    repetition_penalty: float = setting(1.0, "Divide the scores of tokens that occurred already; 1: none.", more_than=0)
    enable_csft: bool = switch("Put --csft_prompt after the prompt, as conditional SFT was trained.")
    csft_prompt: str = setting("<rm_score>: 5.00", "Text that asks for a response of this reward.")

    @property
    def suffix(self) -> str:
        """What asks a conditionally trained model for good responses; behind every prompt, as in 0.6.2."""
        return f"{self.csft_prompt.strip()} " if self.enable_csft else ""


@dataclass(frozen=True)
class BatchDataConfig:
    dataset: str | None = setting(
        None,
        "Data: files (json, jsonl, csv, parquet), save_to_disk folders or hub names, separated by commas; name@folder"
        " names a folder inside the data set.",
    )
    dataset_probs: str = setting("1.0", "Share of each source of --dataset, separated by commas.")
    dataset_split: str = setting("train", "Split of --dataset to use.")
    max_samples: int = setting(1e8, "Use at most so many samples, from the front.", at_least=1)
    input_key: str = setting("input", "Field that holds the prompt.")
    output_key: str = setting("output", "Field that holds the response.")
    input_template: str | None = setting(
        None, "Text around the prompt, with {} where the prompt goes, as 'User: {}\\nAssistant: '."
    )
    apply_chat_template: bool = switch(
        "Write the prompt with the tokenizer's chat template; a string is one user message."
    )
    max_len: int = setting(
        2048, "Longest sample in tokens, prompt and response together; longer ones are cut and counted.", at_least=1
    )
    prompt_max_len: int = setting(1024, "Longest prompt in tokens; longer ones are dropped and counted.", at_least=1)
    max_new_tokens: int = setting(1024, "Longest response in tokens.", at_least=1)


@dataclass(frozen=True)
class TaskConfig:
    """After the rules `post_processor` is None or one of those that exist."""

    eval_task: str | None = setting(None, "What to do: generate, generate_vllm, or rm (score with a reward model).")
    best_of_n: int = setting(1, "Responses per prompt; post-processing may keep the best.", at_least=1)
    iter: int | None = setting(
        None,
        "Which slice of --rollout_batch_size prompts to use, counted from 0; without it all.",
        at_least=0,
    )
    rollout_batch_size: int = setting(2048, "Prompts in a slice.", at_least=1)
    micro_batch_size: int = setting(16, "Samples per rank at once.", at_least=1)
    post_processor: str | None = setting(
        None,
        "What to make of scored responses: rs (best of n), csft (conditional SFT) or iter_dpo (pairs).",
    )
    reward_template: str | None = setting(None, "Training text of conditional SFT, with {input} and {reward} in it.")
    normalize_reward: bool = switch(
        "Shift and scale rewards by the mean and standard deviation that train_rm stored in the model's config.json."
    )
    value_head_prefix: str = setting("value_head", "Name of the layer that gives the scalar of a reward model.")
    max_num_seqs: int = setting(256, "Sequences that vLLM works on at once.", at_least=1)
    tp_size: int = setting("visible", "GPUs per vLLM engine.", kind=gpu_count, at_least=1)
    enable_prefix_caching: bool = switch("Let vLLM reuse the cache of common prefixes.")
    output_path: str | None = setting(None, "Where the result is written.")
    zero_stage: int = setting(0, "No effect: every rank holds the whole model.", at_least=0, at_most=3)
    local_rank: int = setting(-1, "Rank on this machine; set by the launcher.")
    seed: int = setting(1234, "Seed of everything random.")
    full_determinism: bool = switch("Use deterministic kernels everywhere, slower.")


@dataclass(frozen=True)
class PretrainConfig(LoadingConfig):
    pretrain: str | None = setting(None, "The model: a Hugging Face folder or hub name.")


@dataclass(frozen=True)
class BatchConfig:
    """batch_inference."""

    model: PretrainConfig = section(PretrainConfig, "Model")
    data: BatchDataConfig = section(BatchDataConfig, "Data")
    sampling: SamplingConfig = section(SamplingConfig, "Sampling")
    task: TaskConfig = section(TaskConfig, "Inference")


@dataclass(frozen=True)
class ConversationConfig:
    max_len: int = setting(4096, "Longest conversation in tokens.", at_least=1)
    input_template: str | None = setting(
        CHAT_TEMPLATE, "Text around the prompt, with {} where the prompt goes, as 'User: {}\\nAssistant: '."
    )
    apply_chat_template: bool = switch("Write the conversation with the tokenizer's chat template.")
    ta_prompt: str | None = setting(None, "Text file whose content starts every conversation.")


@dataclass(frozen=True)
class ChatConfig:
    """interactive_chat."""

    model: PretrainConfig = section(PretrainConfig, "Model")
    conversation: ConversationConfig = section(ConversationConfig, "Conversation")
    sampling: SamplingConfig = section(SamplingConfig, "Sampling")


@dataclass(frozen=True)
class ServerConfig:
    reward_pretrain: str | None = setting(None, "Reward model: a folder or hub name.")
    value_head_prefix: str = setting("score", "Name of the layer that gives the scalar of a reward model.")
    normalize_reward: bool = switch(
        "Shift and scale rewards by the mean and standard deviation that train_rm stored in the model's config.json."
    )
    max_len: int = setting(2048, "Longest row in tokens; longer ones lose their beginning.", at_least=1)
    host: str = setting("0.0.0.0", "Address to listen on.")
    port: int = setting(5000, "Port to listen on.", at_least=0, at_most=65535)
    api_key_file: str | None = setting(
        None, "File whose first line every request must bring as Authorization: Bearer; needed beyond loopback."
    )
    no_api_key: bool = switch("Let everybody ask who reaches --host, as 0.6.2 does.")
    batch_size: int | None = setting(None, "Samples scored at once; without it a request's all.", at_least=1)
    workers: int = setting(
        1,
        "Threads that score; they share one copy of the model on each of as many GPUs, or one copy on the CPU.",
        at_least=1,
    )
    max_requests: int = setting(
        64, "Requests in work and waiting; further ones are told to come back (503).", at_least=1
    )
    max_request_mb: int = setting(64, "Largest request in MiB; larger ones are refused (413).", at_least=1)


@dataclass(frozen=True)
class ServingConfig:
    """serve_rm."""

    model: LoadingConfig = section(LoadingConfig, "Model")
    server: ServerConfig = section(ServerConfig, "Server")


@dataclass(frozen=True)
class CombinerConfig:
    """lora_combiner."""

    model_path: str = setting(None, "Base model: a folder or hub name.", required=True)
    lora_path: str = setting(None, "Folder of the LoRA matrices.", required=True)
    output_path: str = setting(None, "Where the result is written.", required=True)
    is_rm: bool = switch("The model is a reward model.")
    bf16: bool = switch("Compute in bfloat16 instead of float32.")
