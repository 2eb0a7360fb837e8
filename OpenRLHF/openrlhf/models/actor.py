"""The policy network: a Hugging Face causal language model behind one scoring interface."""

from typing import Any

import torch
from torch import Tensor, nn

from openrlhf.errors import UserError
from openrlhf.models.moe import RouterBalance
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.scorer import ScoringHead, TokenLoss
from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.models.sequence_parallel import SequenceParallel


class Actor(nn.Module):
    """Scores ragged rows. `model` is the plain transformers (or PEFT) model, for saving and loading.

    packed: lay rows out end to end in one row; otherwise as a padded rectangle. Results do not depend on it.
    balance: the balancing loss of a mixture of experts, for models that are trained with one.
    split: the ranks that share this rank's rows, packed ones; the model must have been loaded with its attention. Rows
        of a mixture of experts are never split.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        packed: bool = True,
        pad_token_id: int = 0,
        balance: RouterBalance | None = None,
        split: SequenceParallel | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.packed = packed
        self.pad_token_id = pad_token_id
        self.balance = balance
        self.split = split
        causal_lm = self.causal_lm
        _refuse_unscorable(causal_lm)
        head = causal_lm.get_output_embeddings()
        if not isinstance(head, ScoringHead):
            causal_lm.set_output_embeddings(ScoringHead.replacing(head))

    @property
    def causal_lm(self) -> Any:
        """The transformers model itself, below PEFT's wrapper if there is one."""
        model: Any = self.model
        return model.get_base_model() if hasattr(model, "peft_config") else model

    @property
    def pretrained(self) -> Any:
        """The module whose parameters carry the names of checkpoints."""
        return self.causal_lm

    @property
    def config(self) -> Any:
        return self.causal_lm.config

    @property
    def tied(self) -> bool:
        """Whether the output layer shares the embedding's weights: files then hold them once."""
        return self.config.tie_word_embeddings

    @property
    def head(self) -> ScoringHead:
        return self.causal_lm.get_output_embeddings()

    def forward(
        self,
        rows: RaggedRows,
        spec: ScoreSpec | None = None,
        posterior_hidden: Tensor | None = None,
        posterior_head: ScoringHead | None = None,
        token_loss: TokenLoss | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """The fields of `Scores` for the rows' scored tokens, and behind them the scalars of `token_loss` and `balance`
        where there are such; or, where `spec` is None, their predictors' hidden states [T, width]. A plain tuple, since
        DeepSpeed hooks tensors that it finds in tuples.

        posterior_hidden: [T, width] from another call of this kind (on rows that hold a hint, see `ScoreSpec.hinted`),
        with `posterior_head` the output layer that belongs to it, this model's own by default.
        token_loss: see `ScoringHead.forward`; then no score has a gradient, only the loss.
        """
        if self.split is not None:
            return self._split_forward(self.split, rows, spec, posterior_hidden, posterior_head, token_loss)
        balance = None if spec is None else self.balance
        hidden, router_logits = rows.run(
            self.causal_lm.base_model,
            packed=self.packed,
            pad_token_id=self.pad_token_id,
            router_logits=balance is not None,
        )
        hidden = hidden[rows.predictors]
        if spec is None:
            return hidden
        scores = self.head(hidden, spec, posterior_hidden, posterior_head, token_loss)
        return scores if balance is None else (*scores, balance(router_logits))

    def _split_forward(
        self,
        split: SequenceParallel,
        rows: RaggedRows,
        spec: ScoreSpec | None,
        posterior_hidden: Tensor | None,
        posterior_head: ScoringHead | None,
        token_loss: TokenLoss | None,
    ) -> Tensor | tuple[Tensor, ...]:
        """As `forward`: each rank scores the tokens whose predictors lie in its slice, and all get the result.

        The scalar of `token_loss` is that of this rank's tokens alone; gradients add up over ranks.
        """
        own, hidden = split.hidden_states(rows, self.causal_lm.base_model, rows.predictors)
        total = rows.scored.numel()
        if spec is None:
            return split.whole(hidden, own, total)
        posterior = posterior_hidden
        if posterior is not None and spec.hinted is None:
            posterior = posterior[own]

        def own_loss(scores: Scores, part: slice | Tensor) -> Tensor:
            assert token_loss is not None
            return token_loss(scores, own[part])

        outputs = self.head(
            hidden, spec.part(own), posterior, posterior_head, own_loss if token_loss is not None else None
        )
        fields = len(Scores._fields)
        return (*(split.whole(field, own, total) for field in outputs[:fields]), *outputs[fields:])


def _refuse_unscorable(model: Any) -> None:
    """Models that do something to the logits behind the output layer would be scored wrongly: refuse them."""
    config = model.config
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    for name, neutral in (("final_logit_softcapping", None), ("logit_scale", 1.0), ("logits_scaling", 1.0)):
        value = getattr(text_config, name, neutral)
        if value not in (neutral, None):
            raise UserError(
                f"{type(model).__name__} changes its logits behind the output layer ({name}={value}), which the "
                "chunked scorer does not support; choose a model without it (Qwen, Llama, Mistral, ...)"
            )


def disable_dropout(model: nn.Module) -> None:
    """Policy and posterior must be the same function of their input: no dropout while training, LoRA's excepted."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and "lora_dropout" not in name:
            module.p = 0.0
