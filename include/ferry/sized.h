/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libferry exports for the calls of ferry/ferry.h that take or fill a struct: the same call
 * with `_sized` behind its name, and behind each struct how many bytes long the caller knows it to
 * be. C and C++ call the functions of ferry/ferry.h, which do so; this is for other languages, and
 * for programs that load libferry by dlopen.
 *
 * Beyond the errors that stand there: -EINVAL: less than the struct had in the first release;
 * -E2BIG: more than 4096 bytes. Nothing is done then, and no message is lost. The size of a struct
 * given as NULL does not count.
 */
#ifndef FERRY_SIZED_H
#define FERRY_SIZED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FERRY_API __attribute__((visibility("default")))

struct ferry_engine;
struct ferry_engine_config;
struct ferry_engine_info;
struct ferry_error;
struct ferry_identity;
struct ferry_jail_config;
struct ferry_ledger;
struct ferry_link;
struct ferry_link_config;
struct ferry_link_stats;
struct ferry_machine;
struct ferry_message;
struct ferry_trace;
struct ferry_vm;
struct ferry_vm_config;
struct ferry_vm_exit;
struct ferry_vm_stats;

FERRY_API int ferry_engine_create_sized(const struct ferry_engine_config *config,
                                        size_t config_bytes, struct ferry_engine **out,
                                        struct ferry_error *err);
FERRY_API int ferry_engine_ledger_sized(struct ferry_engine *engine, struct ferry_ledger *out,
                                        size_t out_bytes);
FERRY_API int ferry_engine_info_sized(struct ferry_engine *engine, struct ferry_engine_info *out,
                                      size_t out_bytes);
FERRY_API int ferry_vm_create_sized(struct ferry_engine *engine,
                                    const struct ferry_vm_config *config, size_t config_bytes,
                                    struct ferry_vm **out, struct ferry_error *err);
FERRY_API int ferry_vm_wait_sized(struct ferry_vm *vm, uint64_t timeout_ns,
                                  struct ferry_vm_exit *out, size_t out_bytes);
FERRY_API int ferry_vm_stats_sized(struct ferry_vm *vm, struct ferry_vm_stats *out,
                                   size_t out_bytes);
FERRY_API int ferry_link_create_sized(struct ferry_engine *engine, struct ferry_vm *from,
                                      struct ferry_vm *to, const struct ferry_link_config *config,
                                      size_t config_bytes, struct ferry_link **out,
                                      struct ferry_error *err);
FERRY_API int ferry_link_stats_sized(struct ferry_link *link, struct ferry_link_stats *out,
                                     size_t out_bytes);
FERRY_API int ferry_link_peer_sized(struct ferry_link *link, struct ferry_identity *out,
                                    size_t out_bytes);
FERRY_API int ferry_link_send_sized(struct ferry_link *link, const struct ferry_message *message,
                                    size_t message_bytes, uint64_t timeout_ns);
FERRY_API int ferry_link_recv_sized(struct ferry_link *link, uint64_t timeout_ns,
                                    struct ferry_message *message, size_t message_bytes);
FERRY_API int ferry_jail_sized(struct ferry_engine *engine, const struct ferry_jail_config *config,
                               size_t config_bytes, struct ferry_error *err);
FERRY_API int ferry_machine_probe_sized(struct ferry_machine *out, size_t out_bytes);
FERRY_API int ferry_machine_keep_sized(const struct ferry_machine *machine, size_t machine_bytes,
                                       const char *path, uint64_t *held_crossover);

#ifdef __cplusplus
}
#endif

#endif
