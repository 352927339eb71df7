/* catalog-versions: which version a call gets, weights as they are read, and that all of it outlives the program. */
#include <event2/event.h>
#include <jansson.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/stats.h"
#include "agent/writer.h"
#include "base/cleanup.h"
#include "base/json.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int weigh(struct catalog_alias *a, const char *text)
{
	struct err err = ERR_INIT;
	autojson json_t *o = json_loads(text, 0, NULL);
	assert_non_null(o);
	return catalog_alias_weights(a, o, &err);
}

static void test_pick_is_exact(void **state)
{
	(void)state;
	struct catalog_alias a = { .version = 1 };
	assert_int_equal(weigh(&a, "{\"2\": 0.1, \"3\": 0.000001, \"4\": 0.25}"), 0);
	uint32_t seen[5] = { 0 };
	for (uint32_t draw = 0; draw < CATALOG_WEIGHT_ONE; draw++)
		seen[catalog_alias_pick(&a, draw)]++;
	assert_int_equal(seen[1], 649999);
	assert_int_equal(seen[2], 100000);
	assert_int_equal(seen[3], 1);
	assert_int_equal(seen[4], 250000);
	assert_int_equal(weigh(&a, "{\"2\": 1.0, \"3\": 0}"), 0);
	assert_int_equal(catalog_alias_pick(&a, 0), 2);
	assert_int_equal(catalog_alias_pick(&a, CATALOG_WEIGHT_ONE - 1), 2);
	assert_int_equal(weigh(&a, "{}"), 0);
	assert_int_equal(catalog_alias_pick(&a, 0), 1);
}

static void test_weights_are_read_strictly(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"{\"1\": 0.1}", "{\"0\": 0.1}", "{\"x\": 0.1}", "{\"-2\": 0.1}", "{\"02\": 0.1, \"2\": 0.1}", "{\"2\": 1.1}", "{\"2\": -0.1}",
		"{\"2\": \"0.1\"}", "{\"2\": null}", "{\"2\": true}", "{\"2\": 0.0000001}", "{\"2\": 1e300}", "{\"2\": 0.5, \"3\": 0.500001}",
		"{\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,\"8\":0,\"9\":0,\"10\":0}", "{\"99999999999999999999\": 0.1}",
	};
	struct catalog_alias a = { .version = 1 };
	assert_int_equal(weigh(&a, "{\"7\": 0.123456}"), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(weigh(&a, bad[i]) < 0);
		assert_int_equal(a.nweights, 1); /* what was there stays */
		assert_int_equal(a.weight[0].version, 7);
	}
	json_t *o = catalog_alias_weights_json(&a);
	assert_int_equal(catalog_alias_weights(&a, o, NULL), 0);
	assert_int_equal(a.weight[0].millionths, 123456);
	json_decref(o);
}

/* ---- a catalog over a database with one function ---------------------------- */

struct fixture {
	char dir[64];
	struct event_base *base;
	struct config config;
	struct stats stats;
	struct writer *writer;
	struct catalog *catalog;
	int answers;
	struct catalog_result result;
};

static void seed(struct fixture *fx)
{
	static const char sql[] =
		"INSERT INTO blobs(tenant, digest, size, checksum, created_ms, layer_bytes, layer_files, unpacked) VALUES('t', '" DIGEST "', 10, '5', 0, 10, 1, 1);"
		"INSERT INTO functions(tenant, name, id, config, digest, code_size, checksum, created_ms, modified_ms, revision)"
		" VALUES('t', 'f', 'id', '{\"runtime\":\"stdio\",\"functionName\":\"f\"}', '" DIGEST "', 10, '5', 1, 2, 3);";
	assert_int_equal(sqlite3_exec(writer_connection(fx->writer, WRITER_STATE), sql, NULL, NULL, NULL), SQLITE_OK);
}

static void start(struct fixture *fx)
{
	struct err err = ERR_INIT;
	bool fresh = fx->writer == NULL && fx->stats.functions == 0;
	assert_int_equal(writer_new(&fx->writer, fx->base, fx->dir, &fx->stats, &err), 0);
	if (fresh)
		seed(fx);
	assert_int_equal(catalog_new(&fx->catalog, fx->base, &fx->config, fx->dir, fx->writer, &fx->stats, &err), 0);
}

