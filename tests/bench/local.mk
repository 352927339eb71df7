# bench: `make bench` compares starts (needs root; peers are used where installed), `make check-bench` is the short form.
BENCH = %D%/bench-cold %D%/true
EXTRA_PROGRAMS += $(BENCH)
CLEANFILES += $(BENCH)
%C%_bench_cold_SOURCES = %D%/bench-cold.c
%C%_bench_cold_LDADD = libbase.a
# static: a contender's peak memory as wait4(2) tells it starts from that of its parent
%C%_bench_cold_LDFLAGS = -static-pie
%C%_true_SOURCES = %D%/true.c
%C%_true_CFLAGS = -std=gnu11 -fPIE $(WARN_CFLAGS)
%C%_true_LDFLAGS = -static-pie
dist_check_SCRIPTS += %D%/cold

.PHONY: bench check-bench
bench: all $(BENCH)
	FC_BUILD=$(abs_builddir) $(srcdir)/%D%/cold
check-bench: all $(BENCH)
	FC_BUILD=$(abs_builddir) $(srcdir)/%D%/cold --short
