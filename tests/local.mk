# Each folder of tests adds its own programs; see tests/unit/local.mk and tests/fuzz/local.mk for the pattern.
include tests/unit/local.mk
include tests/fuzz/local.mk
include tests/golden/local.mk
include tests/ipc/local.mk
include tests/lint/local.mk
include tests/bench/local.mk
include tests/runtimes/local.mk
include tests/kernel/local.mk
include tests/keeper/local.mk
include tests/doctor/local.mk
include tests/agent/local.mk
include tests/clients/local.mk
include tests/oci/local.mk
include tests/sandbox/local.mk
include tests/images/local.mk
include tests/v2/local.mk
include tests/vm/local.mk
