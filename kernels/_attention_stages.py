"""The pipeline of attention over rings between cores: two stages on the cube core, two on the vector cores.

compute_qk (cube) -> ring qk -> compute_p (vector: online softmax) -> ring p -> compute_pv (cube) -> ring pv -> compute_gu (vector).
"""

import ptoc
from ptoc import f32

from ._attention_cube import Cube
from ._attention_vector import Vector


def attend(sizes, q, k, v, o, *, slots, local_slots, preload, totals=()):
    """The pipeline: rings, sections, and the cube running `preload` steps of QK ahead."""
    s, steps = sizes, sizes.steps
    ring = {"slots": slots, "local_slots": local_slots}
    qk = ptoc.pipe("c2v", (s.rows, s.tile), f32, name="qk", **ring)
    p = ptoc.pipe("v2c", (s.rows, s.tile), s.dtype, name="p", **ring)
    pv = ptoc.pipe("c2v", (s.rows, s.dv), f32, name="pv", **ring)
    ptoc.return_if(ptoc.block_idx() >= steps.all)
    total = steps.total()
    ahead = ptoc.minimum(total, preload)

    def when(inside, g):
        """Runs its body where step g is one of this core's and not empty."""
        step = steps.at(g)
        return step, ptoc.when(inside if step.valid is None else inside & step.valid)

    with ptoc.cube():
        cube = Cube(s, q, k, v, qk, p, pv)
        for g in ptoc.range(total + ahead):
            step, arm = when(g < total, g)
            with arm:
                cube.compute_qk(g, step)
            step, arm = when(g >= ahead, g - ahead)
            with arm:
                cube.compute_pv(g - ahead, step)
    with ptoc.vector():
        vector = Vector(s, qk, p, pv, preload + 1, keep=bool(totals))
        for g in ptoc.range(total + ahead):
            step, arm = when(g < total, g)
            with arm:
                vector.compute_p(g, step)
            step, arm = when(g >= ahead, g - ahead)
            with arm:
                vector.compute_gu(g - ahead, step, o, totals)
