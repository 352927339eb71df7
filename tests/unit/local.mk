# Unit tests: one cmocka program test-MODULE per module. No root, no network, seconds. A module adds:
#   UNIT += %D%/test-MODULE
#   %C%_test_MODULE_SOURCES = %D%/test-MODULE.c
#   %C%_test_MODULE_LDADD = libMODULE.a libbase.a $(CMOCKA_LIBS)
UNIT =

UNIT += %D%/test-channel
%C%_test_channel_SOURCES = %D%/test-channel.c
%C%_test_channel_LDADD = libipc.a libbase.a $(CMOCKA_LIBS)
UNIT += %D%/test-state
%C%_test_state_SOURCES = %D%/test-state.c
%C%_test_state_LDADD = libhost.a libjson.a libbase.a $(CMOCKA_LIBS) $(JANSSON_LIBS) -lm

UNIT += %D%/test-buf
%C%_test_buf_SOURCES = %D%/test-buf.c
%C%_test_buf_LDADD = libbase.a $(CMOCKA_LIBS)
UNIT += %D%/test-err
%C%_test_err_SOURCES = %D%/test-err.c
%C%_test_err_LDADD = libbase.a $(CMOCKA_LIBS)
UNIT += %D%/test-fd
%C%_test_fd_SOURCES = %D%/test-fd.c
%C%_test_fd_LDADD = libbase.a $(CMOCKA_LIBS)
UNIT += %D%/test-log
%C%_test_log_SOURCES = %D%/test-log.c
%C%_test_log_LDADD = libbase.a $(CMOCKA_LIBS)
UNIT += %D%/test-opts
%C%_test_opts_SOURCES = %D%/test-opts.c
%C%_test_opts_LDADD = libbase.a $(CMOCKA_LIBS)
UNIT += %D%/test-path
%C%_test_path_SOURCES = %D%/test-path.c
%C%_test_path_LDADD = libbase.a $(CMOCKA_LIBS)
UNIT += %D%/test-str
%C%_test_str_SOURCES = %D%/test-str.c
%C%_test_str_LDADD = libbase.a $(CMOCKA_LIBS)
UNIT += %D%/test-json
%C%_test_json_SOURCES = %D%/test-json.c
%C%_test_json_LDADD = libjson.a libbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += $(UNIT)
TESTS += $(UNIT)
endif

UNIT += %D%/test-compile %D%/test-policy %D%/test-function %D%/test-oci
%C%_test_compile_SOURCES = %D%/test-compile.c
%C%_test_compile_LDADD = $(LIBPLAN_LIBS) $(CMOCKA_LIBS)
%C%_test_policy_SOURCES = %D%/test-policy.c %D%/bpf.h
%C%_test_oci_SOURCES = %D%/test-oci.c %D%/bpf.h
%C%_test_oci_LDADD = $(LIBPLAN_LIBS) $(CMOCKA_LIBS)
%C%_test_policy_LDADD = $(LIBPLAN_LIBS) $(CMOCKA_LIBS)
%C%_test_function_SOURCES = %D%/test-function.c
%C%_test_function_LDADD = $(LIBPLAN_LIBS) $(CMOCKA_LIBS)

# made-up bundles, for test-unpack, test-layer and the corpus of tests/fuzz
check_LIBRARIES += libbundles.a
libbundles_a_SOURCES = %D%/bundles.c %D%/bundles.h
libbundles_a_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS) $(ZLIB_CFLAGS)

UNIT += %D%/test-unpack
%C%_test_unpack_SOURCES = %D%/test-unpack.c
%C%_test_unpack_LDADD = libbundles.a $(UNPACKLIBS) $(CMOCKA_LIBS)

check_PROGRAMS += %D%/make-bundles
%C%_make_bundles_SOURCES = %D%/make-bundles.c
%C%_make_bundles_LDADD = libbundles.a libbase.a $(ARCHIVE_LIBS) $(ZLIB_LIBS)

UNIT += %D%/test-layer
check_PROGRAMS += %D%/fake-unpack
%C%_fake_unpack_SOURCES = %D%/fake-unpack.c
%C%_test_layer_SOURCES = %D%/test-layer.c
%C%_test_layer_LDADD = libhost.a libbundles.a libbase.a $(ARCHIVE_LIBS) $(ZLIB_LIBS) $(CMOCKA_LIBS)
UNIT += %D%/test-cgroup %D%/test-proc
%C%_test_cgroup_SOURCES = %D%/test-cgroup.c
%C%_test_cgroup_LDADD = libhost.a libspec.a libbase.a $(CMOCKA_LIBS)
%C%_test_proc_SOURCES = %D%/test-proc.c
%C%_test_proc_LDADD = libhost.a libbase.a $(CMOCKA_LIBS)

