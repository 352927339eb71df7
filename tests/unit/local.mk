# Unit tests: one cmocka program test-MODULE per module. No root, no network, seconds. A module adds:
#   UNIT += %D%/test-MODULE
#   %C%_test_MODULE_SOURCES = %D%/test-MODULE.c
#   %C%_test_MODULE_LDADD = libMODULE.a libbase.a $(CMOCKA_LIBS)
UNIT =

if HAVE_CMOCKA
check_PROGRAMS += $(UNIT)
TESTS += $(UNIT)
endif
