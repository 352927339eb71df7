# agent: fc-agent's two halves, keeper (root) and serve (unprivileged), and what both know.
# libagent.a is both halves' common ground and serve's end of the link; a test links it alone.
noinst_LIBRARIES += libagent.a
libagent_a_SOURCES = \
	%D%/config.c %D%/config.h %D%/link.c %D%/link.h %D%/instance.c %D%/instance.h %D%/instance-states.def
libagent_a_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)

# libserve.a is the unprivileged half; libapi.a the parts of it that only compute, for unit tests and fuzzing.
noinst_LIBRARIES += libserve.a libapi.a
libapi_a_SOURCES = \
	%D%/api.c %D%/api.h %D%/api-errors.def %D%/body.c %D%/body.h %D%/http.c %D%/http.h \
	%D%/outcomes.def %D%/stats.c %D%/stats.def %D%/stats.h
libapi_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
libserve_a_SOURCES = \
	%D%/catalog.c %D%/catalog-blobs.c %D%/catalog.h %D%/catalog-internal.h \
	%D%/gate.c %D%/gate-functions.c %D%/gate.h %D%/gate-internal.h %D%/gate-invoke.c %D%/gate-node.c \
	%D%/gate-reply.c %D%/gate-routes.c \
	%D%/invocation.c %D%/invocation-end.c %D%/invocation.h %D%/invocation-internal.h %D%/invocation-states.def \
	%D%/logs.c %D%/logs.h %D%/meter.c %D%/meter.h %D%/runtime.c %D%/runtime.h %D%/serve.c \
	%D%/upload.c %D%/upload.h %D%/writer.c %D%/writer.h
libserve_a_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JANSSON_CFLAGS) $(MICROHTTPD_CFLAGS) $(SQLITE_CFLAGS) \
	$(CRYPTO_CFLAGS) -pthread

# What fc-agent's serve half needs to link, in this order, before KEEPER_LIBS.
SERVE_LIBS = libserve.a libapi.a libagent.a libipc.a libplan.a libjson.a libbase.a \
	$(EVENT_LIBS) $(MICROHTTPD_LIBS) $(SQLITE_LIBS) $(CRYPTO_LIBS) $(JANSSON_LIBS) -pthread
