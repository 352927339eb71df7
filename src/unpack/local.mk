# unpack: fc-unpack, the only program that links libarchive. libunpackresult.a is what its caller shares.
pkglibexec_PROGRAMS += fc-unpack
noinst_LIBRARIES += libunpackresult.a libunpack.a

libunpackresult_a_SOURCES = %D%/result.c %D%/result.h
libunpack_a_SOURCES = \
	%D%/digest.c %D%/digest.h %D%/stream.c %D%/stream.h %D%/tree.c %D%/tree.h \
	%D%/unpack.c %D%/unpack.h %D%/zipdir.c %D%/zipdir.h
libunpack_a_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS) $(CRYPTO_CFLAGS) $(ZLIB_CFLAGS)

# what a program that unpacks links
UNPACKLIBS = libunpack.a libunpackresult.a libbase.a $(ARCHIVE_LIBS) $(CRYPTO_LIBS) $(ZLIB_LIBS)

fc_unpack_SOURCES = %D%/main.c %D%/confine.c %D%/confine.h
fc_unpack_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)
fc_unpack_LDADD = $(UNPACKLIBS) $(SECCOMP_LIBS)
