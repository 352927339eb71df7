# check-oci: the OCI verbs on real bundles (root).
EXTRA_DIST += %D%/run %D%/lib.bash %D%/console.py %D%/lifecycle.bats %D%/config.bats %D%/hooks.bats \
	%D%/terminal.bats %D%/errors.bats %D%/cgroup.bats %D%/rootless.bats

.PHONY: check-oci
check-oci: fc-run fc-sandbox
	FC_BUILD=$(abs_top_builddir) $(srcdir)/%D%/run
