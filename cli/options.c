/* SPDX-License-Identifier: BSD-2-Clause */
/* The options that `ferry pipe`, `ferry run` and `ferry serve` take; see options.h. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ferry/abi/layout.h>

#include "command.h"
#include "jail.h"
#include "options.h"
#include "words.h"

#define MOST 1024 /* threads or processes: the library's */

/* Above every character, so that optopt tells long options from short ones. */
enum {
    OPT_MEM = 256,
    OPT_RO,
    OPT_ROOT,
    OPT_BARE,
    OPT_RW,
    OPT_RW_LIMIT,
    OPT_ENV,
    OPT_TIMEOUT,
    OPT_CPU,
    OPT_THREADS,
    OPT_PROCS,
    OPT_MODE,
    OPT_IMMEDIATE,
    OPT_DEFERRED,
    OPT_POLLED,
    OPT_DIRECT,
    OPT_STATS,
    OPT_TRACE,
    OPT_TRACE_FORMAT,
    OPT_VERBOSE,
    OPT_NO_JAIL,
    OPT_USER,
    OPT_LISTEN,
    OPT_MAX,
};

static const struct option long_options[] = {
    {"mem", required_argument, NULL, OPT_MEM},
    {"ro", required_argument, NULL, OPT_RO},
    {"root", required_argument, NULL, OPT_ROOT},
    {"bare", no_argument, NULL, OPT_BARE},
    {"rw", required_argument, NULL, OPT_RW},
    {"rw-limit", required_argument, NULL, OPT_RW_LIMIT},
    {"env", required_argument, NULL, OPT_ENV},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"cpu", required_argument, NULL, OPT_CPU},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"procs", required_argument, NULL, OPT_PROCS},
    {"mode", required_argument, NULL, OPT_MODE},
    {"immediate", no_argument, NULL, OPT_IMMEDIATE},
    {"deferred", no_argument, NULL, OPT_DEFERRED},
    {"polled", optional_argument, NULL, OPT_POLLED},
    {"direct", no_argument, NULL, OPT_DIRECT},
    {"no-stdin", no_argument, NULL, 'n'},
    {"stats", optional_argument, NULL, OPT_STATS},
    {"trace", optional_argument, NULL, OPT_TRACE},
    {"trace-format", required_argument, NULL, OPT_TRACE_FORMAT},
    {"no-jail", no_argument, NULL, OPT_NO_JAIL},
    {"user", required_argument, NULL, OPT_USER},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"max", required_argument, NULL, OPT_MAX},
    {"verbose", no_argument, NULL, OPT_VERBOSE},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* In this order getopt_long ends at the first operand, and tells a missing value. */
static const char short_options[] = "+:hnV";

/* What to do about a directory that cannot be opened. */
static const char *advise_directory(const char *dir, int error)
{
    if (error == ENOTDIR && g_file_test(dir, G_FILE_TEST_EXISTS))
        return "give the directory that it is in";
    if (dir[0] == '~')
        return "shells replace ~ only where it begins a word: write it without '='";
    if (strpbrk(dir, ":,"))
        return "give the option once for each directory";
    return "give a directory that you may read";
}

/* Made absolute, but links are kept: programs open it under this name. NULL: it was said why it
 * cannot be. */
static char *directory_of(const char *option, const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        int error = errno;

        say("%s '%s': %s; %s", option, dir, strerror(error), advise_directory(dir, error));
        return NULL;
    }
    close(fd);
    return g_canonicalize_filename(dir, NULL);
}

static int add_directory(GPtrArray *list, const char *option, const char *dir)
{
    char *path = directory_of(option, dir);

    if (path)
        g_ptr_array_add(list, path);
    return path ? 0 : STATUS_USAGE;
}

static int set_root(struct options *options, const char *dir)
{
    if (options->root) {
        say("--root '%s': a program has one '/'; give --root once", dir);
        return STATUS_USAGE;
    }
    options->root = directory_of("--root", dir);
    return options->root ? 0 : STATUS_USAGE;
}

