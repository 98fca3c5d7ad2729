/* SPDX-License-Identifier: BSD-2-Clause */
/* The command `ferry`: finds the subcommand and starts it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "command.h"
#include "options.h"
#include "process.h"
#include "words.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"pipe", command_pipe},     {"run", command_run},     {"serve", command_serve},
    {"doctor", command_doctor}, {"bench", command_bench},
};

/* Without this, /dev/kvm could become descriptor 0, 1 or 2 of a process
 * started with one of them closed. /dev/null is opened the wrong way round, so
 * that using such a descriptor still fails. */
static int keep_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return -1;
    return 0;
}

/* GLib ends the process where something cannot go on, and would leave a terminal in the modes of a program. Its
 * warnings are of no use to a user. */
static void of_glib(const char *domain, GLogLevelFlags level, const char *text, void *arg)
{
    (void)domain;
    (void)arg;
    if (!(level & G_LOG_FLAG_FATAL))
        return;
    process_restore_modes();
    say("GLib failed (%s)", text);
    _exit(STATUS_FERRY);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool is_version(const char *word)
{
    return strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0;
}

static int command_help(int argc, char **argv)
{
    if (argc > 2) {
        say("help: too many operands; type 'ferry help' or 'ferry help COMMAND'");
        return STATUS_USAGE;
    }
    if (argc == 2 && is_version(argv[1]))
        return version_print();
    if (argc == 2 && is_help(argv[1]))
        return help_print("help");
    return help_print(argc == 2 ? argv[1] : NULL);
}

/* The word is a program, an option or a stage where a command is expected, or nearly a command. */
static int say_unknown(const char *name)
{
    const char *names[sizeof(commands) / sizeof(commands[0]) + 1] = {NULL};
    char *file = NULL;

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        names[i] = commands[i].name;
    const char *nearest = words_nearest(name, names, 2);

    if (options_know(name))
        say("'%s' is an option of a command, and comes after it: ferry run %s ...", name, name);
    else if (name[0] == '-')
        say("unknown option '%s'; 'ferry help' lists the commands", name);
    else if (nearest)
        say("unknown command '%s'; did you mean 'ferry %s'?", name, nearest);
    else if (strpbrk(name, " |"))
        say("unknown command '%s'; if these are stages, write ferry pipe '%s'", name, name);
    else if (words_find_program(name, getenv("PATH"), &file) == 0)
        say("unknown command '%s'; to run the program, write ferry run %s ...", name, name);
    else
        say("unknown command '%s'; 'ferry help' lists the commands", name);
    g_free(file);
    return STATUS_USAGE;
}

int main(int argc, char **argv)
{
    if (keep_standard_descriptors() != 0)
        return STATUS_FERRY;
    g_log_set_default_handler(of_glib, NULL);
    /* A limit on the size of files shows as an error of the call that meets it, not as a signal. */
    signal(SIGXFSZ, SIG_IGN);
    if (argc < 2) {
        say("no command given; 'ferry help' lists them");
        return STATUS_USAGE;
    }
    const char *name = argv[1];

    if (is_version(name))
        return version_print();
    if (is_help(name) || strcmp(name, "help") == 0)
        return command_help(argc - 1, argv + 1);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return say_unknown(name);
}
