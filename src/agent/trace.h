/*
 * trace - the W3C trace context (https://www.w3.org/TR/trace-context/) of a
 * request, checked before it is handed to a function. Pure.
 */
#pragma once

#include <stdbool.h>

enum { TRACE_PARENT_SIZE = 56, TRACE_STATE_SIZE = 513 };

/* A traceparent header's value into out, as version 00 (section 3.2: of a higher version, what version 00 has). False, and
 * out is "": it is none, and is to be ignored, as the specification says. */
bool trace_parent(char out[TRACE_PARENT_SIZE], const char *header);

/* A tracestate header's value: printable ASCII, at most 512 characters. False: none, or to be ignored. */
bool trace_state(char out[TRACE_STATE_SIZE], const char *header);
