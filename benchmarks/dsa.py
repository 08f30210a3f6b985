"""DeepSeek sparse attention against the length of the context: flops and time of the indexer beside those of the attention, `make bench-dsa`.

A block of query rows, as many as the chip has vector cores, against contexts of 128K to 1M rows; a prefill of N rows has N / rows such blocks.
"""

import sys
import time

import ptoc
from ptoc.machine.chip import load_chip

CONTEXTS = (131_072, 262_144, 524_288, 1_048_576)
INDEXER = ("index_query_direct", "index_down", "index_query", "index_query_f8", "scores", "scores_f8", "topk")


def table(model: str, chip: str) -> list[str]:
    """Lines of a table in Markdown."""
    rows = load_chip(chip).cores("aiv")
    lines = [f"{model} on {chip}, {rows} query rows", "", "| context | flops, scoring / attention | time, indexer / attention | projection | scores | top-k | attention | simulated in |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for n in CONTEXTS:
        began = time.process_time()
        result = ptoc.run_program("dsa", chip, values=False, model=model, N=n, S=rows, phase="prefill", blocks=-(-n // rows))
        took = time.process_time() - began
        layer = [step for step in result.steps if not step.step.name.startswith("mlp")]
        total = sum(step.fs for step in layer)
        fs = {step.step.name: step.fs for step in layer}
        scores, topk = fs.get("scores", 0) + fs.get("scores_f8", 0), fs["topk"]
        projection = sum(value for name, value in fs.items() if name.startswith("index"))
        flops = result.parts["scoring"].cube_flops / result.parts["attention"].cube_flops
        shares = " | ".join(f"{value / total:.1%}" for value in (projection, scores, topk, fs["attention"]))
        indexer = sum(value for name, value in fs.items() if name in INDEXER) / fs["attention"]
        lines.append(f"| {n // 1024}K | {flops:.1f} | {indexer:.1f} | {shares} | {took:.1f} s |")
    return lines


if __name__ == "__main__":
    chips = sys.argv[1:] or ["ascend910b1", "ascend910b2", "sg2262"]
    for chip in chips:
        for model in ("deepseek_v32", "deepseek_v4_flash"):
            print("\n".join(table(model, chip)), end="\n\n")
