# ipc: the messages between keeper and serve. make-corpus writes the fuzzer's seeds anew after messages.def changed.
UNIT += tests/unit/test-msg
tests_unit_test_msg_SOURCES = tests/unit/test-msg.c %D%/sample.h
tests_unit_test_msg_LDADD = libipc.a libbase.a $(CMOCKA_LIBS)

REPLAY += tests/fuzz/replay-ipc
LIBFUZZER += tests/fuzz/fuzz-ipc
FUZZ_COVERAGE += ipc:src/ipc/msg.c
tests_fuzz_replay_ipc_SOURCES = tests/fuzz/fuzz-ipc.c tests/fuzz/replay-main.c
tests_fuzz_replay_ipc_LDADD = libipc.a libbase.a
tests_fuzz_fuzz_ipc_SOURCES = tests/fuzz/fuzz-ipc.c
tests_fuzz_fuzz_ipc_LDADD = $(tests_fuzz_replay_ipc_LDADD)
tests_fuzz_fuzz_ipc_LDFLAGS = $(FUZZLINK)

check_PROGRAMS += %D%/make-corpus
TESTS += %D%/corpus.sh
dist_check_SCRIPTS += %D%/corpus.sh
%C%_make_corpus_SOURCES = %D%/make-corpus.c %D%/sample.h
%C%_make_corpus_LDADD = libipc.a libbase.a

# serve's end of the link, against a keeper played over a socket pair; and the configuration that both halves share
UNIT += tests/unit/test-instance tests/unit/test-config
tests_unit_test_instance_SOURCES = tests/unit/test-instance.c %D%/sample.h
tests_unit_test_instance_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_unit_test_instance_LDADD = libagent.a libipc.a libbase.a $(EVENT_LIBS) $(CMOCKA_LIBS)
tests_unit_test_config_SOURCES = tests/unit/test-config.c
tests_unit_test_config_LDADD = libagent.a libplan.a libspec.a libjson.a libbase.a $(JANSSON_LIBS) $(SECCOMP_LIBS) $(CMOCKA_LIBS) -lm
