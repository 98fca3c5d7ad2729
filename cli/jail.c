/* SPDX-License-Identifier: BSD-2-Clause */
/* From options to the jail; see jail.h. */
#include "jail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

int jail_set_user(struct options *options, const char *word)
{
    char *end;
    unsigned long number = strtoul(word, &end, 10);
    bool is_number = *word >= '0' && *word <= '9' && !*end && number < UINT32_MAX;
    const struct passwd *user = is_number ? getpwuid((uid_t)number) : getpwnam(word);

    if (!user && !is_number) {
        say("--user '%s': there is no such user; write a name, or a number", word);
        return STATUS_USAGE;
    }
    if (geteuid() != 0) {
        say("--user '%s': only root may become another user; leave it out", word);
        return STATUS_USAGE;
    }
    options->change_user = true;
    options->uid = user ? user->pw_uid : (uint32_t)number;
    options->gid = user ? user->pw_gid : (uint32_t)number;
    return 0;
}

/* What whoever started us left open reaches no guest. All that we opened is closed on exec. */
static int close_inherited(void)
{
    DIR *list = opendir("/proc/self/fd");
    const struct dirent *entry;

    if (!list)
        return -errno;
    while ((entry = readdir(list))) {
        int fd = atoi(entry->d_name);
        int flags = fd > STDERR_FILENO ? fcntl(fd, F_GETFD) : -1;

        if (flags >= 0 && !(flags & FD_CLOEXEC))
            close(fd);
    }
    closedir(list);
    return 0;
}

int jail_close(const struct options *options, struct ferry_engine *engine)
{
    const struct ferry_jail_config config = {
        /* Root may have named a script, a file or a directory of somebody else's. */
        .files_of_others = !options->change_user,
        .change_user = options->change_user,
        .uid = options->uid,
        .gid = options->gid,
    };
    struct ferry_error error;
    int result;

    if (options->no_jail) {
        say("no jail: a program that takes ferry over has all rights of its user");
        return 0;
    }
    result = close_inherited();
    if (result != 0) {
        say("cannot list the descriptors of ferry: %s; mount /proc, or write --no-jail",
            strerror(-result));
        return STATUS_FERRY;
    }
    if (ferry_jail(engine, &config, &error) != 0) {
        say("%s; to go on without, write --no-jail", error.text);
        return STATUS_FERRY;
    }
    return 0;
}
