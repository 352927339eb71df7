# check-keeper: the real keeper with a hostile unprivileged half in serve's place, and fc-agent's start, stop and
# death (root; exit 77 skips with a reason).
EXTRA_PROGRAMS += %D%/fc-agent-hostile
CLEANFILES += %D%/fc-agent-hostile
%C%_fc_agent_hostile_SOURCES = %D%/hostile-serve.c src/agent/main.c
%C%_fc_agent_hostile_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
%C%_fc_agent_hostile_LDADD = $(KEEPER_LIBS)
dist_check_SCRIPTS += %D%/run.sh %D%/life.sh

check-keeper: %D%/fc-agent-hostile fc-sandbox fc-unpack all
	$(srcdir)/%D%/run.sh $(builddir)
	$(srcdir)/%D%/life.sh $(builddir)
.PHONY: check-keeper
