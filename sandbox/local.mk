# sandbox: everything between clone and exec, and PID 1 inside.
noinst_LIBRARIES += libspec.a
libspec_a_SOURCES = %D%/spec.c %D%/spec.h %D%/report.h %D%/stages.def
