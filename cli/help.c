/* SPDX-License-Identifier: BSD-2-Clause */
/* The texts of --help and --version. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <ferry/ferry.h>

#include "command.h"

#define OPTIONS_FIRST                                                                     \
    "Options:\n"                                                                          \
    "  --mem SIZE          most memory each VM may take; K, M, G (default 256M)\n"        \
    "  --threads N         most threads each process may have (default 64)\n"             \
    "  --procs N           most processes each program may have (default 64)\n"           \
    "  --ro HOSTDIR        let the programs read the files below HOSTDIR; repeatable\n"   \
    "  --root DIR          the tree of another system is / for the programs\n"            \
    "  --bare              show the programs no files but libraries\n"                    \
    "  --rw HOSTDIR        let them change what is below HOSTDIR, too; repeatable\n"      \
    "  --rw-limit SIZE     most that each VM may add there (default 4G)\n"                \
    "  --env NAME[=VALUE]  set a variable; NAME alone takes its value here; repeatable\n" \
    "  --timeout TIME      stop the VMs after TIME: seconds, or with ms, s, m, h\n"       \
    "  --cpu TIME          stop a VM that has taken so much processor time\n"             \
    "  --mode MODE         auto, copy or map: how bytes travel (default auto)\n"          \
    "  --immediate         each message leaves its VM at once\n"                          \
    "  --deferred          messages leave at the VM's next natural exit\n"                \
    "  --polled[=CPU]      a thread polls for messages, on CPU: no exits, but a core\n"
#define OPTION_DIRECT \
    "  --direct            short messages go from stage to stage without a VM exit\n"
#define OPTIONS_LAST                                                                  \
    "  -n, --no-stdin      leave standard input alone: the programs find it empty\n"  \
    "  --stats[=json]      print figures on standard error at the end\n"              \
    "  --trace[=FILE]      list every system call on standard error, or in FILE\n"    \
    "  --trace-format FMT  text, as strace prints it, or json: an object a line\n"    \
    "  --user NAME         become this user, a name or a number, once all is open\n"  \
    "  --no-jail           do not take from ferry the rights that it does not need\n" \
    "  --verbose           say what happens on standard error\n"                      \
    "  -h, --help          print this help\n"                                         \
    "  -V, --version       print the version\n"

static const struct {
    const char *topic; /* NULL: ferry itself */
    const char *text;
} topics[] = {
    {NULL, "Usage: ferry COMMAND [ARGS]\n"
           "Run programs in virtual machines and carry bytes between them by page table.\n\n"
           "Commands:\n"
           "  pipe     run a pipeline, each stage in a VM of its own\n"
           "  run      run one program in a VM\n"
           "  serve    give each connection to a socket a fresh VM with a program\n"
           "  doctor   say what this machine offers and what is missing\n"
           "  bench    compare Ferry with pipes, sockets and shared memory on this machine\n"
           "  help     print help; 'ferry help COMMAND' for one command\n\n"
           "Options:\n"
           "  -h, --help      print this help\n"
           "  -V, --version   print the version\n"},
    {"pipe", "Usage: ferry pipe [OPTIONS] 'STAGE'...\n"
             "Run a pipeline from standard input to standard output, each STAGE (a program\n"
             "and its arguments) in a virtual machine of its own.\n"
             "A '|' outside quotes separates stages: 'STAGE | STAGE' is the same as two.\n"
             "Example: ferry pipe 'busybox gzip -c' 'busybox sha256sum' < file\n\n" OPTIONS_FIRST
                 OPTION_DIRECT OPTIONS_LAST},
    {"run", "Usage: ferry run [OPTIONS] PROGRAM [ARGS]\n"
            "Run one program in a virtual machine.\n"
            "Example: ferry run busybox sort < file\n\n" OPTIONS_FIRST OPTIONS_LAST},
    {"serve", "Usage: ferry serve [OPTIONS] --listen PATH 'PROGRAM ARGS'\n"
              "Give each connection to the socket PATH a fresh virtual machine, whose program has\n"
              "the connection as its standard input and output. The program is started once, and\n"
              "each VM begins where it first asks for input. Limits hold for each connection.\n"
              "Without --listen: the socket of a systemd unit that starts it.\n"
              "Example: ferry serve --listen /tmp/sum 'sha256sum'\n\n"
              "Options of its own:\n"
              "  --listen PATH       take connections at this path of the file system\n"
              "  --max N             serve so many at once (default 8); others wait\n"
              "\n" OPTIONS_FIRST OPTIONS_LAST},
    {"doctor", "Usage: ferry doctor\n"
               "Say what this machine offers to Ferry, and what to type for what is missing.\n\n"
               "Options:\n"
               "  -h, --help      print this help\n"
               "  -V, --version   print the version\n"},
    {"bench", "Usage: ferry bench [OPTIONS] [PART]...\n"
              "Compare Ferry with other ways to carry bytes, side by side, on this machine.\n"
              "PARTs: stream, handover, latency, messages, crossover, start, scale, pipeline,\n"
              "threads; all of them if none is named. 'ferry bench --help' says what each does.\n\n"
              "Options:\n"
              "  --quick            fewer sizes and rounds: under a minute for all parts\n"
              "  --rounds N         rounds of each comparison\n"
              "  --row LABEL        only rows with this label, such as '2 MiB'\n"
              "  --way TEXT         only ways with TEXT in their name\n"
              "  --json FILE        write all figures, with every sample, to FILE\n"
              "  --plots DIRECTORY  write SVG plots, drawn by gnuplot\n"
              "  --floors FILE      fail if a ratio is below what FILE asks for\n"
              "  -h, --help         print help\n"
              "  -V, --version      print the version\n"},
    {"help", "Usage: ferry help [COMMAND]\n"
             "Print what Ferry, or one of its commands, takes.\n"},
};

static int finish(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    say("cannot write to standard output: %s", strerror(errno));
    return STATUS_IO;
}

int help_print(const char *topic)
{
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        const char *name = topics[i].topic;

        if (topic == name || (topic && name && strcmp(topic, name) == 0)) {
            fputs(topics[i].text, stdout);
            return finish();
        }
    }
    say("no help for '%s'; 'ferry help' lists the commands", topic);
    return STATUS_USAGE;
}

int version_print(void)
{
    printf("ferry %s\n", ferry_version());
    return finish();
}
