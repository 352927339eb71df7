/*
 * oci-internal - what oci.c and its siblings share: one reader per part of the
 * config, all writing to one plan. Each returns 0 or -errno with o->err set.
 */
#pragma once

#include <stdbool.h>

#include "base/json.h"
#include "plan/compile.h"
#include "plan/oci.h"

struct oci_reader {
	struct plan plan;
	const struct oci_env *env;
	struct err *err;
	bool user_ns;         /* a user namespace, new or joined */
	uint32_t ns_all;      /* 1 << enum spec_ns: new or joined */
	bool update;          /* resources alone: -1 lifts a limit */
};

static inline bool oci_has_ns(const struct oci_reader *o, enum spec_ns ns) { return (o->ns_all >> ns) & 1; }

/* oci-mounts.c: root, mounts, devices, masked and read-only paths */
int oci_read_mounts(struct oci_reader *o, json_t *mounts, json_t *devices);
int oci_read_path_lists(struct oci_reader *o, json_t *masked, json_t *readonly);
const char *oci_mount_option_name(size_t i);

/* oci-process.c: process and its user, limits, capabilities, words */
int oci_read_process(struct oci_reader *o, json_t *process, struct buf *payload, struct oci_info *info);

/* oci-resources.c: linux.resources */
int oci_read_resources(struct oci_reader *o, json_t *resources, const char *where);

/* oci-seccomp.c: linux.seccomp */
int oci_read_seccomp(struct oci_reader *o, json_t *seccomp);
const char *oci_seccomp_list_name(enum oci_list list, size_t i);

/* Reading helpers (oci.c) */
enum { OCI_WHERE = 96 };

/* NULL and zero count as absent; a real of 2^63 or more (an integer jansson cannot hold) saturates. */
int oci_u64(json_t *v, const char *where, uint64_t *ret, struct err *err);
/* Append each string of an array to the words section; *first and *count name the range. */
int oci_words(struct oci_reader *o, json_t *array, const char *where, uint32_t *first, uint32_t *count);
/* An array of strings as a NULL-terminated borrowed list to be freed with free(). */
int oci_strings(json_t *array, const char *where, const char ***ret, struct err *err);
/* Refuse a field that is set to something. */
int oci_refuse(struct oci_reader *o, json_t *v, const char *where, const char *why);
bool oci_is_unset(const json_t *v);
