"""Compares two parsed answers by what they are: numbers, lists, sets, intervals, equations, quantities."""

from openrlhf.grading.comparing import labels, rewriting
from openrlhf.grading.comparing.families import same_families, without_declarations
from openrlhf.grading.comparing.identity import differ_by_constant, proportional, same_multiset, same_value
from openrlhf.grading.comparing.notations import components, has_axes, ranges_with_parameters, reconciled
from openrlhf.grading.comparing.numeric import NotExact, TooComplex, exact, is_unknown
from openrlhf.grading.comparing.quantities import Quantities, by_unit, degrees_left_out
from openrlhf.grading.comparing.realsets import NotRealSet, enumerated, same_real_set
from openrlhf.grading.knowledge.words import plain_words
from openrlhf.grading.policy import GradingPolicy
from openrlhf.grading.reading import expressions as ex


class Comparison:
    """Compares under one policy. `same` may raise `TooComplex` and `Undefined`, which mean: not known."""

    def __init__(self, policy: GradingPolicy) -> None:
        self.policy = policy
        self.quantities = Quantities(policy, self.same)

    def same(self, mine: ex.Node, gold: ex.Node) -> bool:
        """Whether `mine`, the prediction, equals `gold`."""
        mine, gold = self.quantities.combined(rewriting.lifted(mine)), self.quantities.combined(rewriting.lifted(gold))
        if mine == gold:
            return True
        if ex.has(mine, ex.Progression) or ex.has(gold, ex.Progression):
            return self.general_solutions(mine, gold)
        if (same := self.same_assignments(mine, gold)) is not None:
            return same
        if (same := self.with_parameter(mine, gold)) is not None:
            return same
        if any(isinstance(side, ex.Listed) or ex.has(side, ex.PlusMinus) for side in (mine, gold)):
            return self.lists(mine, gold)
        if (same := same_families(mine, gold)) is not None:
            return same
        if (intervals := ranges_with_parameters(mine, gold)) is not None:
            return self.collections(*intervals)
        if isinstance(mine, ex.Relation) or isinstance(gold, ex.Relation):
            return self.relations(mine, gold)
        return self.values(mine, gold)

    def same_answers(self, mine: ex.Node, gold: ex.Node) -> bool:
        """`same`, for whole answers: their constants of integration have no fixed names or values."""
        if self.same(mine, gold) or any(
            self.same(variant, gold) for variant in rewriting.exchanged_constants(mine, gold)
        ):
            return True
        values = map(labels.value_of, (mine, gold))
        rests = [rest for value in values if (rest := rewriting.without_additive_constant(value)) is not None]
        return len(rests) == 2 and differ_by_constant(*rests)

    def general_solutions(self, mine: ex.Node, gold: ex.Node) -> bool:
        if isinstance(mine, ex.Relation) and isinstance(gold, ex.Relation):
            excluded = mine.operators == gold.operators == ("!=",)
            if excluded and isinstance(mine.sides[1], ex.Progression) and isinstance(gold.sides[1], ex.Progression):
                # x ≠ kπ
                return self.in_order(mine.sides, gold.sides)
        sides = [rewriting.expanded(side, True) for side in (mine, gold)]
        same = same_families(*sides)
        return self.same(*without_declarations(mine, gold)) if same is None else same

    def with_parameter(self, mine: ex.Node, gold: ex.Node) -> bool | None:
        """Two values that hold a constant with a condition on it (cx, c > 0), whatever its name; None for others."""
        first, second = labels.parameter(mine), labels.parameter(gold)
        if (first is None) != (second is None):
            # 2^k is for k = 0, 1, 2, … if nothing is said.
            if first is not None and first.counts_up():
                return self.same(first.value, gold)
            if second is not None and second.counts_up():
                return self.same(mine, second.value)
        if first is None or second is None:
            return None
        names: dict[str, ex.Node] = {first.name: ex.Symbol(second.name)}
        if first.name != second.name and second.name in ex.variables(first.value):
            return False
        value, condition = rewriting.substituted(first.value, names), rewriting.substituted(first.condition, names)
        return self.same(value, second.value) and self.same(condition, second.condition)

    def same_assignments(self, mine: ex.Node, gold: ex.Node) -> bool | None:
        """Whether values that are named agree by name, or with a point; None where nothing is named."""
        first, second = labels.assignments(mine), labels.assignments(gold)
        if first is not None and second is not None:
            return first.keys() == second.keys() and all(self.same(first[name], second[name]) for name in first)
        for found, other in ((first, gold), (second, mine)):
            if found is not None and isinstance(other, ex.Tuple) and other.brackets == "()":
                point = labels.as_point(found)
                if point is not None:
                    return self.same(point, gold) if other is gold else self.same(mine, point)
        return None

    # Lists, sets, tuples.

    def lists(self, mine: ex.Node, gold: ex.Node) -> bool:
        for independent in (True, False):
            sides = [self.without_repetition(rewriting.expanded(side, independent)) for side in (mine, gold)]
            if self.expanded_lists(*sides):
                return True
        return False

    def without_repetition(self, node: ex.Node) -> ex.Node:
        """ "25/13 or 1 12/13" is one number in two spellings."""
        if not isinstance(node, ex.Listed) or node.joined != "or" or len(node.items) > 4:
            return node
        items = self.distinct(node.items)
        return items[0] if len(items) == 1 else node

    def expanded_lists(self, mine: ex.Node, gold: ex.Node) -> bool:
        mine, gold = _without_domain(mine), _without_domain(gold)
        if (same := same_families(mine, gold)) is not None:
            return same
        if not isinstance(mine, ex.Listed) and not isinstance(gold, ex.Listed):
            return self.same(mine, gold)
        if labels.is_condition(mine) or labels.is_condition(gold):
            try:
                return labels.variables_agree(mine, gold) and same_real_set(mine, gold)
            except NotRealSet:
                pass
        if isinstance(mine, ex.Listed) and isinstance(gold, ex.Listed):
            return self.two_lists(labels.points(mine, gold), labels.points(gold, mine))
        one, other = (mine, gold) if isinstance(mine, ex.Listed) else (gold, mine)
        assert isinstance(one, ex.Listed)
        if (
            isinstance(other, ex.Relation)
            and isinstance(other.sides[-1], ex.SetOf)
            and other.operators[-1] in ("=", "in")
        ):
            other = other.sides[-1]
        items = tuple(labels.value_of(item) for item in one.items)
        if isinstance(other, ex.SetOf):
            if labels.distinct_labels(one.items):
                # x = 2, y = 3 says more than {2, 3}.
                return False
            return self.sets(items, other.items) if one is mine else self.sets(other.items, items)
        if isinstance(other, ex.Relation) and other.operators == ("=",) and isinstance(other.sides[1], ex.Tuple):
            other = other.sides[1]
        if isinstance(other, ex.Tuple) and other.brackets in ("()", "<>") and one.joined != "or":
            return self.in_order(items, other.items) if one is mine else self.in_order(other.items, items)
        return False

    def two_lists(self, mine: ex.Listed, gold: ex.Listed) -> bool:
        if not labels.labels_agree(mine.items, gold.items):
            return False
        mine_items, gold_items = labels.labels_spread(mine.items), labels.labels_spread(gold.items)
        either = "or" in (mine.joined, gold.joined)
        if either:
            mine_items, gold_items = self.distinct(mine_items), self.distinct(gold_items)
        # x = 3, y = 4 says which is which, so 3, 4 has to keep that order.
        named = labels.distinct_labels(mine_items) != labels.distinct_labels(gold_items)
        if (paired := by_unit(mine_items, gold_items)) is not None:
            mine_items, named = paired, True
        if (self.policy.lists == "in_order" or named) and not either:
            return self.in_order(mine_items, gold_items)
        # y = x, y = -x against y - x = 0, y + x = 0: the labels that were spread belong to equations.
        return same_multiset(mine_items, gold_items, self.same) or (
            (mine_items, gold_items) != (mine.items, gold.items) and same_multiset(mine.items, gold.items, self.same)
        )

    def sets(self, mine: tuple[ex.Node, ...], gold: tuple[ex.Node, ...]) -> bool:
        return same_multiset(self.distinct(mine), self.distinct(gold), self.same)

    def distinct(self, items: tuple[ex.Node, ...]) -> tuple[ex.Node, ...]:
        if len(items) > _MOST_DISTINCT:
            raise TooComplex
        kept: list[ex.Node] = []
        for item in items:
            if not any(self.same(item, other) for other in kept):
                kept.append(item)
        return tuple(kept)

    def in_order(self, mine: tuple[ex.Node, ...], gold: tuple[ex.Node, ...]) -> bool:
        return len(mine) == len(gold) and all(map(self.same, mine, gold))

    # Equations and inequalities.

    def relations(self, mine: ex.Node, gold: ex.Node) -> bool:
        if isinstance(mine, ex.Relation) and isinstance(gold, ex.Relation):
            return self.two_relations(mine, gold)
        relation, other = (mine, gold) if isinstance(mine, ex.Relation) else (gold, mine)
        assert isinstance(relation, ex.Relation)
        if labels.is_condition(relation):
            try:
                return same_real_set(mine, gold)
            except NotRealSet:
                if relation.operators != ("in",):
                    return False
        return any(
            self.same(side, other) if relation is mine else self.rounded_or_same(relation, other, side)
            for side in labels.results(relation)
        )

    def rounded_or_same(self, gold: ex.Relation, mine: ex.Node, side: ex.Node) -> bool:
        # Where the gold shows its exact value as well, nothing else that rounds alike will do.
        about = gold.operators[-1] == "~" and len(labels.results(gold)) == 1
        return (about and self.quantities.rounds_to(mine, side)) or self.same(mine, side)

    def two_relations(self, mine: ex.Relation, gold: ex.Relation) -> bool:
        if labels.is_condition(mine) or labels.is_condition(gold):
            return self.two_conditions(mine, gold)
        mine_results, gold_results = labels.results(mine), labels.results(gold)
        if mine_results and gold_results and self.same_label(mine.sides[0], gold.sides[0]):
            if isinstance(mine.sides[0], ex.Call) and isinstance(gold.sides[0], ex.Call):
                names = mine.sides[0].arguments, gold.sides[0].arguments
                if any(ex.variables(value) & _bound(names[1]) - _bound(names[0]) for value in mine_results):
                    return False
                mine_results = [rewriting.renamed(value, *names) for value in mine_results]
            return self.same_results(mine_results, gold_results, gold)
        if len(mine.sides) == 2 and len(gold.sides) == 2:
            if any(isinstance(s, (ex.Tuple, ex.SetOf, ex.Matrix, ex.Words)) for s in (*mine.sides, *gold.sides)):
                return self.in_order(mine.sides, gold.sides) or self.in_order(mine.sides[::-1], gold.sides)
            if mine_results and gold_results and not ex.variables(mine) and not ex.variables(gold):
                named_alike = self.same(mine.sides[0], gold.sides[0])
                return named_alike and self.same_results(mine_results, gold_results, gold)
            return self.same_equation(mine, gold)
        return len(mine.sides) == len(gold.sides) and self.in_order(mine.sides, gold.sides)

    def same_equation(self, mine: ex.Relation, gold: ex.Relation) -> bool:
        """Whether two equations are multiples of each other, after their denominators have been cleared if need be."""
        first, second = reconciled(ex.difference(*_bare(mine.sides)), ex.difference(*_bare(gold.sides)))
        if proportional(first, second):
            return True
        return proportional(rewriting.cleared(first), rewriting.cleared(second)) != 0

    def same_results(self, mine: list[ex.Node], gold: list[ex.Node], relation: ex.Relation) -> bool:
        """Whether the values of two equations agree; where both show what an exact value comes to, in both."""
        if len(mine) == len(gold) == 2:
            shown = self.same(mine[0], gold[0]) or self.quantities.rounds_to(gold[1], mine[0])
            return shown and self.same(mine[1], gold[1])
        return any(self.rounded_or_same(relation, value, side) for value in mine for side in gold)

    def two_conditions(self, mine: ex.Relation, gold: ex.Relation) -> bool:
        if not labels.variables_agree(mine, gold):
            return False
        try:
            return same_real_set(mine, gold)
        except NotRealSet:
            pass
        if mine.operators == gold.operators and self.in_order(mine.sides, gold.sides):
            return True
        turned = ex.Relation(mine.sides[::-1], tuple(_TURNED.get(op, op) for op in mine.operators[::-1]))
        if turned.operators == gold.operators and self.in_order(turned.sides, gold.sides):
            return True
        if len(mine.operators) == 1 and len(gold.operators) == 1:
            sign = proportional(ex.difference(*mine.sides), ex.difference(*gold.sides))
            operator = mine.operators[0] if sign > 0 else _TURNED.get(mine.operators[0], mine.operators[0])
            return sign != 0 and operator == gold.operators[0]
        return False

    def same_label(self, mine: ex.Node, gold: ex.Node) -> bool:
        if mine == gold:
            return True
        if isinstance(mine, ex.Call) and isinstance(gold, ex.Call):
            arguments = zip(mine.arguments, gold.arguments, strict=False)
            return (
                mine.name == gold.name
                and is_unknown(mine.name)
                and len(mine.arguments) == len(gold.arguments)
                and all((_binds(a) and _binds(b)) or self.same(a, b) for a, b in arguments)
            )
        pair = {type(mine), type(gold)}
        if pair == {ex.Call, ex.Symbol}:
            # y = … for f(x) = …
            symbol = mine if isinstance(mine, ex.Symbol) else gold
            call = gold if symbol is mine else mine
            return isinstance(symbol, ex.Symbol) and symbol.name in ("y", getattr(call, "name", "y"), "?")
        if ex.Symbol("?") in (mine, gold):
            return True
        if isinstance(mine, ex.Words) or isinstance(gold, ex.Words):
            return isinstance(mine, ex.Words) and isinstance(gold, ex.Words) and _same_words(mine, gold)
        return False

    # Single values.

    def values(self, mine: ex.Node, gold: ex.Node) -> bool:
        if isinstance(mine, ex.Words) or isinstance(gold, ex.Words):
            return isinstance(mine, ex.Words) and isinstance(gold, ex.Words) and _same_words(mine, gold)
        if isinstance(mine, ex.Quantity) or isinstance(gold, ex.Quantity):
            return self.quantities.same(mine, gold)
        if isinstance(mine, ex.Modulo) or isinstance(gold, ex.Modulo):
            return self.residues(mine, gold)
        if isinstance(mine, ex.Cases) or isinstance(gold, ex.Cases):
            return self.cases(mine, gold)
        if isinstance(mine, ex.Ratio) or isinstance(gold, ex.Ratio):
            return self.ratios(mine, gold)
        if isinstance(mine, _COLLECTIONS) or isinstance(gold, _COLLECTIONS):
            return self.collections(mine, gold)
        if self.quantities.rounded(mine, gold):
            return True
        if has_axes(mine) or has_axes(gold):
            vectors = [vector.items for side in (mine, gold) if (vector := components(side, 3))]
            return len(vectors) == 2 and self.in_order(*vectors)
        mine, gold = reconciled(*degrees_left_out(mine, gold))
        return any(same_value(*sides) for sides in rewriting.matching_constants(mine, gold))

    def collections(self, mine: ex.Node, gold: ex.Node) -> bool:
        mine, gold = enumerated(mine), enumerated(gold)
        mine, gold = _as_tuple(mine, gold), _as_tuple(gold, mine)
        if isinstance(mine, ex.SetOf) and isinstance(gold, ex.SetOf):
            return self.sets(mine.items, gold.items)
        if isinstance(mine, ex.Tuple) and isinstance(gold, ex.Tuple):
            same_brackets = mine.brackets.replace("<>", "()") == gold.brackets.replace("<>", "()")
            return (same_brackets or len(gold.items) > 2) and self.in_order(mine.items, gold.items)
        if isinstance(mine, ex.Matrix) and isinstance(gold, ex.Matrix):
            return self.in_order(mine.rows, gold.rows)
        for one, other in ((mine, gold), (gold, mine)):
            if isinstance(one, ex.SetOf) and len(one.items) == 1 and not ex.is_set(other):
                return self.same(one.items[0], other) if one is mine else self.same(other, one.items[0])
        try:
            return same_real_set(mine, gold)
        except NotRealSet:
            pass
        if isinstance(mine, ex.SetOperation) and isinstance(gold, ex.SetOperation):
            if mine.operator != gold.operator:
                return False
            if mine.operator == "setminus":
                return self.same(mine.left, gold.left) and self.same(mine.right, gold.right)
            return same_multiset(_operands(mine), _operands(gold), self.same)
        if isinstance(mine, ex.SetBuilder) and isinstance(gold, ex.SetBuilder):
            return self.same(mine.element, gold.element) and same_multiset(mine.conditions, gold.conditions, self.same)
        return False

    def cases(self, mine: ex.Node, gold: ex.Node) -> bool:
        """Whether two functions have the same pieces, in any order."""
        if not isinstance(mine, ex.Cases) or not isinstance(gold, ex.Cases):
            return False
        return same_multiset(mine.rows, gold.rows, self.same)

    def residues(self, mine: ex.Node, gold: ex.Node) -> bool:
        if not isinstance(mine, ex.Modulo) or not isinstance(gold, ex.Modulo):
            return self.same(*(side.value if isinstance(side, ex.Modulo) else side for side in (mine, gold)))
        if not self.same(mine.modulus, gold.modulus):
            return False
        try:
            return (exact(mine.value) - exact(gold.value)) % exact(gold.modulus) == 0
        except (NotExact, ZeroDivisionError):
            return self.same(mine.value, gold.value)

    def ratios(self, mine: ex.Node, gold: ex.Node) -> bool:
        if isinstance(mine, ex.Ratio) and isinstance(gold, ex.Ratio):
            if len(mine.terms) != len(gold.terms):
                return False
            return all(
                self.same(ex.Product((a, gold.terms[0])), ex.Product((b, mine.terms[0])))
                for a, b in zip(mine.terms[1:], gold.terms[1:], strict=True)
            )
        ratio, other = (mine, gold) if isinstance(mine, ex.Ratio) else (gold, mine)
        assert isinstance(ratio, ex.Ratio)
        if len(ratio.terms) != 2:
            return False
        return self.same(_quotient(ratio), other) if ratio is mine else self.same(other, _quotient(ratio))


