"""A program's run as JSON and as a table: time, flops, bytes by source and bound of every step and of every part."""

from typing import Any

from ptoc.simulator.account import Account

from .program_run import ProgramResult, StepResult, us


def program_json(result: ProgramResult) -> dict[str, Any]:
    """The run as JSON-ready data; times are null on a chip that was never compared with a device, shares are always given."""
    shown = result.steps[0].result.to_json()["kernel_us"] is not None
    total = Account()
    for account in result.parts.values():
        total = total.plus(account)
    return {
        "program": result.program.name,
        "chip": result.chip.name,
        "validated": result.chip.validated,
        "sizes": result.sizes,
        "kernel_us": round(result.kernel_us, 6) if shown else None,
        "latency_us": round(result.latency_us, 6) if shown else None,
        **_account(total, shown),
        "passed": result.passed,
        "steps": [_step(one, result, shown) for one in result.steps],
        "parts": {name: _account(account, shown) for name, account in result.parts.items()},
    }


def _step(one: StepResult, result: ProgramResult, shown: bool) -> dict[str, Any]:
    engine, used = one.bound
    facts = one.result.to_json()
    return {
        "name": one.step.name,
        "kernel": one.step.loaded.name,
        "times": one.step.times,
        "cores": facts["cores"],
        "arguments": facts["arguments"],
        "tensors": one.step.tensors,
        "kernel_us": round(us(one.fs), 6) if shown else None,
        "share": round(one.fs / (result.fs or 1), 6),
        "bound": engine,
        "bound_used": round(used, 4),
        "passed": facts["passed"],
        "max_abs_error": facts["max_abs_error"],
        **_account(Account().plus(one.account, one.step.times), shown),
        "parts": {name: _account(Account().plus(account, one.step.times), shown) for name, account in one.parts.items()},
    }


def _account(account: Account, shown: bool) -> dict[str, Any]:
    found = {
        "flops": account.flops,
        "cube_flops": account.cube_flops,
        "vector_flops": account.vector_flops,
        "global_bytes": account.global_bytes,
        "bytes": [{"way": way, "tensor": tensor, "bytes": count} for (way, tensor), count in account.bytes.items()],
    }
    return found | ({"busy_us": {pipe: round(us(fs), 6) for pipe, fs in account.busy.items()}} if shown else {})


def describe_program(result: ProgramResult) -> str:
    """The run as readable lines."""
    data = program_json(result)
    sizes = ", ".join(f"{name}={value}" for name, value in data["sizes"].items())
    lines = [f"{data['program']} on {data['chip']}: {sizes}"]
    if data["kernel_us"] is None:
        lines.append("  time      withheld: this chip was never compared with a device (--allow-unvalidated shows it); shares are of the time")
    else:
        standing = "" if data["validated"] is True else f" ({'provisional' if data['validated'] else 'not validated'})"
        lines.append(f"  latency   {data['latency_us']:.2f} us{standing}, kernels {data['kernel_us']:.2f} us")
    lines.append(f"  {'step':<16}{'times':>7}{'us':>12}{'share':>8}{'GFLOP':>12}{'MB':>11}  bound")
    for one in data["steps"]:
        time = "" if one["kernel_us"] is None else f"{one['kernel_us']:.2f}"
        passed = {True: "", False: "  WRONG", None: ""}[one["passed"]]
        lines.append(f"  {one['name']:<16}{one['times']:>7}{time:>12}{one['share']:>8.1%}{_sums(one)}  {one['bound']} {one['bound_used']:.0%}{passed}")
        if list(one["parts"]) != [one["name"]]:
            lines += [f"    {name:<14}{_engines(part):>27}{_sums(part)}" for name, part in one["parts"].items()]
    if data["passed"] is not None:
        lines.append(f"  values    {'right' if data['passed'] else 'WRONG'}: largest error {max(one['max_abs_error'] or 0.0 for one in data['steps']):.3g}")
    return "\n".join(lines)


def _sums(data: dict[str, Any]) -> str:
    return f"{data['flops'] / 1e9:>12.4f}{data['global_bytes'] / 1e6:>11.3f}"


def _engines(part: dict[str, Any]) -> str:
    busy = part.get("busy_us", {})
    return "" if not busy else "{} {:.2f}".format(*max(busy.items(), key=lambda entry: entry[1]))
