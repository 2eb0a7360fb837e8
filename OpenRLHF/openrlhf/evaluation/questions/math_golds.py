"""Rows of MATH's test split whose boxes do not say what the answer is, read by a person.

Several boxes in a last paragraph mean "2 or 3" as a rule; in these rows they are steps, the same answer
written twice, answers either of which is right, or (once) an operator. The key is `digest` of the problem, so
that the order of the rows does not matter; the comment gives the row in the official order.
"""

import hashlib
import re

ACCEPTED: dict[str, tuple[str, ...]] = {
    "494c56be55de": ("161",),  # 91: the first box is a step
    "0a5be6b9495e": ("-3", "3"),  # 333: either is accepted
    "64ed3ad86e2c": (r"\frac{25}{13}",),  # 1984: written twice
    "1c742b275973": (r"-3\sqrt{5} - 5",),  # 2192: written twice
    "92968a427489": ("(10, 0)", "(0,0)"),  # 2716: either is accepted
    "cb6c1e1efbb6": (
        r"\left(\tfrac32, -\tfrac52\right)",
        r"\left(-\tfrac52, -\tfrac52\right)",
    ),  # 2912: either is accepted
    "c381af746115": ("(3,-5)", "(0,0)"),  # 2936: either is accepted
    "2899bbec0b43": (r"15\frac{39}{40}",),  # 3341: written twice
    "66f47c3328d3": ("x+11",),  # 3628: written twice
    "1edaebd29ade": ("4",),  # 3837: a box is also a blank in the equation
    "82dadeec7947": ("6",),  # 4060: a box is an operator here, and the answer is not boxed
    "ec38167979f1": ("12x -34",),  # 4258: written twice
    "5f6b442f5109": (r"30^\circ, 45^\circ, 105^\circ",),  # 4562: three angles in three paragraphs
}


def digest(problem: str) -> str:
    """12 hexadecimal digits that do not depend on how the problem is spaced."""
    return hashlib.blake2b(re.sub(r"\s+", "", problem).encode(), digest_size=6).hexdigest()
