"""Flags of batch inference, chat, the reward server and the LoRA combiner."""

from openrlhf.config.flag import Flag, gpu_count, integer, switch

# fmt: off

INFERENCE = (
    Flag("eval_task", str, None, "What to do: generate, generate_vllm, or rm (score with a reward model)."),
    Flag("best_of_n", integer, 1, "Responses per prompt; post-processing may keep the best."),
    Flag("iter", integer, None, "Which slice of --rollout_batch_size prompts to use, counted from 0; without"
         " it all."),
    Flag("post_processor", str, None, "What to make of scored responses: rs (best of n), csft (conditional"
         " SFT) or iter_dpo (pairs)."),
    Flag("reward_template", str, None, "Training text of conditional SFT, with {input} and {reward} in it."),
    switch("enable_csft", "Put --csft_prompt after the prompt, as conditional SFT was trained."),
    Flag("csft_prompt", str, "<rm_score>: 5.00", "Text that asks for a response of this reward."),
    switch("greedy_sampling", "Take the most likely token everywhere."),
    Flag("repetition_penalty", float, 1.0, "Divide the scores of tokens that occurred already; 1: none."),
    Flag("micro_batch_size", integer, 16, "Samples per rank at once."),
    Flag("max_num_seqs", integer, 256, "Sequences that vLLM works on at once."),
    Flag("tp_size", gpu_count, "visible", "GPUs per vLLM engine."),
    Flag("ta_prompt", str, None, "Text file whose content starts every conversation."),
)

SERVER = (
    Flag("host", str, "0.0.0.0", "Address to listen on."),
    Flag("port", integer, 5000, "Port to listen on."),
    Flag("batch_size", integer, None, "Samples scored at once; without it a request's all."),
    Flag("workers", integer, 1, "Threads that score; they share one copy of the model on each of as many GPUs, or one"
         " copy on the CPU."),
    Flag("max_requests", integer, 64, "Requests in work and waiting; further ones are told to come back (503)."),
    Flag("max_request_mb", integer, 64, "Largest request in MiB; larger ones are refused (413)."),
)

COMBINER = (
    Flag("model_path", str, None, "Base model: a folder or hub name.", required=True),
    Flag("lora_path", str, None, "Folder of the LoRA matrices.", required=True),
    Flag("output_path", str, None, "Where the result is written."),
    switch("is_rm", "The model is a reward model."),
)

GROUPS = {"Inference": INFERENCE, "Server": SERVER, "Output and combination": COMBINER}
