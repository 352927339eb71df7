# host: privileged mechanism without policy: what a launch needs of this machine.
noinst_LIBRARIES += libhost.a
libhost_a_SOURCES = \
	%D%/launch.c %D%/launch.h %D%/net.c %D%/net.h %D%/image.c %D%/image.h %D%/rootfs.c %D%/rootfs.h \
	%D%/state.c %D%/state.h
libhost_a_SOURCES += \
	%D%/cgroup.c %D%/cgroup.h %D%/cgroup-device.c %D%/cgroup-host.c %D%/cgroup-hybrid.c %D%/cgroup-internal.h \
	%D%/cgroup-life.c %D%/cgroup-unified.c %D%/proc.c %D%/proc.h \
	%D%/probe.c %D%/probe.h %D%/probe-cgroup.c %D%/probe-internal.h %D%/probe-json.c %D%/probe-ns.c %D%/probe-proc.c

# bundles to directories, by way of fc-unpack
libhost_a_SOURCES += \
	%D%/layer.c %D%/layer.h %D%/unpacker.c %D%/unpacker.h src/unpack/result.c src/unpack/result.h
libhost_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
