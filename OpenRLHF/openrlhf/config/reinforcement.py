"""Reinforcement learning: data, rollouts, engines, rewards, models beside the policy, placement, evaluation."""

from dataclasses import dataclass
from pathlib import Path

from openrlhf.config.method import RLMethodConfig
from openrlhf.config.settings import section, setting, switch
from openrlhf.config.training import TrainConfig
from openrlhf.grading.policy import POLICIES

BUILT_IN_GRADER = "math"


@dataclass(frozen=True)
class PromptDataConfig:
    """After the rules `input_template` is None or contains `{}`."""

    prompt_data: str | None = setting(
        None,
        "Prompts: files (json, jsonl, csv, parquet), save_to_disk folders or hub names, separated by commas;"
        " name@folder names a folder inside the data set.",
    )
    prompt_data_probs: str = setting("1.0", "Share of each source of --prompt_data, separated by commas.")
    prompt_split: str = setting("train", "Split of --prompt_data to use.")
    max_samples: int = setting(1e8, "Use at most so many samples, from the front.", at_least=1)
    input_key: str = setting("input", "Field that holds the prompt (or the whole text).")
    label_key: str | None = setting(None, "Field that holds the gold answer.")
    input_template: str | None = setting(
        None, "Text around the prompt, with {} where the prompt goes, as 'User: {}\\nAssistant: '."
    )
    apply_chat_template: bool = switch(
        "Write the prompt with the tokenizer's chat template; a string is one user message."
    )
    pretrain_data: str | None = setting(
        None, "Plain text whose language-model loss is added to the policy's; forms as --prompt_data."
    )
    pretrain_data_probs: str = setting("1.0", "Share of each source of --pretrain_data, separated by commas.")
    pretrain_split: str = setting("train", "Split of --pretrain_data to use.")
    ptx_coef: float = setting(0.05, "Weight of the loss on --pretrain_data.", at_least=0)


@dataclass(frozen=True)
class RolloutConfig:
    num_episodes: int = setting(1, "Passes over the prompts.", at_least=1)
    rollout_batch_size: int = setting(1024, "Prompts per rollout batch.", at_least=1)
    micro_rollout_batch_size: int = setting(
        8, "Samples per rank when rollouts are scored or generated without vLLM.", at_least=1
    )
    n_samples_per_prompt: int = setting(1, "Responses sampled for each prompt.", at_least=1)
    temperature: float = setting(1.0, "Sampling temperature; 0 is greedy.", at_least=0)
    top_p: float = setting(
        1.0,
        "Sample from the most likely tokens that have this probability together; 1 cuts nothing.",
        more_than=0,
        at_most=1,
    )
    max_len: int | None = setting(
        None,
        "Longest sample in tokens; --prompt_max_len and --generate_max_len say it.",
        at_least=1,
        without_effect="lengths are limited by --prompt_max_len and --generate_max_len",
    )
    prompt_max_len: int = setting(1024, "Longest prompt in tokens; longer ones are dropped and counted.", at_least=1)
    generate_max_len: int = setting(1024, "Longest response in tokens.", at_least=1)
    rollout_ahead: int = setting(
        0,
        "Generate so many rollout batches while earlier ones are trained on: their weights are as many steps old. 0:"
        " engines and ranks take turns.",
        at_least=0,
    )
    rollout_inflight: str = setting(
        "finish",
        "Responses that are being written when new weights come: finish with the old ones (the update waits), or"
        " continue with the new ones (vLLM).",
        choices=("finish", "continue"),
    )
    off_policy_correction: str | None = setting(
        None,
        "Weights for tokens that an older policy sampled, or an engine that computes otherwise: none; tis, the ratio of"
        " policy and sampler up to --correction_cap; icepop, the ratio where it lies in --correction_range, else 0."
        " Without it tis with --rollout_ahead, else none.",
        choices=("none", "tis", "icepop"),
    )
    correction_cap: float = setting(2.0, "Largest weight of tis.", more_than=0)
    correction_range: tuple[float, float] = setting((0.5, 5.0), "Ratios that icepop keeps.", nargs=2)
    stop: tuple[str, ...] = setting(
        (),
        "Texts at which a response ends, besides the end-of-sequence token: their tokens are trained on, what follows"
        " is never generated, and rewards read the response without them.",
        nargs="+",
    )
    save_rollouts: bool = switch("Keep every rollout: a parquet file a step in {save_path}/rollouts.")
    replay: str | None = setting(
        None, "Train on the rollouts in this folder, of a run that had --save_rollouts, without engines."
    )

    @property
    def scored_temperature(self) -> float:
        """Of the policy that is trained: greedy samples are scored at 1."""
        return self.temperature or 1.0

    @property
    def updates_in_flight(self) -> bool:
        """Whether engines take weights while they generate."""
        return self.rollout_ahead > 0 and self.rollout_inflight == "continue"

    @property
    def corrects(self) -> bool:
        return self.off_policy_correction not in (None, "none")


