"""Which hazards within one pipe need a pipe_barrier: `needs_barrier(arch, pipe, hazard)`.

Commands of a pipe start in program order.  The question is whether a later one may see, or overtake, what an earlier one has in
flight: RAW read after write, WAR write after read, WAW write after write.
"""

from ptoc.dialect.errors import ChipError

from .mesh import LINK_PIPES

ARCHITECTURES = ("a3", "a5")
PIPES = ("S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX", "SDMA", *LINK_PIPES)
HAZARDS = ("RAW", "WAR", "WAW")

#: (architecture, pipe) -> hazards that need a barrier; a pair that is not here needs none.
#: Sources: pto-isa 3186c381 (paths below it), PTOAS (lib/PTO/Transforms/InsertSync).
_BARRIERS: dict[tuple[str, str], frozenset[str]] = {
    # The vector engine of a3 overlaps the tail of an instruction with the next one and has no interlock on UB.
    # RAW: include/pto/npu/a2a3/TRowReduceOps.hpp puts PIPE_V between each pair of dependent instructions, TRowExpandBinOp.hpp between
    #   vbrcb and its reader, TMrgSort.hpp before the copy of a merged list.
    # WAR: TRowExpandBinOp.hpp ends each round of its row loop with PIPE_V, before vbrcb overwrites the scratch that was just read;
    #   kernels/manual/common/flash_atten/pto_macro_fa_softmax.hpp has one between the subtraction that reads the old maximum and the copy
    #   that overwrites it.
    # WAW: TRowReduceOps.hpp, the partial results that each step writes anew in tmp.  PTOAS gives all three a barrier on one pipe
    #   (InsertSyncAnalysis.cpp, IsMemInfoHasDependency).
    # The hand-written kernel leaves out the barrier where whole tiles stream element by element through sub, muls, exp, cvt: a reader
    # that follows at least a pipeline depth behind its writer finds the result.  That depends on sizes, and is no rule here.
    ("a3", "V"): frozenset(("RAW", "WAR", "WAW")),
    # No entry for a5 V: order within the vector pipe is kept by hardware, and the compiler refuses the barrier
    #   (PTOAS SyncCodegen.cpp, CreateBarrierOp).
    # No entries for S, M, MTE1, MTE2, FIX: no body in include/pto/npu/a2a3 or include/pto/common issues a barrier on one of them, though
    #   multiplies accumulate in one L0C tile one after the other and loads follow one another into one buffer.
    # No entry for SDMA: its queue takes one transfer after the other.
    # No entry for MTE3: docs/isa/vector/pipeline-sync.md says that two stores to one global address may finish in either order; no body
    #   of the a2a3 library guards against it, so stores count as ordered here.  A kernel that stores twice to one place and wants to be
    #   safe states a barrier itself.
    # No entries for links: a message is sent when the one before it has left, and both only read on chip.
}


def needs_barrier(arch: str, pipe: str, hazard: str) -> bool:
    """True where a command that has this hazard with an earlier one of the same pipe needs a pipe_barrier between them.

    arch: "a3" or "a5"; pipe: one of PIPES; hazard: RAW WAR WAW.  Raises: ChipError for any other name.
    """
    for what, got, known in (("architecture", arch, ARCHITECTURES), ("pipe", pipe, PIPES), ("hazard", hazard, HAZARDS)):
        if got not in known:
            raise ChipError(f"no {what} is called '{got}'; expected one of {', '.join(known)}")
    return hazard in _BARRIERS.get((arch, pipe), ())
