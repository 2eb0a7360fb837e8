"""Flags of preference optimisation, reward models and distillation."""

from openrlhf.config.flag import Flag, switch

# fmt: off

OBJECTIVES = (
    Flag("beta", float, 0.1, "Strength of the pull towards the reference model (DPO, KTO)."),
    switch("ipo", "Use the IPO loss instead of DPO's."),
    Flag("label_smoothing", float, 0.0, "Assumed share of swapped preferences (conservative DPO)."),
    Flag("nll_loss_coef", float, 0, "Weight of the chosen response's negative log-likelihood; 0: none."),
    Flag("desirable_loss_weight", float, 1.0, "KTO: weight of desirable samples."),
    Flag("undesirable_loss_weight", float, 1.0, "KTO: weight of undesirable samples."),
    Flag("kd_coef", float, 0.4, "Weight of the teacher's part of the loss, between 0 and 1."),
    switch("teacher_offload", "Keep the teacher in CPU memory."),
    Flag("loss", str, "sigmoid", "Pairwise loss of the reward model: sigmoid or logexp."),
    switch("margin_loss", "Use the data's margin field in the pairwise loss."),
    switch("compute_fp32_loss", "Compute the pairwise loss in float32."),
)

GROUPS = {"Objective": OBJECTIVES}
