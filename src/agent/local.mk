# agent: fc-agent's two halves, keeper (root) and serve (unprivileged), and what both know.
# libagent.a is the common ground and serve's end of the link; libkeeper.a is the root half. A program of both is
# main.c, something that has serve_run() (roles.h), and $(KEEPER_LIBS): fc-agent, and tests/keeper's hostile one.
noinst_LIBRARIES += libagent.a libkeeper.a
libagent_a_SOURCES = \
	%D%/config.c %D%/config.h %D%/keyring.c %D%/keyring.h %D%/principals.c %D%/principals.h %D%/permissions.def %D%/link.c %D%/link.h %D%/instance.c %D%/instance.h %D%/instance-states.def
libagent_a_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)

libkeeper_a_SOURCES = \
	%D%/confine.c %D%/confine.h %D%/keeper.c %D%/keeper-access.c %D%/keeper-dirs.c %D%/keeper-doctor.c %D%/keeper-image.c %D%/keeper-internal.h \
	%D%/keeper-launch.c %D%/keeper-layer.c %D%/keeper-serve.c %D%/keeper-tables.c %D%/roles.h
libkeeper_a_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JANSSON_CFLAGS)

KEEPER_LIBS = libkeeper.a libagent.a libipc.a libplan.a libhost.a libspec.a libjson.a libbase.a \
	$(EVENT_LIBS) $(JANSSON_LIBS) $(SECCOMP_LIBS) $(CAP_LIBS)

# libserve.a is the unprivileged half; libapi.a the parts of it that only compute, for unit tests and fuzzing.
noinst_LIBRARIES += libserve.a libapi.a
libapi_a_SOURCES = \
	%D%/acs3.c %D%/acs3.h %D%/nonces.c %D%/nonces.h %D%/api.c %D%/api.h %D%/api-errors.def %D%/body.c %D%/body.h %D%/feed.c %D%/feed.def %D%/feed.h %D%/http.c %D%/http.h %D%/http1.c %D%/http1.h \
	%D%/outcomes.def %D%/pull.c %D%/pull.h %D%/stats.c %D%/stats.def %D%/stats.h %D%/trace.c %D%/trace.h
libapi_a_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JANSSON_CFLAGS)
libserve_a_SOURCES = \
	%D%/auth.c %D%/auth.h %D%/creds.c %D%/creds.h %D%/seal.c %D%/seal.h %D%/secrets.c %D%/secrets.h %D%/idempotency.c %D%/idempotency.h %D%/catalog.c %D%/catalog-blobs.c %D%/catalog-layers.c %D%/catalog-versions.c %D%/catalog.h %D%/catalog-internal.h \
	%D%/drain.c %D%/drain.h \
	%D%/gate.c %D%/gate-auth.c %D%/gate-functions.c %D%/gate.h %D%/gate-internal.h %D%/gate-idempotent.c %D%/gate-inside.c %D%/gate-invoke.c %D%/gate-layers.c %D%/gate-logs.c %D%/gate-node.c \
	%D%/gate-orchestrator.c %D%/gate-proxy.c %D%/gate-reply.c %D%/gate-routes.c %D%/gate-secrets.c %D%/gate-stream.c %D%/gate-versions.c %D%/gate-who.c \
	%D%/passed.c %D%/passed.h \
	%D%/invocation.c %D%/invocation-end.c %D%/invocation.h %D%/invocation-internal.h %D%/invocation-states.def \
	%D%/lineage.h %D%/logs.c %D%/logs-search.c %D%/logs.h %D%/meter.c %D%/meter.h %D%/runtime.c %D%/runtime-channel.c %D%/runtime-pull.c %D%/runtime-push.c %D%/runtime-stdio.c %D%/runtime.h %D%/runtime-internal.h \
	%D%/serve.c \
	%D%/upload.c %D%/upload.h %D%/web.c %D%/web.h %D%/worker.c %D%/worker.h %D%/writer.c %D%/writer.h
libserve_a_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JANSSON_CFLAGS) $(MICROHTTPD_CFLAGS) $(SQLITE_CFLAGS) \
	$(GNUTLS_CFLAGS) $(CURL_CFLAGS) -pthread

# What fc-agent's serve half needs to link, in this order, before KEEPER_LIBS.
SERVE_LIBS = libserve.a libapi.a libagent.a libipc.a libplan.a libjson.a libbase.a \
	$(EVENT_LIBS) $(MICROHTTPD_LIBS) $(SQLITE_LIBS) $(GNUTLS_LIBS) $(CURL_LIBS) $(JANSSON_LIBS)

sbin_PROGRAMS += fc-agent
fc_agent_SOURCES = %D%/main.c
fc_agent_CFLAGS = $(AM_CFLAGS)
fc_agent_LDFLAGS = $(AM_LDFLAGS) -pthread
fc_agent_LDADD = $(SERVE_LIBS) $(KEEPER_LIBS)
