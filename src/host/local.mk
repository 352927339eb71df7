# host: privileged mechanism without policy: what a launch needs of this machine.
noinst_LIBRARIES += libhost.a
libhost_a_SOURCES = \
	%D%/cgroup.h %D%/launch.c %D%/launch.h %D%/net.c %D%/net.h %D%/proc.h %D%/rootfs.c %D%/rootfs.h \
	%D%/state.c %D%/state.h
