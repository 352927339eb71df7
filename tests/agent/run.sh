#!/usr/bin/env bash
# run.sh BUILD-DIR [TEST...]: the whole agent, driven over its socket by tests/agent/test_*.py (unittest; a TEST is
# module[.Class[.method]]). Root; 77 skips with a reason, which FC_TEST_STRICT=1 turns into a failure.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
FC_BUILD=$(cd "${1:?usage: run.sh BUILD-DIR [TEST...]}" && pwd)
shift

skip() {
	echo "SKIP: $1"
	[[ ${FC_TEST_STRICT:-} != 1 ]] || { echo "FC_TEST_STRICT=1: a skip is a failure"; exit 1; }
	exit 77
}
[[ $(id -u) == 0 ]] || skip "needs root"
for tool in python3 curl pgrep; do command -v "$tool" >/dev/null || skip "needs $tool"; done

export FC_BUILD PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
(($#)) || set -- test_auth test_custom test_fcctl test_functions test_idempotency test_inside test_invoke test_layers test_levels test_limits test_logs test_openapi test_orchestrator test_provided test_readme test_secrets test_streaming test_versions
exec python3 -W error::ResourceWarning "$here/runner.py" "$@"
