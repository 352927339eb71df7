# Fuzz targets. fuzz-NAME.c holds LLVMFuzzerTestOneInput and is built twice: as replay-NAME, which `make check`
# runs over corpus/NAME with any compiler, and under --enable-fuzzers as fuzz-NAME with libFuzzer. A target adds:
#   REPLAY += %D%/replay-NAME
#   LIBFUZZER += %D%/fuzz-NAME
#   FUZZ_COVERAGE += NAME:path/of/the/parser.c
#   %C%_replay_NAME_SOURCES = %D%/fuzz-NAME.c %D%/replay-main.c
#   %C%_replay_NAME_LDADD = libNAME.a libbase.a
#   %C%_fuzz_NAME_SOURCES = %D%/fuzz-NAME.c
#   %C%_fuzz_NAME_LDADD = $(%C%_replay_NAME_LDADD)
#   %C%_fuzz_NAME_LDFLAGS = $(FUZZLINK)
# `make fuzz-coverage` (--enable-coverage) fails when a corpus covers under 80 % of the lines of its parser.
REPLAY =
LIBFUZZER =
FUZZ_COVERAGE =
FUZZLINK = $(AM_LDFLAGS) -fsanitize=fuzzer

check_PROGRAMS += $(REPLAY)
TESTS += $(REPLAY)
if FUZZERS
noinst_PROGRAMS += $(LIBFUZZER)
endif

EXTRA_DIST += %D%/corpus
dist_check_SCRIPTS += %D%/coverage.sh %D%/run.sh

# FUZZ_SECONDS each, with --enable-fuzzers
FUZZ_SECONDS = 60
.PHONY: check-fuzz fuzz-coverage
check-fuzz: $(LIBFUZZER)
	$(srcdir)/tests/fuzz/run.sh $(srcdir)/tests/fuzz/corpus $(FUZZ_SECONDS) $(LIBFUZZER)
fuzz-coverage: $(REPLAY)
	@for t in $(FUZZ_COVERAGE); do \
		$(srcdir)/tests/fuzz/coverage.sh "$(abs_srcdir)" "$(abs_builddir)" "$${t%%:*}" "$${t#*:}" || exit 1; \
	done

# bundle (fuzz it with TMPDIR on a tmpfs): the corpus is made by `make update-bundle-corpus` from tests/unit/bundles.c
REPLAY += %D%/replay-bundle
LIBFUZZER += %D%/fuzz-bundle
FUZZ_COVERAGE += \
	bundle:src/unpack/unpack.c bundle:src/unpack/stream.c bundle:src/unpack/tree.c bundle:src/unpack/zipdir.c
%C%_replay_bundle_SOURCES = %D%/fuzz-bundle.c %D%/replay-main.c
%C%_replay_bundle_LDADD = $(UNPACKLIBS)
%C%_fuzz_bundle_SOURCES = %D%/fuzz-bundle.c
%C%_fuzz_bundle_LDADD = $(%C%_replay_bundle_LDADD)
%C%_fuzz_bundle_LDFLAGS = $(FUZZLINK)

.PHONY: update-bundle-corpus
update-bundle-corpus: tests/unit/make-bundles$(EXEEXT)
	$(MKDIR_P) $(srcdir)/%D%/corpus/bundle
	tests/unit/make-bundles$(EXEEXT) $(srcdir)/%D%/corpus/bundle

REPLAY += %D%/replay-manifest %D%/replay-oci %D%/replay-spec
LIBFUZZER += %D%/fuzz-manifest %D%/fuzz-oci %D%/fuzz-spec
FUZZ_COVERAGE += manifest:src/plan/function.c oci:src/plan/oci.c oci:src/plan/oci-mounts.c oci:src/plan/oci-process.c \
	oci:src/plan/oci-resources.c oci:src/plan/oci-seccomp.c spec:sandbox/spec.c
