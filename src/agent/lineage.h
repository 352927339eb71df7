/*
 * lineage - which call made a call. Known from the sandbox that a request comes
 * out of, never from what the request says, so that user code cannot forge it.
 */
#pragma once

enum { LINEAGE_ID = 40 /* a request id, as text */ };

struct lineage {
	char parent[LINEAGE_ID]; /* the call that made this one; "": it came from outside */
	char root[LINEAGE_ID];   /* the first of them, that came from outside */
	unsigned depth;          /* 0: from outside */
};

/* A call that runs and whose code may call functions. */
struct caller {
	const char *tenant, *function, *role; /* borrowed */
	struct lineage made;                  /* what calls of it have as theirs */
};
