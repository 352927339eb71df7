# base: no domain words, knows nobody. libjson.a is apart so that only programs that read JSON link jansson.
noinst_LIBRARIES += libbase.a libjson.a
libbase_a_SOURCES = \
	%D%/buf.c %D%/buf.h %D%/cleanup.h %D%/clock.h %D%/crc64.c %D%/crc64.h %D%/err.c %D%/err.h %D%/fd.c %D%/fd.h \
	%D%/log.c %D%/log.h %D%/opts.c %D%/opts.h %D%/path.c %D%/path.h %D%/str.c %D%/str.h
libjson_a_SOURCES = %D%/json.c %D%/json.h
libjson_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
