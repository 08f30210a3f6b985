"""Formulas of public sample kernels, by kernel name, and further arguments to run them with.

A formula takes the inputs as flat float64 arrays by argument, and the numbers; it gives the outputs that it knows, in the shapes that they
have in memory.  Names of arguments are those of the files.
"""

from collections.abc import Callable

import numpy as np

from ptoc.dialect.dtypes import DTYPES

Arrays = dict[str, np.ndarray]


def matrix(a: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """A flat array as rows x cols."""
    return a[: rows * cols].reshape(rows, cols)


def qk_matmul(a: Arrays, n: dict) -> Arrays:
    """Paged attention, scores of one block: q [16, 128] times key^T, the key block [128, 128] in rows of tokens."""
    return {"arg2": matrix(a["arg0"], 16, 128) @ matrix(a["arg1"], 128, 128).T}


def pv_matmul(a: Arrays, n: dict) -> Arrays:
    """Paged attention, output of one block: p [16, 128] times values [128, 128]."""
    return {"arg2": matrix(a["arg0"], 16, 128) @ matrix(a["arg1"], 128, 128)}


def softmax_prepare(a: Arrays, n: dict) -> Arrays:
    """Paged attention: p = exp(s * scale - max), its row maxima and, of p as it is stored, its row sums."""
    scaled = matrix(a["arg0"], 16, 128) * n["arg1"]
    largest = scaled.max(1, keepdims=True)
    p = np.exp(scaled - largest)
    stored = p.astype(DTYPES["bf16"].numpy).astype(np.float64)
    return {"arg2": p, "arg3": largest[:, 0], "arg4": stored.sum(1)}


def online_update(a: Arrays, n: dict) -> Arrays:
    """Paged attention: merges a block (mi, li, oi) into the running (mi, li, oi); the last block also divides by the sum."""
    m_new, sum_new, m, total = (a[k][:16, None] for k in ("arg0", "arg1", "arg3", "arg4"))
    o_new, o = matrix(a["arg2"], 16, 128), matrix(a["arg5"], 16, 128)
    if n["arg7"]:
        m, total, o = m_new, sum_new, o_new
    else:
        largest = np.maximum(m, m_new)
        old, new = np.exp(m - largest), np.exp(m_new - largest)
        m, total, o = largest, old * total + new * sum_new, old * o + new * o_new
    return {"arg3": m[:, 0], "arg4": total[:, 0], "arg5": o, "arg6": o / total if n["arg8"] else np.zeros_like(o)}


def rms_norm(a: Arrays, n: dict) -> Arrays:
    """Qwen, RMSNorm: x / sqrt(mean(x^2) + 1e-6) * weight, x [16, 8192]."""
    x, weight = matrix(a["arg0"], 16, 8192), a["arg1"][:8192]
    return {"arg2": x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-6) * weight}


def swiglu(a: Arrays, n: dict) -> Arrays:
    """Qwen, the gate of the MLP: silu(gate) * up, [16, 256]; rows of the result lie 25600 apart."""
    gate, up = matrix(a["arg0"], 16, 256), matrix(a["arg1"], 16, 256)
    result = np.full((16, 25600), np.nan)
    result[:, :256] = gate / (1 + np.exp(-gate)) * up
    return {"arg2": result.reshape(-1)[: 15 * 25600 + 256]}


def product(lhs: str, rhs: str, out: str) -> Callable[[Arrays, dict], Arrays]:
    """A product of two 32 x 32 matrices."""
    return lambda a, n: {out: matrix(a[lhs], 32, 32) @ matrix(a[rhs], 32, 32)}


def two_products(a: Arrays, n: dict) -> Arrays:
    """FFN, first layer: x @ w1 and x @ w3."""
    x = matrix(a["x"], 32, 32)
    return {"h1_s": x @ matrix(a["w1"], 32, 32), "h2_s": x @ matrix(a["w3"], 32, 32)}


def biased_product(a: Arrays, n: dict) -> Arrays:
    """[32, 256] @ [256, 32], with a bias if asked for."""
    bias = a["arg3"][:32] if n["arg4"] else 0
    return {"arg0": matrix(a["arg1"], 32, 256) @ matrix(a["arg2"], 256, 32) + bias}


def series_softmax(a: Arrays, n: dict) -> Arrays:
    """exp by its first five terms on [-4.0001, 4.0001], over a constant instead of a row sum."""
    x = np.clip(matrix(a["scores"], 32, 32) * 0.1767767, -4.0001, 4.0001)
    return {"softmax": (x + x**2 * 0.5 + x**3 * 0.1666667 + x**4 * 0.04166667 + 1.0001) / 32.0001}


def three_terms(a: Arrays, n: dict) -> Arrays:
    """x + y + z."""
    return {"arg3": a["arg0"] + a["arg1"] + a["arg2"]}


def add_scalar(a: Arrays, n: dict) -> Arrays:
    """x + s."""
    return {"arg2": a["arg0"] + n["arg1"]}


def add(a: Arrays, n: dict) -> Arrays:
    """x + y."""
    return {"arg2": a["arg0"] + a["arg1"]}


def multiply(a: Arrays, n: dict) -> Arrays:
    """x * y."""
    return {"arg2": a["arg0"] * a["arg1"]}


FORMULAS: dict[str, Callable[[Arrays, dict], Arrays]] = {
    "kernel_qk_matmul": qk_matmul,
    "kernel_pv_matmul": pv_matmul,
    "kernel_softmax_prepare": softmax_prepare,
    "kernel_online_update": online_update,
    "kernel_add_scalar": add_scalar,
    "kernel_add": add,
    "kernel_mul": multiply,
    "qwen3_decode_incore_0": rms_norm,
    "qwen3_decode_incore_14": swiglu,
    "flash_attention_qk_block": product("q", "kt", "scores"),
    "flash_attention_sv_block": product("softmax", "v", "out"),
    "flash_attention_softmax_block": series_softmax,
    "gqa_qk_block": product("q", "kt", "scores"),
    "gqa_sv_block": product("softmax", "v", "out"),
    "ffn_fc1_block": two_products,
    "ffn_fc2_block": product("h_s", "w2", "out"),
    "RunTMATMULSplitK": biased_product,
    "vec_add_kernel_2d": add,
    "vec_add_ternary_kernel_2d": three_terms,
}

MORE: dict[str, list[dict[str, str]]] = {
    "kernel_online_update": [{"arg7": "0", "arg8": "0"}, {"arg7": "0", "arg8": "1"}, {"arg7": "1", "arg8": "0"}],
    "control_flow_dynamic_branch_block": [{"mode": "0"}, {"mode": "1"}],
    "RunTMATMULSplitK": [{"arg4": "0"}],
    "RunTEXTRACT": [{"arg3": "0", "arg4": "0"}, {"arg3": "0", "arg4": "1"}, {"arg3": "1", "arg4": "0"}],
    "test_if_else_tile_result": [{"arg2": "0"}, {"arg2": "1"}],
}
"""Arguments that other branches of a kernel need, by kernel name."""
