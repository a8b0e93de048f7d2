"""Checks and measures camtl's CUDA kernels on a machine with a GPU.

    python3 check.py [--small] [--library PATH] [--no-timing] [--out FOLDER]

Needs only Python with torch 2.11.0+cu130. Compares every kernel with float64 on
fresh random inputs, then times them beside eager PyTorch and the best composite.
Writes results.json and table.txt; exit code 1 if anything was wrong.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch

from bindings import Library
from correctness import check_all


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent
    parser.add_argument("--library", default=str(here / "libcamtl_cuda.so"), help="the plugin")
    parser.add_argument("--small", action="store_true", help="small shapes, for compute-sanitizer")
    parser.add_argument("--no-timing", action="store_true", help="only correctness")
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)
    parser.add_argument("--out", default=str(here), help="folder for results.json and table.txt")
    options = parser.parse_args()
    if options.device == "cuda":
        if not torch.__version__.startswith("2.11.0"):
            sys.exit(f"this torch is {torch.__version__}; the plugin is for 2.11.0+cu130")
        if not torch.cuda.is_available():
            sys.exit("torch sees no GPU (nvidia-smi must list one; driver 580 or newer)")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    library = Library(options.library, options.device)
    report = check_all(library, options.small)
    print(report.text())
    print(f"{len(report.rows)} comparisons, {report.failed} failed")
    text, results = report.text(), {"correctness": [dict(zip(("kernel", "output", "error", "tolerance", "good"), r))
                                                    for r in report.rows]}
    if options.device == "cuda" and not options.small and not options.no_timing:
        from timing import time_all
        results["gpu"] = torch.cuda.get_device_name()
        copy, product, table = time_all(library)
        results.update(copy_tb_s=copy, product_tflop_s=product, timing=table.rows)
        text += "\n\n" + "\n".join([results["gpu"], table.header()] + [table.line(r) for r in table.rows])
    out = Path(options.out)
    (out / "results.json").write_text(json.dumps(results, indent=1))
    (out / "table.txt").write_text(text + "\n")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