/* Length of NAME in NAME=VALUE or NAME. */
static size_t name_length(const char *variable)
{
    return strcspn(variable, "=");
}

static int add_env(struct options *options, const char *word)
{
    size_t length = name_length(word);
    char *variable = NULL;

    if (length == 0) {
        say("--env '%s': no name before '='; write NAME=VALUE", word);
        return STATUS_USAGE;
    }
    if (word[length] == '=') {
        variable = g_strdup(word);
    } else {
        const char *value = g_getenv(word);

        if (!value) {
            say("--env %s: not set here; write %s=VALUE", word, word);
            return STATUS_USAGE;
        }
        variable = g_strconcat(word, "=", value, NULL);
    }
    /* The last one of a name holds. */
    for (guint i = 0; i < options->env->len; i++) {
        const char *old = g_ptr_array_index(options->env, i);

        if (name_length(old) == length && strncmp(old, word, length) == 0) {
            g_ptr_array_remove_index(options->env, i);
            break;
        }
    }
    g_ptr_array_add(options->env, variable);
    return 0;
}

static int set_mode(struct options *options, const char *word)
{
    if (strcmp(word, "auto") == 0) {
        options->transfer = FERRY_TRANSFER_AUTO;
    } else if (strcmp(word, "copy") == 0) {
        options->transfer = FERRY_TRANSFER_COPY;
    } else if (strcmp(word, "map") == 0) {
        options->transfer = FERRY_TRANSFER_MAP;
    } else {
        say("--mode '%s': no such mode; choose auto, copy or map", word);
        return STATUS_USAGE;
    }
    return 0;
}

static int set_delivery(struct options *options, enum ferry_delivery delivery)
{
    if (options->delivery != FERRY_DELIVER_AUTO && options->delivery != delivery) {
        say("--immediate and --deferred: each is the opposite of the other; choose one");
        return STATUS_USAGE;
    }
    options->delivery = delivery;
    return 0;
}

static int set_stats(struct options *options, const char *word)
{
    if (word && strcmp(word, "json") != 0) {
        say("--stats=%s: no such format; write --stats or --stats=json", word);
        return STATUS_USAGE;
    }
    options->stats = word ? STATS_JSON : STATS_TABLE;
    return 0;
}

static int set_trace(struct options *options, const char *file)
{
    if (file && !*file) {
        say("--trace=: no file; write --trace for standard error, or --trace=FILE");
        return STATUS_USAGE;
    }
    options->trace = true;
    g_free(options->trace_file);
    options->trace_file = g_strdup(file);
    return 0;
}

static int set_trace_format(struct options *options, const char *word)
{
    if (strcmp(word, "text") != 0 && strcmp(word, "json") != 0) {
        say("--trace-format '%s': no such format; choose text or json", word);
        return STATUS_USAGE;
    }
    options->trace = true;
    options->trace_json = *word == 'j';
    return 0;
}

/* CPU, or none: wherever the scheduler puts it. */
static int set_polled(struct options *options, const char *word)
{
    char *end = NULL;
    cpu_set_t may;

    options->polled = true;
    options->polled_cpu = -1;
    if (!word)
        return 0;
    errno = 0;
    long cpu = strtol(word, &end, 10);
    if (errno != 0 || end == word || *end != '\0' || cpu < 0 || cpu >= CPU_SETSIZE ||
        sched_getaffinity(0, sizeof may, &may) != 0 || !CPU_ISSET((int)cpu, &may)) {
        say("--polled='%s': not a processor that may be used; see 'taskset -cp $$'", word);
        return STATUS_USAGE;
    }
    options->polled_cpu = (int)cpu;
    return 0;
}