UNIT += %D%/test-confine
%C%_test_confine_SOURCES = %D%/test-confine.c src/unpack/confine.c
%C%_test_confine_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)
%C%_test_confine_LDADD = libbase.a $(SECCOMP_LIBS) $(CMOCKA_LIBS)

TESTS += %D%/linkage.sh
dist_check_SCRIPTS += %D%/linkage.sh
UNIT += %D%/test-probe
%C%_test_probe_SOURCES = %D%/test-probe.c
%C%_test_probe_LDADD = libhost.a libspec.a libbase.a $(CMOCKA_LIBS)

# SERVE_TEST_LIBS: serve's objects without a program around them
SERVE_TEST_LIBS = $(SERVE_LIBS) libspec.a libbase.a -lm $(CMOCKA_LIBS)
UNIT += %D%/test-catalog-versions %D%/test-drain %D%/test-feed
%C%_test_catalog_versions_SOURCES = %D%/test-catalog-versions.c
%C%_test_catalog_versions_LDADD = $(SERVE_TEST_LIBS)
%C%_test_drain_SOURCES = %D%/test-drain.c
%C%_test_drain_LDADD = $(SERVE_TEST_LIBS)
%C%_test_feed_SOURCES = %D%/test-feed.c
%C%_test_feed_LDADD = $(SERVE_TEST_LIBS)
UNIT += %D%/test-http %D%/test-http1 %D%/test-pull %D%/test-crc64 %D%/test-invocation %D%/test-runtime %D%/test-runtime-pull %D%/test-trace %D%/test-worker
%C%_test_trace_SOURCES = %D%/test-trace.c
%C%_test_trace_LDADD = libapi.a $(CMOCKA_LIBS)
%C%_test_http_SOURCES = %D%/test-http.c
%C%_test_http_LDADD = libapi.a libbase.a $(CMOCKA_LIBS)
%C%_test_http1_SOURCES = %D%/test-http1.c
%C%_test_http1_LDADD = libapi.a libbase.a $(CMOCKA_LIBS)
%C%_test_pull_SOURCES = %D%/test-pull.c
%C%_test_pull_LDADD = libapi.a libjson.a libbase.a $(JANSSON_LIBS) -lm $(CMOCKA_LIBS)
%C%_test_crc64_SOURCES = %D%/test-crc64.c
%C%_test_crc64_LDADD = libbase.a $(CMOCKA_LIBS)
%C%_test_invocation_SOURCES = %D%/test-invocation.c
%C%_test_invocation_LDADD = $(SERVE_TEST_LIBS)
%C%_test_runtime_SOURCES = %D%/test-runtime.c
%C%_test_runtime_LDADD = $(SERVE_TEST_LIBS)
%C%_test_runtime_pull_SOURCES = %D%/test-runtime-pull.c
%C%_test_runtime_pull_LDADD = $(SERVE_TEST_LIBS)
%C%_test_worker_SOURCES = %D%/test-worker.c
%C%_test_worker_LDADD = $(SERVE_TEST_LIBS)

UNIT += %D%/test-spec
%C%_test_spec_SOURCES = %D%/test-spec.c
%C%_test_spec_LDADD = $(LIBPLAN_LIBS) $(CMOCKA_LIBS)

# who may call: the principals' file, signatures and their memory
UNIT += %D%/test-acs3 %D%/test-auth %D%/test-creds %D%/test-keyring %D%/test-nonces %D%/test-principals
%C%_test_acs3_SOURCES = %D%/test-acs3.c %D%/acs3-vectors.h
%C%_test_acs3_LDADD = libapi.a libbase.a $(CMOCKA_LIBS)
%C%_test_auth_SOURCES = %D%/test-auth.c %D%/acs3-vectors.h
%C%_test_auth_LDADD = $(SERVE_TEST_LIBS)
%C%_test_keyring_SOURCES = %D%/test-keyring.c
%C%_test_keyring_LDADD = $(SERVE_TEST_LIBS)
%C%_test_creds_SOURCES = %D%/test-creds.c
%C%_test_creds_LDADD = $(SERVE_TEST_LIBS)
%C%_test_nonces_SOURCES = %D%/test-nonces.c
%C%_test_nonces_LDADD = libapi.a libbase.a $(CMOCKA_LIBS)
%C%_test_principals_SOURCES = %D%/test-principals.c
%C%_test_principals_LDADD = libagent.a libbase.a $(CMOCKA_LIBS)
