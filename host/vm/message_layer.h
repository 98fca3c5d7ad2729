/* SPDX-License-Identifier: BSD-2-Clause */
/* What the system area of a VM holds of messages, to be had again. */
#ifndef FERRY_HOST_MESSAGE_LAYER_H
#define FERRY_HOST_MESSAGE_LAYER_H

/* Takes it: the descriptor of the file, the caller's. From then on the area is mapped from that. -EMFILE,
 * -ENOMEM. */
int message_layer_take(char *system);
/* Maps it into this area. -ENOMEM. */
int message_layer_map(int fd, char *system);
/* What is mapped is again as the file has it. -ENOMEM. */
int message_layer_go_back(char *system);

#endif
