# agent: fc-agent's two halves, keeper (root) and serve (unprivileged), and what both know.
# libagent.a is both halves' common ground and serve's end of the link; a test links it alone.
noinst_LIBRARIES += libagent.a
libagent_a_SOURCES = \
	%D%/config.c %D%/config.h %D%/link.c %D%/link.h %D%/instance.c %D%/instance.h %D%/instance-states.def
libagent_a_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