static int set_memory(struct options *options, const char *word)
{
    uint64_t bytes = 0;

    if (!words_size(word, &bytes)) {
        say("--mem '%s': not a size; write a number of bytes, or 64K, 256M, 2G", word);
        return STATUS_USAGE;
    }
    if (bytes < FERRY_PAGE_BYTES) {
        if (word[strspn(word, "0123456789")] == '\0')
            say("--mem %s: that many bytes hold no program; if it is megabytes, write %sM", word,
                word);
        else
            say("--mem %s: holds no program; write more, such as 256M", word);
        return STATUS_USAGE;
    }
    if (bytes > FERRY_PROGRAM_HIGH) {
        say("--mem %s: a program has addresses for %lluG; write that at most", word,
            FERRY_PROGRAM_HIGH >> 30);
        return STATUS_USAGE;
    }
    options->memory_bytes = bytes;
    return 0;
}

static int set_count(const char *option, const char *what, uint32_t *out, const char *word)
{
    char *end;
    unsigned long count = strtoul(word, &end, 10);

    if (*word < '1' || *word > '9' || *end || count > MOST) {
        say("%s '%s': not a number of %s; write one from 1 to %d", option, word, what, MOST);
        return STATUS_USAGE;
    }
    *out = (uint32_t)count;
    return 0;
}

static int set_time(const char *option, uint64_t *time_ns, const char *word)
{
    if (words_duration(word, time_ns))
        return 0;
    say("%s '%s': not a time; write seconds, as 10 or 0.5, or 300ms, 5m, 2h", option, word);
    return STATUS_USAGE;
}

static int set_option(struct options *options, int option, const char *word)
{
    switch (option) {
    case OPT_MEM:
        return set_memory(options, word);
    case OPT_TIMEOUT:
        return set_time("--timeout", &options->timeout_ns, word);
    case OPT_CPU:
        return set_time("--cpu", &options->cpu_ns, word);
    case OPT_THREADS:
        return set_count("--threads", "threads", &options->threads, word);
    case OPT_PROCS:
        return set_count("--procs", "processes", &options->processes, word);
    case OPT_RO:
        return add_directory(options->read_only, "--ro", word);
    case OPT_ROOT:
        return set_root(options, word);
    case OPT_BARE:
        options->bare = true;
        return 0;
    case OPT_RW:
        return add_directory(options->read_write, "--rw", word);
    case OPT_RW_LIMIT:
        if (!words_size(word, &options->write_limit_bytes)) {
            say("--rw-limit '%s': not a size; write a number of bytes, or 64K, 256M, 2G", word);
            return STATUS_USAGE;
        }
        return 0;
    case OPT_ENV:
        return add_env(options, word);
    case OPT_MODE:
        return set_mode(options, word);
    case OPT_STATS:
        return set_stats(options, word);
    case OPT_TRACE:
        return set_trace(options, word);
    case OPT_TRACE_FORMAT:
        return set_trace_format(options, word);
    case OPT_IMMEDIATE:
        return set_delivery(options, FERRY_DELIVER_IMMEDIATE);
    case OPT_DEFERRED:
        return set_delivery(options, FERRY_DELIVER_DEFERRED);
    case OPT_POLLED:
        return set_polled(options, word);
    case 'n':
        options->no_stdin = true;
        return 0;
    case OPT_NO_JAIL:
        options->no_jail = true;
        return 0;
    case OPT_USER:
        return jail_set_user(options, word);
    case OPT_LISTEN:
        options->listen = word;
        return 0;
    case OPT_MAX:
        return set_count("--max", "connections", &options->most, word);
    case OPT_DIRECT:
        options->direct = true;
        return 0;
    default:
        options->verbose = true;
        return 0;
    }
}

bool options_know(const char *word)
{
    size_t length = name_length(word);
    size_t options = 0;

    if (word[0] != '-' || word[1] != '-')
        return word[0] == '-' && word[1] && strchr(short_options + 2, word[1]) && !word[2];
    for (size_t i = 0; long_options[i].name; i++) {
        if (strncmp(long_options[i].name, word + 2, length - 2) != 0)
            continue;
        if (!long_options[i].name[length - 2])
            return true;
        options++;
    }
    return length > 2 && options == 1;
}

