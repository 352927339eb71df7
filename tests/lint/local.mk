# lint: what no compiler checks. Each takes the tree from $(srcdir) and programs from the build directory; selftest
# puts a fault into a small tree for each of them and wants to see it found.
LINT = %D%/selftest %D%/check-includes %D%/check-length %D%/check-text %D%/check-shell \
	%D%/check-options %D%/check-man %D%/check-readme %D%/check-units %D%/check-permissions %D%/check-openapi
TESTS += $(LINT)
dist_check_SCRIPTS += $(LINT) tests/residue.sh
EXTRA_DIST += %D%/lib.sh %D%/includes.table %D%/untested.table %D%/options.table
