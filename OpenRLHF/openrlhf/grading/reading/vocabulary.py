"""What the parser's layers share: which commands and marks do what."""

from openrlhf.grading.reading.lexer import names

RELATIONS = {
    "=": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=", "le": "<=", "leq": "<=",
    "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "lt": "<", "gt": ">", "ne": "!=",
    "neq": "!=", "approx": "~", "in": "in", "sim": "~", "cong": "=", "equiv": "=", "simeq": "~",
    "doteq": "~", "coloneqq": "=",
}  # fmt: skip
SET_OPERATORS = {
    "cup": "cup", "bigcup": "cup", "cap": "cap", "setminus": "setminus", "backslash": "setminus",
}  # fmt: skip
TIMES = frozenset(("*", "times", "cdot", "ast", "bullet"))
OVER = frozenset(("/", "div"))
BARS = frozenset(("|", "vert", "lvert", "rvert", "mid"))
NOT_FACTORS = (
    frozenset(RELATIONS)
    | frozenset(SET_OPERATORS)
    | TIMES
    | OVER
    | names("pm mp over choose not vee lor wedge land pmod bmod mod rangle rfloor rceil rvert colon to rightarrow")
    | names("implies Rightarrow iff quad circ $ % pounds mid subset subseteq cr hline end")
)
