"""Flags about data sets, their fields and templates."""

from openrlhf.config.flag import Flag, integer, switch

# fmt: off

DATA = (
    Flag("prompt_data", str, None, "Prompts: files (json, jsonl, csv, parquet), save_to_disk folders or hub"
         " names, separated by commas; name@folder names a folder inside the data set."),
    Flag("prompt_data_probs", str, "1.0", "Share of each source of --prompt_data, separated by commas."),
    Flag("prompt_split", str, "train", "Split of --prompt_data to use."),
    Flag("pretrain_data", str, None, "Plain text whose language-model loss is added in PPO; forms as"
         " --prompt_data."),
    Flag("pretrain_data_probs", str, "1.0", "Share of each source of --pretrain_data, separated by commas."),
    Flag("pretrain_split", str, "train", "Split of --pretrain_data to use."),
    Flag("dataset", str, None, "Data: files (json, jsonl, csv, parquet), save_to_disk folders or hub names,"
         " separated by commas; name@folder names a folder inside the data set."),
    Flag("dataset_probs", str, "1.0", "Share of each source of --dataset, separated by commas."),
    Flag("dataset_split", str, "train", "Split of --dataset to use."),
    Flag("train_split", str, "train", "Split of --dataset to train on."),
    Flag("eval_split", str, "test", "Split of --dataset to evaluate on."),
    Flag("max_samples", integer, 1e8, "Use at most so many samples, from the front."),
)

FIELDS = (
    Flag("input_key", str, "input", "Field that holds the prompt (or the whole text)."),
    Flag("label_key", str, None, "Field that holds the label: the gold answer in RL, else the preference or"
         " step label."),
    Flag("output_key", str, None, "Field that holds the response."),
    Flag("prompt_key", str, None, "Field that holds the prompt; without it chosen and rejected contain it."),
    Flag("chosen_key", str, "chosen", "Field that holds the preferred response."),
    Flag("rejected_key", str, "rejected", "Field that holds the other response."),
    Flag("placeholder_token", str, None, "Token that marks the end of each reasoning step in process"
         " supervision."),
    Flag("reward_tokens", str, None, "Tokens that stand for the labels of a step, such as + and"
         " -.", nargs="*"),
    Flag("input_template", str, None, "Text around the prompt, with {} where the prompt goes, as 'User:"
         " {}\\nAssistant: '."),
    switch("apply_chat_template", "Write the prompt with the tokenizer's chat template; a string is one user"
           " message."),
    Flag("tokenizer_chat_template", str, None, "Jinja chat template used instead of the tokenizer's own."),
    switch("multiturn", "Train on every assistant turn of a conversation (needs --apply_chat_template)."),
    switch("pretrain_mode", "Train on the whole text without any template, as in pre-training."),
)

LENGTHS = (
    Flag("max_len", integer, 2048, "Longest sample in tokens, prompt and response together; longer ones are"
         " cut and counted. In RL the sum of --prompt_max_len and --generate_max_len says it."),
    Flag("prompt_max_len", integer, 1024, "Longest prompt in tokens; longer ones are dropped and counted."),
    Flag("generate_max_len", integer, 1024, "Longest response in tokens."),
    Flag("max_new_tokens", integer, 1024, "Longest response in tokens."),
)

GROUPS = {"Data": DATA, "Fields and templates": FIELDS, "Lengths": LENGTHS}