static void stop(struct fixture *fx)
{
	fx->writer = writer_free(fx->writer);
	fx->catalog = catalog_free(fx->catalog);
}

static int setup(void **state)
{
	static struct fixture fx;
	fx = (struct fixture){ .dir = "/tmp/fc-catalog-XXXXXX", .config = { .max_versions = 3, .max_aliases = 2, .tenant_disk_quota = 1 << 20 } };
	assert_non_null(mkdtemp(fx.dir));
	fx.base = event_base_new();
	start(&fx);
	*state = &fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;
	static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm", "logs.db", "logs.db-wal", "logs.db-shm" };
	char path[160];
	stop(fx);
	event_base_free(fx->base);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", fx->dir, files[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/blobs", fx->dir);
	rmdir(path);
	return rmdir(fx->dir);
}

static void answered(void *arg, const struct catalog_result *r)
{
	struct fixture *fx = arg;
	fx->answers++;
	fx->result = *r;
}

/* The code that the change which was just asked for came to. */
static enum api_code outcome(struct fixture *fx)
{
	while (fx->answers == 0)
		event_base_loop(fx->base, EVLOOP_ONCE);
	assert_int_equal(fx->answers, 1);
	fx->answers = 0;
	return fx->result.code;
}

static struct catalog_function *function(struct fixture *fx)
{
	struct catalog_function *f = catalog_find(fx->catalog, "t", "f");
	assert_non_null(f);
	return f;
}

static enum api_code publish(struct fixture *fx, const char *note)
{
	catalog_publish(fx->catalog, function(fx), note, answered, fx);
	return outcome(fx);
}

static enum api_code put(struct fixture *fx, const char *name, uint64_t version, const char *weights)
{
	struct catalog_alias a = { .version = version };
	snprintf(a.name, sizeof(a.name), "%s", name);
	assert_int_equal(weigh(&a, weights), 0);
	catalog_put_alias(fx->catalog, function(fx), &a, answered, fx);
	return outcome(fx);
}

static enum api_code delete_version(struct fixture *fx, uint64_t number)
{
	struct catalog_function *v = catalog_find_version(fx->catalog, "t", "f", number);
	assert_non_null(v);
	catalog_delete_version(fx->catalog, v, answered, fx);
	return outcome(fx);
}

static const char *resolve(struct fixture *fx, const char *qualifier)
{
	struct err err = ERR_INIT;
	struct catalog_function *f = NULL;
	enum api_code code = catalog_resolve(fx->catalog, "t", "f", qualifier, true, &f, &err);
	return code == API_CODE_MAX ? f->version : api_code_name(code);
}

static void test_versions(void **state)
{
	struct fixture *fx = *state;
	assert_string_equal(resolve(fx, NULL), "LATEST");
	assert_string_equal(resolve(fx, "1"), "VersionNotFound");
	for (int i = 0; i < 3; i++)
		assert_int_equal(publish(fx, "note"), API_CODE_MAX);
	assert_int_equal(publish(fx, ""), API_LIMIT_EXCEEDED);
	assert_int_equal(delete_version(fx, 3), API_CODE_MAX);
	stop(fx);
	start(fx);
	assert_int_equal(publish(fx, "4th"), API_CODE_MAX); /* 3 does not come again */
	assert_string_equal(resolve(fx, "3"), "VersionNotFound");
	assert_string_equal(resolve(fx, "4"), "4");
	assert_string_equal(catalog_find_version(fx->catalog, "t", "f", 1)->note, "note");
	struct catalog_function *out[2];
	uint64_t more;
	assert_int_equal(catalog_list_versions(fx->catalog, function(fx), 0, false, 2, out, &more), 2);
	assert_int_equal(out[0]->number, 4);
	assert_int_equal(out[1]->number, 2);
	assert_int_equal(more, 1);
	assert_int_equal(catalog_list_versions(fx->catalog, function(fx), more, false, 2, out, &more), 1);
	assert_int_equal(more, 0);
	assert_int_equal(catalog_list_versions(fx->catalog, function(fx), 3, true, 2, out, &more), 1); /* 3 is gone: the next */
	assert_int_equal(out[0]->number, 4);
	assert_int_equal(catalog_list_versions(fx->catalog, function(fx), 3, false, 2, out, &more), 2);
	assert_int_equal(out[0]->number, 2);
}

