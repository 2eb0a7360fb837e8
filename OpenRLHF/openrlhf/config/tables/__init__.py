"""Every flag of every command, once, in groups; `ALL_GROUPS` is in the order in which help shows them."""

from openrlhf.config.flag import Flag
from openrlhf.config.tables import data, inference, intro, model, preference, rl, training

ALL_GROUPS: dict[str, tuple[Flag, ...]] = {
    **model.GROUPS,
    **data.GROUPS,
    **training.GROUPS,
    **preference.GROUPS,
    **rl.GROUPS,
    **intro.GROUPS,
    **inference.GROUPS,
}
