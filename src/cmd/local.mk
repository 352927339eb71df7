# cmd: fc-run (a command table over one small file per verb) and fcctl. fc-run
# starts once per call, so it is linked static-pie where that is possible.
bin_PROGRAMS += fc-run
fc_run_SOURCES = %D%/fc-run.c %D%/cmd.h %D%/report.c
fc_run_SOURCES += %D%/doctor.c
fc_run_SOURCES += %D%/invoke.c %D%/invoke.h %D%/invoke-call.c %D%/invoke-code.c %D%/invoke-print.c %D%/invoke-start.c %D%/invoke-sweep.c
fc_run_SOURCES += %D%/oci.c %D%/oci.h %D%/oci-create.c %D%/oci-delete.c %D%/oci-exec.c %D%/oci-features.c %D%/oci-hooks.c \
	%D%/oci-kill.c %D%/oci-life.c %D%/oci-relay.c %D%/oci-setup.c %D%/oci-spec.c %D%/oci-start.c %D%/oci-state.c
fc_run_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(SECCOMP_CFLAGS) $(CAP_CFLAGS)
fc_run_LDADD = libhost.a libipc.a libplan.a libjson.a libspec.a libbase.a $(JANSSON_LIBS) $(SECCOMP_LIBS) $(CAP_LIBS) -lm
if STATIC_RUN
fc_run_LDFLAGS = -static-pie
endif

bin_PROGRAMS += fcctl
fcctl_SOURCES = %D%/client.c %D%/client.h %D%/fcctl.c %D%/fcctl.h %D%/fcctl-deploy.c %D%/fcctl-doctor.c %D%/fcctl-functions.c \
	%D%/fcctl-invoke.c %D%/fcctl-layers.c %D%/fcctl-logs.c %D%/fcctl-node.c %D%/fcctl-orchestrator.c %D%/fcctl-secrets.c %D%/fcctl-usage.c %D%/fcctl-versions.c %D%/fcctl-who.c %D%/pack.c %D%/pack.h
fcctl_CFLAGS = $(AM_CFLAGS) $(CURL_CFLAGS) $(JANSSON_CFLAGS) $(ARCHIVE_CFLAGS) $(GNUTLS_CFLAGS)
fcctl_LDADD = libjson.a libbase.a $(CURL_LIBS) $(JANSSON_LIBS) $(ARCHIVE_LIBS) $(GNUTLS_LIBS) -lm