@dataclass(frozen=True)
class EngineConfig:
    rollout_engine: str = setting(
        "auto",
        "What generates: vllm, hf (Hugging Face generate), or auto: vLLM where it is installed.",
        choices=("auto", "vllm", "hf"),
    )
    generate_timeout: float = setting(
        3600.0, "Seconds without any finished response before generation counts as dead.", more_than=0
    )
    vllm_num_engines: int | None = setting(None, "Number of vLLM engines.", at_least=0)
    vllm_tensor_parallel_size: int = setting(1, "GPUs per vLLM engine.", at_least=1)
    vllm_sync_backend: str = setting("nccl", "Transport of weights from trainer to engines: nccl (GPU) or gloo (CPU).")
    vllm_sync_with_ray: bool = switch(
        "Set up the weight transfer through Ray's collectives.",
        without_effect="weights are sent as --vllm_sync_backend says",
    )
    vllm_gpu_memory_utilization: float = setting(
        0.9, "Share of each GPU's memory that a vLLM engine may use.", more_than=0, at_most=1
    )
    vllm_kv_cache_mb: int | None = setting(
        None,
        "Key-value cache of each engine in MiB (CPU engines); without it vLLM decides.",
        at_least=1,
    )
    vllm_enable_sleep: bool = switch(
        "Let engines free their GPU memory while training runs (needs --colocate_all_models)."
    )
    enable_prefix_caching: bool = switch("Let vLLM reuse the cache of common prefixes.")
    enforce_eager: bool = switch("Run vLLM without CUDA graphs.")
    sync_timeout: float = setting(
        600.0, "Seconds before a weight transfer that does not finish is an error.", more_than=0
    )

    @property
    def engines(self) -> int:
        return self.vllm_num_engines or 1


@dataclass(frozen=True)
class RewardConfig:
    """After the rules exactly one of `remote_rm_url` and `reward_pretrain` gives the rewards."""

    remote_rm_url: str | None = setting(
        None,
        "Reward: a .py file that defines reward_func, or URLs, separated by commas, or math: the built-in grader.",
    )
    api_key_file: str | None = setting(None, "File whose first line is the key of the servers in --remote_rm_url.")
    reward_policy: str = setting(
        "math",
        "What the built-in grader takes for an answer: math; word_problem, a number, rounded or unannounced; choice.",
        choices=tuple(POLICIES),
    )
    reward_pretrain: str | None = setting(
        None, "Reward model: a folder or hub name; several, separated by commas, are summed."
    )
    value_head_prefix: str = setting("score", "Name of the layer that gives the scalar of a reward or value model.")
    normalize_reward: bool = switch(
        "Shift and scale rewards of a reward model by the mean and standard deviation that train_rm stored in its"
        " config.json."
    )
    reward_workers: int = setting(2, "Processes that grade responses.", at_least=1)
    reward_timeout: float = setting(
        30.0, "Seconds that one call of a reward_func, for all responses in it, may take.", more_than=0
    )
    max_reward_failures: float = setting(
        0.5, "Share of a step's responses that may stay without a reward before the run ends.", at_least=0, at_most=1
    )

    @property
    def sources(self) -> list[str]:
        """A .py file, the built-in grader, or URLs; [] where reward models give the rewards."""
        return _parts(self.remote_rm_url)

    @property
    def models(self) -> list[str]:
        """Reward models that get ranks of their own; `remote_rm_url` replaces them."""
        return [] if self.sources else _parts(self.reward_pretrain)


@dataclass(frozen=True)
class PolicyConfig:
    actor_learning_rate: float = setting(1e-6, "Highest learning rate of the policy.", at_least=0)
    enable_ema: bool = switch(
        "Keep an exponential moving average of the policy's weights (0.992 a step) and save it in place of the last"
        " ones."
    )
    on_anomaly: str = setting(
        "warn",
        "When a step's figures show that training goes wrong: warn, skip (the step's updates are taken back), stop, or"
        " rollback to the latest checkpoint with half the rate.",
        choices=("warn", "skip", "stop", "rollback"),
    )


@dataclass(frozen=True)
class CriticConfig:
    """After the rules `critic_pretrain` is None exactly where no critic is trained."""

    critic_pretrain: str | None = setting(
        None, "Model the critic starts from; without it the first reward model or --pretrain."
    )
    critic_learning_rate: float = setting(9e-6, "Highest learning rate of the critic.", at_least=0)
    value_clip: float = setting(0.2, "Values are clipped to their old value ± this.", more_than=0)
    freezing_actor_steps: int = setting(-1, "Train only the critic for so many steps first; -1: none.")
    save_value_network: bool = switch("Save the critic with the final model, in {save_path}_critic.")


@dataclass(frozen=True)
class KLConfig:
    init_kl_coef: float = setting(
        0.01, "Weight of the KL term against the reference model; 0: no reference model.", at_least=0
    )
    kl_target: float | None = setting(
        None,
        "Adapt the KL weight so that KL stays near this; without it the weight is constant.",
        more_than=0,
    )
    kl_estimator: str = setting(
        "k1",
        "Estimate of KL from samples: k1 (unbiased), k2, k3 (low variance).",
        choices=("k1", "k2", "k3"),
    )
    use_kl_loss: bool = switch("Add KL to the loss instead of to the reward.")


