# plan: wish -> spec, without system calls.
noinst_LIBRARIES += libplan.a
libplan_a_SOURCES = \
	%D%/compile.c %D%/compile.h %D%/dump.c %D%/dump.h %D%/function.c %D%/function.h %D%/names.c %D%/names.h \
	%D%/oci.c %D%/oci.h %D%/oci-internal.h %D%/oci-mounts.c %D%/oci-process.c %D%/oci-resources.c \
	%D%/oci-seccomp.c %D%/policy.c %D%/policy.h %D%/start.c %D%/wish.c %D%/wish.h
libplan_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(SECCOMP_CFLAGS)
# what a program that links libplan.a links after it
LIBPLAN_LIBS = libplan.a libspec.a libjson.a libbase.a $(SECCOMP_LIBS) $(JANSSON_LIBS)
