"""Which frozen bench kernel a row's `kernel` column names, and with which sizes and tuning: `Program`s that can be run.

One function per family.  It takes a row and gives the program, or raises Refused with the reason why no bench kernel expresses the row.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ptoc.frontend import Kernel
from ptoc.machine.chip import Chip

from .attention_by_hand import attention_by_hand
from .attention_dsl import attention_dsl
from .copies_bench import read_tiles, stream_read, stream_read_both, stream_read_cube, stream_write, vector_add
from .gemm_bench import TM, TN, gemm_basic_api, gemm_by_hand, gemm_dsl
from .metrics import Refused
from .rows import Row

STREAM_BYTES = 469_800_000
"""What every figure of the footprint sweep moves in all.  Source: npu-skillyard fdd49bf, platform_model.md."""


WAKING_BLOCKS = 24
"""Hand-written attention launches an empty kernel first, to wake the cores.  Source: pto-isa 3186c381, fa_kernel.cpp, LaunchTFA."""


@dataclass(frozen=True)
class Program:
    """A bench kernel with its arguments; equal programs are run once."""

    kernel: Kernel = field(compare=False)
    name: str
    cores: int
    definitions: tuple[tuple[str, Any], ...]
    warm: bool
    bypass: tuple[str, ...] = ()
    facts: tuple[tuple[str, float], ...] = ()
    before: int = 0  # blocks of an empty kernel that is launched before it, in the same window


def program_of(row: Row, chip: Chip) -> Program:
    """The program behind a row.  Raises Refused."""
    name = row.kernel.lower()
    for pattern, build in FAMILIES:
        if re.search(pattern, name):
            return build(row, chip)
    raise Refused("no bench kernel for it")


def _program(kernel: Kernel, cores: int, row: Row, bypass: tuple[str, ...] = (), facts: dict[str, float] | None = None, **definitions: Any) -> Program:
    return Program(kernel, kernel.name, cores, tuple(definitions.items()), "cold" not in row.l2.lower(), bypass, tuple((facts or {}).items()))


def _wanted(row: Row, *names: str) -> list[int]:
    """Sizes that a row must have."""
    missing = [name for name in names if name not in row.sizes]
    if missing:
        raise Refused(f"the shape gives no {missing[0]}")
    return [row.sizes[name] for name in names]


def _whole(what: str, size: int, part: int) -> int:
    if not size or not part or size % part:
        raise Refused(f"the bench kernel takes {what} in multiples of {part}; got {size}")
    return size // part


def attention(row: Row, chip: Chip) -> Program:
    """Flash attention: hand-written (C++ and its Python launcher are one program) or PTO-DSL."""
    s0, s1 = _wanted(row, "S0", "S1")
    sizes = row.sizes
    for name in ("B", "HEADS"):
        if sizes.get(name, 1) != 1:
            raise Refused(f"the bench kernel has one head and one batch; got {name}={sizes[name]}")
    if sizes.get("CAUSAL"):
        raise Refused("the bench kernel has no causal mask")
    if "device_counter" in row.window and "barrier" in row.notes:
        raise Refused("a counter read on the cores around one launch and a full barrier: neither start-up nor state of caches is known")
    tile = sizes.get("S1_TILE") or sizes.get("TILE_S1") or (512 if s1 >= 32768 and "torch_jit" not in row.kernel else 256)
    tile = min(tile, s1)
    _whole("S0", s0, 128), _whole("S1", s1, tile), _whole("the tile", tile, 128)
    facts = {"D": sizes.get("H", sizes.get("D", 128)), "TILE": tile, "PRELOAD": sizes.get("QK_PRELOAD", 4)}
    cores = min(row.core_count or chip.cores("aic"), s0 // 128)
    if "dsl" not in row.kernel.lower():
        return replace(_program(attention_by_hand, cores, row, S0=s0, S1=s1, **facts), before=WAKING_BLOCKS)
    if _split(row) > 1:
        raise Refused("keys and values split between cores: the kernel that combines the parts is no bench kernel")
    return _program(attention_dsl, cores, row, S0=s0, S1=s1, BARRIERS="barriers in" in row.notes, **facts)


def _split(row: Row) -> int:
    """Between how many cores the keys and values of this row are split (`KV_SPLIT=2 for case5`)."""
    found = re.search(r"KV_SPLIT=(\d+)(?: for (\w+))?", row.notes)
    case = re.search(r"`(\w+)`", row.notes)
    return int(found[1]) if found and (not found[2] or (case and case[1] == found[2])) else row.sizes.get("KV_SPLIT", 1)


def product_by_hand(row: Row, chip: Chip) -> Program:
    """gemm_performance: a grid of equal parts of C, the squarest that the cores allow (4 x 6 on 24)."""
    m, n, k = _wanted(row, "M", "N", "K")
    cores = row.core_count or chip.cores("aic")
    grids = [(d, cores // d) for d in range(1, cores + 1) if cores % d == 0]
    fits = [(d, a) for d, a in grids if m % (d * TM) == 0 and n % (a * TN) == 0]
    if not fits:
        raise Refused(f"no grid of {cores} cores divides C into parts of whole tiles of {TM}x{TN}")
    down, across = min(fits, key=lambda g: (abs(m // g[0] - n // g[1]), -m // g[0]))
    _whole("K", k, 256)
    return _program(gemm_by_hand, cores, row, M=m, N=n, K=k, CORE_M=m // down, CORE_N=n // across)


def product_dsl(row: Row, chip: Chip) -> Program:
    """PTO-DSL gemm with its swizzle."""
    m, n, k = _wanted(row, "M", "N", "K")
    tiles = _whole("M", m, TM) * _whole("N", n, TN)
    _whole("K", k, 256)
    swizzle = min(row.sizes.get("SWIZZLEN", row.sizes.get("SWIZZLE", 5)), n // TN)
    return _program(gemm_dsl, min(row.core_count or chip.cores("aic"), tiles), row, M=m, N=n, K=k, SWIZZLE=swizzle)


def product_basic(row: Row, chip: Chip) -> Program:
    """matmul on the basic API: scenario 1 goes through each core's part at once, scenario 2 in two rounds for the L2."""
    m, n, k = _wanted(row, "M", "N", "K")
    cores = row.core_count or chip.cores("aic")
    rounds = 1 if re.search(r"scenario 1\b", row.notes, re.IGNORECASE) else 2
    down = 4 if cores % 4 == 0 else 1
    core_m, core_n = -(-m // (down * rounds * TM)) * TM, -(-n // (cores // down * TN)) * TN
    _whole("M", m, TM), _whole("N", n, TN), _whole("K", k, 512)
    return _program(gemm_basic_api, cores, row, M=m, N=n, K=k, CORE_M=core_m, CORE_N=core_n, ROUNDS=rounds)


def addition(row: Row, chip: Chip) -> Program:
    """Vector add: `case; tuning; elements per piece` in the notes, or `Case N: title`."""
    if len(row.extents) != 2:
        raise Refused("the shape gives no rows x columns")
    rows, columns = row.extents
    text = row.notes.lower()
    if "scalar version" in text or re.match(r"\s*0\s*;", text):
        raise Refused("adds element by element on the scalar unit: no bench kernel")
    case = re.match(r"(?:case\s*)?(\d+)", text)
    number = int(case[1]) if case else 0
    piece = re.search(r";\s*(\d{3,})\s*$", row.notes)
    small = "small" in text or "single" in text or number in (1, 2)
    size = int(piece[1]) if piece else 4096 if small else 16384
    cores = row.core_count or (1 if "single-core" in text else chip.cores("aiv"))
    past = number >= 5 or "bypass" in text
    moved = {"read_bytes": 4.0 * rows * columns, "written_bytes": 2.0 * rows * columns}
    slots = 2 if number >= 4 or "double" in text else 1
    apart = number >= 6 or "bank" in text
    return _program(
        vector_add, cores, row, ("x", "y") if past else (), moved, E=rows * columns, ROW=columns, PIECE=min(size, 16256 if apart else 16384),
        SLOTS=slots, IN_PLACE=slots == 1 and cores > 1, APART=apart,
    )  # fmt: skip


def copy(row: Row, chip: Chip) -> Program:
    """DataCopy of a matrix in tiles, from each core's own rows."""
    tensor, tile = row.bracket("tensor"), row.bracket("tile")
    if len(tensor) != 2 or len(tile) != 2:
        raise Refused("the shape gives no tensor[rows,columns] tile[rows,columns]")
    to_l1 = "l1" in row.kernel.lower()
    cores = row.core_count or chip.cores("aic" if to_l1 else "aiv")
    text = row.notes.lower()
    repeats = 4 if "repeat" in text else 1
    parts = 4 if "split" in text and repeats > 1 else 1
    if "address" in text and re.search("same|conflict|stagger|offset", text):
        raise Refused("cores that read the same addresses at once: no law of what one line of the L2 gives is known")
    return _program(
        read_tiles, cores, row, facts={"read_bytes": 2.0 * tensor[0] * tensor[1] * repeats}, M=tensor[0], N=tensor[1], ROWS=tile[0], COLS=tile[1],
        TO_L1=to_l1, REPEATS=repeats, PARTS=parts,
    )  # fmt: skip


def stream(row: Row, chip: Chip) -> Program:
    """Reads and writes of whole tensors by all cores: 469.8 MB in all, over the footprint that the row names."""
    name, cores = row.kernel.lower(), row.core_count
    total = STREAM_BYTES
    if not row.amount_bytes and re.search(r"\d", row.shape):
        raise Refused(f"the shape is no amount above 0 such as 8 MB; got '{row.shape}'")
    if row.metric == "latency":
        total = row.amount_bytes or total
    footprint = min(row.amount_bytes or total, total)
    past = ("x",) if "bypass" in name or "bypass" in row.notes.lower() else ()
    if "write" in name or "zero_" in name:
        return _program(stream_write, cores or chip.cores("aiv"), row, facts={"written_bytes": float(total)}, E=total // 4)
    if "aic+aiv" in name:
        return _program(stream_read_both, cores or chip.cores("aic"), row, past, {"read_bytes": float(total)}, M=total // 256)
    if "aic" in name:
        return _program(stream_read_cube, cores or chip.cores("aic"), row, past, {"read_bytes": float(total)}, M=total // 256)
    passes = max(1, round(total / footprint))
    moved = {"read_bytes": float(passes * footprint)}
    return _program(stream_read, cores or chip.cores("aiv"), row, past, moved, E=footprint // 4, PASSES=passes)


FAMILIES: tuple[tuple[str, Callable[[Row, Chip], Program]], ...] = (
    (r"flash_?att", attention),
    (r"gemm_performance", product_by_hand),
    (r"dsl gemm", product_dsl),
    (r"matmul \(basic api\)", product_basic),
    (r"vector add", addition),
    (r"datacopy gm->(ub|l1)", copy),
    (r"gm read|gm write|^stream", stream),
)
"""Pattern of the kernel column to the family that expresses it."""
