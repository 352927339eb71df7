# check-agent: the whole agent over its sockets (root; exit 77 skips with a reason).
dist_check_SCRIPTS += %D%/run.sh
EXTRA_DIST += %D%/agent.py %D%/runner.py %D%/acs3.py %D%/test_auth.py %D%/test_functions.py %D%/test_images.py %D%/test_idempotency.py %D%/test_inside.py %D%/test_invoke.py \
	%D%/test_custom.py %D%/test_fcctl.py %D%/test_layers.py %D%/test_levels.py %D%/test_limits.py %D%/test_logs.py %D%/test_openapi.py %D%/test_orchestrator.py %D%/test_provided.py %D%/test_readme.py %D%/test_secrets.py %D%/test_streaming.py %D%/test_versions.py

check-agent: all
	$(srcdir)/%D%/run.sh $(builddir)
.PHONY: check-agent
