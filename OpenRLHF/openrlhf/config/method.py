"""What a method declares: its settings, what it needs, and a sentence about itself. What it does is in `methods`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from openrlhf.config.settings import setting
from openrlhf.errors import UserError


@dataclass(frozen=True)
class MethodConfig:
    """The method's own part of a configuration: a frozen dataclass of its settings.

    name: by which a command chooses it. title: in texts. commands: those that offer it.
    flag_prefix: stands before the names of its settings on the command line.
    metrics: what it logs beyond what every run logs, without "train/": name → what it is.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    commands: ClassVar[tuple[str, ...]] = ()
    flag_prefix: ClassVar[str] = ""
    metrics: ClassVar[dict[str, str]] = {}

    def describe(self, config: Any) -> str:
        """What the plan says of it. config: the whole configuration, after the rules."""
        return self.title

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        """The method's own rules: the configuration with what follows from its settings, and notes.

        Raises:
            UserError: settings that contradict each other or the rest.
        """
        return config, []

    def without_effect(self, config: Any) -> Iterator[tuple[str, str]]:
        """(flags separated by blanks, why they do nothing in this run), of the method's own settings."""
        return iter(())


@dataclass(frozen=True)
class RLMethodConfig(MethodConfig):
    """A method of reinforcement learning.

    in_openrlhf: it is one of OpenRLHF 0.6.2's.
    needs_critic: values of states, from a critic that is trained beside the policy.
    needs_groups: several responses to the same prompt.
    needs_old_logprobs: log-probabilities under the policy before its first update on the rollouts.
    kl_places: where a KL term may stand, "reward" or "loss".
    default_reward: who grades where nothing is said; None: it has to be said.
    takes_pretraining: whether the loss on --pretrain_data can be added.
    """

    commands: ClassVar[tuple[str, ...]] = ("train_ppo_ray", "train_ppo_ray_intro")
    in_openrlhf: ClassVar[bool] = False
    needs_critic: ClassVar[bool] = False
    needs_groups: ClassVar[bool] = False
    needs_old_logprobs: ClassVar[bool] = False
    kl_places: ClassVar[tuple[str, ...]] = ()
    default_reward: ClassVar[str | None] = None
    takes_pretraining: ClassVar[bool] = False

    def trained_temperature(self, config: Any) -> float:
        """At which the loss takes the policy's log-probabilities."""
        return config.rollout.scored_temperature

    def frozen_copies(self, reference: bool) -> int:
        """Models of the policy's size that stand beside it. reference: the reference model is one of them."""
        return int(reference)

    @property
    def averages_weights(self) -> bool:
        """Whether a moving average of the policy's weights is kept."""
        return False


@dataclass(frozen=True)
class OfflineMethodConfig(MethodConfig):
    """A method that trains on fixed data. blend_stop: until when several sources are mixed, see `load_blend`."""

    blend_stop: ClassVar[Literal["first_exhausted", "all_exhausted"]] = "first_exhausted"


POSTERIORS = ("online", "ema", "initial")


@dataclass(frozen=True)
class PosteriorSettings(RLMethodConfig):
    """Settings of methods with a posterior: a second distribution of the same tokens, from a row that holds a hint."""

    posterior: str = setting(
        "online",
        "Who computes p: the current weights (online), their exponential moving average (ema), or the frozen"
        " starting model (initial).",
        choices=POSTERIORS,
    )
    posterior_ema: float = setting(
        0.95, "Decay of the moving average per optimiser step, where it computes p.", at_least=0, at_most=1
    )

    def without_effect(self, config: Any) -> Iterator[tuple[str, str]]:
        yield from super().without_effect(config)
        if self.posterior != "ema":
            yield (
                f"{self.flag_prefix}posterior_ema",
                f"--{self.flag_prefix}posterior is {self.posterior}, not ema",
            )

    def frozen_copies(self, reference: bool) -> int:
        if self.posterior == "initial":
            return 1  # one frozen model serves both
        return reference + (self.posterior == "ema")

    @property
    def averages_weights(self) -> bool:
        return self.posterior == "ema"

    @property
    def reads_siblings(self) -> bool:
        """Whether a hint may hold a whole response."""
        return False

    def sibling_hint(self, text: str) -> str:
        """Another response to the same prompt as a hint."""
        return text


