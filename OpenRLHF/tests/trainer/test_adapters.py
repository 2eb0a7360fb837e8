"""LoRA adapters on disk: what lora_combiner takes and refuses; which layers get matrices. Without ranks."""

from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from openrlhf.cli.lora_combiner import main
from openrlhf.config.model import LoraConfig, ModelConfig
from openrlhf.errors import UserError
from openrlhf.models.adapters import adapter_tensors
from openrlhf.models.loader import load_actor, load_scalar
from openrlhf.models.saving import save_pretrained
from toy_models import byte_tokenizer, save_toy

CONFIG = ModelConfig(attn_implementation="sdpa", lora=LoraConfig(lora_rank=2))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_toy(tmp_path_factory.mktemp("base"))


def combine(*argv: object) -> int:
    return main([str(word) for word in argv])


def train(model: torch.nn.Module) -> torch.nn.Module:
    """As if it had been: LoRA starts as nothing."""
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("kind", ["CAUSAL_LM", "SEQ_CLS"])
def test_an_adapter_that_peft_made_is_merged_as_peft_does(kind: str, base: str, tmp_path: Path) -> None:
    auto = AutoModelForCausalLM if kind == "CAUSAL_LM" else AutoModelForSequenceClassification
    model = auto.from_pretrained(base, **({} if kind == "CAUSAL_LM" else {"num_labels": 1}))
    adapted = train(get_peft_model(model, peft.LoraConfig(task_type=kind, r=3, target_modules=["q_proj", "up_proj"])))
    adapted.save_pretrained(tmp_path / "peft")
    is_rm = [] if kind == "CAUSAL_LM" else ["--is_rm"]
    out = tmp_path / "out"
    assert combine("--model_path", base, "--lora_path", tmp_path / "peft", "--output_path", out, *is_rm) == 0
    expected, found = adapted.merge_and_unload().eval(), auto.from_pretrained(out).eval()
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(found(ids).logits, expected(ids).logits, rtol=1e-5, atol=1e-5)


def test_a_reward_models_head_keeps_its_name(base: str, tmp_path: Path) -> None:
    model = train(load_scalar(base, CONFIG, trainable=True, head_prefix="value_head", new_head=True))
    save_pretrained(model, byte_tokenizer(), tmp_path / "rm", source=base)
    argv = ["--model_path", base, "--lora_path", tmp_path / "rm" / "adapter", "--output_path", tmp_path / "out"]
    assert combine(*argv, "--is_rm", "--bf16") == 0
    trained, found = (load_file(tmp_path / name / "model.safetensors") for name in ("rm", "out"))
    assert found.keys() == trained.keys() >= {"value_head.weight"}
    for name, tensor in trained.items():
        assert found[name].dtype == torch.bfloat16
        torch.testing.assert_close(found[name].float(), tensor, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--lora_path": "base"}, "neither it nor its folder 'adapter' holds adapter_config.json"),
        ({"--is_rm": None}, "is none of a reward model: remove --is_rm"),
        ({"--model_path": "other"}, "the adapter does not fit the model"),
        ({"--model_path": "nowhere"}, "there is no such folder"),
        ({"--output_path": "base"}, "is what is read"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    change: dict[str, str | None], message: str, base: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    save_toy(tmp_path / "other", hidden_size=96)
    save_pretrained(load_actor(base, CONFIG, trainable=True), byte_tokenizer(), tmp_path / "trained", source=base)
    paths = {"base": base, "other": str(tmp_path / "other"), "nowhere": str(tmp_path / "nowhere")}
    flags = {"--model_path": base, "--lora_path": str(tmp_path / "trained"), "--output_path": str(tmp_path / "out")}
    flags |= {name: paths.get(value or "", "") for name, value in change.items()}
    assert combine(*[word for flag in flags.items() for word in flag if word]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_single_layers_can_be_named_and_unknown_ones_are_refused(base: str) -> None:
    def trained_layers(*modules: str) -> set[str]:
        config = replace(CONFIG, lora=replace(CONFIG.lora, target_modules=modules))
        return {name.split(".")[-3] for name in adapter_tensors(load_actor(base, config, trainable=True))}

    assert trained_layers("q_proj") == {"q_proj"}
    assert trained_layers("q_proj", "v_proj") == {"q_proj", "v_proj"}
    assert len(trained_layers("all-linear")) == 7
    with pytest.raises(UserError, match="--target_modules"):
        trained_layers("c_attn")
