"""Flags about the models that are loaded, and how."""

from openrlhf.config.flag import Flag, integer, switch

# fmt: off

MODEL = (
    Flag("pretrain", str, None, "Model to start from: a Hugging Face folder or hub name."),
    Flag("reward_pretrain", str, None, "Reward model: a folder or hub name; several, separated by commas, are"
         " summed."),
    Flag("critic_pretrain", str, None, "Model the critic starts from; without it the first reward model or"
         " --pretrain."),
    Flag("ref_pretrain", str, None, "Frozen reference model; without it --pretrain."),
    Flag("teacher_model", str, None, "Teacher whose distribution is distilled: a folder or hub name."),
    Flag("value_head_prefix", str, "score", "Name of the layer that gives the scalar of a reward or value"
         " model."),
    Flag("attn_implementation", str, None, "Attention: sdpa, eager, flash_attention_2, …; without it"
         " flash_attention_2 under --flash_attn and sdpa otherwise."),
    switch("flash_attn", "Use FlashAttention 2 (needs the flash-attn package and a GPU)."),
    switch("bf16", "Compute in bfloat16 instead of float32."),
    switch("load_in_4bit", "Load the weights quantised to 4 bits (needs bitsandbytes and a GPU)."),
    switch("disable_fast_tokenizer", "Use the slow Python tokenizer."),
    switch("use_ms", "Download models and data from ModelScope instead of the Hugging Face hub."),
    switch("use_liger_kernel", "Use Liger's fused Triton kernels (needs liger-kernel and a GPU)."),
    switch("torch_compile", "Compile the model with torch.compile."),
    switch("packing_samples", "Put several samples into one row without padding; they stay isolated."),
)

LORA = (
    Flag("lora_rank", integer, 0, "Rank of the LoRA matrices; 0 trains all weights."),
    Flag("lora_alpha", integer, 16, "LoRA scale: the update is multiplied by alpha / rank."),
    Flag("lora_dropout", float, 0, "Dropout on the input of the LoRA matrices, a probability."),
    Flag("target_modules", str, "all-linear", "Names of the layers that get LoRA matrices.", nargs="*"),
)

GROUPS = {"Model": MODEL, "LoRA": LORA}
