# check-v2: what only a machine with cgroup v2 and nothing else has (root). On others it skips with the reason.
V2_LIMITS = %D%/limits
EXTRA_PROGRAMS += $(V2_LIMITS)
CLEANFILES += $(V2_LIMITS)
%C%_limits_SOURCES = %D%/limits.c
%C%_limits_LDADD = libhost.a libspec.a libbase.a
dist_check_SCRIPTS += %D%/run.sh
EXTRA_DIST += %D%/groups.py %D%/test_groups.py %D%/test_node.py

V2_KERNEL = tests/kernel/cgroup-live tests/kernel/clone-into-cgroup tests/kernel/cgroup-kill tests/kernel/psi-trigger
check-v2: all $(V2_LIMITS) $(V2_KERNEL)
	$(srcdir)/%D%/run.sh $(builddir)
.PHONY: check-v2
