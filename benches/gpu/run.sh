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