_MOST_DISTINCT = 60
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_COLLECTIONS = (ex.Tuple, ex.SetOf, ex.Matrix, ex.SetOperation, ex.SetBuilder)


def _without_domain(node: ex.Node) -> ex.Node:
    """A function whose domain is added behind it ("x + 2, x ≠ 3") without that."""
    if isinstance(node, ex.Listed) and len(node.items) == 2:
        value, domain = node.items
        excluded = isinstance(domain, ex.Relation) and domain.operators == ("!=",)
        if excluded and not isinstance(value, ex.Relation) and ex.variables(value) & ex.variables(domain):
            return value
    return node


def _binds(argument: ex.Node) -> bool:
    """Whether an argument of f(…) = … is a variable of its own, x and not A, so that its name does not matter."""
    return isinstance(argument, ex.Symbol) and argument.name[0].islower()


def _bound(arguments: tuple[ex.Node, ...]) -> set[str]:
    """The variables that a definition f(x) = … binds."""
    return {argument.name for argument in arguments if isinstance(argument, ex.Symbol)}


def _bare(sides: tuple[ex.Node, ...]) -> list[ex.Node]:
    """The sides of an equation as values: without units, and ratios as quotients."""
    values = [side.value if isinstance(side, ex.Quantity) else side for side in sides]
    return [_quotient(value) if isinstance(value, ex.Ratio) and len(value.terms) == 2 else value for value in values]


