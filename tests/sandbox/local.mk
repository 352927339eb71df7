# check-sandbox: sandboxes probed from inside, hostile functions, fc-run's own behaviour (root). The probe is static, so
# that it runs in any image. run.sh NAME... runs only some of the parts.
PROBE = %D%/probe
EXTRA_PROGRAMS += $(PROBE)
CLEANFILES += $(PROBE)
%C%_probe_SOURCES = %D%/probe.c %D%/probe.h %D%/probe-calls.c %D%/probe-files.c %D%/probe-limits.c %D%/probe-net.c \
	%D%/probe-proc.c %D%/probe-self.c
%C%_probe_CFLAGS = -std=gnu11 $(WARN_CFLAGS) -O1 -g
%C%_probe_LDFLAGS = -static
EXTRA_DIST += %D%/proc-readable %D%/lib.sh %D%/probe.sh %D%/invoke.sh %D%/input.sh %D%/ending.sh %D%/user.sh %D%/older.sh
dist_check_SCRIPTS += %D%/run.sh

SANDBOX_PARTS =
check-sandbox: all $(PROBE)
	FC_BUILD=$(abs_top_builddir) $(srcdir)/%D%/run.sh $(SANDBOX_PARTS)
.PHONY: check-sandbox