@dataclass(frozen=True)
class AnswerHint(PosteriorSettings):
    """Settings of methods whose posterior reads the gold answer between prompt and response."""

    answer_template: str = setting(
        " ###Answer:{answer} ###Solution:",
        "Hint put between prompt and rationale for the posterior; {answer} is the gold answer.",
    )
    hinted_eval_steps: int = setting(
        5,
        "Measure accuracy with the answer in the hint every so many steps; -1: never.",
        flag="hinted_eval_steps",
    )
    hinted_eval_prompts: int = setting(
        16, "Prompts on which hinted accuracy is measured.", flag="hinted_eval_prompts", at_least=0
    )

    @property
    def hint_says(self) -> str:
        """What a prompt's hint holds, as a word."""
        return "answer"

    def hint_field(self, data: Any) -> str:
        """Where it comes from, as a flag. data: the configuration's part."""
        return f"--label_key {data.label_key}"

    def answer_hint(self, answer: str) -> str:
        """h(y): the hint as text."""
        return self.answer_template.replace("{answer}", answer)

    def prompt_hint(self, answer: str, fields: Mapping[str, Any]) -> str:
        """The hint that belongs to a prompt, from its gold answer and its record's other fields; "": it has none."""
        return self.answer_hint(answer) if answer.strip() else ""

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        if config.data.label_key is None:
            raise UserError(
                f"{self.title} learns from gold answers: name their field with --label_key, e.g. --label_key answer"
            )
        if "{answer}" not in self.answer_template:
            raise UserError(
                f"--{self.flag_prefix}answer_template {self.answer_template!r} has no {{answer}}: the posterior would"
                " not know the answer; put {answer} where it belongs"
            )
        return config, notes

    def without_effect(self, config: Any) -> Iterator[tuple[str, str]]:
        yield from super().without_effect(config)
        if self.hinted_eval_steps <= 0:
            yield "hinted_eval_prompts", "--hinted_eval_steps asks for no hinted evaluation"


SOLUTION_TEMPLATE = " ###Reference solution: {solution} ###Solution:"


@dataclass(frozen=True)
class SolutionHint(AnswerHint):
    """Settings of methods whose posterior reads a worked solution from the data, or else the gold answer."""

    solution_key: str | None = setting(
        None, "Field with a worked solution, which the posterior reads in place of the answer."
    )
    solution_template: str = setting(
        SOLUTION_TEMPLATE, "Hint put between prompt and response where it is a solution; {solution} is that."
    )

    def prompt_hint(self, answer: str, fields: Mapping[str, Any]) -> str:
        if self.solution_key is None:
            return super().prompt_hint(answer, fields)
        if self.solution_key not in fields:
            found = ", ".join(fields) or "none"
            raise UserError(
                f"--{self.flag_prefix}solution_key {self.solution_key}: the prompts have no such field; found: {found}"
            )
        solution = str(fields[self.solution_key] or "").strip()
        return self.sibling_hint(solution) if solution else ""

    @property
    def hint_says(self) -> str:
        return "answer" if self.solution_key is None else "solution"

    def hint_field(self, data: Any) -> str:
        if self.solution_key is None:
            return super().hint_field(data)
        return f"--{self.flag_prefix}solution_key {self.solution_key}"

    def sibling_hint(self, text: str) -> str:
        return self.solution_template.replace("{solution}", text.strip())

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        check_solution_template(self.solution_template, f"{self.flag_prefix}solution_template")
        return config, notes

    def without_effect(self, config: Any) -> Iterator[tuple[str, str]]:
        yield from super().without_effect(config)
        if self.solution_key is None:
            yield f"{self.flag_prefix}solution_template", f"there is no --{self.flag_prefix}solution_key"


@dataclass(frozen=True)
class SiblingHint(PosteriorSettings):
    """Settings of methods whose posterior reads another response to the same prompt."""

    solution_template: str = setting(
        SOLUTION_TEMPLATE, "Hint put between prompt and response; {solution} is another response to the prompt."
    )

    @property
    def reads_siblings(self) -> bool:
        return True

    def sibling_hint(self, text: str) -> str:
        return self.solution_template.replace("{solution}", text.strip())

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        check_solution_template(self.solution_template, f"{self.flag_prefix}solution_template")
        return config, notes


@dataclass(frozen=True)
class Contrast(PosteriorSettings):
    """Settings of methods that can set what a right hint does against what wrong ones do."""

    contrast: int = setting(
        0,
        "Contrast: of so many wrong responses to the same prompt, at most, the posterior reads the hint too, and their"
        " mixture takes the policy's place in the log-ratio; 0: none.",
        flag="hint_contrast",
        at_least=0,
    )


def check_solution_template(template: str, flag: str) -> None:
    """UserError unless the solution has a place in it."""
    if "{solution}" not in template:
        raise UserError(f"--{flag} {template!r} has no {{solution}}: put it where the solution belongs")
