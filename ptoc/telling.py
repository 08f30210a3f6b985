"""What `ptoc run` prints of a run: itself and, as asked for, its explanation, what-ifs and its ratio to another run."""

from dataclasses import dataclass
from typing import Any

from .result import Result, describe_result


@dataclass
class Words:
    """What chooses a run on the command line: KERNEL, -D, --case, --chip, --cores, --sync, --auto-stages."""

    kernel: str
    definitions: tuple[str, ...]
    case: str | None
    chip: str
    cores: int | None
    sync: str | None
    auto_stages: bool


@dataclass
class Told:
    """Lines to read and JSON-ready data, which say the same."""

    text: str
    data: dict[str, Any]


def tell(result: Result, explained: bool, changes: tuple[str, ...], relative_to: str | None, words: Words) -> Told:
    """Raises: ArgumentError, ChipError for what-ifs and other runs that make no sense, NotSupportedError for runs too long to explain."""
    told = Told(describe_result(result), result.to_json())
    if relative_to is not None:
        from .relative import compare

        found = told.data["relative_to"] = compare(result, relative_to, words)
        told.text += f"\n  relative  {found['ratio']:.4f} of the kernel time of {found['to']}"
    if changes:
        told.data["what_if"] = [_changed(result, text) for text in changes]
        told.text += "".join(f"\n  what if   {found['changes']}: {found['ratio']:.4f} of this kernel time" + _kernel(found) for found in told.data["what_if"])
    if explained:
        from .explain_text import describe_explanation, explanation_json

        explanation = result.explain()
        told.text += "\n" + describe_explanation(explanation)
        told.data["explanation"] = explanation_json(explanation)
    return told


def _changed(result: Result, text: str) -> dict[str, Any]:
    other = result.what_if(text)
    return {
        "changes": text, "ratio": round(other.relative_to(result), 6),
        "kernel_us": round(other.kernel_us, 6) if result.shown else None, "latency_us": round(other.latency_us, 6) if result.shown else None,
    }  # fmt: skip


def _kernel(found: dict[str, Any]) -> str:
    return "" if found["kernel_us"] is None else f", {found['kernel_us']:.2f} us; latency {found['latency_us']:.2f} us"
