/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What words of the command line mean: a stage's words, the file a program
 * name stands for, the name of a VM, sizes and durations. Touches nothing but
 * its arguments and, to find programs, the file system.
 */
#ifndef FERRY_CLI_WORDS_H
#define FERRY_CLI_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORDS_NAME_BYTES 32 /* of a VM's name, with its zero */

/* Splits a stage as a shell splits words (quotes and backslashes; nothing is
 * expanded). -EINVAL: ends inside a quote or after a backslash; -ENODATA: no
 * program. The caller frees *argv with g_strfreev. */
int words_split(const char *stage, char ***argv);

/* The parts of `text` between unquoted bars, as they are written; at least one. The caller frees
 * them with g_strfreev. */
char **words_stages(const char *text);

/* The first thing outside quotes that only a shell acts on, and no bar between two stages: ;, &,
 * &&, ||, |&, <, 2>, a parenthesis, $( or a backtick. NULL: none. The caller frees it with
 * g_free. */
char *words_operator(const char *text);

/* The first word in which a shell would put something else in the place of a $ or backtick, a
 * pattern or a ~; NULL: none. The caller frees it with g_free. */
char *words_expansion(const char *text);

/* Whether a shell knows the word itself, so that there is no program of that name. */
bool words_is_builtin(const char *word);

/* Whether it is NAME=..., which shells take for the program's environment. */
bool words_is_assignment(const char *word);

/* The word of the NULL-terminated list that `word` may have been meant for: cut short, written out,
 * or with so many letters wrong, missing, too many or swapped with the next. NULL: none. */
const char *words_nearest(const char *word, const char *const *list, size_t slips);

/* The file that `program` stands for: itself when it has a slash, else the
 * first executable file of that name in `path` (as PATH; NULL: the default of
 * execvp). -ENOENT: not found; -EACCES: found, but not executable; -EISDIR: a
 * directory; -EINVAL: a device, FIFO or socket; or another reason from the file
 * system. *file is what was found, NULL with -ENOENT; the caller frees it with
 * g_free. */
int words_find_program(const char *program, const char *path, char **file);

/* A name for the VM that runs argv: the last part of the program's path, for
 * busybox the applet's name. */
void words_name(char *const *argv, char name[WORDS_NAME_BYTES]);

/* Makes `name` differ from all names taken before by appending .2, .3, ...;
 * `taken` holds `count` names, `stride` bytes apart. "host" is always taken. */
void words_make_unique(char name[WORDS_NAME_BYTES], const char *taken, size_t count, size_t stride);

/* 4096, 64K, 256M, 2G. False: not a size, zero, or too large. */
bool words_size(const char *text, uint64_t *bytes);

/* 5, 0.5, 300ms, 1.5m, 2h. False: not a duration or too large. */
bool words_duration(const char *text, uint64_t *ns);

#endif