def _quotient(ratio: ex.Ratio) -> ex.Node:
    return ex.Product((ratio.terms[0], ex.reciprocal(ratio.terms[1])))


def _operands(node: ex.Node) -> list[ex.Node]:
    """The parts of a chain of one commutative set operation."""
    if isinstance(node, ex.SetOperation) and node.operator in ("cup", "cap"):
        return [*_operands(node.left), *_operands(node.right)]
    return [node]


def _as_tuple(node: ex.Node, other: ex.Node) -> ex.Node:
    """A vector written as a column or a named point A(1, 2), where the other side is a tuple."""
    if isinstance(node, ex.Matrix) and isinstance(other, ex.Tuple) and other.brackets in ("()", "<>"):
        if len(node.rows) == 1:
            return ex.Tuple(node.rows[0].items, "()")
        if all(len(row.items) == 1 for row in node.rows):
            return ex.Tuple(tuple(row.items[0] for row in node.rows), "()")
    if isinstance(node, ex.Call) and isinstance(other, ex.Tuple) and len(node.arguments) > 1:
        return ex.Tuple(node.arguments, "()")
    if isinstance(node, (ex.Sum, ex.Product, ex.Symbol)) and isinstance(other, ex.Tuple):
        return components(node, len(other.items)) or node
    if isinstance(node, (ex.Sum, ex.Product, ex.Symbol)) and isinstance(other, ex.Matrix):
        vector = components(node, len(other.rows))
        return node if vector is None else ex.Matrix(tuple(ex.Tuple((item,), "()") for item in vector.items))
    if isinstance(node, ex.Tuple) and isinstance(other, ex.Matrix):
        rows = tuple(ex.Tuple(row.items, "()") for row in node.items if isinstance(row, ex.Tuple))
        return ex.Matrix(rows) if len(rows) == len(node.items) else node
    return node


def _same_words(mine: ex.Words, gold: ex.Words) -> bool:
    return plain_words(mine.text) == plain_words(gold.text)
