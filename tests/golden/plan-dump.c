/*
 * fc-plan-dump KIND FILE: what plan/ makes of a JSON document, as text, or the
 * error it answers; for golden tests and by hand. No root, nothing is run.
 *
 *   function   {"function": manifest, "wish": {image, ids, net, ...}}
 *   oci        a config.json; FILE ending in -user.json: for an ordinary user
 *   exec       {"config": config.json, "process": process}
 *   resources  a LinuxResources object (update)
 *   bpf        (no FILE) the function profile, instruction by instruction
 *
 * FC_RAW=spec or FC_RAW=payload writes that block's bytes instead (seeds for fuzzing).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "plan/dump.h"
#include "plan/function.h"
#include "plan/oci.h"
#include "plan/wish.h"

enum { TEXT_MAX = 4 << 20, LAYERS_MAX = 8 };

static int show(const struct buf *spec, const struct buf *payload, int flags)
{
	autobuf struct buf text = BUF_INIT(TEXT_MAX);
	const char *raw = getenv("FC_RAW");
	if (raw) {
		const struct buf *b = strcmp(raw, "spec") == 0 ? spec : payload;
		return fwrite(b->data, 1, b->len, stdout) == b->len ? 0 : -1;
	}
	int r = spec->len ? dump_spec((const struct spec *)spec->data, flags, &text) : 0;
	if (r == 0 && payload->len)
		r = dump_payload((const struct payload *)payload->data, &text);
	fputs(text.data ? text.data : "", stdout);
	return r;
}

struct raw_wish {
	const char *image, *ids, *net, *code_dir, *tmp_dir, *skel;
	json_t *layers;
	bool idmap, usr_split;
	int64_t pids;
};

static const struct json_field wish_fields[] = {
#define W(member) offsetof(struct raw_wish, member)
	{ "image", JF_STR, W(image), false, 0, 0 }, { "ids", JF_STR, W(ids), false, 0, 0 },
	{ "net", JF_STR, W(net), false, 0, 0 }, { "codeDir", JF_STR, W(code_dir), false, 0, 0 },
	{ "tmpDir", JF_STR, W(tmp_dir), false, 0, 0 },
	{ "skel", JF_STR, W(skel), false, 0, 0 }, { "layers", JF_ARRAY, W(layers), false, 0, 0 },
	{ "idmap", JF_BOOL, W(idmap), false, 0, 0 }, { "usrSplit", JF_BOOL, W(usr_split), false, 0, 0 },
	{ "pids", JF_INT, W(pids), false, 0, 0 }, { NULL, 0, 0, false, 0, 0 },
#undef W
};

static struct function_wish to_wish(const struct raw_wish *raw, const struct function *f, const char **layers)
{
	static const char *const etc_binds[] = { "/etc/ssl/certs", "/etc/alternatives", NULL };
	bool dir = raw->image && strcmp(raw->image, "host") != 0;
	size_t i;
	json_t *v;
	json_array_foreach(raw->layers, i, v)
		if (i < LAYERS_MAX)
			layers[i] = json_string_value(v);
	return (struct function_wish){
		.runtime = f->runtime,
		.limits = { .memory_bytes = (uint64_t)f->memory_mb << 20, .cpu_milli = f->cpu_milli,
			    .pids = (uint32_t)raw->pids, .tmp_bytes = (uint64_t)f->disk_mb << 20 },
		.image = dir ? WISH_IMAGE_DIR : WISH_IMAGE_HOST,
		.image_dir = dir ? raw->image : NULL,
		.skel_dir = raw->skel,
		.etc_dir = "/data/images/host/etc",
		.etc_binds = etc_binds,
		.usr_split = raw->usr_split,
		.lib64 = true,
		.code_dir = raw->code_dir,
		.code_layer = raw->code_dir ? NULL : "/layers/code",
		.layers = layers,
		.runtime_dir = function_runtime_dir(f->runtime) ? "/data/runtime" : NULL,
		.tmp_dir = raw->tmp_dir,
		.ids = raw->ids && strcmp(raw->ids, "single") == 0 ? WISH_IDS_SINGLE : WISH_IDS_RANGE,
		.uid_base = 200000, .gid_base = 300000,
		.idmap = raw->idmap,
		.net = !raw->net ? WISH_NET_NONE : strcmp(raw->net, "host") == 0 ? WISH_NET_HOST : WISH_NET_GIVEN,
		.stage_dir = "/stage",
	};
}

static int do_function(json_t *doc, struct buf *spec, struct buf *payload, struct err *err)
{
	const char *layers[LAYERS_MAX + 1] = { NULL };
	struct raw_wish raw = { .pids = WISH_PIDS };
	_cleanup_(function_fini) struct function f = { 0 };
	json_t *wish = json_object_get(doc, "wish");
	int r = function_parse(json_object_get(doc, "function"), "golden", &f, err);
	if (r == 0 && wish)
		r = json_read(wish, wish_fields, 0, &raw, "wish", err);
	if (r < 0)
		return r;
	struct function_wish w = to_wish(&raw, &f, layers);
	struct function_start start = { .function = &f, .instance_id = "i-0", .account_id = "tenant" };
	r = plan_function(&w, spec, err);
	return r < 0 ? r : plan_function_payload(&start, payload, err);
}

static int do_oci(const char *kind, const char *path, json_t *doc, struct buf *spec, struct buf *payload, struct err *err)
{
	struct oci_info info;
	struct oci_env env = { .bundle = "/bundle", .stage_dir = "/stage", .superuser = !str_ends(path, "-user.json") };
	bool exec = strcmp(kind, "exec") == 0;
	json_t *config = exec ? json_object_get(doc, "config") : doc;
	json_t *process = json_object_get(doc, "process");
	env.console_socket = json_is_true(json_object_get(process, "terminal"));
	if (strcmp(kind, "resources") == 0)
		return oci_compile_resources(doc, spec, err);
	return exec ? oci_compile_exec(config, process, &env, spec, payload, &info, err)
		    : oci_compile(config, &env, spec, payload, &info, err);
}

static int run(const char *kind, const char *path, struct err *err)
{
	autobuf struct buf spec = BUF_INIT(SPEC_SIZE_MAX), payload = BUF_INIT(PAYLOAD_SIZE_MAX);
	autojson json_t *doc = json_parse_file(path, OCI_CONFIG_SIZE_MAX, err);
	if (!doc)
		return -1;
	int r = strcmp(kind, "function") == 0 ? do_function(doc, &spec, &payload, err)
					      : do_oci(kind, path, doc, &spec, &payload, err);
	return r < 0 ? r : show(&spec, &payload, 0);
}

static int show_profile(void)
{
	static const struct function_wish w = {
		.limits = { .tmp_bytes = 1 }, .etc_dir = "/e", .code_dir = "/c", .uid_base = 1, .gid_base = 1, .stage_dir = "/s",
	};
	struct err err = ERR_INIT;
	autobuf struct buf spec = BUF_INIT(SPEC_SIZE_MAX);
	static const struct buf none;
	if (plan_function(&w, &spec, &err) < 0)
		return 1;
	return show(&spec, &none, DUMP_BPF) < 0;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	if (argc == 2 && strcmp(argv[1], "bpf") == 0)
		return show_profile();
	if (argc != 3) {
		fprintf(stderr, "usage: plan-dump function|oci|exec|resources FILE, or plan-dump bpf\n");
		return 2;
	}
	if (run(argv[1], argv[2], &err) < 0) {
		printf("error: %s\n", err.text);
		if (err.hint[0])
			printf("hint: %s\n", err.hint);
		return 1;
	}
	return 0;
}
