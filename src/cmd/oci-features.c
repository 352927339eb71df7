/*
 * features - what fc-run's OCI side is built to do (runtime-spec, features.md,
 * features-linux.md), whatever this host allows. Every list comes from the
 * table that the config's reader itself goes by.
 */
#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cmd/oci.h"
#include "config.h"
#include "plan/oci.h"

struct features_opts {
	bool help;
};

static const struct opt options[] = {
	{ "help", 'h', OPT_FLAG, offsetof(struct features_opts, help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static json_t *names(enum oci_list list)
{
	json_t *array = json_array();
	const char *name;
	for (size_t i = 0; (name = oci_list_name(list, i)); i++)
		json_array_append_new(array, json_string(name));
	return array;
}

static json_t *capabilities(void)
{
	json_t *array = json_array();
	const char *name;
	for (int cap = 0; (name = oci_capability_name(cap)); cap++)
		json_array_append_new(array, json_string(name));
	return array;
}

static json_t *seccomp_features(void)
{
	return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "enabled", 1, "actions", names(OCI_LIST_SECCOMP_ACTION),
			 "operators", names(OCI_LIST_SECCOMP_OPERATOR), "archs", names(OCI_LIST_SECCOMP_ARCH),
			 "knownFlags", names(OCI_LIST_SECCOMP_FLAG), "supportedFlags", names(OCI_LIST_SECCOMP_FLAG));
}

static json_t *linux_features(void)
{
	return json_pack("{s:o, s:o, s:{s:b, s:b, s:b, s:b, s:b}, s:o, s:{s:b}, s:{s:b}, s:{s:b}, s:{s:{s:b}}}",
			 "namespaces", names(OCI_LIST_NAMESPACE), "capabilities", capabilities(),
			 "cgroup", "v1", 1, "v2", 1, "systemd", 0, "systemdUser", 0, "rdma", 0,
			 "seccomp", seccomp_features(), "apparmor", "enabled", 0, "selinux", "enabled", 0,
			 "intelRdt", "enabled", 0, "mountExtensions", "idmap", "enabled", 0);
}

static json_t *features(void)
{
	const struct scmp_version *v = seccomp_version();
	char seccomp[48];
	snprintf(seccomp, sizeof(seccomp), "%u.%u.%u", v->major, v->minor, v->micro);
	/* the document has no field for which namespaces can be joined by path; see fcnode-oci(7) */
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:{s:s, s:s, s:s}}", "ociVersionMin", "1.0.0", "ociVersionMax", CMD_OCI_VERSION,
			 "hooks", names(OCI_LIST_HOOK), "mountOptions", names(OCI_LIST_MOUNT_OPTION), "linux", linux_features(),
			 "annotations", "io.github.seccomp.libseccomp.version", seccomp,
			 "org.fcnode.fc-run.namespaces.alwaysNew", "mount,user", "org.fcnode.fc-run.version", VERSION);
}

int cmd_features(int argc, char **argv, const struct cmd_globals *g)
{
	struct features_opts opts = { 0 };
	struct err err = ERR_INIT;

	int first = oci_parse(options, "features", argc, argv, 0, 0, &opts, &err);
	if (first <= 0)
		return first < 0 ? oci_fail(g, &err) : CMD_OK;
	autojson json_t *j = features();
	autofree char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
	if (!text) {
		err_set(&err, ENOMEM, "write JSON");
		return oci_fail(g, &err);
	}
	puts(text);
	return CMD_OK;
}
