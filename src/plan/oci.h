/*
 * oci - an OCI runtime-spec config.json (1.x) to a spec and a payload; fcnode-oci(7).
 *
 * Same target as functions (wish.h): whatever spec.h can express is honoured,
 * what is asked for and cannot be had is an error that names the field by its
 * path ("linux.resources.memory.limit: must be a whole number"), unknown
 * fields are ignored (config.md, "Extensibility"). Engines send zero values
 * that mean "unset" (docker); they count as unset. Pure: facts about the host
 * are inputs. seccomp goes through libseccomp, which only computes.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "sandbox/spec.h"

enum { OCI_CONFIG_SIZE_MAX = 4 << 20 }; /* bytes of a config.json that callers read */

/* What must be known besides the config. */
struct oci_env {
	const char *bundle;        /* absolute path; root.path and relative mount sources are below it */
	const char *stage_dir;     /* spec.stage_dir */
	uint32_t features_off;     /* spec.features_off */
	bool superuser;            /* the caller may make namespaces without a user namespace */
	bool apparmor, selinux;    /* the host's kernel has them */
	bool no_pivot;             /* --no-pivot */
	uint32_t preserve_fds;     /* --preserve-fds: further descriptors of the payload */
	bool console_socket;       /* --console-socket was given */
};

/* What callers need of a config that is not part of the spec. */
struct oci_info {
	bool terminal;
	uint16_t console_rows, console_columns;
	bool has_process;          /* false: config.process is absent; the payload is empty then (create without start) */
};

/* Both buffers must be empty. info may be NULL. 0 or -errno with err set. */
int oci_compile(json_t *config, const struct oci_env *env, struct buf *spec, struct buf *payload,
		struct oci_info *info, struct err *err);

/*
 * For `exec`: a process object of its own, run with the namespaces that the
 * launcher joins. `config` is the container's, for seccomp and the defaults.
 * The spec has neither mounts nor new namespaces.
 */
int oci_compile_exec(json_t *config, json_t *process, const struct oci_env *env, struct buf *spec,
		     struct buf *payload, struct oci_info *info, struct err *err);

/* For `update`: a LinuxResources object alone, as the cgroup part of a spec that has nothing else. */
int oci_compile_resources(json_t *resources, struct buf *spec, struct err *err);

/* Is ociVersion one that can be served (1.x)? 0 or -EINVAL with err set. */
int oci_version_check(const char *version, struct err *err);

/* Capability by its OCI name ("CAP_CHOWN"), or -1. Names for `features`. */
int oci_capability(const char *name);
const char *oci_capability_name(int cap);

/*
 * What `features` lists, straight from the tables oci_compile() reads by: the
 * i-th name of a list, NULL after the last one.
 */
enum oci_list {
	OCI_LIST_HOOK, OCI_LIST_MOUNT_OPTION, OCI_LIST_NAMESPACE, OCI_LIST_SECCOMP_ACTION,
	OCI_LIST_SECCOMP_OPERATOR, OCI_LIST_SECCOMP_ARCH, OCI_LIST_SECCOMP_FLAG, OCI_LIST_MAX
};
const char *oci_list_name(enum oci_list list, size_t i);
