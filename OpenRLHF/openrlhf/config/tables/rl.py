"""Flags of reinforcement learning: rollouts, engines, rewards, objectives, placement."""

from openrlhf.config.flag import Flag, integer, switch

# fmt: off

ESTIMATORS = ("gae", "reinforce", "rloo", "reinforce_baseline", "group_norm", "dr_grpo", "raft")

ROLLOUTS = (
    Flag("num_episodes", integer, 1, "Passes over the prompts."),
    Flag("rollout_batch_size", integer, 1024, "Prompts per rollout batch."),
    Flag("micro_rollout_batch_size", integer, 8, "Samples per rank when rollouts are scored or generated"
         " without vLLM."),
    Flag("n_samples_per_prompt", integer, 1, "Responses sampled for each prompt."),
    Flag("temperature", float, 1.0, "Sampling temperature; 0 is greedy."),
    Flag("top_p", float, 1.0, "Sample from the most likely tokens that have this probability together; 1 cuts"
         " nothing."),
    Flag("rollout_engine", str, "auto", "What generates: vllm, hf (Hugging Face generate), or auto: vLLM"
         " where it is installed.", choices=("auto", "vllm", "hf")),
    Flag("generate_timeout", float, 3600.0, "Seconds without any finished response before generation counts"
         " as dead."),
)

VLLM = (
    Flag("vllm_num_engines", integer, None, "Number of vLLM engines."),
    Flag("vllm_tensor_parallel_size", integer, 1, "GPUs per vLLM engine."),
    Flag("vllm_sync_backend", str, "nccl", "Transport of weights from trainer to engines: nccl (GPU) or gloo"
         " (CPU)."),
    switch("vllm_sync_with_ray", "Set up the weight transfer through Ray's collectives."),
    Flag("vllm_gpu_memory_utilization", float, 0.9, "Share of each GPU's memory that a vLLM engine may use."),
    Flag("vllm_kv_cache_mb", integer, None, "Key-value cache of each engine in MiB (CPU engines); without it"
         " vLLM decides."),
    switch("vllm_enable_sleep", "Let engines free their GPU memory while training runs (needs"
           " --colocate_all_models)."),
    switch("enable_prefix_caching", "Let vLLM reuse the cache of common prefixes."),
    switch("enforce_eager", "Run vLLM without CUDA graphs."),
    Flag("sync_timeout", float, 600.0, "Seconds before a weight transfer that does not finish is an error."),
)

REWARDS = (
    Flag("remote_rm_url", str, None, "Reward: a .py file that defines reward_func, or URLs, separated by"
         " commas, or math: the built-in grader, InTRO's default."),
    Flag("reward_clip_range", float, (-10, 10), "Rewards are clipped to this range.", nargs=2),
    switch("normalize_reward", "Shift and scale rewards of a reward model by the mean and standard deviation that"
           " train_rm stored in its config.json."),
    switch("dynamic_filtering", "Leave out prompts whose responses all have the same reward: they teach nothing, and"
           " the others then count for more."),
    Flag("reward_workers", integer, 2, "Processes that grade responses."),
    Flag("reward_timeout", float, 30.0, "Seconds that grading one response may take."),
)

POLICY = (
    Flag("advantage_estimator", str, "gae", "Method: gae (PPO, with a critic), reinforce (REINFORCE++), rloo,"
         " reinforce_baseline, group_norm (GRPO), dr_grpo, or raft (likelihood of the correct responses).",
         choices=ESTIMATORS),
    Flag("actor_learning_rate", float, 1e-6, "Highest learning rate of the policy."),
    Flag("critic_learning_rate", float, 9e-6, "Highest learning rate of the critic."),
    Flag("gamma", float, 1, "Discount of later rewards, per token."),
    Flag("lambd", float, 0.95, "Lambda of generalised advantage estimation."),
    Flag("eps_clip", float, 0.2, "PPO: the probability ratio is clipped to 1 ± this."),
    Flag("value_clip", float, 0.2, "PPO: values are clipped to their old value ± this."),
    Flag("ptx_coef", float, 0.05, "Weight of the loss on --pretrain_data."),
    Flag("init_kl_coef", float, 0.01, "Weight of the KL term against the reference model; 0: no reference"
         " model."),
    Flag("kl_target", float, None, "Adapt the KL weight so that KL stays near this; without it the weight is"
         " constant."),
    Flag("kl_estimator", str, "k1", "Estimate of KL from samples: k1 (unbiased), k2, k3 (low"
         " variance).", choices=("k1", "k2", "k3")),
    switch("use_kl_loss", "Add KL to the loss instead of to the reward."),
    Flag("freezing_actor_steps", integer, -1, "Train only the critic for so many steps first; -1: none."),
    switch("enable_ema", "Keep an exponential moving average of the policy's weights (0.992 a step) and save it in"
           " place of the last ones."),
    switch("save_value_network", "Save the critic with the final model, in {save_path}_critic."),
)

PLACEMENT = (
    Flag("actor_num_nodes", integer, 1, "Machines for the policy."),
    Flag("actor_num_gpus_per_node", integer, 8, "GPUs (ranks) per machine for the policy."),
    Flag("critic_num_nodes", integer, 1, "Machines for the critic."),
    Flag("critic_num_gpus_per_node", integer, 8, "GPUs per machine for the critic."),
    Flag("ref_num_nodes", integer, 1, "Machines for the reference model."),
    Flag("ref_num_gpus_per_node", integer, 8, "GPUs per machine for the reference model."),
    Flag("reward_num_nodes", integer, 1, "Machines for the reward model."),
    Flag("reward_num_gpus_per_node", integer, 8, "GPUs per machine for the reward model."),
    switch("colocate_actor_ref", "Put policy and reference model on the same GPUs."),
    switch("colocate_critic_reward", "Put critic and reward model on the same GPUs."),
    switch("colocate_all_models", "Put all models and the engines on the policy's GPUs, one after the"
           " other."),
    switch("ref_reward_offload", "Keep reference and reward models in CPU memory between uses."),
    switch("deepspeed_enable_sleep", "Keep the optimisers' state in CPU memory except while training; needs"
           " --zero_stage 3."),
    switch("actor_init_on_gpu", "Initialise the policy's weights on the GPU."),
    switch("perf", "Print the time of every phase."),
)

EVALUATION = (
    Flag("eval_dataset", str, None, "Held-out problems scored every --eval_steps; forms and fields as"
         " --prompt_data."),
    Flag("eval_n_samples", integer, 1, "Responses per held-out problem."),
    Flag("eval_temperature", float, 0.0, "Sampling temperature on held-out problems; 0 is greedy."),
    Flag("eval_max_samples", integer, None, "Score at most so many held-out problems, from the front; without"
         " it all."),
    Flag("num_sample_rationales", integer, 4, "Responses kept for reading at every step."),
)

GROUPS = {
    "Rollouts": ROLLOUTS,
    "vLLM engines": VLLM,
    "Reward": REWARDS,
    "RL objective": POLICY,
    "Placement": PLACEMENT,
    "Evaluation while training": EVALUATION,
}
