/*
 * log - one line per event on stderr, key=value, with journald's priority
 * prefix ("<3>", see sd-daemon(3)) when stderr is not a terminal.
 *
 * Only main.c, cmd/, serve and keeper log; everything below returns errors.
 * Never a payload, an environment value or a secret in a line. Survived
 * failures end in ", ignoring".
 */
#pragma once

enum log_level { LOG_LEVEL_ERR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Lines above max are dropped. ident is the process' name in the line ("keeper"); kept by reference. */
void log_init(const char *ident, enum log_level max);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...) log_line(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
