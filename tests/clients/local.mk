# check-clients: SDKs and runtime clients that others wrote, from the npm registry, against the agent (root, and the network).
EXTRA_DIST += %D%/package.json %D%/package-lock.json %D%/unix.cjs %D%/fc.cjs %D%/lambda.cjs %D%/test_clients.py \
	%D%/test_ric.py %D%/ric/package.json %D%/ric/package-lock.json
dist_check_SCRIPTS += %D%/run.sh

check-clients: all
	$(srcdir)/%D%/run.sh $(abs_top_builddir)
.PHONY: check-clients
