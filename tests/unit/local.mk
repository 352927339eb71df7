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

if HAVE_CMOCKA
check_PROGRAMS += $(UNIT)
TESTS += $(UNIT)
endif

UNIT += %D%/test-compile %D%/test-policy %D%/test-function
%C%_test_compile_SOURCES = %D%/test-compile.c
%C%_test_compile_LDADD = $(LIBPLAN_LIBS) $(CMOCKA_LIBS)
%C%_test_policy_SOURCES = %D%/test-policy.c
%C%_test_policy_LDADD = $(LIBPLAN_LIBS) $(CMOCKA_LIBS)
%C%_test_function_SOURCES = %D%/test-function.c
%C%_test_function_LDADD = $(LIBPLAN_LIBS) $(CMOCKA_LIBS)
