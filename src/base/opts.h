/*
 * opts - one table per command: the command line, --help and the config file
 * all derive from it, so that they cannot disagree.
 *
 * A row stores into a field of the caller's struct at `offset`. Types and the
 * C type of the field:
 *   OPT_FLAG bool; OPT_STR const char *; OPT_LIST struct opt_list;
 *   OPT_U64, OPT_BYTES, OPT_MS, OPT_MILLI uint64_t; OPT_ENUM int (index into choices);
 *   OPT_NOTE nothing (a heading inside --help).
 * Values outside [min, max] are refused by name. max 0 means no upper bound.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum opt_type { OPT_FLAG, OPT_STR, OPT_LIST, OPT_U64, OPT_BYTES, OPT_MS, OPT_MILLI, OPT_ENUM, OPT_NOTE };

enum { OPT_LIST_MAX = 256 };

struct opt_list {
	const char *item[OPT_LIST_MAX];
	size_t count;
};

struct opt {
	const char *name;    /* "memory" for --memory; NULL ends the table */
	char letter;         /* 'm' for -m, or 0 */
	enum opt_type type;
	size_t offset;
	const char *arg;     /* "SIZE" in --help; NULL for flags */
	const char *help;    /* what it does, with unit and default */
	const char *choices; /* OPT_ENUM: "none|host" */
	uint64_t min, max;
};

/* Parse argv[1..]. "--" ends the options; the first word that is no option
 * ends them too unless permute is set. Returns the index of the first operand
 * (with permute, operands are moved to the end), or -EINVAL with err set. */
int opts_parse(const struct opt *table, int argc, char **argv, bool permute, void *dest, struct err *err);

/* Print the table's rows, one or two lines each. */
void opts_help(const struct opt *table, FILE *out);

/* Store one value by option name, as the config file does. -ENOENT when the table has no such name. */
int opts_set(const struct opt *table, const char *name, const char *value, void *dest, struct err *err);

/* Read "name = value" lines ('#' comments, blank lines) from a file. Strings
 * are duplicated and live until exit. Unknown names are errors with the line number. */
int opts_read_file(const struct opt *table, const char *path, void *dest, struct err *err);
