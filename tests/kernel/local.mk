# check-kernel: the kernel behaviours the code leans on, one small program each (root; exit 77 skips with a
# reason, which FC_TEST_STRICT=1 makes a failure). A program adds its name to KERNEL.
KERNEL = %D%/cgroup-live

noinst_HEADERS += %D%/kernel-test.h
KERNEL_LDADD = libhost.a libspec.a libbase.a

tests_kernel_cgroup_live_SOURCES = %D%/cgroup-live.c
tests_kernel_cgroup_live_LDADD = $(KERNEL_LDADD)

EXTRA_PROGRAMS += $(KERNEL)
CLEANFILES += $(KERNEL)
dist_check_SCRIPTS += %D%/run.sh

check-kernel: $(KERNEL)
	$(srcdir)/tests/kernel/run.sh $(KERNEL)
.PHONY: check-kernel
