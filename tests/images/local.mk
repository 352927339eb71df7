# check-images: the images of images/recipes built twice, verified, and functions and the probe run in them, by fc-run
# and by the agent (root, and a network that has Debian 12's packages).
dist_check_SCRIPTS += %D%/run.sh

check-images: all tests/sandbox/probe
	FC_BUILD=$(abs_top_builddir) $(srcdir)/%D%/run.sh
.PHONY: check-images
