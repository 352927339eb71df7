#include "base/opts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

static int store_enum(const struct opt *o, const char *value, int *dest, struct err *err)
{
	const char *p = o->choices;
	size_t len = strlen(value);
	for (int i = 0;; i++) {
		size_t n = strcspn(p, "|");
		if (n == len && strncmp(p, value, n) == 0) {
			*dest = i;
			return 0;
		}
		if (!p[n])
			break;
		p += n + 1;
	}
	return err_set(err, 0, "--%s %s: not one of %s", o->name, value, o->choices);
}

/* A bound as it would be typed. */
static const char *format_limit(const struct opt *o, uint64_t v, char out[32])
{
	if (o->type == OPT_BYTES && v >= 1024)
		str_size(out, 32, v);
	else if (o->type == OPT_MILLI)
		snprintf(out, 32, "%g", (double)v / 1000);
	else
		snprintf(out, 32, "%" PRIu64 "%s", v, o->type == OPT_BYTES ? " bytes" : o->type == OPT_MS ? " ms" : "");
	return out;
}

static int store_number(const struct opt *o, const char *value, uint64_t *dest, struct err *err)
{
	static int (*const parse[])(const char *, uint64_t *) = {
		[OPT_U64] = str_to_u64, [OPT_BYTES] = str_to_bytes, [OPT_MS] = str_to_ms, [OPT_MILLI] = str_to_milli,
	};
	static const char *const form[] = {
		[OPT_U64] = "a whole number", [OPT_BYTES] = "a size such as 64M or 1.5G",
		[OPT_MS] = "a time such as 500ms, 3s or 2m", [OPT_MILLI] = "a number such as 0.5 or 2",
	};
	uint64_t v;
	if (parse[o->type](value, &v) < 0)
		return err_set(err, 0, "--%s %s: not %s", o->name, value, form[o->type]);
	if (v < o->min || (o->max && v > o->max)) {
		char min[32], max[32];
		return err_set(err, 0, "--%s %s: outside %s to %s", o->name, value, format_limit(o, o->min, min),
			       format_limit(o, o->max ? o->max : UINT64_MAX, max));
	}
	*dest = v;
	return 0;
}

static int store(const struct opt *o, const char *value, void *dest, struct err *err)
{
	void *field = (char *)dest + o->offset;
	switch (o->type) {
	case OPT_FLAG:
		if (value && strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
			return err_set(err, 0, "%s = %s: not yes or no", o->name, value);
		*(bool *)field = !value || strcmp(value, "yes") == 0;
		return 0;
	case OPT_STR:
		*(const char **)field = value;
		return 0;
	case OPT_LIST: {
		struct opt_list *list = field;
		if (list->count == OPT_LIST_MAX)
			return err_set(err, 0, "--%s: given more than %d times", o->name, OPT_LIST_MAX);
		list->item[list->count++] = value;
		return 0;
	}
	case OPT_ENUM:
		return store_enum(o, value, field, err);
	case OPT_NOTE:
		break;
	default:
		return store_number(o, value, field, err);
	}
	return err_set(err, 0, "--%s: not an option", o->name);
}

static const struct opt *find_long(const struct opt *table, const char *name, size_t len)
{
	for (const struct opt *o = table; o->name; o++)
		if (o->type != OPT_NOTE && strlen(o->name) == len && strncmp(o->name, name, len) == 0)
			return o;
	return NULL;
}

static const struct opt *find_letter(const struct opt *table, char letter)
{
	for (const struct opt *o = table; o->name; o++)
		if (o->letter == letter && letter)
			return o;
	return NULL;
}

static int unknown(const char *word, struct err *err)
{
	err_set(err, 0, "unknown option %s", word);
	return err_hint(err, "--help lists the options");
}

/* One "--name", "--name=value", "-x", "-xvalue"; *i moves past a value in the next word. */
static int parse_word(const struct opt *table, int argc, char **argv, int *i, void *dest, struct err *err)
{
	char *word = argv[*i];
	const struct opt *o;
	const char *value = NULL;

	if (word[1] == '-') {
		size_t len = strcspn(word + 2, "=");
		o = find_long(table, word + 2, len);
		if (word[2 + len] == '=')
			value = word + 3 + len;
	} else {
		o = find_letter(table, word[1]);
		if (o && word[2]) {
			if (o->type == OPT_FLAG)
				return err_set(err, 0, "%s: give flags one by one", word);
			value = word + 2;
		}
	}
	if (!o)
		return unknown(word, err);
	if (o->type == OPT_FLAG) {
		if (value)
			return err_set(err, 0, "--%s takes no value", o->name);
	} else if (!value) {
		if (*i + 1 >= argc)
			return err_set(err, 0, "--%s needs a value (%s)", o->name, o->arg ? o->arg : "VALUE");
		value = argv[++*i];
	}
	return store(o, value, dest, err);
}

int opts_parse(const struct opt *table, int argc, char **argv, bool permute, void *dest, struct err *err)
{
	int end = argc;
	for (int i = 1; i < end; i++) {
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			if (!permute)
				return i;
			char *operand = argv[i]; /* to the back, keeping order */
			memmove(&argv[i], &argv[i + 1], sizeof(*argv) * (size_t)(argc - i - 1));
			argv[argc - 1] = operand;
			end--;
			i--;
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			if (!permute || end == argc)
				return i + 1;
			/* operands before "--" were moved behind those after it: rotate them back */
			for (int moved = argc - end; moved > 0; moved--) {
				char *operand = argv[argc - 1];
				memmove(&argv[i + 2], &argv[i + 1], sizeof(*argv) * (size_t)(argc - i - 2));
				argv[i + 1] = operand;
			}
			return i + 1;
		}
		int r = parse_word(table, end, argv, &i, dest, err);
		if (r < 0)
			return r;
	}
	return end;
}