@dataclass(frozen=True)
class PlacementConfig:
    actor_num_nodes: int = setting(1, "Machines for the policy.", at_least=1)
    actor_num_gpus_per_node: int = setting(8, "GPUs (ranks) per machine for the policy.", at_least=1)
    critic_num_nodes: int = setting(1, "Machines for the critic.", at_least=1)
    critic_num_gpus_per_node: int = setting(8, "GPUs per machine for the critic.", at_least=1)
    ref_num_nodes: int = setting(1, "Machines for the reference model.", at_least=1)
    ref_num_gpus_per_node: int = setting(8, "GPUs per machine for the reference model.", at_least=1)
    reward_num_nodes: int = setting(1, "Machines for the reward model.", at_least=1)
    reward_num_gpus_per_node: int = setting(8, "GPUs per machine for the reward model.", at_least=1)
    colocate_actor_ref: bool = switch("Put policy and reference model on the same GPUs.")
    colocate_critic_reward: bool = switch("Put critic and reward model on the same GPUs.")
    colocate_all_models: bool = switch("Put all models and the engines on the policy's GPUs, one after the other.")
    ref_reward_offload: bool = switch("Keep reference and reward models in CPU memory between uses.")
    deepspeed_enable_sleep: bool = switch(
        "Keep the optimisers' state in CPU memory except while training; needs --zero_stage 3."
    )
    actor_init_on_gpu: bool = switch(
        "Initialise the policy's weights on the GPU.",
        without_effect="DeepSpeed decides where weights are initialised",
    )
    perf: bool = switch("Print the time of every phase.", without_effect="the seconds of every phase are always logged")

    @property
    def actor_ranks(self) -> int:
        return self.actor_num_nodes * self.actor_num_gpus_per_node

    @property
    def critic_ranks(self) -> int:
        return self.critic_num_nodes * self.critic_num_gpus_per_node

    @property
    def reference_ranks(self) -> int:
        return self.ref_num_nodes * self.ref_num_gpus_per_node

    @property
    def reward_ranks(self) -> int:
        return self.reward_num_nodes * self.reward_num_gpus_per_node


@dataclass(frozen=True)
class EvaluationConfig:
    eval_dataset: str | None = setting(
        None, "Held-out problems scored every --eval_steps; forms and fields as --prompt_data."
    )
    eval_n_samples: int = setting(1, "Responses per held-out problem.", at_least=1)
    eval_temperature: float = setting(0.0, "Sampling temperature on held-out problems; 0 is greedy.", at_least=0)
    eval_max_samples: int | None = setting(
        None, "Score at most so many held-out problems, from the front; without it all.", at_least=1
    )
    num_sample_rationales: int = setting(4, "Responses kept for reading at every step.", at_least=0)


@dataclass(frozen=True, kw_only=True)
class RLConfig(TrainConfig):
    """A run of reinforcement learning."""

    data: PromptDataConfig = section(PromptDataConfig, "Data")
    rollout: RolloutConfig = section(RolloutConfig, "Rollouts")
    engine: EngineConfig = section(EngineConfig, "Engines")
    reward: RewardConfig = section(RewardConfig, "Reward")
    policy: PolicyConfig = section(PolicyConfig, "Policy")
    critic: CriticConfig = section(CriticConfig, "Critic")
    kl: KLConfig = section(KLConfig, "KL term")
    placement: PlacementConfig = section(PlacementConfig, "Placement")
    evaluation: EvaluationConfig = section(EvaluationConfig, "Evaluation while training")
    method: RLMethodConfig

    @property
    def needs_reference(self) -> bool:
        """Whether a reference model is loaded: for a KL term with a weight, where the method takes one."""
        place = "loss" if self.kl.use_kl_loss else "reward"
        return self.kl.init_kl_coef > 0 and place in self.method.kl_places

    @property
    def reference_is_a_role(self) -> bool:
        """A method that takes KL in the reward has its reference on ranks of its own, since the driver needs its
        log-probabilities; elsewhere it lives beside the policy, which may need the same model as posterior."""
        return self.needs_reference and "reward" in self.method.kl_places

    @property
    def kl_in_loss(self) -> str | None:
        """The estimator of the KL term in the loss, if there is one."""
        return self.kl.kl_estimator if self.kl.use_kl_loss and self.needs_reference else None

    @property
    def engines(self) -> int:
        return 0 if self.rollout.replay else self.engine.engines

    @property
    def has_critic(self) -> bool:
        return self.critic.critic_pretrain is not None


def _parts(text: str | None) -> list[str]:
    if text and Path(text).exists():
        return [text]  # a path may hold a comma itself
    return [part.strip() for part in (text or "").split(",") if part.strip()]
