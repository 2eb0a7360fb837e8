"""Settings that methods which train on texts share: where prompt and response are, and what stands around them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from openrlhf.config.inference import CHAT_TEMPLATE
from openrlhf.config.offline import OfflineConfig
from openrlhf.config.rules import settled_template
from openrlhf.config.settings import setting, switch
from openrlhf.methods.base import OfflineMethod

if TYPE_CHECKING:
    from openrlhf.datasets.preference import PreferenceSet

TEMPLATE_HELP = "Text around the prompt, with {} where the prompt goes, as 'User: {}\\nAssistant: '."


@dataclass(frozen=True)
class Templated(OfflineMethod):
    """After the rules `input_template` is None or contains `{}`."""

    input_template: str | None = setting(CHAT_TEMPLATE, TEMPLATE_HELP)
    apply_chat_template: bool = switch(
        "Write the prompt with the tokenizer's chat template; a string is one user message."
    )

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        template, said = settled_template(self.input_template, self.apply_chat_template)
        return replace(config, method=replace(config.method, input_template=template)), notes + said

    def without_effect(self, config: Any) -> Iterator[tuple[str, str]]:
        yield from super().without_effect(config)
        if self.apply_chat_template:
            yield "input_template", "--apply_chat_template writes the prompt"


@dataclass(frozen=True)
class Responses(Templated):
    """A prompt and its response in fields of their own, or a conversation in one."""

    input_key: str = setting("input", "Field that holds the prompt (or the whole text).")
    output_key: str | None = setting(None, "Field that holds the response.")


@dataclass(frozen=True)
class Pairs(Templated):
    """Preferences: two responses to the same prompt."""

    blend_stop = "all_exhausted"

    input_template: str | None = setting(None, TEMPLATE_HELP)
    prompt_key: str | None = setting(None, "Field that holds the prompt; without it chosen and rejected contain it.")
    chosen_key: str = setting("chosen", "Field that holds the preferred response.")
    rejected_key: str = setting("rejected", "Field that holds the other response.")

    def pairs(
        self, records: Sequence[dict[str, Any]], tokenizer: Any, config: OfflineConfig, *, for_reward: bool
    ) -> "PreferenceSet":
        """See `build_pairs`."""
        from openrlhf.datasets.preference import PreferenceFormat, build_pairs

        style = PreferenceFormat(
            prompt_key=self.prompt_key,
            chosen_key=self.chosen_key,
            rejected_key=self.rejected_key,
            input_template=self.input_template,
            apply_chat_template=self.apply_chat_template,
        )
        return build_pairs(records, tokenizer, style, max_len=config.data.max_len, for_reward=for_reward)

    def without_effect(self, config: Any) -> Iterator[tuple[str, str]]:
        if not self.prompt_key:
            yield (
                "input_template",
                "there is no --prompt_key, so chosen and rejected fields hold prompt and response",
            )
        yield from super().without_effect(config)
