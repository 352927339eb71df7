/*
 * A function for runtime stdio: the event on standard input, the reply on
 * standard output, the log on standard error. Build it without shared
 * libraries, so that it runs in any image:
 *
 *   cc -O2 -static -o contrib/examples/hello-c/hello contrib/examples/hello-c/hello.c
 */
#include <stdio.h>

int main(void)
{
	char name[256];
	size_t n = fread(name, 1, sizeof(name), stdin);

	if (ferror(stdin) || !feof(stdin)) {
		fprintf(stderr, "the event is a name of less than %zu bytes\n", sizeof(name));
		return 1;
	}
	fprintf(stderr, "greeting %zu bytes\n", n);
	printf("Hello, %.*s!\n", (int)n, name);
	return fflush(stdout) ? 1 : 0;
}