%C%_replay_manifest_SOURCES = %D%/fuzz-manifest.c %D%/replay-main.c
%C%_replay_manifest_LDADD = $(LIBPLAN_LIBS)
%C%_fuzz_manifest_SOURCES = %D%/fuzz-manifest.c
%C%_fuzz_manifest_LDADD = $(LIBPLAN_LIBS)
%C%_fuzz_manifest_LDFLAGS = $(FUZZLINK)
%C%_replay_oci_SOURCES = %D%/fuzz-oci.c %D%/replay-main.c
%C%_replay_oci_LDADD = $(LIBPLAN_LIBS)
%C%_fuzz_oci_SOURCES = %D%/fuzz-oci.c
%C%_fuzz_oci_LDADD = $(LIBPLAN_LIBS)
%C%_fuzz_oci_LDFLAGS = $(FUZZLINK)
%C%_replay_spec_SOURCES = %D%/fuzz-spec.c %D%/replay-main.c
%C%_replay_spec_LDADD = $(LIBPLAN_LIBS)
%C%_fuzz_spec_SOURCES = %D%/fuzz-spec.c
%C%_fuzz_spec_LDADD = $(LIBPLAN_LIBS)
%C%_fuzz_spec_LDFLAGS = $(FUZZLINK)

# http-body: targets and the JSON bodies of create and update
REPLAY += %D%/replay-http-body
LIBFUZZER += %D%/fuzz-http-body
FUZZ_COVERAGE += http-body:src/agent/http.c http-body:src/agent/body.c
%C%_replay_http_body_SOURCES = %D%/fuzz-http-body.c %D%/replay-main.c
%C%_replay_http_body_LDADD = libapi.a libplan.a libspec.a libjson.a libbase.a $(JANSSON_LIBS) $(SECCOMP_LIBS) -lm
%C%_fuzz_http_body_SOURCES = %D%/fuzz-http-body.c
%C%_fuzz_http_body_LDADD = $(%C%_replay_http_body_LDADD)
%C%_fuzz_http_body_LDFLAGS = $(FUZZLINK)

# acs3: the signature's header, date and canonical request
REPLAY += %D%/replay-acs3
LIBFUZZER += %D%/fuzz-acs3
FUZZ_COVERAGE += acs3:src/agent/acs3.c
%C%_replay_acs3_SOURCES = %D%/fuzz-acs3.c %D%/replay-main.c
%C%_replay_acs3_LDADD = libapi.a libbase.a
%C%_fuzz_acs3_SOURCES = %D%/fuzz-acs3.c
%C%_fuzz_acs3_LDADD = $(%C%_replay_acs3_LDADD)
%C%_fuzz_acs3_LDFLAGS = $(FUZZLINK)

# http1: requests and responses of the code inside a sandbox
REPLAY += %D%/replay-http1
LIBFUZZER += %D%/fuzz-http1
FUZZ_COVERAGE += http1:src/agent/http1.c
%C%_replay_http1_SOURCES = %D%/fuzz-http1.c %D%/replay-main.c
%C%_replay_http1_LDADD = libapi.a libbase.a
%C%_fuzz_http1_SOURCES = %D%/fuzz-http1.c
%C%_fuzz_http1_LDADD = $(%C%_replay_http1_LDADD)
%C%_fuzz_http1_LDFLAGS = $(FUZZLINK)

# pull: the Runtime API, on three connections
REPLAY += %D%/replay-pull
LIBFUZZER += %D%/fuzz-pull
FUZZ_COVERAGE += pull:src/agent/pull.c
%C%_replay_pull_SOURCES = %D%/fuzz-pull.c %D%/replay-main.c
%C%_replay_pull_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
%C%_replay_pull_LDADD = $(SERVE_LIBS) libspec.a libbase.a -lm
%C%_fuzz_pull_SOURCES = %D%/fuzz-pull.c
%C%_fuzz_pull_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
%C%_fuzz_pull_LDADD = $(%C%_replay_pull_LDADD)
%C%_fuzz_pull_LDFLAGS = $(FUZZLINK)
