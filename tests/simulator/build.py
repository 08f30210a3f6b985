"""Programs made line by line, for tests of the checker."""

from ptoc.dialect.layout import TileRef, ViewRef
from ptoc.machine.hazards import needs_barrier
from ptoc.simulator.check import check
from ptoc.simulator.program import Command, Core, Program, Site, Stream

AIV, AIV1, AIC = Core("aiv", 0), Core("aiv", 0, 1), Core("aic", 0)


def ub(slot, col=0, cols=64):
    """Columns of a tile of 4 x 64 f32 in UB."""
    return TileRef("ub", 1024 * slot, "f32", 4, 64, "row_major", "none_box", 512, 0, col, 4, cols)


def gm(name="x", offset=0):
    return ViewRef(f"gm:{name}", offset, "f32", (4, 64), (64, 1))


class Build:
    """A program made line by line: `line` repeats the site of an earlier call."""

    def __init__(self, cores=(AIV,), arch="a3"):
        self.streams = {core: Stream(core, []) for core in cores}
        self.program = Program("k", arch, list(self.streams.values()), [])
        self.core = cores[0]

    def on(self, core):
        self.core = core
        return self

    def site(self, kind, op, pipe, **facts):
        line = facts.pop("line", None)
        if line:
            return self.program.sites[line - 1]
        self.program.sites.append(Site(len(self.program.sites), kind, op, pipe, f"k.py:{len(self.program.sites) + 1}", **facts))
        return self.program.sites[-1]

    def command(self, *args):
        self.streams[self.core].commands.append(Command(*args))
        return self

    def work(self, pipe, op="work", r=None, w=None, line=None, **attributes):
        operands = tuple((name, ref) for name, ref in (("src", r), ("dst", w)) if ref is not None)
        site = self.site("work", op, pipe, line=line, attributes=attributes)
        return self.command(site, -1, (), operands, ("src",) if r is not None else (), ("dst",) if w is not None else ())

    def load(self, slot, **kwargs):
        return self.work("MTE2", "tload", gm(), ub(slot), **kwargs)

    def add(self, source, target, **kwargs):
        return self.work("V", "tadd", ub(source), ub(target), **kwargs)

    def store(self, slot, **kwargs):
        return self.work("MTE3", "tstore", ub(slot), gm("y"), **kwargs)

    def set(self, pipe, peer, flag=0, unit=-1, role="", line=None):
        return self.command(self.site("set", "set_flag", pipe, peer=peer, unit=unit, role=role, line=line), flag)

    def wait(self, pipe, peer, flag=0, unit=-1, role="", line=None):
        return self.command(self.site("wait", "wait_flag", peer, peer=pipe, unit=unit, role=role, line=line), flag)

    def sync(self, pipe, peer, flag=0, unit=-1):
        return self.set(pipe, peer, flag, unit).wait(pipe, peer, flag, unit)

    def barrier(self, pipe, unit=-1, role=""):
        return self.command(self.site("barrier", "pipe_barrier", pipe, unit=unit, role=role))

    def signal(self, pipe, flag=0, line=None):
        return self.command(self.site("signal", "signal", pipe, line=line), flag)

    def wait_for(self, flag=0, pipe="S", line=None):
        return self.command(self.site("await", "await", pipe, line=line), flag)

    def check(self, **kwargs):
        return check(self.program, needs_barrier, **kwargs)

    def missing(self):
        report = self.check()
        assert report.deadlock is None
        assert not report.misuse
        return [(m.kind, m.first.location, m.second.location) for m in report.missing]
