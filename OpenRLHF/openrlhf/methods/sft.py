"""Supervised fine-tuning: the mean negative log-likelihood of the response tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from openrlhf.config.offline import OfflineConfig
from openrlhf.config.settings import setting, switch
from openrlhf.errors import UserError
from openrlhf.experience.example import Example
from openrlhf.methods.text_fields import Responses
from openrlhf.objectives.base import Objective
from openrlhf.objectives.likelihood import LikelihoodObjective


@dataclass(frozen=True)
class SupervisedText(Responses):
    """What is read from texts, for whatever loss."""

    pretrain_mode: bool = switch("Train on the whole text without any template, as in pre-training.")

    def samples(
        self, records: Sequence[dict[str, Any]], tokenizer: Any, config: OfflineConfig
    ) -> tuple[list[tuple[Example, ...]], list[str]]:
        return self.text_samples(records, tokenizer, config)

    def text_samples(
        self, records: Sequence[dict[str, Any]], tokenizer: Any, config: OfflineConfig, *, multiturn: bool = False
    ) -> tuple[list[tuple[Example, ...]], list[str]]:
        from openrlhf.datasets.texts import TextFormat, build_text_samples

        style = TextFormat(
            input_key=self.input_key,
            output_key=self.output_key,
            input_template=self.input_template,
            apply_chat_template=self.apply_chat_template,
            multiturn=multiturn,
            pretrain_mode=self.pretrain_mode,
        )
        made = build_text_samples(records, tokenizer, style, max_len=config.data.max_len)
        samples: list[tuple[Example, ...]] = [
            (Example(ids=s.token_ids, scored=s.scored, weight=1.0),) for s in made.samples
        ]
        return samples, made.notes(config.data.max_len)


@dataclass(frozen=True)
class SFT(SupervisedText):
    name: ClassVar[str] = "sft"
    title: ClassVar[str] = "supervised fine-tuning"
    commands: ClassVar[tuple[str, ...]] = ("train_sft",)
    metrics: ClassVar[dict[str, str]] = {"gpt_loss": "mean negative log-likelihood of the response tokens"}

    tokenizer_chat_template: str | None = setting(None, "Jinja chat template used instead of the tokenizer's own.")
    multiturn: bool = switch("Train on every assistant turn of a conversation (needs --apply_chat_template).")

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        if self.multiturn and not self.apply_chat_template:
            raise UserError("--multiturn needs --apply_chat_template: turns are found by the chat template; add it")
        if self.multiturn and self.pretrain_mode:
            raise UserError("--multiturn and --pretrain_mode choose different parts of the text: remove one")
        if not self.pretrain_mode and not self.output_key and not self.apply_chat_template:
            raise UserError(
                "nothing says where the responses are: give --output_key, or --pretrain_mode to train on the"
                " whole text, or --apply_chat_template with conversations in --input_key"
            )
        return config, notes

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        if self.tokenizer_chat_template:
            tokenizer.chat_template = self.tokenizer_chat_template

    def samples(
        self, records: Sequence[dict[str, Any]], tokenizer: Any, config: OfflineConfig
    ) -> tuple[list[tuple[Example, ...]], list[str]]:
        return self.text_samples(records, tokenizer, config, multiturn=self.multiturn)

    def objective(self, config: OfflineConfig, tokenizer: Any) -> Objective:
        return LikelihoodObjective()
