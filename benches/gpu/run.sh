#!/bin/sh
# Checks and measures camtl's kernels on this machine. Needs Python with torch 2.11.0+cu130 (PYTHON names it).
set -u
cd "$(dirname "$0")"
python=${PYTHON:-python3}
torch_lib=$("$python" -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))') || {
  echo "run.sh: $python has no torch; set PYTHON to one with torch 2.11.0+cu130" >&2
  exit 1
}
LD_LIBRARY_PATH=$torch_lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
"$python" check.py "$@"
status=$?
if [ "$#" -eq 0 ]; then
  # Whole steps: ours, then the PyTorch peers, on the same GPU.
  ./camtl-step > steps.jsonl 2> steps.log || { status=1; cat steps.log >&2; }
  "$python" steps.py >> steps.jsonl 2>> steps.log || { status=1; tail -n 3 steps.log >&2; }
  "$python" steps.py --table steps.jsonl | tee steps.txt
  # From end to end: the quickstart's model, trained on the GPU in both precisions and with CUDA graphs.
  work=$(mktemp -d)
  ./camtl quickstart --scale 0.1 --run "$work/toy" > train.log 2>&1 || status=1
  for way in float32 bfloat16 graphs; do
    case $way in
      graphs) options="--set train.precision=bfloat16 --set train.cuda_graphs=true" ;;
      *) options="--set train.precision=$way" ;;
    esac
    # shellcheck disable=SC2086
    ./camtl train "$work/toy/ca-mtl/config.toml" --set train.device=cuda $options --run "$work/$way" >> train.log 2>&1
    code=$?
    echo "training on the GPU, $way: exit code $code, see train.log"
    [ "$code" -ne 0 ] && status=1
  done
  rm -rf "$work"
fi
# Memory and races, on small shapes: each tool takes minutes, so they come last.
if [ "$#" -eq 0 ] && command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck initcheck; do
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 timeout 240 compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$python" check.py --small --out "${TMPDIR:-/tmp}" > "sanitizer-$tool.log" 2>&1
    code=$?
    echo "compute-sanitizer $tool: exit code $code (0: clean, 9: errors, 124: out of time), see sanitizer-$tool.log"
    [ "$code" -eq 9 ] && status=1
  done
fi
exit $status
