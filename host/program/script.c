/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the meaning of a line that begins with "#!": what runs a script, and with which argument. */
#include "program/script.h"

#include <errno.h>
#include <string.h>

#define BLANKS " \t"

bool script_is(const char head[SCRIPT_HEAD_BYTES])
{
    return head[0] == '#' && head[1] == '!';
}

/* Where the line ends; the zeros after a short file end it too. NULL: not within the head, and the
 * name of the interpreter might go on there. A cut argument is taken as it is, as on Linux. */
static char *find_end(char *text)
{
    char *last = text + SCRIPT_HEAD_BYTES - 1;
    char *end = memchr(text, '\n', SCRIPT_HEAD_BYTES);

    if (!end && *last) {
        bool ends = strchr(BLANKS, *last);
        char *name;

        *last = '\0'; /* Linux leaves the last byte out too */
        name = text + 2 + strspn(text + 2, BLANKS);
        if (!ends && !name[strcspn(name, BLANKS)])
            return NULL;
        end = last;
    }
    return end ? end : last;
}

int script_read(struct script *script, const char head[SCRIPT_HEAD_BYTES])
{
    char *end, *name, *rest;

    memcpy(script->text, head, SCRIPT_HEAD_BYTES);
    end = find_end(script->text);
    if (!end)
        return -ENOEXEC;
    *end = '\0';
    name = script->text + 2 + strspn(script->text + 2, BLANKS);
    for (end = name + strlen(name); end > name && strchr(BLANKS, end[-1]); end--)
        end[-1] = '\0';
    if (!name[0])
        return -ENOEXEC;
    rest = name + strcspn(name, BLANKS);
    if (*rest)
        *rest++ = '\0';
    rest += strspn(rest, BLANKS);
    script->interpreter = name;
    script->argument = *rest ? rest : NULL;
    return 0;
}
