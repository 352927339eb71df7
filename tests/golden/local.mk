# Golden dumps: plan/ compared with stored text, without root. UPDATE=1 tests/golden/run renews it.
check_PROGRAMS += %D%/plan-dump
%C%_plan_dump_SOURCES = %D%/plan-dump.c
%C%_plan_dump_LDADD = $(LIBPLAN_LIBS)
TESTS += %D%/run
dist_check_SCRIPTS += %D%/run
EXTRA_DIST += %D%/function %D%/oci %D%/exec %D%/resources
