/*
 * dump - a spec and a payload as stable text, for golden tests and for people
 * who ask what a sandbox is made of (fc-run spec --dump).
 *
 * One line per record, names rather than numbers, absent fields left out; a
 * BPF program as its length and a hash, and instruction by instruction when
 * asked. The block must have passed spec_check().
 */
#pragma once

#include "base/buf.h"
#include "sandbox/spec.h"

enum { DUMP_BPF = 1 }; /* every BPF instruction */

/* 0, -ENOMEM, or -EMSGSIZE when out's limit is reached. */
int dump_spec(const struct spec *s, int flags, struct buf *out);
int dump_payload(const struct payload *p, struct buf *out);
