"""TensorBoard: figures under their names, and texts as they are."""

from pathlib import Path

from configuring import rl_config
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.trainer.run_log import RunLog


def test_tensorboard_has_figures_rationales_and_the_configuration(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = tmp_path / "tb"
    config = rl_config(save_path=str(tmp_path / "out"), use_tensorboard=str(board), wandb_run_name="toy")
    log = RunLog(config)
    log.metrics(3, {"train/accuracy": 0.25})
    rollouts = [Rollout(Prompt(0, "1 + 1", (1,), "2"), n, (2,), (-1.0,), "stop", f"<b>{n}</b>", 1.0) for n in (0, 1)]
    log.rollouts(3, rollouts, kept=1)
    log.close()
    events = EventAccumulator(str(board / "toy"))
    events.Reload()
    (figure,) = events.Scalars("train/accuracy")
    assert (figure.step, figure.value) == (3, 0.25)
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert set(texts) == {"configuration/text_summary", "rationales/0/text_summary"}
    assert texts["rationales/0/text_summary"] == "    1 + 1\n    \n    <b>0</b>\n    \n    reward 1\n"
    assert "    num_sample_rationales: 4\n" in texts["configuration/text_summary"].replace("      ", "    ")
