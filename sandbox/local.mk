# sandbox: everything between clone and exec, and PID 1 inside.
noinst_LIBRARIES += libspec.a
libspec_a_SOURCES = %D%/spec.c %D%/spec.h %D%/report.h %D%/stages.def %D%/sys.h

# No libc: see start.c. The usual flags that would need one are off.
pkglibexec_PROGRAMS += fc-sandbox
fc_sandbox_SOURCES = %D%/main.c %D%/start.c %D%/stage.h %D%/spec.c \
	%D%/fds.c %D%/ns.c %D%/mounts.c %D%/copyup.c %D%/hooks.c %D%/root.c %D%/console.c %D%/limits.c %D%/gate.c \
	%D%/ids.c %D%/payload.c %D%/caps.c %D%/nnp.c %D%/landlock.c %D%/seccomp.c %D%/exec.c %D%/init.c
fc_sandbox_CFLAGS = -std=gnu11 $(WARN_CFLAGS) -O2 -g -fPIE -fvisibility=hidden -ffreestanding \
	-fno-stack-clash-protection -fno-asynchronous-unwind-tables -fcf-protection=none \
	-fstack-protector-strong -mstack-protector-guard=global -U_FORTIFY_SOURCE
fc_sandbox_LDFLAGS = -static-pie -nostdlib -Wl,--no-dynamic-linker -Wl,-z,noexecstack -Wl,-z,relro -Wl,--build-id
fc_sandbox_LDADD =
