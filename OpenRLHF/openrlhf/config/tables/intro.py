"""Flags of InTRO (arXiv 2511.09865): the defaults are the published setting."""

from openrlhf.config.flag import Flag, integer, switch

# fmt: off

INTRO = (
    Flag("intro_estimator", str, "sampled", "sampled: candidates drawn from the policy, as published; exact:"
         " the same expectation over the whole vocabulary, without sampling"
         " noise.", choices=("sampled", "exact")),
    Flag("intro_num_candidates", integer, 5, "Candidates per position (n); the generated token is always one"
         " of them."),
    Flag("intro_top_k", integer, 20, "Candidates are drawn from the policy's most likely k tokens; 0: no"
         " cut."),
    Flag("intro_clip_max", float, 200.0, "Upper clip of the correction factor w = p / q."),
    Flag("intro_temperature", float, 1.0, "Temperature of policy q and posterior p in the loss."),
    Flag("intro_answer_template", str, " ###Answer:{answer} ###Solution:", "Hint put between prompt and"
         " rationale for the posterior; {answer} is the gold answer."),
    Flag("intro_posterior", str, "online", "Who computes p: the current weights (online), their exponential"
         " moving average (ema), or the frozen starting model"
         " (initial).", choices=("online", "ema", "initial")),
    Flag("intro_posterior_ema", float, 0.95, "Decay of the moving average per optimiser step, with"
         " --intro_posterior ema."),
    Flag("intro_loss_aggregation", str, "seq-mean", "seq-mean: every rationale counts alike; token-mean:"
         " every token does.", choices=("seq-mean", "token-mean")),
    switch("no_pack_samples", "Train on padded rows instead of packed ones."),
    Flag("hinted_eval_steps", integer, 5, "Measure accuracy with the answer in the hint every so many steps;"
         " -1: never."),
    Flag("hinted_eval_prompts", integer, 16, "Prompts on which hinted accuracy is measured."),
)

GROUPS = {"InTRO": INTRO}
