/* probe-json - the report for machines. Apart from probe.c, so that who only probes needs no jansson. */
#include <errno.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "host/probe.h"

/* The keys are stable; new ones may come. */
int probe_json(const struct probe_report *r, struct buf *out)
{
	autojson json_t *rows = json_array();
	for (size_t i = 0; i < r->count; i++) {
		const struct probe_row *row = &r->row[i];
		json_t *o = json_pack("{s:s, s:s, s:b, s:s, s:s, s:s}", "name", row->name, "status", probe_status_name(row->status),
				      "required", (int)row->required, "neededFor", row->needed_for, "detail", row->detail, "todo",
				      row->todo);
		if (json_array_append_new(rows, o) < 0)
			return -EINVAL;
	}
	autojson json_t *doc = json_pack("{s:b, s:s, s:b, s:s, s:i, s:O}", "fit", (int)r->fit, "kernel", r->kernel, "root",
					 (int)r->root, "stateDir", r->state_dir, "maxInstances", (int)r->max_instances,
					 "rows", rows);
	autofree char *text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
	return text ? buf_printf(out, "%s\n", text) : -EINVAL;
}
