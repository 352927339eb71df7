# check-kernel: the kernel behaviours the code leans on, one small program each (root; exit 77 skips with a
# reason, which FC_TEST_STRICT=1 makes a failure). A program adds its name to KERNEL.
KERNEL =
noinst_HEADERS += %D%/kernel-test.h %D%/cgroup-test.h %D%/mount-test.h
KERNEL_LDADD = libhost.a libspec.a libbase.a

KERNEL += %D%/ambient-unmapped
%C%_ambient_unmapped_SOURCES = %D%/ambient-unmapped.c
KERNEL += %D%/cgroup-join
%C%_cgroup_join_SOURCES = %D%/cgroup-join.c
%C%_cgroup_join_LDADD = $(KERNEL_LDADD)
KERNEL += %D%/cgroup-kill
%C%_cgroup_kill_SOURCES = %D%/cgroup-kill.c
%C%_cgroup_kill_LDADD = $(KERNEL_LDADD)
KERNEL += %D%/cgroup-live
%C%_cgroup_live_SOURCES = %D%/cgroup-live.c
%C%_cgroup_live_LDADD = $(KERNEL_LDADD)
KERNEL += %D%/cgroup-pinned
%C%_cgroup_pinned_SOURCES = %D%/cgroup-pinned.c
%C%_cgroup_pinned_LDADD = $(KERNEL_LDADD)
KERNEL += %D%/clone-into-cgroup
%C%_clone_into_cgroup_SOURCES = %D%/clone-into-cgroup.c
%C%_clone_into_cgroup_LDADD = $(KERNEL_LDADD)
KERNEL += %D%/close-range
%C%_close_range_SOURCES = %D%/close-range.c
KERNEL += %D%/idmap-tree
%C%_idmap_tree_SOURCES = %D%/idmap-tree.c
KERNEL += %D%/mount-locked
%C%_mount_locked_SOURCES = %D%/mount-locked.c
KERNEL += %D%/netns-owner
%C%_netns_owner_SOURCES = %D%/netns-owner.c
KERNEL += %D%/openat2-root
%C%_openat2_root_SOURCES = %D%/openat2-root.c
KERNEL += %D%/pdeathsig
%C%_pdeathsig_SOURCES = %D%/pdeathsig.c
KERNEL += %D%/pid1-signals
%C%_pid1_signals_SOURCES = %D%/pid1-signals.c
KERNEL += %D%/pivot-dot
%C%_pivot_dot_SOURCES = %D%/pivot-dot.c
KERNEL += %D%/psi-trigger
%C%_psi_trigger_SOURCES = %D%/psi-trigger.c
%C%_psi_trigger_LDADD = $(KERNEL_LDADD)
KERNEL += %D%/rlimit
%C%_rlimit_SOURCES = %D%/rlimit.c
KERNEL += %D%/sealed-memfd
%C%_sealed_memfd_SOURCES = %D%/sealed-memfd.c

EXTRA_PROGRAMS += $(KERNEL)
CLEANFILES += $(KERNEL)
dist_check_SCRIPTS += %D%/run.sh %D%/doctor.sh

check-kernel: $(KERNEL) fc-run fc-sandbox
	FC_RUN=./fc-run $(srcdir)/tests/kernel/run.sh $(KERNEL) $(srcdir)/tests/kernel/doctor.sh
.PHONY: check-kernel