static void test_aliases(void **state)
{
	struct fixture *fx = *state;
	assert_int_equal(publish(fx, ""), API_CODE_MAX);
	assert_int_equal(publish(fx, ""), API_CODE_MAX);
	assert_int_equal(put(fx, "prod", 3, "{}"), API_VERSION_NOT_FOUND);
	assert_int_equal(put(fx, "prod", 1, "{\"3\": 0.5}"), API_VERSION_NOT_FOUND);
	assert_string_equal(resolve(fx, "prod"), "AliasNotFound");
	assert_int_equal(put(fx, "prod", 1, "{\"2\": 1}"), API_CODE_MAX);
	assert_string_equal(resolve(fx, "prod"), "2");
	assert_int_equal(put(fx, "beta", 2, "{}"), API_CODE_MAX);
	assert_int_equal(put(fx, "third", 2, "{}"), API_LIMIT_EXCEEDED);
	assert_int_equal(delete_version(fx, 1), API_VERSION_IN_USE);
	assert_int_equal(put(fx, "prod", 1, "{\"2\": 0.25}"), API_CODE_MAX);
	assert_int_equal(delete_version(fx, 2), API_VERSION_IN_USE);
	catalog_set_concurrency(fx->catalog, function(fx), 5, answered, fx);
	assert_int_equal(outcome(fx), API_CODE_MAX);
	stop(fx);
	start(fx);
	const struct catalog_alias *a = catalog_find_alias(fx->catalog, function(fx), "prod");
	assert_int_equal(a->version, 1);
	assert_int_equal(a->nweights, 1);
	assert_int_equal(a->weight[0].millionths, 250000);
	assert_int_equal(a->revision, 2);
	assert_int_equal(catalog_concurrency(fx->catalog, function(fx)), 5);
	catalog_delete_alias(fx->catalog, function(fx), "prod", answered, fx);
	assert_int_equal(outcome(fx), API_CODE_MAX);
	catalog_delete_alias(fx->catalog, function(fx), "prod", answered, fx);
	assert_int_equal(outcome(fx), API_ALIAS_NOT_FOUND);
	assert_int_equal(delete_version(fx, 1), API_CODE_MAX);
}

static void test_one_change_at_a_time(void **state)
{
	struct fixture *fx = *state, other = { .answers = 0 };
	catalog_publish(fx->catalog, function(fx), "", answered, fx);
	catalog_publish(fx->catalog, function(fx), "", answered, &other);
	assert_int_equal(outcome(&other), API_CONCURRENT_UPDATE);
	catalog_delete(fx->catalog, function(fx), answered, &other);
	assert_int_equal(outcome(&other), API_CONCURRENT_UPDATE);
	assert_int_equal(outcome(fx), API_CODE_MAX);
	struct catalog_function *held = catalog_function_ref(catalog_find_version(fx->catalog, "t", "f", 1));
	catalog_delete(fx->catalog, function(fx), answered, fx);
	catalog_publish(fx->catalog, function(fx), "", answered, &other);
	assert_int_equal(outcome(&other), API_CONCURRENT_UPDATE);
	assert_int_equal(outcome(fx), API_CODE_MAX);
	assert_null(catalog_find(fx->catalog, "t", "f"));
	assert_true(catalog_has_blob(fx->catalog, "t", DIGEST)); /* a call may still begin with what it holds */
	catalog_function_unref(held);
	assert_false(catalog_has_blob(fx->catalog, "t", DIGEST));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pick_is_exact),
		cmocka_unit_test(test_weights_are_read_strictly),
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_aliases, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_change_at_a_time, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
