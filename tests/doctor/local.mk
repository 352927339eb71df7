# check-doctor: fc-run doctor and fcctl doctor on each layout of control groups, here and in guests (root).
dist_check_SCRIPTS += %D%/run.sh %D%/undelegated.sh
EXTRA_DIST += %D%/layouts.py

check-doctor: all
	$(srcdir)/%D%/run.sh $(builddir)
.PHONY: check-doctor
