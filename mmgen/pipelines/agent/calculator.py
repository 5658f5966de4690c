"""Arithmetic: exact where numbers are, bounded in size, and never evaluated as code."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from mmgen.errors import BadRequest, TooLarge, TooLong
from mmgen.pipelines.agent import units

LONGEST = 500  # characters of an expression
MOST_BITS = 4096  # of a result's numerator and denominator
MOST_FACTORIAL = 500
Number = Fraction | float
OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
CONSTANTS = {"pi": math.pi, "e": math.e}
REAL: dict[str, Callable[..., float]] = {
    name: getattr(math, name) for name in ("sin", "cos", "tan", "asin", "acos", "atan", "exp", "log10", "log2")
} | {"log": math.log, "ln": math.log, "sqrt": math.sqrt}
EXACT: dict[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max, "floor": math.floor, "ceil": math.ceil}
EXAMPLE = "2 * (3 + 4), sqrt(2), 15% of 240 or convert(3, mile, km)"


def calculate(expression: str) -> Number:
    """The value of an expression such as 2 * (3 + 4) ** 2, sqrt(2) or convert(3, mile, km).

    Sums, products, quotients and whole powers are exact fractions; roots and functions are floats. ^ is a power, as ** is.
    Raises BadRequest for what is no arithmetic, TooLong, or TooLarge for a result of more than 4,096 bits.
    """
    if len(expression) > LONGEST:
        raise TooLong(f"the expression has {len(expression):,} characters, {LONGEST} are read; make it shorter")
    text = expression.replace("^", "**").replace("×", "*").replace("÷", "/").replace("−", "-").strip()
    try:
        tree = ast.parse(text, mode="eval")
        value: Number = _checked(_value(tree.body))
        return value
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise BadRequest(f"{expression[:60]!r} is no arithmetic; write such as {EXAMPLE}") from None
    except ZeroDivisionError:
        raise BadRequest(f"{expression[:60]!r} divides by zero") from None
    except OverflowError:
        raise TooLarge(f"{expression[:60]!r} is too large a number; take smaller ones") from None


def shown(value: Number) -> str:
    """Exact where it ends within 12 decimals, otherwise to 12 significant digits."""
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return f"{value.numerator:,}".replace(",", " ") if abs(value) >= 10_000 else str(value.numerator)
        scaled = value * 10**12
        if scaled.denominator == 1 and abs(value) < 10**15:
            digits = f"{abs(scaled.numerator):013d}"
            return f"{'-' if value < 0 else ''}{digits[:-12]}.{digits[-12:].rstrip('0')}"
    return f"{float(value):.12g}"


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return Fraction(str(node.value))
    if isinstance(node, ast.Name) and node.id.lower() in CONSTANTS:
        return CONSTANTS[node.id.lower()]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
        value = _value(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        return _checked(OPERATORS[type(node.op)](left, right)) if type(node.op) in OPERATORS else _refused()
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _called(node.func.id.lower(), node.args)
    return _refused()


def _called(name: str, arguments: list[ast.expr]) -> Any:
    if name == "convert" and len(arguments) == 3:
        source, target = (one.id if isinstance(one, ast.Name) else _refused() for one in arguments[1:])
        return units.convert(_value(arguments[0]), source, target)
    values = [_value(one) for one in arguments]
    if name == "factorial" and len(values) == 1 and values[0].denominator == 1:
        if not 0 <= values[0] <= MOST_FACTORIAL:
            raise TooLarge(f"factorial({shown(values[0])}) is out of range; it can be 0 to {MOST_FACTORIAL}")
        return Fraction(math.factorial(int(values[0])))
    if name == "round" and len(values) in (1, 2):
        return Fraction(round(Fraction(values[0]), int(values[1]) if len(values) == 2 else 0))
    if name == "average" and values:
        return sum(values) / len(values)
    if name == "sqrt" and len(values) == 1 and (root := _root(values[0])) is not None:
        return root
    if name in EXACT and values:
        return EXACT[name](*values)
    return REAL[name](*map(float, values)) if name in REAL else _refused()


def _root(value: Any) -> Fraction | None:
    """Of a whole number that is a square."""
    if isinstance(value, Fraction) and value.denominator == 1 and value >= 0:
        root = math.isqrt(value.numerator)
        return Fraction(root) if root * root == value else None
    return None


def _power(base: Any, exponent: Any) -> Any:
    whole = isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1
    if not whole:
        value = float(base) ** float(exponent)
        return value if isinstance(value, float) else _refused()  # a root of a negative number
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if size * abs(exponent) > 2 * MOST_BITS and base not in (0, 1, -1):  # told before it is computed
        raise TooLarge(f"a power of {exponent} is too large a number; take a smaller one")
    return _checked(base ** int(exponent))


def _checked(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else _refused()
    value = Fraction(value)
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        raise TooLarge("the result has more than 1,200 digits; take smaller numbers")
    return value


def _refused() -> Any:
    raise ValueError
