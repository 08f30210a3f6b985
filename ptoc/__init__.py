"""ptoc: compiler and simulator for NPU tile kernels.

    import ptoc
    from ptoc import f32

    @ptoc.kernel
    def double(x: ptoc.Tensor["N", f32], y: ptoc.Out["N", f32], N):
        ...

Names are imported when they are first asked for.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_FROM = {
    "frontend": (
        "BIAS L0A L0B L0C L1 SCALING UB Cross Kernel Out Pipe Slots Tensor Tile View block_idx ceil_div cube kernel maximum minimum num_blocks"
        " barrier cube_idx otherwise part pe_idx program_id recv return_if send set_flag sub_block_idx tile vector wait_flag when"
    ).split(),
    "dialect.dtypes": "f32 f16 bf16 i8 i16 i32 i64 ui8 ui16 ui32 f8E4M3FN f8E5M2 DType".split(),
    "dialect.fixpipe": ["control_word"],
    "dialect.errors": (
        "PtocError ParseError VerifyError CapacityError NotSupportedError ArgumentError ChipError SimulationError DeadlockError SyncError"
        " BoundsError PoisonError CheckError"
    ).split(),
    "tasks": ["Tasks"],
    "program": "Program Step".split(),
    "api": "run_program compile run check Compiled Result load_kernel".split(),
}
_WHERE = {name: module for module, names in _FROM.items() for name in names}
_RENAMED = {"range": ("frontend", "range_"), "pipe": ("frontend", "Pipe"), "cross": ("frontend", "Cross")}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        module, inner = _RENAMED[name]
        return getattr(import_module(f"ptoc.{module}"), inner)
    if name in _WHERE:
        return getattr(import_module(f"ptoc.{_WHERE[name]}"), name)
    if not name.startswith("_"):
        function = import_module("ptoc.frontend").op_function(name)
        if function is not None:
            return function
    raise AttributeError(f"module 'ptoc' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*_WHERE, *_RENAMED, *import_module("ptoc.frontend").function_names()])