/* The option that was probably meant by an unknown one, found by name or by letter, or NULL. */
static const char *nearest_option(const char *word)
{
    const char *names[G_N_ELEMENTS(long_options)];
    const char *begin = word + strspn(word, "-");
    size_t count = 0;

    for (; long_options[count].name; count++)
        names[count] = long_options[count].name;
    names[count] = NULL;
    if (name_length(begin) > 1) {
        char *name = g_strndup(begin, name_length(begin));
        const char *nearest = words_nearest(name, names, 2);

        g_free(name);
        return nearest;
    }
    for (size_t i = 0; i < count; i++)
        if (names[i][0] == begin[0])
            return names[i];
    return NULL;
}

/* What getopt_long found wrong with the word before optind. */
static void say_bad_option(int found, char **argv)
{
    const char *command = argv[0];
    const char *word = argv[optind - 1];
    const char letter[] = {'-', (char)optopt, '\0'};
    bool is_letter = found == '?' && optopt > 0 && optopt < OPT_MEM;
    const char *nearest =
        found == '?' && optopt < OPT_MEM ? nearest_option(is_letter ? letter : word) : NULL;

    if (found == ':')
        say("%s: option '%s' needs a value; see 'ferry %s --help'", command, word, command);
    else if (optopt >= OPT_MEM)
        say("%s: option '%s' takes no value; see 'ferry %s --help'", command, word, command);
    else
        say("%s: unknown option '%s'; %s%s%ssee 'ferry %s --help'", command,
            is_letter ? letter : word, nearest ? "did you mean '--" : "", nearest ? nearest : "",
            nearest ? "'? " : "", command);
}

static void add_default(struct options *options, const char *word)
{
    for (guint i = 0; i < options->env->len; i++) {
        if (strncmp(g_ptr_array_index(options->env, i), word, name_length(word) + 1) == 0)
            return;
    }
    g_ptr_array_add(options->env, g_strdup(word));
}

/* Programs that look for files of their user fail without HOME; this one is a directory in memory. Some
 * that start others look for them only where PATH says.
 * `ferry run` at a terminal: a program must know which kind it is. */
static void add_defaults(struct options *options, const char *command)
{
    char *term = g_strconcat("TERM=", g_getenv("TERM"), NULL);

    add_default(options, "HOME=/home/nobody");
    add_default(options, "PATH=/usr/local/bin:/usr/bin:/bin");
    if (strcmp(command, "run") == 0 && g_getenv("TERM") &&
        (isatty(STDIN_FILENO) || isatty(STDOUT_FILENO) || isatty(STDERR_FILENO)))
        add_default(options, term);
    g_free(term);
}

int options_parse(struct options *options, int argc, char **argv, int *status)
{
    int option;

    *options = (struct options){.env = g_ptr_array_new_with_free_func(g_free),
                                .read_only = g_ptr_array_new_with_free_func(g_free),
                                .read_write = g_ptr_array_new_with_free_func(g_free)};
    *status = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
        if (option == 'h') {
            *status = help_print(argv[0]);
            return -1;
        }
        if (option == 'V') {
            *status = version_print();
            return -1;
        }
        if (option == '?' || option == ':') {
            say_bad_option(option, argv);
            *status = STATUS_USAGE;
            return -1;
        }
        *status = set_option(options, option, optarg);
        if (*status != 0)
            return -1;
    }
    if ((options->listen || options->most) && strcmp(argv[0], "serve") != 0) {
        say("%s: --listen and --max are for 'ferry serve'; see 'ferry help serve'", argv[0]);
        *status = STATUS_USAGE;
        return -1;
    }
    add_defaults(options, argv[0]);
    g_ptr_array_add(options->env, NULL);
    g_ptr_array_add(options->read_only, NULL);
    g_ptr_array_add(options->read_write, NULL);
    return optind;
}

void options_free(struct options *options)
{
    g_ptr_array_unref(options->env);
    g_ptr_array_unref(options->read_only);
    g_free(options->root);
    g_free(options->trace_file);
    g_ptr_array_unref(options->read_write);
}
