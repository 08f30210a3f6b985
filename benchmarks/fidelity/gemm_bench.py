"""Bench kernels: matrix products of which device times are published.  Frozen: each stands for one measured program.

All: f16 inputs, B stored as [N, K], f32 accumulation, tiles of 128 x 256, L0 slices of 64, two slots in L1, L0A and L0B, one in L0C.
Sources: hw-native-sys/pto-isa 3186c381, kernels/manual/a2a3/gemm_performance (by hand) and kernels/python/gemm (PTO-DSL);
asc-devkit 0da921b91, matmul_basic_api_high_performance (basic API).
"""

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32

TM, TN, TK0 = 128, 256, 64


class Product:
    """One tile of C after the other: panels of A and B into L1, slices of 64 into L0, the accumulator out at the end."""

    def __init__(self, a, b, c, step_a, step_b):
        self.a, self.b, self.c, self.step_a, self.step_b = a, b, c, step_a, step_b
        self.acc = ptoc.tile([TM, TN], f32, L0C)
        self.a1 = ptoc.tile([TM, TK0 * step_a], f16, L1, slots=2)
        self.b1 = ptoc.tile([TK0 * step_b, TN], f16, L1, layout="zn", slots=2)
        self.a0 = ptoc.tile([TM, TK0], f16, L0A, slots=2)
        self.b0 = ptoc.tile([TK0, TN], f16, L0B, slots=2)

    def tile(self, m0, n0, chunks):
        """C[m0 : m0 + 128, n0 : n0 + 256]; chunks: panels of A along K."""
        parts, wide = self.step_a // self.step_b, TK0 * self.step_b
        for i in ptoc.range(chunks):
            a1 = self.a1[i % 2]
            ptoc.load(a1, self.a[m0 : m0 + TM, i * self.step_a * TK0 : (i + 1) * self.step_a * TK0])
            for h in range(parts):
                k0 = i * self.step_a * TK0 + h * wide
                b1 = self.b1[(i * parts + h) % 2]
                ptoc.load(b1, self.b.T[k0 : k0 + wide, n0 : n0 + TN])
                for j in range(self.step_b):
                    a0, b0 = self.a0[j % 2], self.b0[j % 2]
                    ptoc.extract(a0, a1, 0, h * wide + j * TK0)
                    ptoc.extract(b0, b1, j * TK0, 0)
                    if h or j:
                        ptoc.matmul_acc(self.acc, self.acc, a0, b0)
                        continue
                    with ptoc.when(i == 0):
                        ptoc.matmul(self.acc, a0, b0)
                    with ptoc.when(i > 0):
                        ptoc.matmul_acc(self.acc, self.acc, a0, b0)
        ptoc.store(self.c[m0 : m0 + TM, n0 : n0 + TN], self.acc)


@ptoc.kernel
def gemm_by_hand(
    a: ptoc.Tensor["M", "K", f16], b: ptoc.Tensor["N", "K", f16], c: ptoc.Out["M", "N", f32], M, N, K, *, CORE_M: int = 768, CORE_N: int = 512
):
    """c = a @ b.T: each core has one part of CORE_M x CORE_N of C; blocks go down M first."""
    product = Product(a, b, c, 4, 4)
    down = M // CORE_M
    m0, n0 = (ptoc.block_idx() % down) * CORE_M, (ptoc.block_idx() // down) * CORE_N
    for i in ptoc.range(CORE_M // TM):
        for j in ptoc.range(CORE_N // TN):
            product.tile(m0 + i * TM, n0 + j * TN, K // (4 * TK0))


@ptoc.kernel
def gemm_dsl(a: ptoc.Tensor["M", "K", f16], b: ptoc.Tensor["N", "K", f16], c: ptoc.Out["M", "N", f16], M, N, K, *, SWIZZLE: int = 5):
    """c = a @ b.T: tiles dealt out one by one, in groups of SWIZZLE columns of tiles, every other group upwards."""
    product = Product(a, b, c, 4, 4)
    down, across = M // TM, N // TN
    for t in ptoc.range(ptoc.block_idx(), down * across, ptoc.num_blocks()):
        group, inside = t // (SWIZZLE * down), t % (SWIZZLE * down)
        columns = ptoc.minimum(across - group * SWIZZLE, SWIZZLE)
        row, column = inside // columns, group * SWIZZLE + inside % columns
        odd = group % 2
        product.tile((row + odd * (down - 1 - 2 * row)) * TM, column * TN, K // (4 * TK0))


@ptoc.kernel
def gemm_basic_api(
    a: ptoc.Tensor["M", "K", f16], b: ptoc.Tensor["N", "K", f16], c: ptoc.Out["M", "N", f16], M, N, K, *,
    CORE_M: int = 1024, CORE_N: int = 1536, ROUNDS: int = 2,
):  # fmt: skip
    """c = a @ b.T: each core has parts of CORE_M x CORE_N of C in ROUNDS rounds along M; panels of 512 columns of A, 256 of B."""
    product = Product(a, b, c, 8, 4)
    down = ptoc.ceil_div(M, CORE_M * ROUNDS)
    for r in ptoc.range(ROUNDS):
        m0, n0 = (ptoc.block_idx() % down + r * down) * CORE_M, (ptoc.block_idx() // down) * CORE_N
        rows, columns = ptoc.minimum(M - m0, CORE_M), ptoc.minimum(N - n0, CORE_N)
        for j in ptoc.range(ptoc.maximum(columns, 0) // TN):
            for i in ptoc.range(ptoc.maximum(rows, 0) // TM):
                product.tile(m0 + i * TM, n0 + j * TN, K // (8 * TK0))


for kernel in (gemm_by_hand, gemm_dsl, gemm_basic_api):
    kernel.reference(lambda a, b: a @ b.T)
    kernel.tolerance = 1e-2
gemm_by_hand.case("default", M=256, N=512, K=512, CORE_M=128, CORE_N=512, cores=2)
gemm_dsl.case("default", M=256, N=1536, K=512, cores=5)
gemm_basic_api.case("default", M=512, N=768, K=1024, CORE_M=128, CORE_N=512, cores=4)