void opts_help(const struct opt *table, FILE *out)
{
	for (const struct opt *o = table; o->name; o++) {
		if (o->type == OPT_NOTE) {
			fprintf(out, "\n%s:\n", o->help);
			continue;
		}
		char left[80];
		const char *arg = o->type == OPT_ENUM ? o->choices : o->arg;
		char letter[8] = "    ";
		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->type == OPT_FLAG ? "" : " ",
			 o->type == OPT_FLAG ? "" : arg);
		if (strlen(left) > 27)
			fprintf(out, "  %s\n  %-28s%s\n", left, "", o->help);
		else
			fprintf(out, "  %-28s%s\n", left, o->help);
	}
}

int opts_set(const struct opt *table, const char *name, const char *value, void *dest, struct err *err)
{
	const struct opt *o = find_long(table, name, strlen(name));
	if (!o) {
		err_set(err, 0, "unknown setting %s", name);
		return -ENOENT;
	}
	return store(o, value, dest, err);
}

static char *trim(char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	size_t n = strlen(s);
	while (n > 0 && strchr(" \t\r\n", s[n - 1]))
		s[--n] = '\0';
	return s;
}

int opts_read_file(const struct opt *table, const char *path, void *dest, struct err *err)
{
	autofp FILE *fp = fopen(path, "re");
	if (!fp)
		return err_set(err, errno, "open %s", path);

	autofree char *line = NULL;
	size_t size = 0;
	for (unsigned nr = 1; getline(&line, &size, fp) >= 0; nr++) {
		char *name = trim(line);
		if (!*name || *name == '#')
			continue;
		char *eq = strchr(name, '=');
		if (!eq)
			return err_set(err, 0, "%s line %u: not of the form name = value", path, nr);
		*eq = '\0';
		autofree char *value = strdup(trim(eq + 1));
		if (!value)
			return err_set(err, ENOMEM, "read %s", path);
		name = trim(name);
		if (opts_set(table, name, value, dest, err) < 0)
			return err_wrap(err, "%s line %u", path, nr);
		const struct opt *o = find_long(table, name, strlen(name));
		if (o->type == OPT_STR || o->type == OPT_LIST)
			(void)take_ptr(value); /* dest points at it until the program ends */
	}
	return ferror(fp) ? err_set(err, EIO, "read %s", path) : 0;
}
