/* SPDX-License-Identifier: BSD-2-Clause */
/* What hand-over, copy and exit cost on this machine. */
#ifndef FERRY_HOST_MEASURE_H
#define FERRY_HOST_MEASURE_H

#include <ferry/ferry.h>

/* Sets huge, crossover_bytes, handover_ns, copy_ns; some milliseconds. */
int measure_hand_over(struct ferry_engine_info *info);

#endif
